//! A function's program as a process. The tests of several programs include this file.

use std::io::Read;
use std::process::{Child, Command, Stdio};

/// A process that is killed when it is dropped.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Starts a program with this environment and no other variable.
    pub(crate) fn start(program: &str, environment: &[(&'static str, String)]) -> Self {
        let mut command = Command::new(program);
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for its end. Returns its exit status and everything that it wrote to stdout and stderr.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let status = self.0.wait().unwrap();
        let mut output = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        (status.code(), output)
    }

    /// Kills it with SIGKILL. Returns everything that it wrote.
    pub(crate) fn kill(mut self) -> String {
        self.0.kill().unwrap();
        self.wait().1
    }
}
