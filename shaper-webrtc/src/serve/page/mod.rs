//! The page: a client of the SimplestChat dialect for people, one HTML text with nothing beside it; and
//! the controls on it, by which whoever can open it changes the link.

use std::fmt;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;

use super::control::Control;
use super::http::{Refusal, Reply, body, not_allowed, text};
use super::metrics::add;

/// All of it.
const PAGE: &str = concat!(
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<title>shaper: see and hear a link</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n",
    include_str!("page.css"),
    "</style>\n</head>\n<body>\n",
    include_str!("page.html"),
    "<script type=\"module\">\n",
    include_str!("signal.js"),
    include_str!("sdp.js"),
    include_str!("media.js"),
    include_str!("room.js"),
    include_str!("figures.js"),
    include_str!("chart.js"),
    include_str!("main.js"),
    "</script>\n</body>\n</html>\n",
);

/// What the page may do: speak to its server. Nothing is loaded, and no other page may hold it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Marks replies that pages of other origins may not have.
pub(super) const SAME_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

type Change = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// How the page's controls change a link.
#[derive(Clone)]
pub struct Shape {
    interface: String,
    profiles: Vec<String>,
    change: Arc<Change>,
    one: Arc<Semaphore>,
}

impl Shape {
    /// Controls for what impairs `interface`. `change` is given the settings, a JSON object whose values
    /// are the texts of the page's fields: `profile` (one of `profiles`), `delay`, `jitter`, `loss` and
    /// `rate`, each empty where nothing is said. It says what holds from then on, or why it cannot be. It
    /// may block, and is never called twice at a time.
    pub fn new(
        interface: String,
        profiles: Vec<String>,
        change: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { interface, profiles, change: Arc::new(change), one: Arc::new(Semaphore::new(1)) }
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape").field("interface", &self.interface).finish_non_exhaustive()
    }
}

/// The page, to who asks for it.
pub(super) fn page(request: &Request<Incoming>) -> Reply {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed("GET, HEAD");
    }
    let mut reply = Response::new(Full::from(PAGE));
    let headers = reply.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("content-security-policy"), POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    own(reply)
}

/// What the page's controls ask for.
pub(super) async fn shape(control: &Control, request: Request<Incoming>) -> Reply {
    let reply = match *request.method() {
        Method::GET | Method::HEAD => told(control.config.shape.as_ref()),
        Method::POST => changed(control, request).await.unwrap_or_else(|refused| {
            add(&control.metrics.refused, 1);
            refused.reply()
        }),
        _ => not_allowed("GET, HEAD, POST"),
    };
    own(reply)
}

fn own(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(SAME_ORIGIN, HeaderValue::from_static("same-origin"));
    reply
}

/// What can be changed.
fn told(shape: Option<&Shape>) -> Reply {
    let (interface, profiles) = match shape {
        Some(shape) => (Some(&shape.interface), shape.profiles.as_slice()),
        None => (None, &[][..]),
    };
    let body = serde_json::json!({"interface": interface, "profiles": profiles}).to_string();
    let mut reply = Response::new(Full::from(body));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

async fn changed(control: &Control, request: Request<Incoming>) -> Result<Reply, Refusal> {
    let Some(shape) = &control.config.shape else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "this server changes no link\n"));
    };
    let headers = request.headers();
    if !asks_itself(headers) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "only the page that this server shows may ask, opened by an IP address or as localhost\n",
        ));
    }
    // Pages of others cannot send this type without asking first (Fetch, section 2.2.2).
    if headers.get(CONTENT_TYPE).is_none_or(|given| given != "application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json\n"));
    }
    let body = body(control, request).await?;
    let Ok(settings) = String::from_utf8(body.to_vec()) else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "the settings are no UTF-8\n"));
    };
    let Ok(permit) = Arc::clone(&shape.one).try_acquire_owned() else {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the link is being changed: ask again\n"));
    };
    let change = Arc::clone(&shape.change);
    let asked = tokio::task::spawn_blocking(move || {
        let changed = change(&settings);
        drop(permit);
        changed
    });
    match asked.await {
        Ok(Ok(words)) => Ok(text(StatusCode::OK, words)),
        Ok(Err(why)) => Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why)),
        Err(_) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the change failed\n")),
    }
}

/// Whether a request is the page's own: `Origin` (RFC 6454, section 7) is where it is sent to. Names
/// other than localhost are refused, since whoever owns one can let it lead here, and would have pages
/// of that origin.
fn asks_itself(headers: &HeaderMap) -> bool {
    let of = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(host), Some(origin)) = (of(HOST), of(ORIGIN)) else { return false };
    origin.strip_prefix("http://") == Some(host) && is_address(host)
}

/// Whether a host, with or without a port, is an IP address or localhost.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name == "localhost"
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || v6.is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(host: &'static str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        asks_itself(&headers)
    }

    #[test]
    fn only_a_page_from_an_address_or_localhost_asks_its_own_server() {
        assert!(asks("localhost:3000", Some("http://localhost:3000")));
        assert!(asks("127.0.0.1:3000", Some("http://127.0.0.1:3000")));
        assert!(asks("10.0.0.1", Some("http://10.0.0.1")));
        assert!(asks("[::1]:3000", Some("http://[::1]:3000")));
        for (host, origin) in [
            ("localhost:3000", None),
            ("localhost:3000", Some("null")),
            ("localhost:3000", Some("http://localhost:3001")),
            ("localhost:3000", Some("http://127.0.0.1:3000")),
            ("localhost:3000", Some("https://localhost:3000")),
            ("127.0.0.1:3000", Some("http://evil.example")),
            // A name that was made to lead here.
            ("evil.example:3000", Some("http://evil.example:3000")),
            ("127.0.0.1.evil.example:3000", Some("http://127.0.0.1.evil.example:3000")),
            ("[::1", Some("http://[::1")),
            ("", Some("http://")),
        ] {
            assert!(!asks(host, origin), "{host} {origin:?}");
        }
    }
}
