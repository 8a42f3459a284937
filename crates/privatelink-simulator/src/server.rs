//! Serves a cloud over HTTP/1.1 on loopback. Only this file reads the clock and waits, and only this module uses
//! sockets; other modules decide the responses.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the only file of the simulator that reads the clock and waits"
)]

mod body;
mod connection;

use std::{
    future, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    cloud::Cloud,
    control,
    response::{SimulatedResponse, Transmission},
};
use body::ResponseBody;
use connection::Connection;

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
    let SimulatedResponse { response, transmission } =
        lock(&shared.cloud).handle(&request, SystemTime::now());
    shared.call_handled.notify_waiters();
    match transmission {
        Transmission::Whole { after } => {
            wait(after).await;
            Ok(response.map(ResponseBody::whole))
        }
        Transmission::Hang => future::pending().await,
        Transmission::Reset { after } => {
            wait(after).await;
            reset.store(true, Ordering::Relaxed);
            Err(ConnectionReset)
        }
        Transmission::Truncated { after, announced } => {
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
