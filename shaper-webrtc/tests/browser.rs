//! Browsers as clients of the server: Debian's package `chromium`, without a screen. Without it the tests say
//! so and pass, except where `CI` is set.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/chromium.rs"]
mod chromium;

use std::net::SocketAddr;

use chromium::{Browser, plays, there_is_a_browser};
use shaper_webrtc::serve::{ServeConfig, Server};

/// Starts a server on ports that are free.
fn serve() -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(ServeConfig { listen, pin: false, page: true, ..ServeConfig::default() }).unwrap()
}

/// The page, with media that needs no camera, small pictures, and in the room at once.
fn page(server: &Server, name: &str) -> String {
    format!("http://{}/?room=test&fake=1&join=1&size=160x120&fps=10&name={name}", server.listening())
}

#[test]
fn two_pages_see_and_hear_each_other() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let mut browser = Browser::start(None);
    let ann = browser.open(&page(&server, "ann"));
    let bob = browser.open(&page(&server, "bob"));
    for tab in [&ann, &bob] {
        browser.until_stats(tab, "seen and heard", plays);
        // Each row of the table has a figure for both directions.
        let told = "[...document.querySelectorAll('#figures td')].every((cell) => /\\d/.test(cell.textContent))";
        browser.until(tab, told);
        let people = browser.evaluate(tab, "[...document.querySelectorAll('#people b')].map((one) => one.textContent)");
        let (me, other) = if *tab == ann { ("ann (you)", "bob") } else { ("bob (you)", "ann") };
        assert_eq!(people, serde_json::json!([me, other]));
        let played = "[...document.querySelectorAll('video')].every((one) => one.videoWidth === 160 && !one.paused)";
        browser.until(tab, played);
        assert_eq!(browser.evaluate(tab, "document.getElementById('shape').hidden"), true);
        assert_eq!(browser.evaluate(tab, "document.getElementById('told').textContent"), "In the room test.");
    }
    browser.evaluate(&ann, "document.getElementById('leave').click()");
    browser.until(&bob, "document.querySelectorAll('#people figure').length === 1");
    // Back in the room, on new transports: what is received by the old one goes on.
    browser.until(&ann, "!document.getElementById('enter').hidden");
    browser.evaluate(&ann, "connections.length = 0; document.getElementById('enter').click()");
    browser.until_stats(&ann, "seen and heard again", plays);
    browser.until(&bob, "document.querySelectorAll('#people figure').length === 2");
    for tab in [&ann, &bob] {
        assert_eq!(browser.complaints(tab), [""; 0]);
    }
    drop(browser);
    assert!(server.metrics().contains("\nshaper_webrtc_transport_errors_total 0\n"));
    server.stop().unwrap();
}
