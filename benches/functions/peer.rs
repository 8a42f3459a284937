//! The same job in Python, under AWS's own client of the runtime API: which interpreter, and what is in its package.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the interpreter, which may be one of a virtual environment.
const VARIABLE: &str = "PEER_PYTHON";

/// The function's own code.
const HANDLER: &str = include_str!("../peer/handler.py");

/// What the managed runtime is started with: AWS's client of the runtime API, and the function in `handler.py`.
pub(crate) const ARGUMENTS: [&str; 3] = ["-m", "awslambdaric", "handler.handler"];

/// Lays out the package, compiled as a deployment would be, and sees that everything it needs can be imported.
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
        "{VARIABLE} is no Python with benches/peer/requirements.txt installed; `make bench` makes one"
    );
    Err(io::Error::other(message))
}

/// The interpreter, wherever the peer is started from.
pub(crate) fn python() -> io::Result<PathBuf> {
    let message = format!(
        "{VARIABLE} is not set: it names the Python that has benches/peer/requirements.txt installed, and `make bench` \
         makes one"
    );
    let python = std::env::var_os(VARIABLE).ok_or_else(|| io::Error::other(message))?;
    // Not its true path: the virtual environment is found beside the link.
    std::path::absolute(python)
}

/// The directory of the function's own code.
pub(crate) fn package() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peer")
}
