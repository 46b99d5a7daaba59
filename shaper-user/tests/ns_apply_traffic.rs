//! One interface, impaired by the command with either engine: what passes whole, in order, and what comes back with a
//! link that was down.

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
#[path = "support/passes.rs"]
mod passes;
#[path = "support/soundly.rs"]
mod soundly;
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cable::{Cable, DEVICE, FAR, NEAR};
use command::{SOON, shaper, stderr};
use engines::engines;
use impaired::{apply, impaired};
use passes::{group_passes, stream_passes, tagged_frame_passes};
use serde_json::Value;
use shaper_net::offload::Ethtool;
use shaper_net::rtnl::{Route, Rtnl};
use soundly::ends_soundly;
use support::{Traces, on_own_host, until};

const NEAR6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
const FAR6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// A cable with addresses of both families and routes to groups, and every offload on.
fn cable() -> Cable {
    let cable = Cable::laid();
    for (rtnl, address) in [(Rtnl::open().unwrap(), NEAR6), (cable.far.rtnl().unwrap(), FAR6)] {
        let device = rtnl.link(DEVICE).unwrap().index;
        rtnl.add_address(device, IpAddr::V6(address), 64).unwrap();
        rtnl.add_route(&Route::ipv4_multicast(device)).unwrap();
    }
    let on = Ethtool::open().unwrap().features(DEVICE).unwrap();
    let is_on = |name: &str| on.iter().any(|feature| feature.name == name && feature.active);
    assert!(is_on("tx-tcp-segmentation") && is_on("tx-checksum-ip-generic"), "{on:?}");
    cable
}

/// How long a datagram takes there and back by IPv6; none when it is lost.
fn echo6(cable: &Cable) -> Option<Duration> {
    let far = cable.far.run(|| UdpSocket::bind((FAR6, 0)).unwrap()).unwrap();
    let near = UdpSocket::bind((NEAR6, 0)).unwrap();
    for socket in [&far, &near] {
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    }
    let sent = Instant::now();
    near.send_to(b"there", SocketAddr::new(FAR6.into(), far.local_addr().unwrap().port())).ok()?;
    let (_, peer) = far.recv_from(&mut [0; 16]).ok()?;
    far.send_to(b"back", peer).ok()?;
    near.recv(&mut [0; 16]).ok()?;
    Some(sent.elapsed())
}

#[test]
fn tcp_with_all_offloads_both_families_groups_and_tagged_frames_pass_whole() {
    on_own_host(|_| {
        let cable = cable();
        let before = Traces::now();
        for engine in engines() {
            let arguments =
                [DEVICE, "--engine", engine, "--delay", "5ms", "--jitter", "3ms", "--order", "keep", "--json"];
            let mut running = apply(&arguments);
            impaired(&mut running);
            stream_passes(None, &cable.far, FAR, 4 << 20);
            assert!(until(SOON, || echo6(&cable).is_some_and(|took| took >= Duration::from_millis(4))), "no IPv6");
            group_passes((None, NEAR), (&cable.far, FAR));
            tagged_frame_passes(None, &cable.far, DEVICE);
            let told = ends_soundly(running);
            assert_eq!(told["engine"], *engine);
            let egress = &told["directions"][0];
            assert!(egress["arrived"].as_u64().unwrap() > 100, "{told}");
            let kept = &egress["order_kept"];
            // Each packet let through that there is a record of, which is all of them unless a busy machine lost some.
            let [packets, out, unrecorded] =
                [&kept["packets"], &egress["out"], &egress["fates_unrecorded"]].map(|one| one.as_u64().unwrap());
            assert!(packets <= out && out <= packets + unrecorded, "{told}");
            assert!(kept["held_back"].as_u64().unwrap() > 0 && kept["mean_ms"].as_f64().unwrap() > 0.0, "{told}");
            assert_eq!(Traces::now(), before, "{engine}");
        }
        cable.cut();
    });
}

/// Whether there is iperf3; where there must be, its absence fails.
fn there_is_iperf3() -> bool {
    let found = Command::new("iperf3").arg("--version").output().is_ok_and(|output| output.status.success());
    let must = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(found || !must, "iperf3 is needed (Debian package iperf3)");
    if !found {
        println!("skipped: there is no iperf3 (Debian package iperf3)");
    }
    found
}

