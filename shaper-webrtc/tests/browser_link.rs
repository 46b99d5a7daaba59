//! What a browser measures of a link that is bad on purpose, beside what was seen of its packets behind that link.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

#[expect(dead_code, reason = "others look at the page too")]
#[path = "support/chromium.rs"]
mod chromium;
#[path = "support/relay.rs"]
mod relay;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime};

use chromium::{Browser, figure, plays, report, there_is_a_browser};
use relay::{DELAY, JITTER, Passed, Relay, jitter_ms, missing};
use serde_json::Value;
use shaper_webrtc::serve::{ServeConfig, Server};

/// Of so many packets of sound each way, 2 % are 12.
const ENOUGH: f64 = 600.0;
/// How far counts of lost packets may lie apart: those at the ends.
const LOST: f64 = 2.0;

/// A server behind a link: clients are told the link's address.
fn behind_a_link() -> (Server, Relay) {
    let front = UdpSocket::bind("127.0.0.2:0").unwrap();
    let media_port = front.local_addr().unwrap().port();
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let advertise = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let config = ServeConfig { listen, pin: false, page: true, media_port, advertise, ..ServeConfig::default() };
    let server = Server::start(config).unwrap();
    let relay = Relay::start(front, server.media()[0]);
    (server, relay)
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("no {key}: {of}"))
}

/// What was passed on of the stream that a report is of.
fn passed(relay: &Relay, report: &Value) -> Vec<Passed> {
    // An SSRC has 32 bits.
    relay.passed(number(report, "ssrc") as u32)
}

#[test]
fn what_a_browser_measures_of_a_link_is_what_it_did() {
    if !there_is_a_browser() {
        return;
    }
    let (server, relay) = behind_a_link();
    let mut browser = Browser::start(None);
    let page = |name| format!("http://{}/?fake=1&join=1&size=160x120&fps=10&name={name}", server.listening());
    let [ann, bob] = ["ann", "bob"].map(|name| browser.open(&page(name)));
    for tab in [&ann, &bob] {
        browser.until_stats(tab, "seen and heard", plays);
    }
    let enough = |stats: &[Value]| {
        figure(stats, "outbound-rtp", "audio", "packetsSent") > ENOUGH
            && figure(stats, "inbound-rtp", "audio", "packetsReceived") > ENOUGH
    };
    // Jitter and round trip are of the last moments, in which a busy machine may have been late: such moments pass.
    let stats = browser.until_stats(&ann, "round trip and jitter as they were", |stats| {
        enough(stats)
            && received_jitter_agrees(&relay, stats)
            && sent_jitter_agrees(&relay, stats)
            && trips_agree(stats)
    });

    // What was received: both counts are of the same packets. Sound is not sent again, so what is lost stays lost.
    let received = report(&stats, "inbound-rtp", "audio").unwrap();
    let lost = number(received, "packetsLost");
    let expected = (number(received, "packetsReceived") + lost) as u16;
    let not_passed = missing(&passed(&relay, received), expected) as f64;
    assert!(not_passed >= 10.0, "the link lost {not_passed} of {expected}");
    assert!((lost - not_passed).abs() <= LOST, "{lost} lost, {not_passed} not passed on, of {expected}");

    // What was sent, as the server reported it: between what was missing two seconds before the report and then.
    let sent = report(&stats, "remote-inbound-rtp", "audio").unwrap();
    let lost = number(sent, "packetsLost");
    let passed = passed(&relay, sent);
    let until = |before: Duration| {
        let end = reported_at(sent) - before;
        let last = passed.iter().rfind(|one| one.at <= end).unwrap().sequence;
        missing(&passed, last.wrapping_sub(passed[0].sequence) + 1) as f64
    };
    let (least, most) = (until(Duration::from_secs(2)) - LOST, until(Duration::ZERO) + LOST);
    assert!(least > 0.0 && (least..=most).contains(&lost), "{lost} lost, from {least} to {most} not passed on");
    drop(browser);
    server.stop().unwrap();
}

/// When a report came.
fn reported_at(report: &Value) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs_f64(number(report, "timestamp") / 1e3)
}

/// Within a quarter and two milliseconds, of jitter that is some 5 ms.
fn agree(measured_ms: f64, seen_ms: f64) -> bool {
    (measured_ms - seen_ms).abs() <= 2.0 + seen_ms / 4.0
}

/// Jitter behind the packet that was the last to be counted.
fn received_jitter_agrees(relay: &Relay, stats: &[Value]) -> bool {
    let Some(received) = report(stats, "inbound-rtp", "audio") else { return false };
    let expected = (number(received, "packetsReceived") + number(received, "packetsLost")) as u16;
    let passed = passed(relay, received);
    let counted = passed.iter().take_while(|one| one.sequence.wrapping_sub(passed[0].sequence) < expected).count();
    counted > 100 && agree(number(received, "jitter") * 1e3, jitter_ms(&passed[..counted]))
}

/// Jitter when the server made its report, which then took its way through the link.
fn sent_jitter_agrees(relay: &Relay, stats: &[Value]) -> bool {
    let Some(sent) = report(stats, "remote-inbound-rtp", "audio") else { return false };
    let passed = passed(relay, sent);
    let made = reported_at(sent) - DELAY;
    let counted = passed.iter().take_while(|one| one.at <= made).count();
    counted > 100 && agree(number(sent, "jitter") * 1e3, jitter_ms(&passed[..counted]))
}

/// Both ways through the link, and 40 ms for all else: by RTCP, and by the checks of each connection.
fn trips_agree(stats: &[Value]) -> bool {
    let (least, most) = (2.0 * DELAY.as_secs_f64(), 2.0 * (DELAY + JITTER).as_secs_f64() + 0.04);
    let sent = report(stats, "remote-inbound-rtp", "audio").and_then(|one| one["roundTripTime"].as_f64());
    let pairs = stats.iter().filter(|one| one["type"] == "candidate-pair" && one["nominated"] == true);
    let trips: Vec<f64> = pairs.filter_map(|one| one["currentRoundTripTime"].as_f64()).chain(sent).collect();
    // A millisecond is what the browser rounds to.
    trips.len() == 3 && trips.iter().all(|trip| (least - 0.001..most).contains(trip))
}
