//! Guards and recovery: whoever is killed, and whenever, nothing stays.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use shaper_net::guard::{self, Guard};
use shaper_net::journal::{Entry, Header, Journal, Owners, list, recover};
use shaper_net::lab::{Lab, LabSpec};
use shaper_net::netns::{self, NetNs};
use shaper_net::process::{ProcessId, Running};
use shaper_net::role::{Role, RoleSpec};
use support::{HELPER, Traces};

fn main() -> ExitCode {
    support::main(
        &[
            (
                "a_guard_leaves_nothing_of_a_ward_killed_at_any_moment",
                a_guard_leaves_nothing_of_a_ward_killed_at_any_moment,
            ),
            (
                "recovery_leaves_nothing_when_the_guard_was_killed_too",
                recovery_leaves_nothing_when_the_guard_was_killed_too,
            ),
            (
                "recovery_leaves_a_running_owner_alone_unless_forced",
                recovery_leaves_a_running_owner_alone_unless_forced,
            ),
            ("guard_and_recovery_at_once_undo_once", guard_and_recovery_at_once_undo_once),
            ("a_guard_ends_with_its_journal", a_guard_ends_with_its_journal),
            ("a_guard_whose_ward_is_already_dead_undoes_at_once", a_guard_whose_ward_is_already_dead_undoes_at_once),
            ("a_guard_outlives_the_signals_of_a_terminal", a_guard_outlives_the_signals_of_a_terminal),
            ("a_guard_that_cannot_start_is_an_error", a_guard_that_cannot_start_is_an_error),
            ("a_journal_cut_short_is_undone_up_to_there", a_journal_cut_short_is_undone_up_to_there),
            ("a_line_that_cannot_be_read_is_reported_and_kept", a_line_that_cannot_be_read_is_reported_and_kept),
            ("recovery_leaves_the_callers_own_journal_alone", recovery_leaves_the_callers_own_journal_alone),
            ("a_process_that_only_shares_the_pid_is_not_killed", a_process_that_only_shares_the_pid_is_not_killed),
            ("a_journal_of_another_boot_touches_no_process", a_journal_of_another_boot_touches_no_process),
        ],
        &[("owner", owner), ("owner_without_guard", owner_without_guard)],
    )
}

/// Makes a guarded lab with a role in it, and says how far it is.
fn owner() {
    let journal = Journal::create("test owner").unwrap();
    let guard = Guard::start(&journal).unwrap();
    say(&format!("guard {}", guard.pid()));
    stand(&journal);
}

fn owner_without_guard() {
    stand(&Journal::create("test owner").unwrap());
}

fn stand(journal: &Journal) {
    let mut lab = Lab::up(journal, &LabSpec::star(4)).unwrap();
    lab.save(journal).unwrap();
    let _role = Role::spawn(journal, lab.netns("a").unwrap(), RoleSpec::new("sleeper", ["1000"]).program("sleep"));
    say("up");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn say(what: &str) {
    println!("{what}");
    std::io::stdout().flush().unwrap();
}

struct Owner {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Owner {
    fn start(which: &str) -> Self {
        let mut child = Command::new("/proc/self/exe")
            .args([HELPER, which])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn guard(&mut self) -> Running {
        let line = self.line();
        let pid = line.strip_prefix("guard ").unwrap().parse().unwrap();
        ProcessId::of(pid).unwrap().open().unwrap().expect("the guard runs")
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn ended(process: &Running) {
    assert!(process.ended(Duration::from_secs(30)).unwrap(), "{:?} has not ended", process.id());
}

/// What is there once the killed have ended: a process that dies with its parent is told so by the parent's end, and
/// takes a moment. One that was not told outlives this wait, and is seen.
fn after_death() -> Traces {
    for process in Traces::now().processes {
        let pid = process.split(' ').next().unwrap().parse().unwrap();
        if let Some(running) = ProcessId::of(pid).ok().and_then(|id| id.open().unwrap()) {
            running.ended(Duration::from_secs(2)).unwrap();
        }
    }
    Traces::now()
}

/// How long an owner takes from its guard to its finished lab.
fn time_to_stand() -> Duration {
    let mut owner = Owner::start("owner");
    let guard = owner.guard();
    let started = Instant::now();
    assert_eq!(owner.line(), "up");
    let took = started.elapsed();
    owner.kill();
    ended(&guard);
    took
}

/// Moments between 0 and a little more than the whole time, from a fixed seed (splitmix64).
fn moments(whole: Duration, n: usize) -> Vec<Duration> {
    let mut state = 0x5eed_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n).map(|_| whole.mul_f64(1.1 * next())).collect()
}

fn a_guard_leaves_nothing_of_a_ward_killed_at_any_moment() {
    let before = Traces::now();
    let whole = time_to_stand();
    assert_eq!(after_death(), before);
    for moment in moments(whole, 20) {
        let mut owner = Owner::start("owner");
        let guard = owner.guard();
        std::thread::sleep(moment);
        owner.kill();
        ended(&guard);
        assert_eq!(after_death(), before, "killed {moment:?} after its guard watched ({whole:?} for all)");
    }
}

fn recovery_leaves_nothing_when_the_guard_was_killed_too() {
    let before = Traces::now();
    let whole = time_to_stand();
    for moment in moments(whole, 10) {
        let mut owner = Owner::start("owner");
        let guard = owner.guard();
        std::thread::sleep(moment);
        guard.signal(libc::SIGKILL).unwrap();
        ended(&guard);
        owner.kill();
        let reports = recover(Owners::Dead).unwrap();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].failures, []);
        assert_eq!(reports[0].command, "test owner");
        assert_eq!(after_death(), before, "killed {moment:?} after its guard watched ({whole:?} for all)");
    }
    assert_eq!(recover(Owners::Dead).unwrap(), []);
}

fn recovery_leaves_a_running_owner_alone_unless_forced() {
    let before = Traces::now();
    let mut owner = Owner::start("owner_without_guard");
    assert_eq!(owner.line(), "up");
    let standing = Traces::now();
    assert_eq!(recover(Owners::Dead).unwrap(), []);
    assert_eq!(Traces::now(), standing);
    let listed = list().unwrap();
    assert!(listed.len() == 1 && listed[0].owner_runs && listed[0].standing >= 6, "{listed:?}");
    let reports = recover(Owners::All).unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].failures, []);
    let status = owner.child.wait().unwrap();
    assert!(!status.success());
    assert_eq!(after_death(), before);
}

