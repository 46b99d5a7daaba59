//! Browsers as clients of the server: Debian's package `chromium`, without a screen. Without it the tests say
//! so and pass, except where `CI` is set.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/chromium.rs"]
mod chromium;

use std::net::SocketAddr;
use std::time::Duration;

use chromium::{Browser, Tab, figure, plays, there_is_a_browser};
use shaper_webrtc::load::{self, LoadConfig, Quality, Stop};
use shaper_webrtc::serve::{ServeConfig, Server};

/// Starts a server on ports that are free.
fn serve() -> Server {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Server::start(ServeConfig { listen, pin: false, page: true, ..ServeConfig::default() }).unwrap()
}

/// Where its pages are.
fn at(server: &Server) -> String {
    format!("http://{}", server.listening())
}

/// The page, with media that needs no camera, small pictures, and in the room at once.
fn page(server: &Server, name: &str) -> String {
    format!("{}/?room=test&fake=1&join=1&size=160x120&fps=10&name={name}", at(server))
}

/// Two pages that see and hear each other.
fn ann_and_bob(server: &Server) -> (Browser, Tab, Tab) {
    let mut browser = Browser::start(None);
    let [ann, bob] = ["ann", "bob"].map(|name| browser.open(&page(server, name)));
    for tab in [&ann, &bob] {
        browser.until_stats(tab, "seen and heard", plays);
    }
    (browser, ann, bob)
}

#[test]
fn two_pages_see_and_hear_each_other() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let (mut browser, ann, bob) = ann_and_bob(&server);
    for tab in [&ann, &bob] {
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
    for width in [1200, 360] {
        browser.resize(&ann, width, 800);
        browser.until(&ann, "document.documentElement.scrollWidth === document.documentElement.clientWidth");
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

const TOLD: &str = "document.getElementById('told').textContent";

#[test]
fn a_page_whose_connection_is_lost_takes_its_stay_up_again_while_media_goes_on() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let (mut browser, ann, bob) = ann_and_bob(&server);
    browser.evaluate(&ann, "sockets[0].close()");
    browser.until(&ann, &format!("{TOLD} === 'Back in the room test.'"));
    assert_eq!(browser.evaluate(&ann, "[sockets.length, connections.length]"), serde_json::json!([2, 2]));
    let received = |stats: &[serde_json::Value]| figure(stats, "inbound-rtp", "audio", "packetsReceived");
    for tab in [&ann, &bob] {
        let before = received(&browser.stats(tab));
        browser.until_stats(tab, "heard still", |stats| received(stats) > before + 20.0);
        assert_eq!(browser.complaints(tab), [""; 0]);
    }
    // What comes now is heard of.
    browser.evaluate(&bob, "document.getElementById('leave').click()");
    browser.until(&ann, "document.querySelectorAll('#people figure').length === 1");
    browser.evaluate(&ann, "sockets[1].close()");
    browser.until(&ann, &format!("sockets.length === 3 && {TOLD} === 'Back in the room test.'"));
    drop(browser);
    server.stop().unwrap();
}

#[test]
fn a_page_joins_anew_when_the_server_has_begun_anew() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let (mut browser, ann, bob) = ann_and_bob(&server);
    for tab in [&ann, &bob] {
        browser.evaluate(tab, "connections.length = 0");
    }
    let listen = server.listening();
    server.stop().unwrap();
    browser.until(&ann, &format!("{TOLD}.includes('trying again')"));
    let server = Server::start(ServeConfig { listen, pin: false, page: true, ..ServeConfig::default() }).unwrap();
    for tab in [&ann, &bob] {
        browser.until_stats(tab, "seen and heard again", plays);
        browser.until(tab, &format!("{TOLD} === 'In the room test.'"));
        browser.until(tab, "document.querySelectorAll('#people figure').length === 2");
    }
    drop(browser);
    server.stop().unwrap();
}

