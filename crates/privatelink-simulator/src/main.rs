//! The simulator as a program. It prints where it listens and how to point a client there, and runs until it is stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to whoever started it")]

use std::{
    env, fs, future, io,
    net::{AddrParseError, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use privatelink_simulator::{AccessKey, Cloud, Seed, SeedError, Server};

const USAGE: &str = "\
Usage: privatelink-simulator [--listen 127.0.0.1:PORT] [--seed FILE]

  --listen ADDRESS  where to listen, on loopback; port 0, the default, takes a free one
  --seed FILE       the state to start with, as JSON; without it there is one access key and nothing else
  --help            this text";

/// The exit status for a command line that makes no sense, as most programs have it.
const USAGE_STATUS: u8 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("privatelink-simulator: {error}\n\n{USAGE}");
            return ExitCode::from(USAGE_STATUS);
        }
    };
    match run(arguments).await {
        Ok(server) => {
            greet(&server);
            future::pending().await
        }
        Err(error @ RunError::Listen { .. }) => {
            eprintln!("privatelink-simulator: {error}");
            ExitCode::FAILURE
        }
        Err(error @ (RunError::Read { .. } | RunError::Seed { .. })) => {
            eprintln!("privatelink-simulator: {error}");
            ExitCode::from(USAGE_STATUS)
        }
    }
}

async fn run(arguments: Arguments) -> Result<Server, RunError> {
    let (path, seed) = match arguments.seed {
        None => (PathBuf::from("the default seed"), Ok(Seed::default())),
        Some(path) => match fs::read(&path) {
            Ok(text) => (path, Seed::from_json(&text)),
            Err(source) => return Err(RunError::Read { path, source }),
        },
    };
    let cloud = seed.and_then(Cloud::new).map_err(|source| RunError::Seed { path, source })?;
    let address = arguments.listen;
    Server::start(cloud, address).await.map_err(|source| RunError::Listen { address, source })
}

fn greet(server: &Server) {
    let AccessKey { access_key_id, access_key_secret, .. } = AccessKey::default();
    println!("PrivateLink is simulated at {url}", url = server.url());
    println!();
    println!("Point a client there by its endpoint override, over plain HTTP:");
    println!("  endpoint  {address}", address = server.address());
    println!("  key       {access_key_id} / {access_key_secret} (unless the seed names others)");
    println!("State, faults and counts: {url}/_simulator/state, faults, counts, journal", url = server.url());
}

/// The command line.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    listen: SocketAddr,
    seed: Option<PathBuf>,
}

impl Arguments {
    /// `None` if only help is asked for.
    fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, ArgumentError> {
        let mut arguments = arguments.into_iter();
        let (mut listen, mut seed) = (None, None);
        while let Some(argument) = arguments.next() {
            let (name, attached) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || attached.clone().or_else(|| arguments.next());
            match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--listen" => {
                    let text = value().ok_or(ArgumentError::NoValue("--listen"))?;
                    let address = text.parse().map_err(|source| ArgumentError::Address { text, source })?;
                    once(&mut listen, address, "--listen")?;
                }
                "--seed" => {
                    let path = value().ok_or(ArgumentError::NoValue("--seed"))?;
                    once(&mut seed, PathBuf::from(path), "--seed")?;
                }
                _ => return Err(ArgumentError::Unknown(name)),
            }
        }
        let listen = listen.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        if !listen.ip().is_loopback() {
            return Err(ArgumentError::NotLoopback(listen));
        }
        Ok(Some(Self { listen, seed }))
    }
}

fn once<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), ArgumentError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ArgumentError::Twice(name)),
    }
}

/// Why the command line makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ArgumentError {
    #[error("{0:?} is not known")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("{text:?} is no address: {source}; expected one like 127.0.0.1:4010")]
    Address { text: String, source: AddrParseError },
    #[error("{0} is not on loopback, and nobody else shall reach a simulator")]
    NotLoopback(SocketAddr),
}

/// Why the program could not start.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_free_port_on_loopback() {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert_eq!(parse(&[]), Ok(Some(Arguments { listen, seed: None })));
    }

    #[test]
    fn both_spellings_of_an_argument_are_read() {
        let arguments = Arguments { listen: ([127, 0, 0, 1], 4010).into(), seed: Some("seed.json".into()) };
        assert_eq!(parse(&["--listen", "127.0.0.1:4010", "--seed=seed.json"]), Ok(Some(arguments)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(parse(&["--port", "1"]), Err(ArgumentError::Unknown("--port".to_owned())));
        assert_eq!(parse(&["--seed"]), Err(ArgumentError::NoValue("--seed")));
        assert_eq!(parse(&["--seed=a", "--seed=b"]), Err(ArgumentError::Twice("--seed")));
        assert!(matches!(parse(&["--listen", "4010"]), Err(ArgumentError::Address { .. })));
        let open = SocketAddr::from(([0, 0, 0, 0], 80));
        assert_eq!(parse(&["--listen", "0.0.0.0:80"]), Err(ArgumentError::NotLoopback(open)));
    }

    fn parse(arguments: &[&str]) -> Result<Option<Arguments>, ArgumentError> {
        Arguments::parse(arguments.iter().map(|&argument| argument.to_owned()))
    }
}
