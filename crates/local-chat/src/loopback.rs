//! An HTTP server on 127.0.0.1, including connections that hang or close without a response on purpose. It is
//! independent of the platforms that it serves.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// The largest accepted body. The functions send messages of a few kilobytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A running server. Dropping it stops the server and closes all connections.
#[derive(Debug)]
pub(crate) struct Loopback {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// What the server does with a request.
#[derive(Debug)]
pub enum Reaction {
    /// Sends this response, after this time.
    Respond { response: Response<Bytes>, after: Duration },
    /// Never responds.
    Hang,
    /// Closes the connection without a response.
    Close,
}

/// Why a connection ends without a response.
#[derive(Debug, Error)]
enum ConnectionError {
    #[error("an injected fault closes the connection")]
    Fault,
}

impl Reaction {
    /// Sends this response at once.
    pub(crate) fn respond(response: Response<Bytes>) -> Self {
        Self::Respond { response, after: Duration::ZERO }
    }
}

impl Loopback {
    /// Serves on this port, or on a free one if it is 0. Each request calls `respond`, whose future is dropped if the
    /// client disconnects.
    pub(crate) async fn serve<A, F>(port: u16, respond: A) -> io::Result<Self>
    where
        A: Fn(request::Parts, Bytes) -> F + Clone + Send + 'static,
        F: Future<Output = Reaction> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, respond)) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<A, F>(listener: TcpListener, respond: A)
where
    A: Fn(request::Parts, Bytes) -> F + Clone + Send + 'static,
    F: Future<Output = Reaction> + Send + 'static,
{
    // The connections belong to this task's set, so they end with the task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, respond.clone()));
                }
                // `accept` fails if the process is out of file descriptors; some become free as connections end.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection<A, F>(stream: TcpStream, respond: A)
where
    A: Fn(request::Parts, Bytes) -> F + Clone,
    F: Future<Output = Reaction>,
{
    // Responses are small and clients wait for each one, so they must not be delayed.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let respond = respond.clone();
        async move {
            let (head, body) = request.into_parts();
            let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(response);
            };
            match respond(head, body.to_bytes()).await {
                Reaction::Respond { response, after } => {
                    wait(after).await;
                    Ok::<Response<Full<Bytes>>, ConnectionError>(response.map(Full::new))
                }
                Reaction::Hang => match std::future::pending::<Infallible>().await {},
                Reaction::Close => Err(ConnectionError::Fault),
            }
        }
    });
    // An error on a connection affects only its client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[expect(clippy::disallowed_methods, reason = "a slow service takes its time")]
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
