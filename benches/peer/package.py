"""Sizes of Lambda packages, as JSON: `package.py <zip> file <file>` or `package.py <zip> peer <handler.py>`.

The peer's package is its handler and the installed packages that it needs, without compiled files, as a build from
wheels creates it. The managed runtime includes the client of the Runtime API. It also includes boto3, but AWS recommends
that a function brings its own.
"""

import json
import os
import sys
import sysconfig
import zipfile
from importlib.metadata import distributions, requires
from pathlib import Path

SITE_PACKAGES = Path(sysconfig.get_path("purelib"))


def names(*roots):
    """The names of these distributions and of all their dependencies. Optional extras are not installed."""
    installed = {distribution.metadata["Name"].lower().replace("_", "-") for distribution in distributions()}
    found, waiting = set(), list(roots)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in installed - found:
            found.add(name)
            waiting += ["".join(split(line)) for line in requires(name) or []]
    return found


def split(line):
    for character in line:
        if not (character.isalnum() or character in "-_."):
            return
        yield character


def files(distribution_names):
    for distribution in distributions():
        if distribution.metadata["Name"].lower().replace("_", "-") in distribution_names:
            for file in distribution.files or []:
                if file.suffix != ".pyc" and ".." not in file.parts:
                    yield Path(distribution.locate_file(file)), str(file)


def size(archive, members):
    unpacked = 0
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as package:
        for path, name in members:
            unpacked += path.stat().st_size
            package.write(path, name)
    return {"unpacked": unpacked, "zip": os.path.getsize(archive)}


archive, kind, path = sys.argv[1:]
if kind == "file":
    print(json.dumps(size(archive, [(Path(path), "bootstrap")])))
else:
    handler = (Path(path), "handler.py")
    without = names("alibabacloud_privatelink20200415")
    everything = without | names("boto3")
    sizes = {
        "without_boto3": size(archive, [handler, *files(without)]),
        "with_boto3": size(archive, [handler, *files(everything)]),
    }
    print(json.dumps(sizes))
