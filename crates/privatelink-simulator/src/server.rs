//! Serves a cloud over HTTP/1.1 on loopback. Only this file reads the clock, waits and uses sockets; other modules
//! decide the responses.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the only file of the simulator that reads the clock and waits"
)]

use std::{
    future, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    cloud::Cloud,
    control,
    response::{Manner, SimulatedResponse},
};

/// The largest request body. A signed call has almost no body; a seed with thousands of endpoints still fits.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// The maximum number of open connections; each hung call holds one. Further connections wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// The wait after a failed accept, which usually means that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running simulator. Dropping it closes its port and all connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    cloud: Mutex<Cloud>,
    call_handled: Notify,
}

impl Server {
    /// Starts to listen; port 0 selects a free port. Must be called within a tokio runtime with time and I/O
    /// enabled. An address that is not on loopback is an `InvalidInput` error.
    pub async fn start(cloud: Cloud, address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let message =
                format!("{} is not a loopback address; the simulator listens only on loopback", address.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { cloud: Mutex::new(cloud), call_handled: Notify::new() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, such as `http://127.0.0.1:4010`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The cloud behind the server. The server handles no call while the guard exists, so do not hold it across an
    /// await.
    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        lock(&self.shared.cloud)
    }

    /// Waits until the condition is true. The condition is checked now and after every call.
    pub async fn until(&self, mut condition: impl FnMut(&Cloud) -> bool) {
        loop {
            // Subscribe before the check, so that a call that arrives after the check is not missed.
            let call_handled = self.shared.call_handled.notified();
            tokio::pin!(call_handled);
            call_handled.as_mut().enable();
            if condition(&self.cloud()) {
                return;
            }
            call_handled.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connections are owned by the task and end with it.
        self.listening.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve(stream, Arc::clone(&shared)));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small responses must not wait for the acknowledgment of earlier ones. If this fails, responses are only
    // slower.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let connection = Connection { stream, reset: Arc::clone(&reset) };
    let service = service_fn(move |request| handle(Arc::clone(&shared), Arc::clone(&reset), request));
    // An error means that the client disconnected or that a fault broke the connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
}

async fn handle(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, ConnectionReset> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        let mut response = Response::new(ResponseBody::whole(Bytes::from_static(
            b"the request body is incomplete or too large\n",
        )));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    };
    let request = Request::from_parts(head, body.to_bytes());
    if request.uri().path().starts_with(control::PREFIX) {
        let response = control::respond(&mut lock(&shared.cloud), &request, SystemTime::now());
        return Ok(response.map(ResponseBody::whole));
    }
    if request.method() == Method::HEAD {
        // The client only opens a connection; there is no call to handle.
        return Ok(Response::new(ResponseBody::whole(Bytes::new())));
    }
    let SimulatedResponse { response, manner } = lock(&shared.cloud).answer(&request, SystemTime::now());
    shared.call_handled.notify_waiters();
    match manner {
        Manner::Whole { after } => {
            wait(after).await;
            Ok(response.map(ResponseBody::whole))
        }
        Manner::Hang => future::pending().await,
        Manner::Reset { after } => {
            wait(after).await;
            reset.store(true, Ordering::Relaxed);
            Err(ConnectionReset)
        }
        Manner::Truncated { after, announced } => {
            wait(after).await;
            let mut response = response.map(ResponseBody::truncated);
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(announced));
            Ok(response)
        }
    }
}

async fn wait(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// Locks the cloud. Ignores a poisoned lock: a panic in one test's closure must not break other users of the cloud.
fn lock(cloud: &Mutex<Cloud>) -> MutexGuard<'_, Cloud> {
    cloud.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, thiserror::Error)]
#[error("an injected fault resets the connection")]
struct ConnectionReset;

/// A connection that closes with a reset if `reset` is set.
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Closing a socket with zero linger sends RST instead of FIN.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct ResponseBody {
    bytes: Option<Bytes>,
    end: End,
}

/// What follows the bytes of a body.
#[derive(PartialEq)]
enum End {
    /// The end of the body.
    Complete,
    /// One pending poll, in which hyper sends the bytes; then `Error`.
    Pause,
    /// An error, on which hyper closes the connection.
    Error,
}

impl ResponseBody {
    fn whole(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Complete }
    }

    fn truncated(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Pause }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyTruncated;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyTruncated>>> {
        if let Some(bytes) = self.bytes.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Complete => Poll::Ready(None),
            End::Pause => {
                self.end = End::Error;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Error => Poll::Ready(Some(Err(BodyTruncated))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Complete && self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.end, &self.bytes) {
            (End::Complete, bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            // Unknown, so that hyper keeps the declared content length.
            (End::Pause | End::Error, _) => SizeHint::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an injected fault truncates the body")]
struct BodyTruncated;
