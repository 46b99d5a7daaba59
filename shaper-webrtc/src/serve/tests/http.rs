//! HTTP by hand, and what is served beside media.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::serve;
use crate::serve::{Limits, ServeConfig, Server, Shape};

pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (of, value) = line.split_once(':')?;
            of.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub(super) fn request(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(server.listening()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut text = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn health_and_metrics_are_served() {
    let server = serve(ServeConfig::default());
    let health = request(&server, "GET /health", &[], "");
    assert_eq!((health.status, health.header("content-type")), (200, Some("application/json")));
    assert_eq!(health.body, r#"{"participants":0,"rooms":0,"status":"ok"}"#);
    let metrics = request(&server, "GET /metrics", &[], "");
    assert!(metrics.body.contains("\nshaper_webrtc_rooms 0\n"), "{}", metrics.body);
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(request(&server, "HEAD /health", &[], "").body, "");
    assert_eq!(request(&server, "POST /health", &[], "").status, 405);
    assert_eq!(request(&server, "GET /else", &[], "").status, 404);
    assert_eq!(request(&server, "GET /ws", &[], "").status, 426);
}

const SDP: (&str, &str) = ("Content-Type", "application/sdp");

#[test]
fn offers_that_are_none_are_refused() {
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let server = serve(ServeConfig { limits, ..ServeConfig::default() });
    let status = |line: &str, headers: &[(&str, &str)], body: &str| request(&server, line, headers, body).status;
    assert_eq!(status("POST /whip/room", &[], "v=0"), 415);
    assert_eq!(status("POST /whip/room", &[SDP], "hello"), 400);
    assert_eq!(status("POST /whip/room", &[SDP], &"x".repeat(1001)), 413);
    assert_eq!(status("GET /whip/room", &[], ""), 405);
    assert_eq!(status("DELETE /whip/room/0123456789abcdef", &[], ""), 404);
    assert_eq!(status("PATCH /whip/room/x", &[], ""), 404);
    assert_eq!(status("GET /whip/room/0123456789abcdef", &[], ""), 405);
    assert_eq!(status("GET /health", &[], ""), 200);
}

#[test]
fn other_origins_may_ask_and_are_told_what_they_may_read() {
    let server = serve(ServeConfig { bearer_tokens: vec!["secret".to_owned()], ..ServeConfig::default() });
    let preflight = request(&server, "OPTIONS /whip/room", &[("Origin", "https://example.org")], "");
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert!(preflight.header("access-control-allow-headers").unwrap().contains("authorization"));
    assert_eq!(preflight.header("accept-post"), Some("application/sdp"));
    let refused = request(&server, "POST /whip/room", &[SDP], "v=0");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    assert!(refused.header("access-control-expose-headers").unwrap().contains("location"));
}

#[test]
fn whip_and_whep_need_one_of_the_tokens_and_the_rest_does_not() {
    let server = serve(ServeConfig { bearer_tokens: vec!["secret".to_owned()], ..ServeConfig::default() });
    let status = |line: &str, token: Option<&str>| {
        let bears = token.map(|token| ("Authorization", token));
        let headers: Vec<(&str, &str)> = [SDP].into_iter().chain(bears).collect();
        request(&server, line, &headers, "hello").status
    };
    for line in ["POST /whip/room", "POST /whep/room", "DELETE /whip/room/0123456789abcdef"] {
        for token in [None, Some("Bearer secre"), Some("Basic secret")] {
            assert_eq!(status(line, token), 401, "{line} {token:?}");
        }
    }
    assert_eq!(status("POST /whip/room", Some("Bearer secret")), 400, "let in, and then no offer");
    assert_eq!(status("GET /health", None), 200);
}

#[test]
fn the_page_is_there_if_it_was_asked_for() {
    let without = serve(ServeConfig::default());
    assert_eq!(request(&without, "GET /", &[], "").status, 404);
    assert_eq!(request(&without, "GET /shape", &[], "").status, 404);
    let server = serve(ServeConfig { page: true, ..ServeConfig::default() });
    let page = request(&server, "GET /?room=a", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.starts_with("<!DOCTYPE html>") && page.body.ends_with("</html>\n"));
    assert!(page.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(page.header("access-control-allow-origin"), None);
    // Nothing is loaded from anywhere.
    for word in ["src=", "url(", "import ", "https://", "http://"] {
        assert!(!page.body.contains(word), "{word}");
    }
    assert_eq!(request(&server, "POST /", &[], "").status, 405);
    assert_eq!(request(&server, "GET /shape", &[], "").body, r#"{"interface":null,"profiles":[]}"#);
    assert_eq!(request(&server, "POST /shape", &[JSON, SELF], "{}").status, 404);
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
/// As a browser says for the page that it has from `Host`.
const SELF: (&str, &str) = ("Origin", "http://localhost");

#[test]
fn the_link_is_changed_by_the_page_alone() {
    let shape = Shape::new("eth0".to_owned(), vec!["wifi".to_owned()], |settings| match settings {
        "{}" => Ok("clean".to_owned()),
        other => Err(format!("cannot read {other}")),
    });
    let server = serve(ServeConfig { page: true, shape: Some(shape), ..ServeConfig::default() });
    let told = request(&server, "GET /shape", &[], "");
    assert_eq!(told.body, r#"{"interface":"eth0","profiles":["wifi"]}"#);
    let ask = |headers: &[(&str, &str)], body: &str| {
        let answer = request(&server, "POST /shape", headers, body);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        (answer.status, answer.body)
    };
    assert_eq!(ask(&[JSON, SELF], "{}"), (200, "clean".to_owned()));
    assert_eq!(ask(&[JSON, SELF], "{"), (422, "cannot read {".to_owned()));
    for other in ["https://example.org", "null", "http://localhost:81"] {
        assert_eq!(ask(&[JSON, ("Origin", other)], "{}").0, 403, "{other}");
    }
    assert_eq!(ask(&[JSON], "{}").0, 403);
    assert_eq!(ask(&[("Content-Type", "text/plain"), SELF], "{}").0, 415);
    assert_eq!(ask(&[JSON, SELF], &"x".repeat(65_537)).0, 413);
    // A preflight of another origin is not let through.
    let preflight = request(&server, "OPTIONS /shape", &[("Origin", "https://example.org")], "");
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (405, None));
}
