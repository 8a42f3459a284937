//! The Python implementation, which runs under AWS's client of the Runtime API: its interpreter and its package.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable with the path of the interpreter, which can be in a virtual environment.
const VARIABLE: &str = "PEER_PYTHON";

/// The function's code.
const HANDLER: &str = include_str!("../peer/handler.py");

/// The arguments of the managed runtime: AWS's client of the Runtime API, and the handler in `handler.py`.
pub(crate) const ARGUMENTS: [&str; 3] = ["-m", "awslambdaric", "handler.handler"];

/// Creates and compiles the package, and checks that its dependencies can be imported.
pub(crate) fn prepare() -> io::Result<()> {
    fs::create_dir_all(package())?;
    fs::write(package().join("handler.py"), HANDLER)?;
    let compiled = Command::new(python()?)
        .args(["-c", "import awslambdaric, compileall; exit(not compileall.compile_dir('.', quiet=1))"])
        .current_dir(package())
        .status();
    if compiled.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    let message = format!(
        "{VARIABLE} is not a Python with the packages of tools/requirements/peer.txt; `make bench` creates one"
    );
    Err(io::Error::other(message))
}

/// The absolute path of the interpreter.
pub(crate) fn python() -> io::Result<PathBuf> {
    let message = format!(
        "{VARIABLE} is not set; it is the path of a Python with the packages of tools/requirements/peer.txt, and \
         `make bench` creates one"
    );
    let python = std::env::var_os(VARIABLE).ok_or_else(|| io::Error::other(message))?;
    // Without resolving symbolic links: Python finds its virtual environment by the path of the link.
    std::path::absolute(python)
}

/// The directory of the function's code.
pub(crate) fn package() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peer")
}
