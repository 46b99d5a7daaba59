//! The HTTP side: WebSockets, WHIP and WHEP, health and metrics, on one address. Plain HTTP: on
//! loopback browsers count it as secure (W3C Secure Contexts, section 3.1); elsewhere a proxy that
//! speaks TLS belongs in front.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::control::Control;
use super::metrics::add;
use super::{page, whip, ws};

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

pub(crate) type Reply = Response<Full<Bytes>>;

/// Takes connections until told to stop.
pub(crate) async fn serve(control: Arc<Control>, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let free = Arc::new(Semaphore::new(control.config.limits.connections));
    let mut number = 0_u64;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        // Too many open files, or the client has gone: the next may do.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // One too many is closed at once: a client that waits would not know why.
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            add(&control.metrics.refused, 1);
            continue;
        };
        number += 1;
        let connection = Connection { control: Arc::clone(&control), number, stop: stop.clone() };
        add(&control.metrics.connections, 1);
        tokio::spawn(async move {
            let control = Arc::clone(&connection.control);
            connection.run(stream).await;
            control.connection_ended();
            drop(permit);
        });
    }
}

/// Returns once the server is told to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value is not held: it is a lock. Without a sender the server has stopped already.
    let _ = stop.wait_for(|stop| *stop).await.map(|stop| *stop);
}

struct Connection {
    control: Arc<Control>,
    number: u64,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Signalling is small messages that are waited for.
        let _ = stream.set_nodelay(true);
        let (upgrades, mut upgraded) = tokio::sync::mpsc::channel(1);
        let control = Arc::clone(&self.control);
        let service = service_fn(move |request| {
            let (control, upgrades) = (Arc::clone(&control), upgrades.clone());
            async move {
                let method = request.method().clone();
                let mut reply = route(&control, request, &upgrades).await;
                allow_every_origin(&mut reply);
                if method == Method::HEAD {
                    *reply.body_mut() = Full::default();
                }
                Ok::<_, Infallible>(reply)
            }
        });
        let mut served = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
        );
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = served.as_mut() => {}
            () = stopped(&mut stop) => {
                served.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
            }
        }
        if let Ok(upgrade) = upgraded.try_recv() {
            let upgrade: hyper::upgrade::OnUpgrade = upgrade;
            if let Ok(stream) = upgrade.await {
                ws::serve(self.control, TokioIo::new(stream), self.number, self.stop).await;
            }
        }
    }
}

async fn route(
    control: &Arc<Control>,
    request: Request<Incoming>,
    upgrades: &tokio::sync::mpsc::Sender<hyper::upgrade::OnUpgrade>,
) -> Reply {
    let path = request.uri().path().to_owned();
    let mut parts = path.trim_matches('/').split('/');
    match (parts.next().unwrap_or_default(), parts.next(), parts.next(), parts.next()) {
        ("", None, None, None) if control.config.page => page::page(&request),
        ("shape", None, None, None) if control.config.page => page::shape(control, request).await,
        ("ws", None, None, None) => upgrade(request, upgrades),
        ("health", None, None, None) => of_get(&request, || health(control)),
        ("metrics", None, None, None) => of_get(&request, || metrics(control)),
        ("whip", Some(room), resource, None) => {
            whip::handle(control, whip::Endpoint::Whip, room, resource, request).await
        }
        ("whep", Some(room), resource, None) => {
            whip::handle(control, whip::Endpoint::Whep, room, resource, request).await
        }
        _ => text(StatusCode::NOT_FOUND, "there are /ws, /whip/ROOM, /whep/ROOM, /health and /metrics\n"),
    }
}

/// A reply with a text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply
}

/// A reply without a body.
pub(crate) fn bare(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// 405, with what is allowed.
pub(crate) fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply = bare(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

/// The answer to a CORS preflight, and to OPTIONS at all.
pub(crate) fn options(methods: &'static str) -> Reply {
    let mut reply = bare(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type, if-match"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    headers.insert(HeaderName::from_static("accept-post"), HeaderValue::from_static("application/sdp"));
    reply
}

/// Pages of any origin may speak to the server. It keeps no cookies, so nothing is asked in a user's
/// name. What changes a link is for its own page alone.
fn allow_every_origin(reply: &mut Reply) {
    let headers = reply.headers_mut();
    if headers.contains_key(page::SAME_ORIGIN) {
        return;
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("location, etag, link, www-authenticate"));
}

fn of_get(request: &Request<Incoming>, reply: impl FnOnce() -> Reply) -> Reply {
    match *request.method() {
        Method::GET | Method::HEAD => reply(),
        Method::OPTIONS => options("GET, HEAD, OPTIONS"),
        _ => not_allowed("GET, HEAD, OPTIONS"),
    }
}

fn health(control: &Control) -> Reply {
    let (rooms, participants) = {
        let rooms = control.rooms();
        (rooms.rooms.len(), rooms.participants.len())
    };
    let (code, status) = match control.shards_run() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "a thread that forwards media has ended"),
    };
    let body = serde_json::json!({"status": status, "rooms": rooms, "participants": participants}).to_string();
    let mut reply = Response::new(Full::from(body));
    *reply.status_mut() = code;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

fn metrics(control: &Control) -> Reply {
    let mut reply = Response::new(Full::from(control.metrics.text()));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    reply
}

/// The opening handshake of a WebSocket (RFC 6455, section 4.2).
fn upgrade(mut request: Request<Incoming>, upgrades: &tokio::sync::mpsc::Sender<hyper::upgrade::OnUpgrade>) -> Reply {
    let headers = request.headers();
    let says = |name: &HeaderName, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted)))
    };
    let good = request.method() == Method::GET && says(&UPGRADE, "websocket") && says(&CONNECTION, "upgrade");
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let Some(accept) = key.filter(|_| good && says(&SEC_WEBSOCKET_VERSION, "13")) else {
        let mut reply = text(StatusCode::UPGRADE_REQUIRED, "a WebSocket, version 13, is expected here\n");
        reply.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        reply.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return reply;
    };
    let Ok(accept) = HeaderValue::from_str(&accept) else { return bare(StatusCode::BAD_REQUEST) };
    if upgrades.try_send(hyper::upgrade::on(&mut request)).is_err() {
        return bare(StatusCode::BAD_REQUEST);
    }
    let mut reply = bare(StatusCode::SWITCHING_PROTOCOLS);
    let headers = reply.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: Cow<'static, str>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.status, self.message)
    }
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into() }
    }

    /// The reply that says so.
    pub(crate) fn reply(self) -> Reply {
        text(self.status, self.message.into_owned())
    }
}

/// The body of a request, within the limits; else why it is refused.
pub(crate) async fn body(control: &Control, request: Request<Incoming>) -> Result<Bytes, Refusal> {
    let most = control.config.limits.message_bytes;
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(request.into_body(), most).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("no more than {most} bytes\n")))
        }
        Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "the body has not come whole\n")),
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body has not come in time\n")),
    }
}
