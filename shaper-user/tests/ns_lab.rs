//! `shaper lab`, `clear` and `doctor` as root, on a host of the test's own.

#![cfg(feature = "live")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/children.rs"]
mod children;
mod support;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use children::child;
use serde_json::Value;
use shaper_net::netns::NetNs;
use shaper_net::process::{ProcessId, Running};
use support::{SHAPER, Traces, on_own_host, until};

/// Nothing here takes as long, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(20);

/// Takes down what a failing test leaves standing on its host.
struct Cleared;

impl Drop for Cleared {
    fn drop(&mut self) {
        let _ = Command::new(SHAPER).args(["clear", "--all"]).output();
    }
}

fn shaper(arguments: &[&str]) -> Output {
    Command::new(SHAPER).args(arguments).output().unwrap()
}

/// What the command prints on success.
fn said(arguments: &[&str]) -> String {
    let output = shaper(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "shaper {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the command says when it ends with `code`.
fn failed(arguments: &[&str], code: i32) -> String {
    let output = shaper(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "shaper {arguments:?}: {stderr}");
    stderr
}

/// A lab that is up.
struct Lab(Value);

impl Lab {
    fn up(flags: &[&str]) -> Self {
        Self(serde_json::from_str(&said(&[&["lab", "up", "--json"], flags].concat())).unwrap())
    }

    fn id(&self) -> &str {
        self.0["lab"]["id"].as_str().unwrap()
    }

    fn hosts(&self) -> &[Value] {
        self.0["lab"]["hosts"].as_array().unwrap()
    }

    /// The process that keeps it.
    fn owner(&self) -> Running {
        let id: ProcessId = serde_json::from_value(self.0["lab"]["owner"].clone()).unwrap();
        id.open().unwrap().expect("the process that keeps the lab is gone")
    }

    /// A socket of each host, and its address.
    fn sockets(&self) -> Vec<(UdpSocket, SocketAddr)> {
        let bound = |host: &Value| {
            let text = |key: &str| host[key].as_str().unwrap();
            let address: SocketAddr = format!("{}:0", text("ipv4")).parse().unwrap();
            let socket = NetNs::open(text("netns")).unwrap().run(|| UdpSocket::bind(address)).unwrap().unwrap();
            socket.set_read_timeout(Some(LIMIT)).unwrap();
            let address = socket.local_addr().unwrap();
            (socket, address)
        };
        self.hosts().iter().map(bound).collect()
    }
}

/// One datagram there and one back.
fn round_trip((from, at_from): &(UdpSocket, SocketAddr), (to, at_to): &(UdpSocket, SocketAddr)) -> Duration {
    let mut buffer = [0; 16];
    let start = Instant::now();
    from.send_to(b"there", at_to).unwrap();
    assert_eq!(to.recv_from(&mut buffer).unwrap(), (5, *at_from));
    to.send_to(b"back", at_from).unwrap();
    assert_eq!(from.recv_from(&mut buffer).unwrap(), (4, *at_to));
    start.elapsed()
}

/// Waits until the host is as it was before the test.
fn until_as(before: &Traces) {
    until(LIMIT, || Traces::now() == *before);
    assert_eq!(Traces::now(), *before);
}

#[test]
fn a_pair_delays_each_way_and_its_end_leaves_nothing() {
    on_own_host(|_| {
        let before = Traces::now();
        let _cleared = Cleared;
        let lab = Lab::up(&["--latency", "20ms"]);
        let sockets = lab.sockets();
        let trips: Vec<_> = (0..20).map(|_| round_trip(&sockets[0], &sockets[1])).collect();
        let shortest = *trips.iter().min().unwrap();
        // Never early; and late by what this host's timers and scheduler take, twice.
        assert!(shortest >= Duration::from_millis(40), "{trips:?}");
        assert!(shortest < Duration::from_millis(45), "{trips:?}");
        drop(sockets);
        assert!(said(&["lab", "list"]).contains(lab.id()));
        assert_eq!(said(&["lab", "down"]), format!("lab {} is down\n", lab.id()));
        assert_eq!(Traces::now(), before);
        assert!(said(&["lab", "list"]).contains("no lab is up"));
    });
}

#[test]
fn a_command_runs_on_its_host_and_its_exit_code_is_ours() {
    on_own_host(|_| {
        let _cleared = Cleared;
        let lab = Lab::up(&[]);
        for host in lab.hosts() {
            let name = host["name"].as_str().unwrap();
            let inside = said(&["lab", "exec", name, "--", "cat", "/proc/self/net/fib_trie"]);
            assert!(inside.contains(host["ipv4"].as_str().unwrap()), "{name}: {inside}");
        }
        // Arguments of the command's own are not taken for ours, with and without the dashes.
        failed(&["lab", "exec", "a", "--lab", lab.id(), "--", "sh", "-c", "exit 7"], 7);
        failed(&["lab", "exec", "a", "sh", "-c", "exit 9"], 9);
        assert!(failed(&["lab", "exec", "a", "nosuchprogram"], 127).contains("nosuchprogram"));
        let words = failed(&["lab", "exec", "q", "true"], 2);
        assert!(words.contains("no host q: it has a b"), "{words}");
        said(&["lab", "down"]);
        let words = failed(&["lab", "exec", "a", "true"], 2);
        assert!(words.contains("no lab is up: shaper lab up"), "{words}");
    });
}

#[test]
fn in_a_star_every_host_reaches_every_other() {
    on_own_host(|_| {
        let _cleared = Cleared;
        let lab = Lab::up(&["--hosts", "5", "--latency", "1ms"]);
        let sockets = lab.sockets();
        assert_eq!(sockets.len(), 5);
        for (at, from) in sockets.iter().enumerate() {
            for to in sockets.iter().skip(at + 1) {
                // Up and down, there and back; the first trip waits for ARP as well.
                let took = round_trip(from, to);
                assert!(took >= Duration::from_millis(4), "{took:?}");
            }
        }
        said(&["lab", "down", lab.id()]);
    });
}

#[test]
fn labs_stand_beside_each_other_and_are_told_apart() {
    on_own_host(|_| {
        let _cleared = Cleared;
        let (one, other) = (Lab::up(&["--latency", "5ms"]), Lab::up(&[]));
        let words = failed(&["lab", "exec", "a", "true"], 2);
        assert!(words.contains("2 labs are up") && words.contains(one.id()) && words.contains(other.id()), "{words}");
        let words = failed(&["lab", "down", "zzzzzz"], 2);
        assert!(words.contains("no lab zzzzzz is up"), "{words}");
        let (in_one, in_other) = (one.sockets(), other.sockets());
        said(&["lab", "down", other.id()]);
        assert!(round_trip(&in_one[0], &in_one[1]) >= Duration::from_millis(10));
        drop((in_one, in_other));
        assert_eq!(said(&["clear", "--all"]).matches("lab of 2 hosts").count(), 1);
        assert!(said(&["lab", "list"]).contains("no lab is up"));
    });
}

#[test]
fn paths_of_a_labs_profile_are_relative_to_where_the_command_was_given() {
    on_own_host(|host| {
        let _cleared = Cleared;
        fs::write(host.folder.path().join("slow.csv"), "time_ms,delay_ms\n0,30\n").unwrap();
        let up = ["lab", "up", "--json", "--trace", "slow.csv"];
        let output = Command::new(SHAPER).args(up).current_dir(host.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lab = Lab(serde_json::from_slice(&output.stdout).unwrap());
        let sockets = lab.sockets();
        // Settings over time count from a moment after the lab is up.
        assert!(until(LIMIT, || round_trip(&sockets[0], &sockets[1]) >= Duration::from_millis(60)));
    });
}

#[test]
fn the_guard_leaves_nothing_of_a_lab_whose_process_is_killed() {
    on_own_host(|_| {
        let before = Traces::now();
        let _cleared = Cleared;
        let lab = Lab::up(&["--hosts", "3", "--profile", "wifi"]);
        lab.owner().signal(nix::libc::SIGKILL).unwrap();
        until_as(&before);
        assert_eq!(said(&["clear"]), "nothing to clear\n");
    });
}

#[test]
fn clear_takes_back_a_lab_whose_process_and_guard_are_killed() {
    on_own_host(|_| {
        let before = Traces::now();
        let _cleared = Cleared;
        let lab = Lab::up(&[]);
        let owner = lab.owner();
        let guard = child(owner.id().pid, "__guard").expect("the guard watches").open().unwrap().unwrap();
        guard.terminate(Duration::ZERO).unwrap();
        owner.terminate(Duration::ZERO).unwrap();
        assert!(said(&["lab", "list"]).contains("its process is gone: shaper clear"));
        let words = failed(&["lab", "exec", "a", "true"], 2);
        assert!(words.contains("the process that keeps it is gone") && words.contains("shaper clear"), "{words}");
        let cleared: Value = serde_json::from_str(&said(&["clear", "--json"])).unwrap();
        let undone = cleared[0]["undone"].as_array().unwrap();
        for name in ["a", "b", "link"] {
            let change = format!("network namespace shaper-{}-{name}", lab.id());
            assert!(undone.iter().any(|entry| *entry == change.as_str()), "no {change} in {cleared}");
        }
        until_as(&before);
    });
}

#[test]
fn without_root_a_lab_is_refused_and_nothing_is_left_behind() {
    on_own_host(|host| {
        let before = Traces::now();
        const NOBODY: u32 = 65_534;
        // Where the binary was built may be closed to others.
        let binary = host.folder.path().join("shaper");
        fs::copy(SHAPER, &binary).unwrap();
        let output =
            Command::new(&binary).args(["lab", "up"]).current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(words.contains("run it as root"), "{words}");
        assert_eq!(Traces::now(), before);
        let output = Command::new(&binary).arg("doctor").current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap();
        let words = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("run as root: sudo shaper doctor"), "{words}");
    });
}

#[test]
fn doctor_finds_all_that_a_run_needs_and_leaves_nothing() {
    on_own_host(|_| {
        let before = Traces::now();
        let found: Value = serde_json::from_str(&said(&["doctor", "--json"])).unwrap();
        assert_eq!(found["can_run"], true, "{found}");
        let needed: Vec<_> = found["findings"].as_array().unwrap().iter().filter(|f| f["needed"] == true).collect();
        assert!(needed.len() >= 6 && needed.iter().all(|finding| finding["has"] == "yes"), "{found}");
        assert_eq!(Traces::now(), before);
        assert!(said(&["doctor", "--verifier"]).contains("all programs accepted"));
    });
}

#[test]
fn what_still_runs_in_a_host_of_a_lab_that_goes_down_is_named() {
    on_own_host(|_| {
        let _cleared = Cleared;
        let lab = Lab::up(&[]);
        let mut guest = Command::new(SHAPER).args(["lab", "exec", "a", "--", "sleep", "60"]).spawn().unwrap();
        let name = || fs::read_to_string(format!("/proc/{}/comm", guest.id())).unwrap_or_default();
        assert!(until(LIMIT, || name() == "sleep\n"), "{}", name());
        let told = said(&["lab", "down", lab.id()]);
        guest.kill().unwrap();
        guest.wait().unwrap();
        let process = format!("process {} still runs in what was host a", guest.id());
        assert!(told.contains(&process) && told.contains(&format!("kill {}", guest.id())), "{told}");
        let other = Lab::up(&[]);
        let told = said(&["lab", "down", other.id()]);
        assert_eq!(told.lines().count(), 1, "{told}");
    });
}
