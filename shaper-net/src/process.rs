//! Processes that cannot be mistaken for another: a pid and the moment it started.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use crate::sys;
use crate::{Error, Result};

/// One process, for as long as this machine runs: pids are used again, a pid with its start time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The pid, in our own pid namespace.
    pub pid: u32,
    /// Clock ticks since boot at which it started: field 22 of `/proc/PID/stat` (proc_pid_stat(5)).
    pub start_time: u64,
}

impl ProcessId {
    /// This process.
    pub fn current() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// The process that has `pid` now.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        // The name in it is whatever bytes the process chose.
        let stat = fs::read(&path).map_err(|e| Error::os("read the start time", &path, e))?;
        let start_time = start_time(&String::from_utf8_lossy(&stat)).ok_or_else(|| Error::Malformed {
            path,
            line: 1,
            why: "there is no start time (field 22)".into(),
        })?;
        Ok(Self { pid, start_time })
    }

    /// A handle on the process; `None` when it is gone, also when another one has its pid now.
    pub fn open(self) -> Result<Option<Running>> {
        let on = || format!("process {}", self.pid);
        let fd = match sys::pidfd_open(self.pid) {
            Ok(fd) => fd,
            // The number may be a thread's by now, or live on as that of a process group or session: kernels answer
            // EINVAL then, later ones ENOENT (pidfd_open(2)).
            Err(e) if matches!(e.raw_os_error(), Some(libc::ESRCH | libc::EINVAL | libc::ENOENT)) => return Ok(None),
            Err(e) => return Err(Error::os("open a pidfd", on(), e)),
        };
        // The order matters: with the pidfd held first, a matching start time read afterwards is that of the process
        // behind the pidfd, or else the pidfd reports an end.
        let same = match Self::of(self.pid) {
            Ok(now) => now == self,
            Err(e) if matches!(e.errno(), Some(libc::ENOENT | libc::ESRCH)) => false,
            Err(e) => return Err(e),
        };
        let running = Running { id: self, fd };
        Ok(if same && !running.ended(Duration::ZERO)? { Some(running) } else { None })
    }

    /// Whether the process still runs. A zombie does not.
    pub fn is_running(self) -> Result<bool> {
        Ok(self.open()?.is_some())
    }
}

/// The 22nd field. The second one, the name in parentheses, may hold spaces and parentheses itself.
fn start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A process that ran when it was opened. Signals through it never reach another process.
#[derive(Debug)]
pub struct Running {
    id: ProcessId,
    fd: OwnedFd,
}

impl Running {
    /// Which process.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Waits for the end of the process (of all of its threads), at most for `timeout`; true when it has ended.
    pub fn ended(&self, timeout: Duration) -> Result<bool> {
        readable(self.fd.as_fd(), Some(timeout)).map_err(|e| Error::os("wait for the end", self.name(), e))
    }

    /// Sends `signal`; a process that has ended already is no error.
    pub fn signal(&self, signal: i32) -> Result<()> {
        match sys::pidfd_send_signal(self.fd.as_fd(), signal) {
            Err(e) if e.raw_os_error() != Some(libc::ESRCH) => {
                Err(Error::os(format!("send signal {signal}"), self.name(), e))
            }
            _ => Ok(()),
        }
    }

    /// SIGTERM, and after `grace` SIGKILL; returns when the process has ended.
    pub fn terminate(&self, grace: Duration) -> Result<()> {
        if !grace.is_zero() {
            self.signal(libc::SIGTERM)?;
            if self.ended(grace)? {
                return Ok(());
            }
        }
        self.signal(libc::SIGKILL)?;
        // A process in uninterruptible sleep outlives its SIGKILL; ten seconds later that is a finding, not a wait.
        if self.ended(Duration::from_secs(10))? {
            return Ok(());
        }
        Err(Error::Child { name: self.name(), why: "still there 10 s after SIGKILL (stuck in the kernel)".into() })
    }

    fn name(&self) -> String {
        format!("process {}", self.id.pid)
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until `fd` is readable (or hung up), at most for `timeout`, over signals.
pub(crate) fn readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let until = timeout.map(|t| Instant::now() + t);
    loop {
        let left = until.map_or(PollTimeout::NONE, |u| {
            let left = u.saturating_duration_since(Instant::now());
            // Rounded up, so that the last round does not spin.
            let ms = left.as_micros().div_ceil(1000).min(i32::MAX as u128);
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut fds, left) {
            Ok(0) if until.is_some_and(|u| Instant::now() >= u) => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";
        assert_eq!(start_time(stat), Some(987_654));
        assert_eq!(start_time("7 (short) S 1"), None);
    }

    #[test]
    fn this_process_runs_and_one_with_another_start_time_does_not() {
        let me = ProcessId::current().unwrap();
        assert!(me.is_running().unwrap());
        let other = ProcessId { start_time: me.start_time + 1, ..me };
        assert!(!other.is_running().unwrap());
    }

    #[test]
    fn a_number_that_is_a_thread_s_is_no_process() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            let _ = ended.recv();
        });
        let pid = u32::try_from(told.recv().unwrap().as_raw()).unwrap();
        let id = ProcessId { pid, start_time: ProcessId::current().unwrap().start_time };
        assert!(!id.is_running().unwrap());
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let fd = sys::pidfd_open(child.id()).unwrap();
        let id = ProcessId::of(child.id()).unwrap();
        assert!(readable(fd.as_fd(), Some(Duration::from_secs(10))).unwrap());
        assert!(!id.is_running().unwrap());
        child.wait().unwrap();
    }
}
