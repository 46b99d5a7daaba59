//! One interface, impaired by the command: what it says, what passes, and that the interface is as it was, however it ends.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/children.rs"]
mod children;
#[path = "support/moments.rs"]
mod moments;
mod support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use children::child;
use moments::moment;
use nix::libc;
use shaper_bpf::{Exclusion, Hook, Object, Room};
use shaper_common::layout::Diversion;
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::process::ProcessId;
use shaper_net::rtnl::{Route, Rtnl, VethEnd};
use support::{SHAPER, Traces, on_own_host, until};

const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const DEVICE: &str = "eth0";
/// How soon all must be gone. The guard needs a fraction of this; other work on the machine may need the rest.
const SOON: Duration = Duration::from_secs(15);

/// A cable from the test's host to another one.
struct Cable {
    far: NetNs,
    journal: Journal,
}

impl Cable {
    fn laid() -> Self {
        let journal = Journal::create("test").unwrap();
        let far = NetNs::create(&journal, "far").unwrap();
        let rtnl = Rtnl::open().unwrap();
        rtnl.create_veth(&VethEnd::new(None, DEVICE), &VethEnd::new(Some(&far), DEVICE)).unwrap();
        for (rtnl, address) in [(rtnl, NEAR), (far.rtnl().unwrap(), FAR)] {
            let device = rtnl.link(DEVICE).unwrap().index;
            rtnl.set_up(device, true).unwrap();
            rtnl.add_address(device, IpAddr::V4(address), 24).unwrap();
        }
        Self { far, journal }
    }

    /// How long `count` datagrams took there and back, one after another; none for those that were lost.
    fn echo(&self, count: u32) -> Vec<Option<Duration>> {
        const PORT: u16 = 7007;
        let server = self.far.run(|| UdpSocket::bind((FAR, PORT)).unwrap()).unwrap();
        let client = UdpSocket::bind((NEAR, 0)).unwrap();
        client.connect((FAR, PORT)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 64];
                while !done.load(Ordering::Relaxed) {
                    if let Ok((length, peer)) = server.recv_from(&mut buffer) {
                        server.send_to(&buffer[..length], peer).unwrap();
                    }
                }
            });
            let took = (0..count).map(|number| {
                let sent = Instant::now();
                client.send(&number.to_be_bytes()).unwrap();
                let mut buffer = [0; 64];
                loop {
                    match client.recv(&mut buffer) {
                        Ok(4) if buffer[..4] == number.to_be_bytes() => break Some(sent.elapsed()),
                        // One of before.
                        Ok(_) => {}
                        Err(_) => break None,
                    }
                }
            });
            let took = took.collect();
            done.store(true, Ordering::Relaxed);
            took
        })
    }

    /// Whether a datagram there and back takes as long as is said.
    fn takes(&self, wanted: impl Fn(Duration) -> bool) -> bool {
        self.echo(1).into_iter().all(|took| took.is_some_and(&wanted))
    }

    fn cut(self) {
        let rtnl = Rtnl::open().unwrap();
        rtnl.delete(rtnl.link(DEVICE).unwrap().index).unwrap();
        drop(self.far);
        self.journal.undo().unwrap();
    }
}

fn shaper(arguments: &[&str]) -> Output {
    Command::new(SHAPER).args(arguments).output().unwrap()
}

