//! What keeps whoever impairs an interface safe: it fails open, what others have there stays, and nothing is left behind.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/children.rs"]
mod children;
#[path = "support/command.rs"]
mod command;
#[path = "support/engines.rs"]
mod engines;
#[path = "support/impaired.rs"]
mod impaired;
mod support;

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use cable::{Cable, DEVICE, FAR, NEAR};
use children::child;
use command::{SOON, shaper, signal, stderr};
use engines::engines;
use impaired::{apply, impaired, status};
use nix::libc;
use shaper_bpf::{Exclusion, Hook, Object, Room};
use shaper_common::layout::Diversion;
use shaper_net::process::ProcessId;
use support::{Traces, on_own_host, until};

#[test]
fn what_a_dead_one_left_is_taken_back_where_it_was_whoever_clears() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let devices = || -> Vec<String> {
            cable.far.rtnl().unwrap().links().unwrap().into_iter().map(|link| format!("{link:?}")).collect()
        };
        let there = devices();
        // In the other namespace, which it does not know by any name.
        let mut running = cable.far.run(|| apply(&[DEVICE, "--delay", "5ms"])).unwrap();
        impaired(&mut running);
        assert!(devices().len() > there.len());
        let guard = child(running.id(), "__guard").unwrap();
        signal(guard, libc::SIGKILL);
        assert!(until(SOON, || !guard.is_running().unwrap()));
        running.kill().unwrap();
        running.wait().unwrap();
        assert!(until(SOON, || Traces::now().processes == before.processes));
        assert!(devices().len() > there.len(), "nothing was left that could be taken back");
        let cleared = shaper(&["clear"]);
        assert!(cleared.status.success(), "{}", stderr(&cleared));
        assert_eq!(devices(), there);
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn what_is_held_comes_out_before_it_is_cleared() {
    on_own_host(|_| {
        let cable = Cable::laid();
        for engine in engines() {
            let mut running = apply(&[DEVICE, "--engine", engine, "--egress", "--delay 6s", "--json"]);
            impaired(&mut running);
            UdpSocket::bind((NEAR, 0)).unwrap().send_to(b"late", (FAR, 9)).unwrap();
            assert!(until(SOON, || status()[0]["directions"][0]["arrived"] == 1));
            assert!(shaper(&["clear", DEVICE]).status.success());
            let output = running.wait_with_output().unwrap();
            let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!((output.status.code(), &told["directions"][0]["out"]), (Some(0), &1.into()), "{told}");
        }
        cable.cut();
    });
}

#[test]
fn while_its_process_stands_still_traffic_passes_unimpaired_and_that_is_told() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let mut running = apply(&[DEVICE, "--engine", "xsk", "--delay", "20ms"]);
        impaired(&mut running);
        let process = ProcessId::of(running.id()).unwrap();
        assert!(cable.takes(|took| took >= Duration::from_millis(40)));
        signal(process, libc::SIGSTOP);
        let stopped = Instant::now();
        let passes = until(SOON, || cable.takes(|took| took < Duration::from_millis(20)));
        assert!(passes, "nothing passes while its process stands still");
        println!("traffic passed {:?} after SIGSTOP", stopped.elapsed());
        assert!(cable.echo(20).iter().all(Option::is_some));
        signal(process, libc::SIGCONT);
        assert!(until(SOON, || cable.takes(|took| took >= Duration::from_millis(40))), "it is impaired again");
        signal(process, libc::SIGTERM);
        let output = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("passed unimpaired while the delay line did not come round"), "{said}");
        cable.cut();
    });
}

