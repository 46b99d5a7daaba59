//! HTTP by hand, and what is served beside media.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::serve;
use crate::serve::{Limits, ServeConfig, Server};

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
