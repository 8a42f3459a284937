//! HTTP on 127.0.0.1: a listener, its connections, and the ways in which a connection can end.
//!
//! It knows nothing of what is served.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::wire::Reaction;

/// The largest body that is kept: a message of 1 MiB whose every character is escaped in six bytes, with room for the
/// rest of the call. Lambda's largest event and answer, 6 MB, fit too.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most that is read of a body too large to be kept. A client that is still sending does not see an answer, so the
/// rest is taken and dropped, but not for ever.
const BODY_BYTES_READ_MAX: usize = 64 * 1024 * 1024;

/// A running server; dropping it ends the server and all its connections.
#[derive(Debug)]
pub(crate) struct Loopback {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// Why a connection ends without an answer.
#[derive(Debug, Error)]
enum Broken {
    #[error("the answer is to be lost")]
    OnDemand,
    #[error("the request's body cannot be read")]
    Body,
}

impl Loopback {
    /// Serves on a free port. Each request is answered by a call of `answer`, which is dropped if the client leaves.
    pub(crate) async fn serve<A, F>(answer: A) -> io::Result<Self>
    where
        A: Fn(request::Parts, Bytes) -> F + Clone + Send + 'static,
        F: Future<Output = Reaction> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, accepting: tokio::spawn(accept(listener, answer)) })
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

async fn accept<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(request::Parts, Bytes) -> F + Clone + Send + 'static,
    F: Future<Output = Reaction> + Send + 'static,
{
    // The connections live in this task's set, so they end with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, answer.clone()));
                }
                // Accepting fails when descriptors run out; that passes as connections end.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection<A, F>(stream: TcpStream, answer: A)
where
    A: Fn(request::Parts, Bytes) -> F + Clone,
    F: Future<Output = Reaction>,
{
    // Answers are small and somebody waits for each.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let connection = Connection { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request: Request<Incoming>| {
        let (answer, reset) = (answer.clone(), Arc::clone(&reset));
        async move {
            let (head, body) = request.into_parts();
            let Some(body) = read(body).await? else {
                let mut answer = Response::new(Full::default());
                *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(answer);
            };
            match answer(head, body).await {
                Reaction::Answer(answer) => Ok::<Response<Full<Bytes>>, Broken>(answer.map(Full::new)),
                Reaction::Hang => match std::future::pending::<Infallible>().await {},
                Reaction::Lost => {
                    reset.store(true, Ordering::Relaxed);
                    Err(Broken::OnDemand)
                }
            }
        }
    });
    // A connection that ends in an error concerns its client alone.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

/// The whole body, or nothing if it is too large to be kept.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, Broken> {
    let (mut kept, mut size) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Broken::Body)?.into_data() else { continue };
        size += data.len();
        if size <= BODY_BYTES_MAX {
            kept.extend_from_slice(&data);
        } else if size > BODY_BYTES_READ_MAX {
            return Err(Broken::Body);
        }
    }
    Ok((size <= BODY_BYTES_MAX).then(|| kept.into()))
}

/// A TCP connection that can be made to end with a reset instead of an orderly close.
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Connection {
    fn is_to_be_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_to_be_reset() {
            // With no time to linger, closing the socket sends a reset.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_to_be_reset() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
