//! How a run begins and ends: signals while it is built and judged, whose its files are, and what its ends say.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/runs.rs"]
mod runs;
mod support;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runs::Started;
use support::{on_own_host, until};

const NOBODY: u32 = 65_534;
const SOON: Duration = Duration::from_secs(60);

fn interrupt(run: &Started) {
    kill(Pid::from_raw(run.pid().cast_signed()), Signal::SIGINT).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_run_that_is_interrupted_while_it_is_built_says_so_and_leaves_nothing() {
    on_own_host(|host| {
        // When the directory is there, when the lab is, when captures are, when a role is.
        for sign in ["manifest.json", "a.spool", "g.spool", "b.jsonl"] {
            let run = host.start("toast --peers 6 --profile clean --duration 1s");
            assert!(until(SOON, || run.out.join(sign).exists()), "{sign}");
            interrupt(&run);
            let out = run.out.clone();
            let ended = run.end();
            assert_eq!(ended.code, Some(2), "{sign}: {}", ended.stderr);
            let last = ended.stderr.lines().last().unwrap_or_default();
            assert!(last.contains("interrupted while building, nothing measured"), "{sign}: {}", ended.stderr);
            assert!(!out.exists(), "{sign}: {:?}", names(&out));
        }
    });
}

#[test]
fn an_empty_directory_that_the_caller_named_outlives_a_run_that_came_to_nothing() {
    on_own_host(|host| {
        let out = host.folder.path().join("mine");
        fs::create_dir(&out).unwrap();
        std::os::unix::fs::chown(&out, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::set_permissions(&out, fs::Permissions::from_mode(0o751)).unwrap();
        let run = host.start_with("toast --profile clean --duration 1s", &out, |_| {});
        assert!(until(SOON, || out.join("a.spool").exists()));
        interrupt(&run);
        assert_eq!(run.end().code, Some(2));
        let left = fs::metadata(&out).unwrap();
        assert_eq!((names(&out).len(), left.uid(), left.mode() & 0o7777), (0, NOBODY, 0o751));
    });
}

#[test]
fn what_the_run_wrote_is_the_callers_and_nothing_else() {
    on_own_host(|host| {
        let folder = host.folder.path();
        let out = folder.join("x/y/run");
        let victim = folder.join("victim");
        fs::write(&victim, "root's").unwrap();
        let run = host.start_with("probe --profile clean --packets 200 --interval 1ms", &out, |command| {
            command.env("SUDO_UID", NOBODY.to_string()).env("SUDO_GID", NOBODY.to_string());
        });
        assert!(until(SOON, || out.join("manifest.json").exists()));
        let during = fs::metadata(&out).unwrap();
        assert_eq!((during.uid(), during.mode() & 0o7777), (0, 0o700));
        // Only root can, by now.
        symlink(&victim, out.join("zz")).unwrap();
        assert_eq!(run.end().summary().run.workload, "probe");
        for path in [folder.join("x"), folder.join("x/y"), out.clone()] {
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o700), (NOBODY, NOBODY, 0o700), "{}", path.display());
        }
        for name in names(&out) {
            let owner = if name == "zz" { 0 } else { NOBODY };
            assert_eq!(fs::symlink_metadata(out.join(&name)).unwrap().uid(), owner, "{name}");
        }
        assert_eq!(fs::metadata(&victim).unwrap().uid(), 0);
    });
}

#[test]
fn a_file_that_stands_where_one_is_to_be_written_ends_the_run() {
    on_own_host(|host| {
        let victim = host.folder.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        let run = host.start("probe --profile clean --packets 200 --interval 1ms");
        assert!(until(SOON, || run.out.join("manifest.json").exists()));
        symlink(&victim, run.out.join("summary.json")).unwrap();
        let out = run.out.clone();
        let ended = run.end();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("summary.json"), "{}", ended.stderr);
        assert!(!out.exists(), "{:?}", names(&out));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    });
}

#[test]
fn a_second_signal_ends_judging() {
    on_own_host(|host| {
        // Long to judge: captures are joined with as many records.
        let run = host.start("probe --profile clean --packets 400000 --interval 10us --payload 16");
        let out = run.out.clone();
        assert!(until(SOON, || out.join("a.pcapng").exists()), "{:?}", names(&out));
        let asked = Cell::new(0);
        assert!(until(SOON, || {
            interrupt(&run);
            asked.set(asked.get() + 1);
            !out.exists()
        }));
        let ended = run.end();
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("interrupted while judging"), "{}", ended.stderr);
        assert!(asked.get() >= 2);
    });
}

#[test]
fn what_cannot_be_run_is_refused_before_there_is_anything() {
    on_own_host(|host| {
        for (arguments, flag) in [
            ("toast --tempo 100,nan", "--tempo NaN"),
            ("toast --spacing 1us", "--spacing"),
            ("toast --duration 2s --late b@60s", "--late b@"),
            ("probe --packets 0", "--packets 0"),
        ] {
            let ended = host.run(arguments);
            assert_eq!(ended.code, Some(2), "{arguments}: {}", ended.stderr);
            assert!(ended.stderr.contains(flag) && ended.stderr.lines().count() == 1, "{arguments}: {}", ended.stderr);
            assert!(!ended.out.exists());
        }
    });
}
