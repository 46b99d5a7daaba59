//! Runs of the command on a host of the test's own: private `/run` and mounts, and a network namespace with a pair of
//! bystanding devices, so that what a run leaves behind can be seen exactly, whatever else goes on on the machine.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic with their context")]

mod programs;
mod traces;

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use shaper_net::process::ProcessId;
use shaper_net::rtnl::{Rtnl, VethEnd};
use shaper_report::summary::Summary;
use tempfile::TempDir;

use programs::Programs;
pub(crate) use traces::Traces;

/// The command under test.
pub(crate) const SHAPER: &str = env!("CARGO_BIN_EXE_shaper");
/// No run of these tests takes as long, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(120);

/// A host of its own.
pub(crate) struct Host {
    folder: TempDir,
    before: Traces,
    programs: Programs,
    runs: Cell<u32>,
}

/// Runs a test on a host of its own, one at a time, and sees that nothing is left behind there.
pub(crate) fn on_own_host(test: impl FnOnce(&Host) + Send) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A thread of its own, for a thread that has left its namespaces is of no use to another test.
    let ended = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            leave_the_real_host();
            let folder = tempfile::tempdir().unwrap();
            // Other programs that look at what was written do so without root.
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let host = Host { folder, before: Traces::now(), programs: Programs::now(), runs: Cell::new(0) };
            test(&host);
            assert_eq!(Traces::now(), host.before, "left behind");
            host.programs.assert_none_left();
        });
        inside.join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Moves the calling thread, and all that it starts.
fn leave_the_real_host() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("this test needs root");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    // Our copies of the real host's mounts there would come into the count, and go whenever theirs go.
    for place in traces::mounts().iter().filter(|place| place.starts_with("/run/")) {
        let _ = umount2(place.as_str(), MntFlags::MNT_DETACH);
    }
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let rtnl = Rtnl::open().unwrap();
    rtnl.create_veth(&VethEnd::new(None, "bystander0"), &VethEnd::new(None, "bystander1")).unwrap();
    for end in rtnl.links().unwrap() {
        rtnl.set_up(end.index, true).unwrap();
    }
}

impl Host {
    /// A folder that goes with the test.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `shaper run` with these arguments and a new run directory.
    pub(crate) fn start(&self, arguments: &str) -> Started {
        let out = self.folder().join(format!("run{}", self.runs.get()));
        self.start_with(arguments, &out, |_| {})
    }

    /// Starts `shaper run` with a run directory of the caller's choice, and a last word on how.
    pub(crate) fn start_with(&self, arguments: &str, out: &Path, how: impl FnOnce(&mut Command)) -> Started {
        let number = self.runs.replace(self.runs.get() + 1);
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.folder().join(format!("run{number}.{name}")));
        let mut command = Command::new(SHAPER);
        command.arg("run").args(arguments.split_whitespace()).arg("--json").arg("--out").arg(out);
        command.stdin(Stdio::null());
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        how(&mut command);
        let child = command.spawn().unwrap();
        Started { child, arguments: arguments.to_owned(), out: out.to_owned(), stdout, stderr }
    }

    /// Runs `shaper run` to its end.
    pub(crate) fn run(&self, arguments: &str) -> Ended {
        self.start(arguments).end()
    }
}

/// A run that goes on.
pub(crate) struct Started {
    child: Child,
    /// The run directory.
    pub(crate) out: PathBuf,
    arguments: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Started {
    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        // A process that has ended already and was not waited for has its start time still.
        let running = ProcessId::of(self.pid()).unwrap().open().unwrap();
        let ended = running.is_none_or(|running| running.ended(LIMIT).unwrap());
        let [stdout, stderr] = [&self.stdout, &self.stderr].map(|path| fs::read_to_string(path).unwrap());
        let arguments = &self.arguments;
        assert!(ended, "`shaper run {arguments}` goes on after {LIMIT:?}: {stderr}");
        let status = self.child.wait().unwrap();
        Ended { code: status.code(), arguments: arguments.clone(), out: self.out.clone(), stdout, stderr }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Ended and waited for, unless the test is failing: the guard then takes away what it made.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that has ended.
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// The run directory.
    pub(crate) out: PathBuf,
    /// What it said beside the summary.
    pub(crate) stderr: String,
    arguments: String,
    stdout: String,
}

impl Ended {
    /// The summary, which standard output holds alone and the run directory holds too.
    pub(crate) fn summary(&self) -> Summary {
        let Self { code, arguments, stdout, stderr, .. } = self;
        let summary = Summary::from_json(stdout).unwrap_or_else(|e| {
            panic!("`shaper run {arguments}` ended with {code:?} and no summary ({e}): {stderr}");
        });
        assert_eq!(fs::read_to_string(self.out.join("summary.json")).unwrap(), *stdout, "{arguments}");
        assert_eq!(Some(i32::from(summary.exit_code)), *code, "{arguments}: {stderr}");
        summary
    }
}

/// Waits until `holds`; false when it does not within `limit`.
pub(crate) fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