#[test]
fn what_the_kernel_holds_it_holds_while_the_process_stands_still() {
    on_own_host(|_| {
        if !engines().contains(&"edt") {
            return;
        }
        let cable = Cable::laid();
        let mut running = apply(&[DEVICE, "--engine", "edt", "--delay", "20ms"]);
        impaired(&mut running);
        let process = ProcessId::of(running.id()).unwrap();
        signal(process, libc::SIGSTOP);
        let took = cable.echo(20);
        assert!(took.iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(40))), "{took:?}");
        signal(process, libc::SIGCONT);
        signal(process, libc::SIGTERM);
        assert_eq!(running.wait_with_output().unwrap().status.code(), Some(0));
        cable.cut();
    });
}

#[test]
fn what_the_default_route_was_allowed_for_is_undone_in_time_though_its_process_stands_still() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        for engine in engines() {
            let of_a_time = ["--engine", engine, "--delay", "50ms", "--allow-default-route", "--for", "1s"];
            let mut running = apply(&[&[DEVICE], &of_a_time[..]].concat());
            impaired(&mut running);
            signal(ProcessId::of(running.id()).unwrap(), libc::SIGSTOP);
            assert!(until(SOON, || running.try_wait().unwrap().is_some()), "{engine} is not ended by its guard");
            assert!(until(SOON, || Traces::now() == before), "{engine}: {:?}", Traces::now());
            let passes = until(SOON, || cable.takes(|took| took < Duration::from_millis(100)));
            assert!(passes, "{engine}: delayed still, though nothing is there");
        }
        cable.cut();
    });
}

/// What `tc` says of the interface.
fn tc(arguments: &str) -> String {
    let output = Command::new("tc").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "tc {arguments}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_others_have_at_the_interface_stays_and_sees_each_packet_once() {
    const PACKETS: u32 = 20;
    on_own_host(|_| {
        let cable = Cable::laid();
        let kind = if engines().contains(&"edt") {
            "fq_codel limit 777 target 3ms"
        } else {
            "tbf rate 1gbit burst 100kb latency 50ms"
        };
        tc(&format!("qdisc add dev eth0 root handle 7: {kind}"));
        tc("qdisc add dev eth0 clsact");
        // Of somebody else: a program that lets everything pass, and counts what does.
        let mut theirs = Object::load(1 << 16, Exclusion::Lock, &Room::PLAIN).unwrap();
        theirs.set_diversion(0, Diversion { into: 1, on: 1, ..Diversion::default() }).unwrap();
        if theirs.attach_diversion(0, DEVICE, true, Hook::Tcx).is_err() {
            // Before Linux 6.6.
            theirs.attach_diversion(0, DEVICE, true, Hook::Clsact { priority: 7 }).unwrap();
        }
        let seen = || theirs.edge_counts(0).unwrap().let_pass;
        let (before, qdiscs) = (Traces::now(), tc("qdisc show dev eth0"));
        assert!(qdiscs.contains(" 7: root") && qdiscs.contains("clsact"), "{qdiscs}");
        for (engine, killed) in engines().iter().flat_map(|engine| [(engine, false), (engine, true)]) {
            let output = shaper(&["apply", DEVICE, "--engine", engine, "--delay", "5ms", "--detach"]);
            assert!(output.status.success(), "{}", stderr(&output));
            let already = seen();
            assert!(cable.echo(PACKETS).iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(10))));
            let new = seen() - already;
            // And perhaps who has the address was asked once or twice.
            assert!((u64::from(PACKETS)..=u64::from(PACKETS) + 4).contains(&new), "{new} of {PACKETS} packets");
            if killed {
                let pid = status()[0]["pid"].as_u64().unwrap();
                signal(ProcessId::of(u32::try_from(pid).unwrap()).unwrap(), libc::SIGKILL);
                assert!(until(SOON, || Traces::now() == before), "{:?}", Traces::now());
            } else {
                assert!(shaper(&["clear", DEVICE]).status.success());
            }
            assert_eq!(Traces::now(), before);
            assert_eq!(tc("qdisc show dev eth0"), qdiscs);
            let already = seen();
            assert!(cable.takes(|_| true));
            assert!(seen() > already, "their program is there no more");
        }
        drop(theirs);
        cable.cut();
    });
}
