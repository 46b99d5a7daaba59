//! Threads of this process: how much processor time they take, and how to get one out of a system call.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getpid, gettid};

/// How long a thread may take to run for the first time.
const PATIENCE: Duration = Duration::from_secs(5);

const TASKS: &str = "/proc/self/task";

/// A thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    id: Pid,
}

impl Thread {
    /// The calling thread.
    pub(crate) fn own() -> Self {
        Self { id: gettid() }
    }

    /// Processor time so far in nanoseconds, what its system calls and the interrupts on top of it took included.
    pub(crate) fn processor_time(self) -> Result<u64> {
        // The clock of a thread's scheduler time (CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED,
        // include/linux/posix-timers_types.h).
        let clock = ClockId::from_raw((!self.id.as_raw() << 3) | 0b110);
        let time = clock_gettime(clock).with_context(|| format!("cannot read the clock of thread {}", self.id))?;
        Ok((time.tv_sec() * 1_000_000_000 + time.tv_nsec()).unsigned_abs())
    }

    fn is_called(self, name: &str) -> bool {
        fs::read_to_string(format!("{TASKS}/{}/comm", self.id)).is_ok_and(|comm| comm.trim_end() == name)
    }
}

fn called(name: &str) -> Result<Vec<Thread>> {
    let entries = fs::read_dir(TASKS).with_context(|| format!("cannot list {TASKS}"))?;
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(ids.map(|id| Thread { id: Pid::from_raw(id) }).filter(|thread| thread.is_called(name)).collect())
}

/// Runs `start` and returns the thread of this name that it started.
pub(crate) fn started_by<T>(name: &str, start: impl FnOnce() -> Result<T>) -> Result<(T, Thread)> {
    let before = called(name)?;
    let value = start()?;
    let since = Instant::now();
    // A thread takes its name once it runs, which may be after its start.
    while since.elapsed() < PATIENCE {
        if let Some(thread) = called(name)?.into_iter().find(|thread| !before.contains(thread)) {
            return Ok((value, thread));
        }
        std::thread::yield_now();
    }
    bail!("no thread called {name:?} was started")
}

/// The signal that only ends a system call.
const INTERRUPT: Signal = Signal::SIGUSR1;

extern "C" fn on_interrupt(_: libc::c_int) {}

/// Makes ready for [`interrupt`].
pub(crate) fn prepare_interrupt() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(on_interrupt), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(INTERRUPT, &action) }.context("cannot take over SIGUSR1")?;
    Ok(())
}

/// Ends the system call that a thread is in; it may just be about to enter one, so do it again until it shows.
pub(crate) fn interrupt(thread: Thread) {
    // SAFETY: the call takes numbers alone. A thread that has ended needs no interrupt.
    unsafe { libc::syscall(libc::SYS_tgkill, getpid().as_raw(), thread.id.as_raw(), INTERRUPT as libc::c_int) };
}
