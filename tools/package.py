"""Builds both functions for Lambda, zips them, and holds the zips to what Lambda needs and we promise.

cargo-lambda compiles with Zig as the linker, so no C compiler for arm64 is needed. Both come from the virtual environment
that this script runs in.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

FUNCTIONS = ["worker", "intake"]

RUST_TARGET = "aarch64-unknown-linux-gnu"

# What a zip may have: a small one starts sooner, and a jump shows that something large has got in.
BYTES_MAX = 5_000_000

# The C library of provided.al2023. A program that asks for a newer one does not start.
GLIBC_MAX = (2, 34)

# In the header of an ELF file: 64 bits, the lower byte first; and an arm64 processor.
ELF_64_LITTLE = b"\x7fELF\x02\x01"
ELF_ARM64 = 183


def check_rust_target():
    """Ends with what to do if Rust cannot compile for arm64 here; cargo-lambda would change the toolchain unasked."""
    command = ["rustc", "--print", "target-libdir", "--target", RUST_TARGET]
    folder = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(folder).is_dir():
        sys.exit(f"Rust's standard library for {RUST_TARGET} is missing: run `rustup target add {RUST_TARGET}` first")


def build(lambda_dir):
    """Runs cargo-lambda, which finds Zig through the first python3 on the path."""
    here = Path(sys.executable).parent
    command = [here / "cargo-lambda", "lambda", "build", "--release", "--arm64", "--output-format", "zip", "--locked"]
    command += ["--skip-target-check", "--lambda-dir", lambda_dir]
    command += [word for function in FUNCTIONS for word in ("--bin", function)]
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    if subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode:
        sys.exit("the functions could not be built: see above")


def faults(package):
    """Yields what is wrong with a zip."""
    size = package.stat().st_size
    if size > BYTES_MAX:
        yield f"has {size:,} bytes, and {BYTES_MAX:,} is the most"
    with zipfile.ZipFile(package) as archive:
        entries = archive.infolist()
        if [entry.filename for entry in entries] != ["bootstrap"]:
            yield f"must hold bootstrap and nothing else, and holds {[entry.filename for entry in entries]}"
            return
        if entries[0].external_attr >> 16 & 0o555 != 0o555:
            yield "holds a bootstrap that not everybody may run"
        program = archive.read("bootstrap")
    machine = int.from_bytes(program[18:20], "little")
    if not program.startswith(ELF_64_LITTLE) or machine != ELF_ARM64:
        yield "holds a bootstrap that is no program for arm64"
    needed = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", program)}
    if max(needed, default=(0, 0)) > GLIBC_MAX:
        yield f"needs glibc {'.'.join(map(str, max(needed)))}, and provided.al2023 has {'.'.join(map(str, GLIBC_MAX))}"


def main():
    lambda_dir = Path(os.environ.get("CARGO_TARGET_DIR", "target"), "lambda")
    check_rust_target()
    build(lambda_dir)
    packages = [lambda_dir / function / "bootstrap.zip" for function in FUNCTIONS]
    for package in packages:
        print(f"{package}: {package.stat().st_size:,} bytes")
    found = [f"{package} {fault}" for package in packages for fault in faults(package)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
