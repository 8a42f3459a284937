//! The simulator as a program. It prints its address and how to configure a client, and runs until it is stopped.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program prints to its user")]

use std::{
    env, fs, future, io,
    net::{AddrParseError, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use privatelink_simulator::{AccessKey, Cloud, Seed, SeedError, Server};

const USAGE: &str = "\
Usage: privatelink-simulator [--listen 127.0.0.1:PORT] [--seed FILE]

  --listen ADDRESS  the address to listen on, on loopback; port 0, the default, selects a free port
  --seed FILE       the initial state, as JSON; without it, the state is one access key and nothing else
  --help            print this text";

/// The exit status for an invalid command line, which is 2 in most programs.
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
            print_address(&server);
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

fn print_address(server: &Server) {
    let AccessKey { access_key_id, access_key_secret, .. } = AccessKey::default();
    println!("PrivateLink is simulated at {url}", url = server.url());
    println!();
    println!("Override the client's endpoint and use plain HTTP:");
    println!("  endpoint    {address}", address = server.address());
    println!("  access key  {access_key_id} / {access_key_secret} (unless the seed defines others)");
    println!("State, faults and counts: {url}/_simulator/state, faults, counts, journal", url = server.url());
}

#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    listen: SocketAddr,
    seed: Option<PathBuf>,
}

impl Arguments {
    /// Returns `None` if the arguments contain `--help`.
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
                    set_once(&mut listen, address, "--listen")?;
                }
                "--seed" => {
                    let path = value().ok_or(ArgumentError::NoValue("--seed"))?;
                    set_once(&mut seed, PathBuf::from(path), "--seed")?;
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

fn set_once<T>(place: &mut Option<T>, value: T, name: &'static str) -> Result<(), ArgumentError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(ArgumentError::Twice(name)),
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum ArgumentError {
    #[error("unknown argument {0:?}")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{0} is given more than once")]
    Twice(&'static str),
    #[error("{text:?} is not a valid address: {source}; expected an address like 127.0.0.1:4010")]
    Address { text: String, source: AddrParseError },
    #[error("{0} is not a loopback address; the simulator listens only on loopback")]
    NotLoopback(SocketAddr),
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("cannot read {path}: {source}", path = path.display())]
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
    fn default_address_is_a_free_loopback_port() {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert_eq!(parse(&[]), Ok(Some(Arguments { listen, seed: None })));
    }

    #[test]
    fn argument_value_follows_a_space_or_an_equals_sign() {
        let arguments = Arguments { listen: ([127, 0, 0, 1], 4010).into(), seed: Some("seed.json".into()) };
        assert_eq!(parse(&["--listen", "127.0.0.1:4010", "--seed=seed.json"]), Ok(Some(arguments)));
    }

    #[test]
    fn invalid_argument_is_rejected() {
        assert_eq!(parse(&["--port", "1"]), Err(ArgumentError::Unknown("--port".to_owned())));
        assert_eq!(parse(&["--seed"]), Err(ArgumentError::NoValue("--seed")));
        assert_eq!(parse(&["--seed=a", "--seed=b"]), Err(ArgumentError::Twice("--seed")));
        assert!(matches!(parse(&["--listen", "4010"]), Err(ArgumentError::Address { .. })));
        let all_interfaces = SocketAddr::from(([0, 0, 0, 0], 80));
        assert_eq!(parse(&["--listen", "0.0.0.0:80"]), Err(ArgumentError::NotLoopback(all_interfaces)));
    }

    fn parse(arguments: &[&str]) -> Result<Option<Arguments>, ArgumentError> {
        Arguments::parse(arguments.iter().map(|&argument| argument.to_owned()))
    }
}