fn apply(arguments: &[&str]) -> Child {
    let mut command = Command::new(SHAPER);
    command.arg("apply").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn status() -> serde_json::Value {
    let output = shaper(&["status", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the interface is impaired.
fn impaired() -> bool {
    until(SOON, || status().as_array().is_some_and(|all| !all.is_empty()))
}

fn signal(process: ProcessId, signal: i32) {
    if let Some(running) = process.open().unwrap() {
        running.signal(signal).unwrap();
    }
}

#[test]
fn in_the_background_it_stays_says_how_it_stands_and_is_cleared() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let output = shaper(&["apply", DEVICE, "--delay", "20ms", "--ingress", "--delay 5ms", "--detach"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let said = stderr(&output);
        let first = said.lines().next().unwrap();
        assert!(first.starts_with("eth0 egress: delay 20 ms"), "{said}");
        assert!(said.contains("eth0 ingress: delay 5 ms"), "{said}");
        let took = cable.echo(10);
        assert!(took.iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(25))), "{took:?}");

        let all = status();
        let [one] = &all.as_array().unwrap()[..] else { panic!("{all}") };
        assert_eq!((one["interface"].as_str(), one["engine"].as_str()), (Some(DEVICE), Some("xsk")));
        for (direction, name) in one["directions"].as_array().unwrap().iter().zip(["egress", "ingress"]) {
            assert_eq!(direction["direction"], name);
            assert_eq!((direction["arrived"].as_u64(), direction["out"].as_u64()), (Some(10), Some(10)), "{direction}");
            assert!(direction["lateness_ns"]["max"].as_u64().unwrap() > 0);
        }
        assert!(one["changed"].as_array().unwrap().len() >= 2, "{one}");
        let shown = shaper(&["status", DEVICE]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("in 10  out 10  on the way 0  dropped 0"));

        let again = shaper(&["apply", DEVICE, "--delay", "1ms"]);
        assert_eq!(again.status.code(), Some(2));
        assert!(stderr(&again).contains("impaired by another shaper already"), "{}", stderr(&again));

        let cleared = shaper(&["clear", DEVICE]);
        assert!(cleared.status.success(), "{}", stderr(&cleared));
        assert_eq!(Traces::now(), before);
        assert!(cable.takes(|took| took < Duration::from_millis(20)));
        assert_eq!(shaper(&["clear", DEVICE]).status.code(), Some(2));
        assert_eq!(shaper(&["status", DEVICE]).status.code(), Some(2));
        cable.cut();
    });
}

#[test]
fn in_the_foreground_it_ends_by_itself_or_when_told_and_says_how_it_went() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let by_itself = apply(&[DEVICE, "--delay", "5ms", "--loss", "every 4", "--for", "3s", "--json"]);
        assert!(impaired());
        // Every fourth is lost: the first of them is the fourth.
        let took = cable.echo(3);
        assert!(took.iter().all(Option::is_some), "{took:?}");
        let output = by_itself.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["ended"], "over");
        assert_eq!(told["findings"].as_array().unwrap().len(), 0, "{told}");
        for direction in told["directions"].as_array().unwrap() {
            assert_eq!(direction["fates_checked"], direction["arrived"], "{told}");
        }
        assert_eq!(Traces::now(), before);

        // Of what nobody measured nothing is known.
        let expects = apply(&[DEVICE, "--loss", "1%", "--for", "100ms", "--json", "--expect", "loss.egress < 50%"]);
        let output = expects.wait_with_output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), told["expectations"][0]["held"].as_bool()), (Some(1), Some(false)), "{told}");

        let told_to = apply(&[DEVICE, "--egress", "--delay 10ms"]);
        assert!(impaired());
        assert!(cable.takes(|took| took >= Duration::from_millis(10)));
        signal(ProcessId::of(told_to.id()).unwrap(), libc::SIGINT);
        let output = told_to.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.starts_with("eth0 as before: as you said"), "{said}");
        assert!(said.contains("egress") && !said.contains("ingress"), "{said}");
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn what_may_not_or_cannot_be_impaired_is_refused_and_is_as_it_was() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let rtnl = Rtnl::open().unwrap();
        let device = rtnl.link(DEVICE).unwrap().index;
        rtnl.create_veth(&VethEnd::new(None, "down0"), &VethEnd::new(None, "down1")).unwrap();
        rtnl.create_veth(&VethEnd { mtu: 9000, up: true, ..VethEnd::new(None, "big0") }, &VethEnd::new(None, "big1"))
            .unwrap();
        let before = Traces::now();
        let refused = |arguments: &[&str], words: &[&str]| {
            let output = shaper(&[&["apply"], arguments].concat());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(words.iter().all(|word| said.contains(word)), "{arguments:?}: {said}");
            assert_eq!(Traces::now(), before, "{arguments:?}");
        };
        let delay = ["--delay", "1ms"];
        let with = |first: &[&'static str]| [first, &delay[..]].concat();
        refused(&with(&["eth7"]), &["there is no interface eth7", DEVICE]);
        refused(&with(&["lo"]), &["loopback"]);
        refused(&with(&["down0"]), &["ip link set down0 up"]);
        refused(&with(&["big0"]), &["the MTU of big0, 9000"]);
        refused(&with(&[DEVICE, "--netns", "nosuch"]), &["no network namespace \"nosuch\""]);
        refused(&with(&[DEVICE, "--pid", "4194305"]), &["no process"]);
        refused(&[DEVICE], &["nothing is asked for", "--delay 20ms"]);
        refused(&[DEVICE, "--egress", "wify"], &["--egress", "did you mean \"wifi\""]);
        refused(&[DEVICE, "--ingress", "--delay 20"], &["--ingress", "20ms"]);

        let default = Route { destination: Ipv4Addr::UNSPECIFIED.into(), prefix: 0, device, gateway: Some(FAR.into()) };
        rtnl.add_route(&default).unwrap();
        refused(&with(&[DEVICE]), &["has the default route", "--allow-default-route"]);
        let session = format!("192.0.2.1 50000 {NEAR} 22");
        rtnl.set_up(device, false).unwrap();
        rtnl.set_up(device, true).unwrap();
        let output =
            Command::new(SHAPER).args(with(&["apply", DEVICE])).env("SSH_CONNECTION", session).output().unwrap();
        assert!(stderr(&output).contains("carries an ssh session of yours"), "{}", stderr(&output));
        rtnl.add_route(&default).unwrap();

        let allowed = shaper(&with(&["apply", DEVICE, "--allow-default-route", "--detach"]));
        assert!(allowed.status.success(), "{}", stderr(&allowed));
        let left = status()[0]["ends_in_s"].as_f64().unwrap();
        assert!((250.0..=300.0).contains(&left), "{left} s until it undoes itself");
        assert!(shaper(&["clear", DEVICE]).status.success());
        assert_eq!(Traces::now(), before);
        for name in ["down0", "big0"] {
            rtnl.delete(rtnl.link(name).unwrap().index).unwrap();
        }
        cable.cut();
    });
}

