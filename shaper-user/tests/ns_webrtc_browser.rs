//! Browsers behind an impaired link: what Chromium's getStats says of loss, jitter and round trip, beside our captures.

#![cfg(all(feature = "live", feature = "webrtc"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

#[path = "support/cable.rs"]
mod cable;
#[expect(dead_code, reason = "others look at the page too")]
#[path = "../../shaper-webrtc/tests/support/chromium.rs"]
mod chromium;
#[expect(dead_code, reason = "captures have a namespace of their own")]
#[path = "support/command.rs"]
mod command;
#[expect(dead_code, reason = "candidates name the address of media")]
#[path = "support/sfu.rs"]
mod sfu;
mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cable::{Cable, DEVICE};
use chromium::{Browser, Tab, figure, plays, report, there_is_a_browser};
use command::{shaper, signal, stderr};
use nix::libc;
use nix::sys::signal::Signal;
use serde_json::Value;
use sfu::Server;
use shaper_net::netns::NetNs;
use shaper_net::process::ProcessId;
use support::{SHAPER, on_own_host, until};

/// What the link does in each direction.
const DELAY_MS: f64 = 30.0;
const JITTER_MS: f64 = 8.0;
const LOSS_SHARE: f64 = 0.03;
/// Packets of sound between two of the server's reports, with room: one in five seconds at the most, of 50 a second.
const BETWEEN_REPORTS: f64 = 300.0;

/// A lab of two hosts, taken down with this.
struct Lab(Value);

