//! Killed at any moment, whatever was being done: the host is as it was, by the guard alone, and where that dies too by one
//! `clear`.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/children.rs"]
mod children;
#[path = "support/command.rs"]
mod command;
#[path = "support/moments.rs"]
mod moments;
mod support;

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use cable::{Cable, DEVICE};
use children::child;
use command::{SOON, shaper, signal, start, stderr};
use moments::moment;
use nix::libc;
use shaper_net::process::ProcessId;
use shaper_net::rtnl::{Rtnl, VethEnd};
use support::{Traces, on_own_host, until};

/// How many moments. The guard dies too at one of four.
fn moments() -> u64 {
    if std::env::var_os("SHAPER_TEST_FULL").is_some() { 200 } else { 20 }
}

/// What is killed while it impairs something: its moments fall into set-up, traffic, and the way back. Where the kernel
/// has `fq`, those that name no engine have engine `edt`.
const IMPAIRING: [&[&str]; 5] = [
    &["apply", DEVICE, "--profile", "wifi", "--for", "700ms"],
    &["bridge", "one0", "two0", "--delay", "5ms", "--for", "700ms"],
    &["bridge", "one0", "two0", "--delay", "5ms", "--for", "700ms", "--hook", "xdp"],
    &["exec", "--delay", "5ms", "--", "sleep", "0.7"],
    &["apply", DEVICE, "--engine", "xsk", "--delay", "5ms", "--for", "700ms"],
];
/// When, after the start.
const FIRST: Duration = Duration::from_millis(5);
const IMPAIRED_FOR: Duration = Duration::from_millis(700);

/// What is killed while another process impairs an interface.
const BESIDE: [&[&str]; 2] = [&["apply", DEVICE, "--change", "--delay", "9ms"], &["clear", DEVICE]];
/// When: both take some tens of milliseconds here.
const LAST_BESIDE: Duration = Duration::from_millis(60);

/// How long it takes, to the way back included, without the time for which it impairs.
fn takes(arguments: &[&str], of_it: Duration) -> Duration {
    let begun = Instant::now();
    let output = shaper(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    begun.elapsed().saturating_sub(of_it)
}

/// Kills it, where it says so with its guard; whether anything stood then, and whether anything was left.
fn kill(mut running: Child, with_guard: bool, before: &Traces) -> (bool, bool) {
    let guard = child(running.id(), "__guard").filter(|_| with_guard);
    // While it stands still nobody can undo, and what is there can be seen.
    signal(ProcessId::of(running.id()).unwrap(), libc::SIGSTOP);
    let stood = Traces::now().devices != before.devices;
    if let Some(guard) = guard {
        signal(guard, libc::SIGKILL);
        assert!(until(SOON, || !guard.is_running().unwrap()), "the guard outlives SIGKILL");
    }
    running.kill().unwrap();
    running.wait().unwrap();
    if with_guard {
        assert!(until(SOON, || Traces::now().processes == before.processes), "{:?}", Traces::now());
    }
    (stood, with_guard && Traces::now() != *before)
}

fn clear(arguments: &[&str]) {
    let cleared = shaper(&[&["clear"], arguments].concat());
    assert!(cleared.status.success(), "{}", stderr(&cleared));
}

/// Two cables from the test's host to itself, whose ends `one0` and `two0` can be bridged.
fn lay_two() {
    let rtnl = Rtnl::open().unwrap();
    for [near, far] in [["one0", "one1"], ["two0", "two1"]] {
        rtnl.create_veth(&VethEnd::new(None, near), &VethEnd::new(None, far)).unwrap();
        for name in [near, far] {
            rtnl.set_up(rtnl.link(name).unwrap().index, true).unwrap();
        }
    }
}

#[test]
fn killed_at_any_moment_it_leaves_the_host_as_it_was() {
    let moments = moments();
    on_own_host(|host| {
        // An emulated machine takes more than a second to take all back, and what is under way waits.
        let cable = Cable { patience: SOON, ..Cable::laid() };
        lay_two();
        let before = Traces::now();
        // On an emulated machine all of it takes seconds.
        let taken = (0..3).map(|_| takes(IMPAIRING[0], IMPAIRED_FOR)).min().unwrap();
        let last = IMPAIRED_FOR + taken.max(Duration::from_millis(300));
        let (mut stood, mut kept) = (0, 0);
        for number in 0..moments {
            let arguments = IMPAIRING[number as usize % IMPAIRING.len()];
            let with_guard = (number / IMPAIRING.len() as u64).is_multiple_of(4);
            let moment = moment(number, FIRST, last);
            let running = start(arguments);
            std::thread::sleep(moment);
            let (stands, left) = kill(running, with_guard, &before);
            stood += u64::from(stands);
            kept += u64::from(left);
            if with_guard {
                clear(&[]);
                assert_eq!(Traces::now(), before, "{arguments:?} killed with its guard after {moment:?}, and cleared");
            } else {
                let gone = until(SOON, || Traces::now() == before);
                assert!(gone, "{arguments:?} killed after {moment:?}: {:?} instead of {before:?}", Traces::now());
            }
            host.assert_no_program_left();
            assert!(cable.takes(|_| true), "{arguments:?} killed after {moment:?}: nothing passes any more");
        }
        assert!(stood >= moments / 3, "of {moments} moments only {stood} met anything impaired");
        assert!(kept > 0, "no moment left anything to clear");
        assert!(fs::read_dir("/run/shaper").unwrap().count() <= 1);
        let rtnl = Rtnl::open().unwrap();
        for name in ["one0", "two0"] {
            rtnl.delete(rtnl.link(name).unwrap().index).unwrap();
        }
        cable.cut();
    });
}

#[test]
fn a_change_or_a_clear_that_is_killed_leaves_what_runs_whole() {
    let moments = moments();
    on_own_host(|host| {
        // An emulated machine takes more than a second to take all back, and what is under way waits.
        let cable = Cable { patience: SOON, ..Cable::laid() };
        let before = Traces::now();
        let detach = || {
            let detached = shaper(&["apply", DEVICE, "--delay", "3ms", "--detach"]);
            assert!(detached.status.success(), "{}", stderr(&detached));
        };
        detach();
        let last = BESIDE.map(|arguments| takes(arguments, Duration::ZERO)).into_iter().max().unwrap().max(LAST_BESIDE);
        for number in 0..moments {
            detach();
            let arguments = BESIDE[number as usize % BESIDE.len()];
            let moment = moment(number, Duration::from_millis(1), last);
            let mut running = start(arguments);
            std::thread::sleep(moment);
            running.kill().unwrap();
            running.wait().unwrap();
            // Impaired, by whichever settings, or as before: never dead, and nothing that is under way is lost.
            assert!(cable.takes(|_| true), "{arguments:?} killed after {moment:?}: nothing passes any more");
            // Which finds nothing where the other one came to its end.
            shaper(&["clear", DEVICE]);
            clear(&[]);
            let gone = until(SOON, || Traces::now() == before);
            assert!(gone, "{arguments:?} killed after {moment:?}, and cleared: {:?}", Traces::now());
            host.assert_no_program_left();
        }
        cable.cut();
    });
}
