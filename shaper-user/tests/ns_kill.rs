//! Killed at any moment, a run leaves nothing: its guard takes everything away, and without a guard `shaper clear` does.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/children.rs"]
mod children;
#[path = "support/moments.rs"]
mod moments;
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use children::child;
use moments::moment;
use nix::libc;
use shaper_net::process::ProcessId;
use support::{SHAPER, Traces, on_own_host, until};

/// A short run: the moments fall into its set-up, its traffic, its drain, its judgement and its clean-up.
const RUN: &str = "toast --profile wifi --duration 1s --seed 7";
/// The permissions of the directory that a run is told to write to, before it and after it.
const MODE: u32 = 0o751;
/// How soon all must be gone. The guard needs a fraction of this; other work on the machine may need the rest.
const SOON: Duration = Duration::from_secs(15);

/// How many moments, and at which of them the guard dies too: at one of five.
fn moments() -> (u64, u64) {
    if std::env::var_os("SHAPER_TEST_FULL").is_some() { (250, 5) } else { (25, 5) }
}

/// When, after the start.
const FIRST: Duration = Duration::from_millis(20);
const LAST: Duration = Duration::from_millis(4000);

#[test]
fn a_run_killed_at_any_moment_leaves_nothing() {
    let (moments, every) = moments();
    on_own_host(|host| {
        // Not killed, it works: otherwise there would be nothing to leave behind.
        let summary = host.run(RUN).summary();
        assert!(summary.commands.unwrap().total.delivered > 0);
        let before = Traces::now();
        let (mut stood, mut kept) = (0, 0);
        for number in 0..moments {
            let started = Instant::now();
            let out = host.folder.path().join(format!("out{number}"));
            fs::create_dir(&out).unwrap();
            fs::set_permissions(&out, fs::Permissions::from_mode(MODE)).unwrap();
            let run = host.start_with(RUN, &out, |_| {});
            let moment = moment(number, FIRST, LAST);
            std::thread::sleep(moment.saturating_sub(started.elapsed()));
            let without_guard = number % every == 0;
            let guard = child(run.pid(), "__guard").filter(|_| without_guard);
            // While it stands still nobody can undo, and what is there can be seen.
            signal(ProcessId::of(run.pid()).unwrap(), libc::SIGSTOP);
            stood += u32::from(!Traces::now().namespaces.is_empty());
            if let Some(guard) = guard {
                signal(guard, libc::SIGKILL);
                assert!(until(SOON, || !guard.is_running().unwrap()), "the guard outlives SIGKILL");
            }
            drop(run);
            if without_guard {
                // Its processes die with it, a moment later.
                assert!(
                    until(SOON, || Traces::now().processes.is_empty()),
                    "killed after {moment:?}: {:?}",
                    Traces::now()
                );
                kept += u32::from(Traces::now() != before);
                let cleared = Command::new(SHAPER).arg("clear").output().unwrap();
                assert!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
                assert_eq!(Traces::now(), before, "killed with its guard after {moment:?}, and cleared");
            } else {
                let gone = until(SOON, || Traces::now() == before);
                assert!(gone, "killed after {moment:?}: {:?} instead of {before:?}", Traces::now());
            }
            let mode = fs::metadata(&out).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, MODE, "the run directory, killed after {moment:?}");
        }
        assert!(stood >= moments as u32 / 2, "of {moments} moments only {stood} met a lab");
        assert!(kept > 0, "no moment left anything to clear");
    });
}

#[test]
fn the_next_run_takes_away_what_a_dead_one_left() {
    on_own_host(|host| {
        let before = Traces::now();
        let run = host.start(RUN);
        assert!(until(Duration::from_secs(30), || !Traces::now().namespaces.is_empty()));
        signal(child(run.pid(), "__guard").expect("the guard watches"), libc::SIGKILL);
        drop(run);
        assert!(until(SOON, || Traces::now().processes.is_empty()), "{:?}", Traces::now());
        assert_ne!(Traces::now(), before);
        host.run(RUN).summary();
        assert_eq!(Traces::now(), before);
    });
}

fn signal(process: ProcessId, signal: i32) {
    if let Some(running) = process.open().unwrap() {
        running.signal(signal).unwrap();
    }
}
