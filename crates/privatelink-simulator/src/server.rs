//! A cloud behind HTTP/1.1 on loopback. This file alone reads the clock, waits, and touches sockets; what is answered is
//! decided elsewhere.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the one file of the simulator that reads the clock and waits"
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
    answer::{Answer, Manner},
    cloud::Cloud,
    control,
};

/// The largest request body: a signed call has nearly none, and a seed of thousands of endpoints still fits.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// The most connections at a time, each hung call being one. Further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 512;

/// How long to wait after a failed accept, which mostly means that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running simulator. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

/// What the server and its connections have in common.
#[derive(Debug)]
struct Shared {
    cloud: Mutex<Cloud>,
    answered: Notify,
}

impl Server {
    /// Starts to listen; port 0 takes a free one. Must be called within a tokio runtime with time and I/O, whichever its
    /// flavour. An address that is not loopback is an `InvalidInput` error: nobody else shall reach a simulator.
    pub async fn start(cloud: Cloud, address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let message = format!("{} is no loopback address", address.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { cloud: Mutex::new(cloud), answered: Notify::new() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, listening })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, such as `http://127.0.0.1:4010`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The cloud behind the server. No call is answered while the guard is held, so do not hold it across an await.
    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        lock(&self.shared.cloud)
    }

    /// Waits until the condition is true; it is looked at now and after every call.
    pub async fn until(&self, mut condition: impl FnMut(&Cloud) -> bool) {
        loop {
            // Taken before the look, so that no call after the look is missed.
            let answered = self.shared.answered.notified();
            tokio::pin!(answered);
            answered.as_mut().enable();
            if condition(&self.cloud()) {
                return;
            }
            answered.await;
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
    // Small answers should not wait for the acknowledgement of earlier ones; without it they are only slower.
    let _ = stream.set_nodelay(true);
    let doomed = Arc::new(AtomicBool::new(false));
    let wire = Wire { stream, doomed: Arc::clone(&doomed) };
    let service = service_fn(move |request| handle(Arc::clone(&shared), Arc::clone(&doomed), request));
    // An error here is a caller that went away, or a connection that was broken on purpose.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(wire), service).await;
}

async fn handle(
    shared: Arc<Shared>,
    doomed: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, ConnectionReset> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        let mut response =
            Response::new(Reply::whole(Bytes::from_static(b"the body is incomplete or too large\n")));
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    };
    let request = Request::from_parts(head, body.to_bytes());
    if request.uri().path().starts_with(control::PREFIX) {
        let response = control::answer(&mut lock(&shared.cloud), &request, SystemTime::now());
        return Ok(response.map(Reply::whole));
    }
    if request.method() == Method::HEAD {
        // It opens a connection and asks for nothing.
        return Ok(Response::new(Reply::whole(Bytes::new())));
    }
    let Answer { response, manner } = lock(&shared.cloud).answer(&request, SystemTime::now());
    shared.answered.notify_waiters();
    match manner {
        Manner::Whole { after } => {
            wait(after).await;
            Ok(response.map(Reply::whole))
        }
        Manner::Hang => future::pending().await,
        Manner::Reset { after } => {
            wait(after).await;
            doomed.store(true, Ordering::Relaxed);
            Err(ConnectionReset)
        }
        Manner::Truncated { after, announced } => {
            wait(after).await;
            let mut response = response.map(Reply::cut_short);
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

/// A panic in one test's closure must not hide what the others would see.
fn lock(cloud: &Mutex<Cloud>) -> MutexGuard<'_, Cloud> {
    cloud.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a connection from within.
#[derive(Debug, thiserror::Error)]
#[error("the connection is reset on purpose")]
struct ConnectionReset;

/// A connection that says goodbye with a reset once it is doomed.
struct Wire {
    stream: TcpStream,
    doomed: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.doomed.load(Ordering::Relaxed) {
            // Closing a socket that does not linger sends RST instead of FIN.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
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
        if self.doomed.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The body of a response.
struct Reply {
    bytes: Option<Bytes>,
    /// What follows the bytes.
    end: End,
}

#[derive(PartialEq)]
enum End {
    /// The end of the body.
    Proper,
    /// A moment in which the bytes leave, and then `Broken`.
    Pause,
    /// An error, on which the connection is closed.
    Broken,
}

impl Reply {
    fn whole(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Proper }
    }

    fn cut_short(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Pause }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = BodyCutShort;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyCutShort>>> {
        if let Some(bytes) = self.bytes.take().filter(|bytes| !bytes.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Proper => Poll::Ready(None),
            End::Pause => {
                self.end = End::Broken;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Broken => Poll::Ready(Some(Err(BodyCutShort))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Proper && self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.end, &self.bytes) {
            (End::Proper, bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            // Unknown, so that the announced length is believed.
            (End::Pause | End::Broken, _) => SizeHint::default(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the body is cut short on purpose")]
struct BodyCutShort;