fn guard_and_recovery_at_once_undo_once() {
    let before = Traces::now();
    for _ in 0..5 {
        let mut owner = Owner::start("owner");
        let guard = owner.guard();
        assert_eq!(owner.line(), "up");
        owner.kill();
        // The guard has woken by now, or is about to.
        for report in recover(Owners::Dead).unwrap() {
            assert_eq!(report.failures, []);
            // Only what ended by itself with its parent was gone: nothing was undone twice.
            assert!(report.gone.iter().all(|e| matches!(e, Entry::Process { .. })), "{report:?}");
        }
        assert_eq!(Traces::now().namespaces, before.namespaces);
        ended(&guard);
        assert_eq!(after_death(), before);
    }
}

fn a_guard_ends_with_its_journal() {
    let before = Traces::now();
    let journal = Journal::create("test").unwrap();
    let mut guard = Guard::start(&journal).unwrap();
    let process = ProcessId::of(guard.pid()).unwrap().open().unwrap().unwrap();
    let netns = NetNs::create(&journal, "one").unwrap();
    assert!(guard.watches());
    assert_eq!(Traces::now().namespaces, ["one"]);
    netns.delete().unwrap();
    journal.undo().unwrap();
    drop(guard);
    assert!(process.ended(Duration::ZERO).unwrap());
    assert_eq!(after_death(), before);
}

/// A journal whose owner ended long ago.
fn journal_of_the_dead(changes: &[Entry]) -> PathBuf {
    let journal = Journal::create("test").unwrap();
    let mut dead = Command::new("true").spawn().unwrap();
    let id = ProcessId::of(dead.id()).unwrap();
    dead.wait().unwrap();
    for change in changes {
        let _ = journal.record(change.clone()).unwrap();
    }
    let text = std::fs::read_to_string(journal.path()).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let mut header: Header = serde_json::from_str(first).unwrap();
    header.owner = id;
    let text = format!("{}\n{rest}", serde_json::to_string(&header).unwrap());
    let path = Path::new("/run/shaper/0dead000.journal");
    std::fs::write(path, text).unwrap();
    // Undoes nothing: the changes were never ours.
    std::fs::remove_file(journal.path()).unwrap();
    path.to_owned()
}

/// A namespace that nobody of this process keeps.
fn left_behind(name: &str) -> Entry {
    let journal = Journal::create("test").unwrap();
    let netns = NetNs::create(&journal, name).unwrap();
    std::fs::remove_file(journal.path()).unwrap();
    std::mem::forget(netns);
    Entry::NetNs { name: name.into() }
}