#[test]
fn a_profile_of_a_file_brings_its_rules_which_are_counted() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let before = Traces::now();
        let file = host.folder().join("rules.toml");
        fs::write(&file, "delay = \"5ms\"\n[[rule]]\nname = \"echo\"\nmatch = \"udp port 7007\"\ndelay = \"15ms\"\n")
            .unwrap();
        let output = shaper(&["apply", DEVICE, "--profile", file.to_str().unwrap(), "--detach"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("rule echo (udp port 7007)"), "{}", stderr(&output));
        let took = cable.echo(10);
        assert!(took.iter().all(|took| took.is_some_and(|took| took >= Duration::from_millis(30))), "{took:?}");
        for direction in status()[0]["directions"].as_array().unwrap() {
            let [rule] = &direction["rules"].as_array().unwrap()[..] else { panic!("{direction}") };
            assert_eq!((rule["name"].as_str(), rule["matched"].as_u64()), (Some("echo"), Some(10)));
        }
        assert!(shaper(&["clear", DEVICE]).status.success());
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn an_interface_elsewhere_is_found_by_name_and_by_process() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let mut inside = cable.far.run(|| Command::new("sleep").arg("60").spawn().unwrap()).unwrap();
        let pid = inside.id().to_string();
        for place in [["--netns", "far"], ["--pid", pid.as_str()]] {
            let output = shaper(&[&["apply", DEVICE, "--delay", "15ms", "--detach"], &place[..]].concat());
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(cable.takes(|took| took >= Duration::from_millis(30)));
            assert!(status()[0]["netns"].is_string());
            // Of this name there is one here too, and it is another.
            for arguments in [&["apply", DEVICE, "--change", "--delay", "1ms"][..], &["clear", DEVICE]] {
                let refused = shaper(arguments);
                assert_eq!(refused.status.code(), Some(2));
                assert!(stderr(&refused).contains("eth0 is not impaired"), "{}", stderr(&refused));
            }
            let changed = shaper(&[&["apply", DEVICE, "--change", "--delay", "25ms"], &place[..]].concat());
            assert!(changed.status.success(), "{}", stderr(&changed));
            assert!(until(SOON, || cable.takes(|took| took >= Duration::from_millis(50))));
            assert!(shaper(&[&["clear", DEVICE], &place[..]].concat()).status.success());
        }
        inside.kill().unwrap();
        inside.wait().unwrap();
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

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
        assert!(impaired());
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
        let running = apply(&[DEVICE, "--egress", "--delay 6s", "--json"]);
        assert!(impaired());
        UdpSocket::bind((NEAR, 0)).unwrap().send_to(b"late", (FAR, 9)).unwrap();
        assert!(until(SOON, || status()[0]["directions"][0]["arrived"] == 1));
        assert!(shaper(&["clear", DEVICE]).status.success());
        let output = running.wait_with_output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &told["directions"][0]["out"]), (Some(0), &1.into()), "{told}");
        cable.cut();
    });
}

#[test]
fn an_interface_that_goes_away_ends_it_and_nothing_is_left() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let rtnl = Rtnl::open().unwrap();
        let running = apply(&[DEVICE, "--delay", "5ms"]);
        assert!(impaired());
        // Another name is no reason to end.
        rtnl.rename(rtnl.link(DEVICE).unwrap().index, "other0").unwrap();
        assert!(cable.takes(|took| took >= Duration::from_millis(10)));
        rtnl.rename(rtnl.link("other0").unwrap().index, DEVICE).unwrap();
        rtnl.delete(rtnl.link(DEVICE).unwrap().index).unwrap();
        let output = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("went away while it was impaired"), "{said}");
        drop(cable.far);
        cable.journal.undo().unwrap();
    });
}

