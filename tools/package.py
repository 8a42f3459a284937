"""Builds both functions for Lambda as zip files and checks them: size, content, architecture and glibc version.

cargo-lambda uses Zig as the linker, so no C compiler for arm64 is needed. Both are in the virtual environment that runs
this script.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

FUNCTIONS = ["worker", "intake"]

RUST_TARGET = "aarch64-unknown-linux-gnu"

# The largest zip file: a small one starts faster, and a sudden increase reveals an unintended dependency.
BYTES_MAX = 5_000_000

# The glibc version of provided.al2023. A program that needs a newer one does not start.
GLIBC_MAX = (2, 34)

# Fields of the ELF header: the start of a 64-bit little-endian file, and the machine arm64.
ELF_64_LITTLE = b"\x7fELF\x02\x01"
ELF_ARM64 = 183


def check_rust_target():
    """Exits with instructions if the arm64 target is missing. cargo-lambda would install it without asking."""
    command = ["rustc", "--print", "target-libdir", "--target", RUST_TARGET]
    folder = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    if not Path(folder).is_dir():
        sys.exit(f"Rust's standard library for {RUST_TARGET} is missing; run `rustup target add {RUST_TARGET}` first")


def build(lambda_dir):
    """Runs cargo-lambda, which finds Zig with the first python3 in PATH."""
    here = Path(sys.executable).parent
    command = [here / "cargo-lambda", "lambda", "build", "--release", "--arm64", "--output-format", "zip", "--locked"]
    command += ["--skip-target-check", "--lambda-dir", lambda_dir]
    command += [word for function in FUNCTIONS for word in ("--bin", function)]
    path = f"{here}{os.pathsep}{os.environ['PATH']}"
    if subprocess.run(command, env={**os.environ, "PATH": path}, check=False).returncode:
        sys.exit("cargo-lambda failed to build the functions, see above")


def problems(package):
    """Yields the problems of a zip file."""
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
    needed = {(int(major), int(minor)) for major, minor in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", program)}
    if max(needed, default=(0, 0)) > GLIBC_MAX:
        yield f"needs glibc {'.'.join(map(str, max(needed)))}, but provided.al2023 has {'.'.join(map(str, GLIBC_MAX))}"


def main():
    lambda_dir = Path(os.environ.get("CARGO_TARGET_DIR", "target"), "lambda")
    check_rust_target()
    build(lambda_dir)
    packages = [lambda_dir / function / "bootstrap.zip" for function in FUNCTIONS]
    for package in packages:
        print(f"{package}: {package.stat().st_size:,} bytes")
    found = [f"{package} {problem}" for package in packages for problem in problems(package)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