/// A process that ends with this, also when the test fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What iperf3 gets through in a second.
fn iperf3(cable: &Cable, how: &[&str]) -> Value {
    let address = FAR.to_string();
    let serve = || Command::new("iperf3").args(["-s", "-B", &address]).stdout(Stdio::null()).spawn();
    let server = Ended(cable.far.run(serve).unwrap().unwrap());
    let mut told = Value::Null;
    // It may not listen yet, which the one that asks tells in its JSON, and not by its exit code.
    let passed = until(SOON, || {
        let fixed = ["-c", &address, "-t", "1", "--json", "--connect-timeout", "5000"];
        let output = Command::new("iperf3").args(fixed).args(how).output().unwrap();
        told = serde_json::from_slice(&output.stdout).unwrap_or_default();
        output.status.success() && !told["end"].is_null() && told["error"].is_null()
    });
    drop(server);
    assert!(passed, "{told}");
    told
}

#[test]
fn iperf3_by_tcp_and_by_udp_runs_through() {
    if !there_is_iperf3() {
        return;
    }
    on_own_host(|_| {
        let cable = cable();
        for engine in engines() {
            let mut running = apply(&[DEVICE, "--engine", engine, "--delay", "5ms", "--order", "keep", "--json"]);
            impaired(&mut running);
            let tcp = iperf3(&cable, &[]);
            assert!(tcp["end"]["sum_received"]["bytes"].as_u64().unwrap() > 100_000, "{tcp}");
            let udp = iperf3(&cable, &["-u", "-b", "5M"]);
            let sum = &udp["end"]["sum"];
            // Its own socket may overflow where it does not run.
            let [packets, lost] = ["packets", "lost_packets"].map(|name| sum[name].as_u64().unwrap());
            assert!(packets > 100 && lost < packets / 10, "{sum}");
            let told = ends_soundly(running);
            let egress = &told["directions"][0];
            assert_eq!((&egress["dropped"], &egress["out"]), (&serde_json::json!({}), &egress["arrived"]), "{told}");
        }
        cable.cut();
    });
}

#[test]
fn a_link_that_was_down_is_impaired_again_when_it_comes_back() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let rtnl = Rtnl::open().unwrap();
        let before = Traces::now();
        for engine in engines() {
            let mut running = apply(&[DEVICE, "--engine", engine, "--delay", "20ms", "--json"]);
            impaired(&mut running);
            let device = rtnl.link(DEVICE).unwrap().index;
            rtnl.set_up(device, false).unwrap();
            let lost = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
            // Whether that is refused or goes nowhere is the kernel's matter.
            let _ = lost.send_to(b"nowhere", (FAR, 9));
            // Long enough for what watches it to see it down.
            std::thread::sleep(Duration::from_millis(300));
            rtnl.set_up(device, true).unwrap();
            let again = until(SOON, || cable.takes(|took| took >= Duration::from_millis(40)));
            assert!(again, "{engine}: not impaired any more");
            assert!(running.try_wait().unwrap().is_none(), "{engine}: it has ended");
            ends_soundly(running);
            assert!(until(SOON, || Traces::now() == before), "{engine}: {:?}", Traces::now());
        }
        cable.cut();
    });
}

#[test]
fn what_an_engine_cannot_do_is_refused_with_what_can() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let bridge = ["bridge", "bystander0", "bystander1", "--delay", "1ms", "--engine", "edt", "--hook", "xdp"];
        for (arguments, words) in [
            (&["apply", DEVICE, "--delay", "1ms", "--engine", "edt", "--busy-poll"][..], "--engine xsk"),
            (&bridge, "--engine xsk"),
        ] {
            let output = shaper(arguments);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}");
            assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
            assert_eq!(Traces::now(), before, "{arguments:?}");
        }
        cable.cut();
    });
}

#[test]
fn clear_all_takes_everything_back() {
    on_own_host(|_| {
        let before = Traces::now();
        // Two ends of one cable.
        for interface in ["bystander0", "bystander1"] {
            let output = shaper(&["apply", interface, "--delay", "1ms", "--detach"]);
            assert!(output.status.success(), "{}", stderr(&output));
        }
        let cleared = shaper(&["clear", "--all"]);
        assert!(cleared.status.success(), "{}", stderr(&cleared));
        assert!(until(SOON, || Traces::now() == before), "{:?}", Traces::now());
    });
}