#[test]
fn while_its_process_stands_still_traffic_passes_unimpaired_and_that_is_told() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let running = apply(&[DEVICE, "--delay", "20ms"]);
        assert!(impaired());
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
        tc("qdisc add dev eth0 root handle 7: tbf rate 1gbit burst 100kb latency 50ms");
        tc("qdisc add dev eth0 clsact");
        // Of somebody else: a program that lets everything pass, and counts what does.
        let mut theirs = Object::load(1 << 16, Exclusion::Lock, &Room::PLAIN).unwrap();
        theirs.set_diversion(0, Diversion { into: 1, on: 1, ..Diversion::default() }).unwrap();
        theirs.attach_diversion(0, DEVICE, true, Hook::Tcx).unwrap();
        let seen = || theirs.edge_counts(0).unwrap().let_pass;
        let (before, qdiscs) = (Traces::now(), tc("qdisc show dev eth0"));
        assert!(qdiscs.contains("tbf 7:") && qdiscs.contains("clsact"), "{qdiscs}");
        for killed in [false, true] {
            let output = shaper(&["apply", DEVICE, "--delay", "5ms", "--detach"]);
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
    let drawn = moment(number, FIRST, LAST).as_nanos() as usize;
    CHOICES.get(drawn % CHOICES.len()).copied().unwrap_or_default().iter().map(|flag| (*flag).to_owned()).collect()
}

#[test]
fn changed_at_random_under_traffic_every_packet_is_accounted_for_and_memory_stays() {
    let lasts = Duration::from_secs(if std::env::var_os("SHAPER_TEST_FULL").is_some() { 600 } else { 30 });
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let running = apply(&[DEVICE, "--delay", "1ms", "--json"]);
        assert!(impaired());
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
        signal(ProcessId::of(running.id()).unwrap(), libc::SIGTERM);
        let output = running.wait_with_output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), told["findings"].as_array().unwrap().len()), (Some(0), 0), "{told}");
        let egress = &told["directions"][0];
        assert_eq!(egress["fates_checked"], egress["arrived"], "{told}");
        assert!(egress["arrived"].as_u64().unwrap() > 10_000, "{told}");
        // The first changes touch memory for the first time.
        let (first, last) = (sizes[sizes.len() / 3], sizes[sizes.len() - 1]);
        assert!(last < first + first / 10 + 4_096, "{first} kB became {last} kB: {sizes:?}");
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
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

/// How many moments, and at which of them the guard dies too: at one of four.
fn moments() -> (u64, u64) {
    if std::env::var_os("SHAPER_TEST_FULL").is_some() { (200, 4) } else { (20, 4) }
}

/// When, after the start.
const FIRST: Duration = Duration::from_millis(5);
const LAST: Duration = Duration::from_millis(1000);

#[test]
fn killed_at_any_moment_it_leaves_the_interface_as_it_was() {
    let (moments, every) = moments();
    on_own_host(|_| {
        let cable = Cable::laid();
        let before = Traces::now();
        let (mut stood, mut kept) = (0, 0);
        for number in 0..moments {
            let moment = moment(number, FIRST, LAST);
            // The moments fall into its set-up, its traffic, and its way back.
            let mut running = apply(&[DEVICE, "--profile", "wifi", "--for", "700ms"]);
            let process = ProcessId::of(running.id()).unwrap();
            std::thread::sleep(moment);
            let without_guard = number % every == 0;
            let guard = child(running.id(), "__guard").filter(|_| without_guard);
            // While it stands still nobody can undo, and what is there can be seen.
            signal(process, libc::SIGSTOP);
            stood += u32::from(Traces::now().devices.len() > before.devices.len());
            if let Some(guard) = guard {
                signal(guard, libc::SIGKILL);
                assert!(until(SOON, || !guard.is_running().unwrap()), "the guard outlives SIGKILL");
            }
            running.kill().unwrap();
            running.wait().unwrap();
            if without_guard {
                assert!(until(SOON, || Traces::now().processes == before.processes), "{:?}", Traces::now());
                kept += u32::from(Traces::now() != before);
                let cleared = shaper(&["clear"]);
                assert!(cleared.status.success(), "{}", stderr(&cleared));
                assert_eq!(Traces::now(), before, "killed with its guard after {moment:?}, and cleared");
            } else {
                let gone = until(SOON, || Traces::now() == before);
                assert!(gone, "killed after {moment:?}: {:?} instead of {before:?}", Traces::now());
            }
            assert!(cable.takes(|_| true), "killed after {moment:?}: nothing passes any more");
        }
        assert!(stood >= moments as u32 / 3, "of {moments} moments only {stood} met an impaired interface");
        assert!(kept > 0, "no moment left anything to clear");
        assert!(fs::read_dir("/run/shaper").unwrap().count() <= 1);
        cable.cut();
    });
}
