//! The guard: a small process that undoes the journal when its ward can no longer do so itself.
//!
//! It is this same executable, started again with hidden arguments, detached from terminal and signals. It is started
//! before the first change, and ends when its ward has ended or has undone the journal itself. One that was given a time
//! ends its ward when that is over, whatever the ward does then.

use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::journal::{self, Journal};
use crate::process::ProcessId;
use crate::{Error, Result, sys};

/// The hidden argument that makes an executable a guard: it is to hand what follows to [`main`].
pub const ARGUMENT: &str = "__guard";

/// What the guard says on its pipe once it watches.
const READY: &[u8] = b"ready\n";
/// How long the kernel may take to end a process that is killed.
const KILLED: Duration = Duration::from_secs(5);

/// A running guard. Dropped after the journal was undone, it ends the guard process.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    /// Held open for as long as we want to be guarded.
    tether: Option<PipeWriter>,
    journal: PathBuf,
}

impl Guard {
    /// Starts a guard from the executable of this process; returns when it watches.
    pub fn start(journal: &Journal) -> Result<Self> {
        Self::start_with(journal, Path::new("/proc/self/exe"), &[])
    }

    /// The same; once so much time has passed the guard kills this process, should it still be there with its journal,
    /// and undoes that.
    pub fn start_for(journal: &Journal, most: Duration) -> Result<Self> {
        Self::spawn(journal, Path::new("/proc/self/exe"), &[], Some(most))
    }

    /// Starts a guard from another executable, which gets `first` before [`ARGUMENT`].
    pub fn start_with(journal: &Journal, executable: &Path, first: &[&OsStr]) -> Result<Self> {
        Self::spawn(journal, executable, first, None)
    }

    fn spawn(journal: &Journal, executable: &Path, first: &[&OsStr], most: Option<Duration>) -> Result<Self> {
        let failed = |tried: &str, e| Error::os(tried, "guard", e);
        let ward = journal.header().owner;
        let path = std::path::absolute(journal.path()).map_err(|e| failed("find the journal", e))?;
        let (mut ready, out) = std::io::pipe().map_err(|e| failed("make a pipe", e))?;
        let (tether_end, tether) = std::io::pipe().map_err(|e| failed("make a pipe", e))?;
        let mut command = Command::new(executable);
        command
            .args(first)
            .arg(ARGUMENT)
            .arg(&path)
            .arg(ward.pid.to_string())
            .arg(ward.start_time.to_string())
            .args(most.map(|most| most.as_millis().to_string()))
            .current_dir("/")
            .stdin(tether_end)
            .stdout(out)
            .stderr(Stdio::null());
        // SAFETY: setsid is async-signal-safe, and the closure touches nothing else.
        unsafe {
            command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(Into::into));
        }
        let child = command.spawn().map_err(|e| failed("start it", e))?;
        // Closes our copy of the pipe's other end, so that the end of the guard is the end of the pipe.
        drop(command);
        let mut said = Vec::new();
        let guard = Self { child, tether: Some(tether), journal: path };
        ready.read_to_end(&mut said).map_err(|e| failed("hear from it", e))?;
        if said != READY {
            let mut guard = guard;
            guard.tether = None;
            let how = guard.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
            return Err(Error::Child { name: "guard".into(), why: format!("it ended before it watched ({how})") });
        }
        Ok(guard)
    }

    /// The guard's pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the guard still runs.
    pub fn watches(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.tether = None;
        // Without a journal it ends by itself now, and must be waited for; with one it stays until we end.
        if !self.journal.exists() {
            let _ = self.child.wait();
        }
    }
}

/// The guard itself: what the executable calls with the arguments that follow [`ARGUMENT`].
///
/// Must be called before any thread is started, and with no descriptor open but the first three.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match watch(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Nobody reads what the guard says; what it could not undo stays in the journal.
        Err(_) => ExitCode::from(2),
    }
}

fn watch(args: impl IntoIterator<Item = OsString>) -> Result<bool> {
    let failed = |tried: &str, e: nix::errno::Errno| Error::os(tried, "guard", e);
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE, Signal::SIGQUIT] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { signal(ignored, SigHandler::SigIgn) }.map_err(|e| failed("ignore signals", e))?;
    }
    // SAFETY: called at the start of the program, when it has opened nothing: what is open there was inherited.
    unsafe { sys::close_from(3) }.map_err(|e| Error::os("close what was inherited", "guard", e))?;
    let (path, ward, most) = arguments(args)?;
    let deadline = most.and_then(|most| Instant::now().checked_add(most));
    let tether = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| Error::os("take the pipe", "guard", e))?;
    let tether = PipeReader::from(tether);
    // The ward may have died before this line: then there is nothing to watch, and undoing is due at once.
    let ward = ward.open()?;
    say_ready()?;
    let Some(ward) = ward else { return undo(&path) };
    let mut tethered = true;
    loop {
        let mut fds = vec![PollFd::new(ward.as_fd(), PollFlags::POLLIN)];
        if tethered {
            fds.push(PollFd::new(tether.as_fd(), PollFlags::POLLIN));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A millisecond more, since a part of one is cut off; what is too long for it is waited for in parts.
        let left = left.map(|left| left.saturating_add(Duration::from_millis(1)));
        let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
        let woken = match poll(&mut fds, timeout) {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(e) => return Err(failed("watch", e)),
            Ok(woken) => woken,
        };
        if ward.ended(Duration::ZERO)? {
            return undo(&path);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            if path.exists() {
                ward.signal(libc::SIGKILL)?;
                ward.ended(KILLED)?;
            }
            return undo(&path);
        }
        if woken == 0 {
            continue;
        }
        // The ward let go of us while it runs on: it has undone its journal, or we stay until it ends.
        if !path.exists() {
            return Ok(true);
        }
        tethered = false;
    }
}

fn undo(path: &Path) -> Result<bool> {
    Ok(journal::undo_path(path)?.is_none_or(|report| report.failures.is_empty()))
}

/// The journal, the ward, and how long the ward has at most.
fn arguments(args: impl IntoIterator<Item = OsString>) -> Result<(PathBuf, ProcessId, Option<Duration>)> {
    let usage = || Error::Child {
        name: "guard".into(),
        why: format!(
            "{ARGUMENT} takes a journal, a pid, a start time and perhaps milliseconds, and is not for use by hand"
        ),
    };
    let mut args = args.into_iter();
    let path = args.next().map(PathBuf::from).ok_or_else(usage)?;
    let mut number = || args.next().and_then(|a| a.to_str()?.parse::<u64>().ok());
    let pid = number().and_then(|n| u32::try_from(n).ok()).ok_or_else(usage)?;
    let start_time = number().ok_or_else(usage)?;
    Ok((path, ProcessId { pid, start_time }, number().map(Duration::from_millis)))
}

/// Says that we watch, and lets go of the pipe: the ward reads to its end.
fn say_ready() -> Result<()> {
    let failed = |e| Error::os("say that it watches", "guard", e);
    let mut out = std::io::stdout();
    // A ward that died meanwhile does not read this; the undoing must go on all the same.
    let _ = out.write_all(READY).and_then(|()| out.flush());
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
    // SAFETY: both descriptors are open, and 1 is nobody's but the standard output's.
    let r = unsafe { libc::dup2(null.as_raw_fd(), 1) };
    if r < 0 { Err(failed(std::io::Error::last_os_error())) } else { Ok(()) }
}