#[test]
fn a_browser_publishes_layers_by_whip_and_the_largest_is_played() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let mut browser = Browser::start(None);
    let layers = ", [{ rid: 'q', scaleResolutionDownBy: 2 }, { rid: 'f' }]";
    let (publisher, _) = browser.session(&at(&server), "whip", "publish", layers);
    browser.until_stats(&publisher, "both layers sent", |stats| {
        ["q", "f"].iter().all(|rid| {
            stats.iter().any(|one| {
                one["type"] == "outbound-rtp" && one["rid"] == *rid && one["framesEncoded"].as_f64() > Some(5.0)
            })
        })
    });
    let (player, _) = browser.session(&at(&server), "whep", "play", "");
    browser.until_stats(&player, "the large layer", |stats| {
        plays(stats) && figure(stats, "inbound-rtp", "video", "frameWidth") == 640.0
    });
    for tab in [&publisher, &player] {
        assert_eq!(browser.complaints(tab), [""; 0]);
    }
    drop(browser);
    server.stop().unwrap();
}

#[test]
fn a_browser_publishes_by_whip_and_another_page_plays_by_whep() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let mut browser = Browser::start(None);
    // Who plays is there first, and is fed when there is something.
    let (player, played) = &browser.session(&at(&server), "whep", "play", "");
    let (publisher, published) = &browser.session(&at(&server), "whip", "publish", "");
    let stats = browser.until_stats(player, "seen and heard", plays);
    assert_eq!(figure(&stats, "inbound-rtp", "video", "frameWidth"), 160.0);
    for (tab, session) in [(publisher, published), (player, played)] {
        let ended =
            browser.evaluate(tab, &format!("fetch('{session}', {{ method: 'DELETE' }}).then((it) => it.status)"));
        assert_eq!(ended, 200);
        assert_eq!(browser.complaints(tab), [""; 0]);
    }
    drop(browser);
    assert!(server.metrics().contains("\nshaper_webrtc_participants 0\n"), "{}", server.metrics());
    server.stop().unwrap();
}

#[test]
fn a_browser_decodes_what_the_tester_sends() {
    if !there_is_a_browser() {
        return;
    }
    let server = serve();
    let load = LoadConfig {
        server: format!("ws://{}/ws", server.listening()),
        room: "test".to_owned(),
        clients: 1,
        duration: Duration::from_secs(600),
        quality: Quality::P720,
        workers: Some(1),
        ..LoadConfig::default()
    };
    let stop = Stop::new();
    std::thread::scope(|scope| {
        let tester = scope.spawn(|| load::run(load, &stop, |_| {}).unwrap());
        let stopped = Stopped(&stop);
        let mut browser = Browser::start(None);
        let tab = browser.open(&page(&server, "ann"));
        let stats = browser.until_stats(&tab, "the tester's pictures and sound decoded", |stats| {
            figure(stats, "inbound-rtp", "video", "framesDecoded") > 20.0
                && figure(stats, "inbound-rtp", "audio", "packetsReceived") > 200.0
        });
        // It need not ask for key frames to go on: one comes each 5 s, and perhaps it asked for the first.
        let [width, keys, decoded, asked] = ["frameWidth", "keyFramesDecoded", "framesDecoded", "pliCount"]
            .map(|name| figure(&stats, "inbound-rtp", "video", name));
        assert!(width == 1280.0 && decoded > 4.0 * keys && asked <= 1.0, "{stats:#?}");
        assert_eq!(figure(&stats, "inbound-rtp", "audio", "audioLevel"), 0.0, "nobody is to be deafened");
        // A second of sound is 48,000 samples; what is concealed could not be decoded.
        let [samples, concealed] =
            ["totalSamplesReceived", "concealedSamples"].map(|name| figure(&stats, "inbound-rtp", "audio", name));
        assert!(samples > 96_000.0 && concealed < 0.1 * samples, "{samples}, {concealed}");
        drop(browser);
        drop(stopped);
        assert!(tester.join().unwrap().summary.total_packets_received > 0, "it hears the browser too");
    });
    server.stop().unwrap();
}

/// Stops a load when it goes away, also where the test fails.
struct Stopped<'a>(&'a Stop);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