fn a_guard_whose_ward_is_already_dead_undoes_at_once() {
    std::fs::create_dir_all("/run/shaper").unwrap();
    let before = Traces::now();
    let journal = journal_of_the_dead(&[left_behind("one")]);
    let header = &list().unwrap()[0].header;
    let guard = Command::new("/proc/self/exe")
        .arg(guard::ARGUMENT)
        .arg(&journal)
        .arg(header.owner.pid.to_string())
        .arg(header.owner.start_time.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(guard.status.success());
    assert_eq!(guard.stdout, b"ready\n");
    assert_eq!(after_death(), before);
}

fn a_guard_outlives_the_signals_of_a_terminal() {
    let before = Traces::now();
    let mut owner = Owner::start("owner");
    let guard = owner.guard();
    assert_eq!(owner.line(), "up");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
        guard.signal(signal).unwrap();
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", guard.id().pid)).unwrap().count();
    assert!(open <= 5, "{open} descriptors: three standard ones, the ward's pidfd and the tether");
    assert_eq!(std::fs::read_link(format!("/proc/{}/cwd", guard.id().pid)).unwrap(), Path::new("/"));
    owner.kill();
    ended(&guard);
    assert_eq!(after_death(), before);
}

fn a_guard_that_cannot_start_is_an_error() {
    let journal = Journal::create("test").unwrap();
    assert!(Guard::start_with(&journal, Path::new("/nowhere"), &[]).is_err());
    let error = Guard::start_with(&journal, Path::new("/bin/true"), &[]).unwrap_err().to_string();
    assert!(error.contains("before it watched"), "{error}");
}

fn a_journal_cut_short_is_undone_up_to_there() {
    std::fs::create_dir_all("/run/shaper").unwrap();
    let before = Traces::now();
    let kept = left_behind("kept-by-another");
    let path = journal_of_the_dead(&[left_behind("one"), left_behind("two"), kept.clone()]);
    let whole = std::fs::read(&path).unwrap();
    // The last line was being written when its owner was killed: the change it announces was never made.
    std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let reports = recover(Owners::Dead).unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].failures, []);
    assert_eq!(reports[0].undone.len(), 2);
    assert_eq!(netns::list().unwrap(), ["kept-by-another"]);
    journal_of_the_dead(&[kept]);
    assert_eq!(recover(Owners::Dead).unwrap()[0].undone.len(), 1);
    assert_eq!(after_death(), before);
}

fn a_line_that_cannot_be_read_is_reported_and_kept() {
    std::fs::create_dir_all("/run/shaper").unwrap();
    let path = journal_of_the_dead(&[left_behind("one"), left_behind("two")]);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("{\"n\":1", "{\"n\":1,\"change\":\"of tomorrow\"}\n{\"n\":2", 1)).unwrap();
    std::fs::write("/run/shaper/0000bad0.journal", "no journal\n").unwrap();
    std::fs::write("/run/shaper/not-a-journal", "x").unwrap();
    let reports = recover(Owners::Dead).unwrap();
    assert_eq!(reports.len(), 2);
    let failed: Vec<_> = reports.iter().map(|r| (r.undone.len(), r.failures.len())).collect();
    assert_eq!(failed, [(0, 1), (2, 1)]);
    assert!(reports[1].failures[0].why.contains("line 3"), "{}", reports[1]);
    assert_eq!(netns::list().unwrap(), [""; 0]);
    assert!(path.exists());
}

fn recovery_leaves_the_callers_own_journal_alone() {
    let journal = Journal::create("test").unwrap();
    let _netns = NetNs::create(&journal, "one").unwrap();
    assert_eq!(recover(Owners::All).unwrap(), []);
    assert_eq!(netns::list().unwrap(), ["one"]);
}

fn a_process_that_only_shares_the_pid_is_not_killed() {
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let id = ProcessId::of(bystander.id()).unwrap();
    let reused = ProcessId { start_time: id.start_time - 1, ..id };
    journal_of_the_dead(&[Entry::Process { id: reused, name: "long gone".into() }]);
    let reports = recover(Owners::Dead).unwrap();
    assert_eq!((reports[0].undone.len(), reports[0].gone.len(), reports[0].failures.len()), (0, 1, 0));
    assert!(id.is_running().unwrap());
    journal_of_the_dead(&[Entry::Process { id, name: "still there".into() }]);
    let reports = recover(Owners::Dead).unwrap();
    assert_eq!((reports[0].undone.len(), reports[0].failures.len()), (1, 0));
    assert!(!id.is_running().unwrap());
    bystander.wait().unwrap();
}

fn a_journal_of_another_boot_touches_no_process() {
    let mut bystander = Command::new("sleep").arg("1000").spawn().unwrap();
    let id = ProcessId::of(bystander.id()).unwrap();
    let path = journal_of_the_dead(&[Entry::Process { id, name: "of another boot".into() }]);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace(boot.trim_end(), "00000000-0000-0000-0000-000000000000")).unwrap();
    assert_eq!(recover(Owners::Dead).unwrap()[0].gone.len(), 1);
    assert!(id.is_running().unwrap());
    assert!(!path.exists());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}
