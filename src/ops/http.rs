//! The HTTP endpoints for monitoring: `/metrics`, `/livez` and `/readyz`.
//!
//! There is no authentication: what is served identifies nobody. Each connection carries one request and is cut after
//! a few seconds, and only so many are open at once, so that a stranger who reaches the port cannot hold anything up
//! but the port itself.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use super::metrics::{Health, Vitals, VitalsCollector};

/// Connections that are open at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 32;

/// How long a connection may take, from its first byte to its last.
const DEADLINE: Duration = Duration::from_secs(10);

/// Serves the endpoints on `listener` until `shutdown` is over.
///
/// # Errors
///
/// Where a metric is declared wrongly, or the server fails.
pub async fn serve(
    listener: TcpListener,
    vitals: Arc<dyn Vitals>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = router(vitals).map_err(io::Error::other)?;
    axum::serve(Bounded::new(listener, DEADLINE), router)
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(vitals: Arc<dyn Vitals>) -> prometheus::Result<Router> {
    let registry = Registry::new();
    registry.register(Box::new(VitalsCollector::new(Arc::clone(&vitals))?))?;
    Ok(Router::new()
        .route("/metrics", get(metrics))
        .with_state(registry)
        .merge(
            Router::new()
                .route("/livez", get(livez))
                .route("/readyz", get(readyz))
                .with_state(vitals),
        )
        .layer(map_response(close)))
}

async fn metrics(State(registry): State<Registry>) -> Response {
    const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether a restart would help.
async fn livez(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    let health = vitals.health();
    report(health, health != Health::Stalled)
}

/// Whether new clients should be sent here.
async fn readyz(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    let health = vitals.health();
    report(health, health == Health::Ready)
}

fn report(health: Health, good: bool) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, format!("{}\n", health.label())).into_response()
}

/// Ends the connection with the response.
async fn close(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A listener whose connections are bounded in number and time.
struct Bounded {
    listener: TcpListener,
    deadline: Duration,
    free: Arc<Semaphore>,
}

impl Bounded {
    fn new(listener: TcpListener, deadline: Duration) -> Self {
        Self {
            listener,
            deadline,
            free: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
        }
    }
}

impl Listener for Bounded {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let permit = Arc::clone(&self.free).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (stream, addr) = Listener::accept(&mut self.listener).await;
        let stream = BoundedStream {
            stream,
            end: Box::pin(sleep(self.deadline)),
            _permit: permit,
        };
        (stream, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when its time is over.
struct BoundedStream {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    /// Held as long as the connection is open.
    _permit: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn poll_alive(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_alive(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_alive(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
