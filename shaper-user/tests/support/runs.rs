//! Runs of the command on a host of the test's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shaper_net::process::ProcessId;
use shaper_report::summary::Summary;

use crate::support::{Host, SHAPER};

/// No run of these tests takes as long, on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(120);
/// Runs that were started, for the names of their files.
static STARTED: AtomicU32 = AtomicU32::new(0);

impl Host {
    /// Starts `shaper run` with these arguments and a new run directory.
    pub(crate) fn start(&self, arguments: &str) -> Started {
        let out = self.folder.path().join(format!("run{}", STARTED.load(Ordering::Relaxed)));
        self.start_with(arguments, &out, |_| {})
    }

    /// Starts `shaper run` with a run directory of the caller's choice, and a last word on how.
    pub(crate) fn start_with(&self, arguments: &str, out: &Path, how: impl FnOnce(&mut Command)) -> Started {
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.folder.path().join(format!("run{number}.{name}")));
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
