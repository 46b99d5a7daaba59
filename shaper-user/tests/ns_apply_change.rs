//! Other settings for an interface that is impaired already, while packets flow.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/command.rs"]
mod command;
#[path = "support/engines.rs"]
mod engines;
#[path = "support/impaired.rs"]
mod impaired;
#[path = "support/moments.rs"]
mod moments;
#[path = "support/soundly.rs"]
mod soundly;
mod support;

use std::fs;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cable::{Cable, DEVICE, FAR, NEAR};
use command::{SOON, shaper, stderr};
use engines::engines;
use impaired::{apply, impaired, status};
use moments::moment;
use soundly::ends_soundly;
use support::{Traces, on_own_host, until};

#[test]
fn changed_while_it_runs_it_goes_on_with_other_settings() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        assert!(shaper(&["apply", DEVICE, "--egress", "--delay 5ms", "--detach"]).status.success());
        let change = |arguments: &[&str]| shaper(&[&["apply", DEVICE, "--change"], arguments].concat());
        let changed = change(&["--delay", "20ms", "--egress", "--loss 0.001%"]);
        let said = String::from_utf8_lossy(&changed.stdout).into_owned();
        assert!(changed.status.success(), "{}", stderr(&changed));
        assert!(said.contains("egress: delay 20 ms, loss 0.001 %") && said.contains("ingress: delay 20 ms"), "{said}");
        assert!(until(SOON, || cable.takes(|took| took >= Duration::from_millis(40))), "it does not change");
        // What is not said is clean from then on.
        assert!(change(&["--ingress", "--delay 10ms"]).status.success());
        assert!(until(SOON, || cable.takes(|took| took < Duration::from_millis(20))), "it does not change again");
        assert_eq!(status()[0]["directions"][0]["settings"], "no delay, no loss, no outages, order free");
        for (arguments, words) in [
            (&["--outage-flap", "9s up 1s down"][..], "outages hold from the start on"),
            (&["--scope", "flow"], "scope"),
        ] {
            let refused = change(arguments);
            assert_eq!(refused.status.code(), Some(2));
            assert!(stderr(&refused).contains(words), "{}", stderr(&refused));
        }
        assert!(shaper(&["clear", DEVICE]).status.success());
        let nobody = change(&["--delay", "1ms"]);
        assert!(stderr(&nobody).contains("eth0 is not impaired"), "{}", stderr(&nobody));
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

/// Flags of one change of many, the same in every run of this test.
fn flags(number: u64) -> Vec<String> {
    const CHOICES: [&[&str]; 8] = [
        &["--delay", "3ms", "--jitter", "2ms"],
        &["--delay", "8ms", "--jitter", "4ms", "--distribution", "pareto"],
        &["--rate", "20mbit", "--queue", "100p"],
        &["--rate", "5mbit", "--aqm", "codel"],
        &["--loss", "2% burst 3", "--duplicate", "1%"],
        &["--loss", "gemodel 1% 10% 70% 0.1%", "--corrupt", "0.5%"],
        &["--delay", "5ms", "--reorder", "10%", "--slot", "4ms"],
        &["--delay", "6ms", "--jitter", "3ms", "--order", "keep", "--correlation-time", "20ms"],
    ];
    let drawn = moment(number, Duration::ZERO, Duration::from_secs(1)).as_millis() as usize;
    CHOICES.get(drawn % CHOICES.len()).copied().unwrap_or_default().iter().map(|flag| (*flag).to_owned()).collect()
}

#[test]
fn changed_at_random_under_traffic_every_packet_is_accounted_for_and_memory_stays() {
    let lasts = Duration::from_secs(if std::env::var_os("SHAPER_TEST_FULL").is_some() { 600 } else { 30 });
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        for engine in engines() {
            changed_at_random(engine, lasts);
            assert_eq!(Traces::now(), before);
        }
        cable.cut();
    });
}

/// The interface impaired by this engine, with other settings again and again, and packets all the while.
fn changed_at_random(engine: &str, lasts: Duration) {
    let mut running = apply(&[DEVICE, "--engine", engine, "--delay", "1ms", "--json"]);
    impaired(&mut running);
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let done = AtomicBool::new(false);
    let mut sizes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                send(2_000);
            }
        });
        // Also when a change fails: else nobody tells the sender.
        let _ended = Ended(&done);
        let end = Instant::now() + lasts;
        let mut number = 0;
        while Instant::now() < end {
            let flags = flags(number);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let changed = shaper(&[&["apply", DEVICE, "--change"], &flags[..]].concat());
            assert!(changed.status.success(), "change {number} {flags:?}: {}", stderr(&changed));
            number += 1;
            std::thread::sleep(Duration::from_millis(700));
            sizes.push(memory());
        }
    });
    let told = ends_soundly(running);
    let egress = &told["directions"][0];
    assert_eq!(egress["fates_checked"], egress["arrived"], "{told}");
    assert!(egress["arrived"].as_u64().unwrap() > 10_000, "{told}");
    // The first changes touch memory for the first time.
    let (first, last) = (sizes[sizes.len() / 3], sizes[sizes.len() - 1]);
    assert!(last < first + first / 10 + 4_096, "{first} kB became {last} kB: {sizes:?}");
}

/// Says so when it goes away.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends so many datagrams to nobody in particular, a few thousand a second.
fn send(count: u32) {
    let socket = UdpSocket::bind((NEAR, 0)).unwrap();
    for _ in 0..count {
        // What the device has no room for is none of ours.
        let _ = socket.send_to(&[0x5a; 200], (FAR, 9));
        std::thread::sleep(Duration::from_micros(200));
    }
}
