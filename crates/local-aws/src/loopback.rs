//! An HTTP server on 127.0.0.1, including connections that hang or reset on purpose. It is independent of the
//! services that it serves.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

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

/// The largest accepted body: a message of 1 MiB with every character escaped in six bytes, plus the rest of the
/// call. Lambda's largest event and response, 6 MB, fit too.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The maximum number of bytes read of a body that is too large. A client that is still sending does not read the
/// response, so the rest of the body is read and discarded, up to this limit.
const BODY_BYTES_READ_MAX: usize = 64 * 1024 * 1024;

/// A running server. Dropping it stops the server and closes all connections.
#[derive(Debug)]
pub(crate) struct Loopback {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// Why a connection ends without a response.
#[derive(Debug, Error)]
enum ConnectionError {
    #[error("an injected fault resets the connection")]
    Fault,
    #[error("the request's body cannot be read")]
    Body,
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
    let reset = Arc::new(AtomicBool::new(false));
    let connection = Connection { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request: Request<Incoming>| {
        let (respond, reset) = (respond.clone(), Arc::clone(&reset));
        async move {
            let (head, body) = request.into_parts();
            let Some(body) = read(body).await? else {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(response);
            };
            match respond(head, body).await {
                Reaction::Respond(response) => {
                    Ok::<Response<Full<Bytes>>, ConnectionError>(response.map(Full::new))
                }
                Reaction::RespondLater { response, after } => {
                    wait(after).await;
                    Ok(response.map(Full::new))
                }
                Reaction::Hang => match std::future::pending::<Infallible>().await {},
                Reaction::Reset => {
                    reset.store(true, Ordering::Relaxed);
                    Err(ConnectionError::Fault)
                }
            }
        }
    });
    // An error on a connection affects only its client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

#[expect(clippy::disallowed_methods, reason = "a slow service takes its time")]
async fn wait(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The whole body, or `None` if it is too large.
async fn read(mut body: Incoming) -> Result<Option<Bytes>, ConnectionError> {
    let (mut bytes, mut size) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| ConnectionError::Body)?.into_data() else { continue };
        size += data.len();
        if size <= BODY_BYTES_MAX {
            bytes.extend_from_slice(&data);
        } else if size > BODY_BYTES_READ_MAX {
            return Err(ConnectionError::Body);
        }
    }
    Ok((size <= BODY_BYTES_MAX).then(|| bytes.into()))
}

/// A TCP connection that can end with a reset instead of an orderly close.
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Connection {
    fn must_reset(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.must_reset() {
            // Closing a socket with zero linger sends RST instead of FIN.
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
        if self.must_reset() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
