"""Builds the functions for Lambda as zip files, with a list of their components, and checks the files: size, content,
architecture, glibc version, and that they do not contain the folders in which they were built.

The same sources and compiler give the same programs in every folder and on every machine. cargo-lambda uses Zig as the
linker, so no C compiler for arm64 is needed. Both are in the virtual environment that runs this script.
"""

import calendar
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

FUNCTIONS = ["worker", "intake", "sweeper", "messenger"]

RUST_TARGET = "aarch64-unknown-linux-gnu"

# The largest zip file: a small one starts faster, and a sudden increase reveals an unintended dependency.
BYTES_MAX = 5_000_000

# The glibc version of provided.al2023. A program that needs a newer one does not start.
GLIBC_MAX = (2, 34)

# The permissions of a program in a zip file, and its time: the earliest that the format has.
PROGRAM_MODE = 0o100755
ZIP_TIME = (1980, 1, 1, 0, 0, 0)

# Fields of the ELF header: the start of a 64-bit little-endian file, and the machine arm64.
ELF_64_LITTLE = b"\x7fELF\x02\x01"
ELF_ARM64 = 183


def check_rust_target():
    """Exits with instructions if the arm64 target is missing. cargo-lambda would install it without asking."""
    command = ["rustc", "--print", "target-libdir", "--target", RUST_TARGET]
    folder = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(folder).is_dir():
        sys.exit(f"Rust's standard library for {RUST_TARGET} is missing; run `rustup target add {RUST_TARGET}` first")


def build_folders():
    """Returns the folders whose paths the compiler would write into a program, in panic messages, with a name for each."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target")).resolve()
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")).resolve()
    return {cargo: "/cargo", target: "/target", Path.cwd(): "/source"}


def rust_flags(folders, flags=""):
    """Returns the value of RUSTFLAGS with which the compiler writes the names instead of the folders.

    Of several prefixes that match, the compiler replaces the last one, so the innermost folder comes last.
    """
    outermost_first = sorted(folders.items(), key=lambda folder: len(folder[0].parts))
    for folder, _ in outermost_first:
        if re.search(r"\s", str(folder)):
            sys.exit(f"the path {folder} contains white space, which RUSTFLAGS cannot: build in another folder")
    remapped = [f"--remap-path-prefix={folder}={name}" for folder, name in outermost_first]
    return " ".join([*flags.split(), *remapped])


def build(lambda_dir):
    """Runs cargo-lambda, which finds Zig with the first python3 in PATH and adds to RUSTFLAGS."""
    here = Path(sys.executable).parent
    command = [here / "cargo-lambda", "lambda", "build", "--release", "--arm64", "--output-format", "zip", "--locked"]
    command += ["--skip-target-check", "--lambda-dir", lambda_dir]
    command += [word for function in FUNCTIONS for word in ("--bin", function)]
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    flags = rust_flags(build_folders(), os.environ.get("RUSTFLAGS", ""))
    if subprocess.run(command, env={**os.environ, "PATH": path, "RUSTFLAGS": flags}, check=False).returncode:
        sys.exit("cargo-lambda failed to build the functions, see above")


def normalize(package):
    """Writes a zip file again without the time of the build. Returns the SHA-256 of its program.

    The bytes of the zip file itself depend only on the program and on Python's zlib.
    """
    with zipfile.ZipFile(package) as archive:
        contents = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(package, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = PROGRAM_MODE << 16
            archive.writestr(entry, content, compresslevel=9)
    return hashlib.sha256(b"".join(contents.values())).hexdigest()


def list_components(lambda_dir):
    """Writes the list of each program's components (SBOM, CycloneDX) beside its zip file.

    cargo-cyclonedx writes one beside the manifest of every member of the workspace; those of other programs are
    deleted. It reads Cargo.lock and compiles nothing.
    """
    command = [os.environ["CARGO_CYCLONEDX"], "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5"]
    command += ["--describe", "binaries", "--no-build-deps", "--target", RUST_TARGET]
    # Without a fixed time every list would have its own time and serial number.
    env = {**os.environ, "SOURCE_DATE_EPOCH": str(calendar.timegm(ZIP_TIME))}
    if subprocess.run(command, env=env, check=False).returncode:
        sys.exit("cargo-cyclonedx failed to list the components, see above")
    for function in FUNCTIONS:
        text = Path(f"{function}_bin.cdx.json").read_text(encoding="utf-8")
        text = text.replace(f"file://{Path.cwd()}", "file:///source")
        (lambda_dir / function / "bootstrap.cdx.json").write_text(text, encoding="utf-8")
    for written in [*Path().glob("*_bin.cdx.json"), *Path("crates").glob("*/*_bin.cdx.json")]:
        written.unlink()


def problems(package, folders):
    """Yields the problems of a zip file that was built in these folders."""
    size = package.stat().st_size
    if size > BYTES_MAX:
        yield f"has {size:,} bytes, more than the limit of {BYTES_MAX:,}"
    with zipfile.ZipFile(package) as archive:
        entries = archive.infolist()
        if [entry.filename for entry in entries] != ["bootstrap"]:
            yield f"must contain only bootstrap, but contains {[entry.filename for entry in entries]}"
            return
        if entries[0].external_attr >> 16 & 0o555 != 0o555:
            yield "contains a bootstrap that is not executable for all users"
        program = archive.read("bootstrap")
    machine = int.from_bytes(program[18:20], "little")
    if not program.startswith(ELF_64_LITTLE) or machine != ELF_ARM64:
        yield "contains a bootstrap that is not an arm64 program"
    for folder in folders:
        if str(folder).encode() in program:
            yield f"contains the path of the build, {folder}"
    needed = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", program)}
    if max(needed, default=(0, 0)) > GLIBC_MAX:
        yield f"needs glibc {'.'.join(map(str, max(needed)))}, but provided.al2023 has {'.'.join(map(str, GLIBC_MAX))}"


def main():
    lambda_dir = Path(os.environ.get("CARGO_TARGET_DIR", "target"), "lambda")
    check_rust_target()
    build(lambda_dir)
    list_components(lambda_dir)
    packages = [lambda_dir / function / "bootstrap.zip" for function in FUNCTIONS]
    for package in packages:
        digest = normalize(package)
        print(f"{package}: {package.stat().st_size:,} bytes, SHA-256 of the program {digest}")
    folders = [*build_folders(), Path.home()]
    found = [f"{package} {problem}" for package in packages for problem in problems(package, folders)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