impl Lab {
    fn up() -> Self {
        let (delay, jitter) = (format!("{DELAY_MS}ms"), format!("{JITTER_MS}ms"));
        let loss = format!("{}%", LOSS_SHARE * 1e2);
        let flags = ["--delay", &delay, "--jitter", &jitter, "--order", "keep", "--loss", &loss, "--seed", "7"];
        let output = shaper(&[&["lab", "up", "--json"], &flags[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Namespace, address and interface of a host.
    fn host(&self, index: usize, key: &str) -> &str {
        self.0["lab"]["hosts"][index][key].as_str().unwrap()
    }

    fn inside<T: Send>(&self, index: usize, run: impl FnOnce() -> T + Send) -> T {
        NetNs::open(self.host(index, "netns")).unwrap().run(run).unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = Command::new(SHAPER).args(["clear", "--all"]).output();
    }
}

/// A capture at a host of a lab, of datagrams alone.
struct Capture(Child);

impl Capture {
    fn start(lab: &Lab, index: usize, file: &Path) -> Self {
        let (netns, interface) = (lab.host(index, "netns"), lab.host(index, "ifname"));
        let mut command = Command::new(SHAPER);
        command.args(["capture", interface, "--netns", netns, "--filter", "udp", "-w"]).arg(file);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        assert!(until(command::SOON, || file.exists()), "the capture does not begin");
        Self(process)
    }

    fn stop(mut self) {
        signal(ProcessId::of(self.0.id()).unwrap(), libc::SIGTERM);
        assert!(self.0.wait().unwrap().success());
    }
}

/// The streams of RTP in a capture, by SSRC.
fn streams(file: &Path) -> Value {
    let output = shaper(&["analyze", file.to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    told["rtp"].clone()
}

/// The stream of an SSRC.
fn stream(streams: &Value, ssrc: f64) -> &Value {
    let of = |one: &&Value| one["ssrc"].as_f64() == Some(ssrc);
    streams.as_array().unwrap().iter().find(of).unwrap_or_else(|| panic!("no stream {ssrc}: {streams}"))
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("no {key}: {of}"))
}

#[test]
fn what_a_browser_measures_of_an_impaired_link_agrees_with_captures_of_it() {
    measures(|browser, origin| {
        let page = |name: &str| format!("{origin}/?room=test&fake=1&join=1&size=160x120&fps=10&name={name}");
        let [ann, bob] = ["ann", "bob"].map(|name| browser.open(&page(name)));
        for tab in [&ann, &bob] {
            browser.until_stats(tab, "seen and heard", plays);
        }
        [ann, bob]
    });
}

#[test]
fn what_a_browser_measures_by_whip_and_whep_agrees_with_captures_too() {
    measures(|browser, origin| {
        let (publisher, _) = browser.session(origin, "whip", "publish", "");
        let (player, _) = browser.session(origin, "whep", "play", "");
        browser.until_stats(&player, "seen and heard", plays);
        [publisher, player]
    });
}

/// A browser behind an impaired link, whose pages are opened as told and send and receive sound.
fn measures(open: fn(&mut Browser, &str) -> [Tab; 2]) {
    if !there_is_a_browser() {
        return;
    }
    on_own_host(|host| {
        let lab = Lab::up();
        let server = lab.inside(0, || Server::start(lab.host(0, "ipv4"), &["--page"]));
        let origin = format!("http://{}", server.http);
        let files = [0, 1].map(|index| host.folder.path().join(format!("{index}.pcapng")));
        let captures = [0, 1].map(|index| Capture::start(&lab, index, &files[index]));
        let mut browser = lab.inside(1, || Browser::start(Some(&origin)));
        let [sender, receiver] = open(&mut browser, &origin);
        // Enough packets for some losses, and reports of all that is compared.
        let sending = browser.until_stats(&sender, "600 packets of sound sent, and a report", |stats| {
            figure(stats, "outbound-rtp", "audio", "packetsSent") > 600.0
                && report(stats, "remote-inbound-rtp", "audio").is_some_and(|one| !one["roundTripTime"].is_null())
        });
        let receiving = browser.until_stats(&receiver, "600 packets of sound received", |stats| {
            figure(stats, "inbound-rtp", "audio", "packetsReceived") > 600.0
        });
        drop(browser);
        captures.into_iter().for_each(Capture::stop);
        server.stop(Signal::SIGTERM);
        let [at_server, at_browser] = files.each_ref().map(|file| streams(file));

        // What the browser received: its own numbers, beside the capture at its host, behind the link.
        let received = report(&receiving, "inbound-rtp", "audio").unwrap();
        let captured = stream(&at_browser, number(received, "ssrc"));
        // Between the question and the end of the browser a second may pass.
        assert!(number(captured, "missing") >= 3.0, "{captured}");
        agrees("received", received, captured, 50.0);
        // What it sent: by the server's reports, beside the capture at the server's host, behind the link.
        let sent = report(&sending, "remote-inbound-rtp", "audio").unwrap();
        let captured = stream(&at_server, number(sent, "ssrc"));
        agrees("sent", sent, captured, BETWEEN_REPORTS);
        // The server does not ask for what was lost of sound.
        assert_eq!(figure(&sending, "outbound-rtp", "audio", "retransmittedPacketsSent"), 0.0);
        assert_eq!(number(captured, "reordered"), 0.0, "{captured}");
        let round_trip = number(sent, "roundTripTime") * 1e3;
        // The link's two delays, and the processors' for a report and its answer on a busy machine.
        let least = 2.0 * (DELAY_MS - JITTER_MS) - 1.0;
        assert!((least..least + 400.0).contains(&round_trip), "{round_trip} ms");
        drop(lab);
    });
}

/// Loss and jitter by the browser's figures and by a capture of the same stream, which has what came since too.
fn agrees(what: &str, told: &Value, captured: &Value, since: f64) {
    let (expected, missing) = (number(captured, "expected"), number(captured, "missing"));
    let lost = number(told, "packetsLost");
    assert!(expected > 500.0, "{what}: {captured}");
    // Losses at both ends, and of what came since as many as chance gives: three deviations above the mean.
    let later = since * LOSS_SHARE;
    let (least, most) = (missing - later - 3.0 * later.sqrt() - 2.0, missing + 2.0);
    assert!((least..=most).contains(&lost), "{what}: {lost} lost, from {least} to {most} by the capture");
    // Of the last moments, in which a busy machine may have been late: the same size, and no other unit.
    let (jitter, seen) = (number(told, "jitter") * 1e3, number(&captured["jitter_ms"], "mean"));
    assert!((seen / 4.0..seen * 4.0 + 10.0).contains(&jitter), "{what}: jitter {jitter} ms, by the capture {seen} ms");
}

#[test]
fn the_page_changes_what_impairs_an_interface() {
    if !there_is_a_browser() {
        return;
    }
    on_own_host(|_| {
        let cable = Cable::laid();
        assert!(shaper(&["apply", DEVICE, "--delay", "1ms", "--detach"]).status.success());
        let server = Server::start("127.0.0.1", &["--page", "--shape", DEVICE]);
        let mut browser = Browser::start(None);
        let tab = browser.open(&format!("http://{}/?fake", server.http));
        browser.until(&tab, "!document.getElementById('shape').hidden");
        assert_eq!(browser.evaluate(&tab, "document.getElementById('interface').textContent"), DEVICE);
        let mut click = |fill: &str, button: &str, words: &str| {
            let told = "document.getElementById('changed').textContent";
            browser.evaluate(&tab, &format!("{told} = ''; {fill}; document.getElementById('{button}').click()"));
            browser.until(&tab, &format!("{told} !== '' && !document.getElementById('change-it').disabled"));
            let said = browser.evaluate(&tab, told);
            assert!(said.as_str().unwrap().contains(words), "{said}");
        };
        click("document.getElementById('delay').value = '20ms'", "change-it", "egress: delay 20 ms");
        assert!(until(command::SOON, || cable.takes(|took| took >= Duration::from_millis(40))), "it does not change");
        click("document.getElementById('loss').value = '200%'", "change-it", "loss: ");
        click("", "clean", "egress: no delay");
        assert!(
            until(command::SOON, || cable.takes(|took| took < Duration::from_millis(20))),
            "it does not change again"
        );
        assert!(shaper(&["clear", DEVICE]).status.success());
        click("", "clean", "eth0 is not impaired");
        drop(browser);
        server.stop(Signal::SIGTERM);
        cable.cut();
    });
}
