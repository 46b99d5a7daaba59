//! What Ctrl-C does: it is answered at once, ends building and measuring, and a second one ends judging.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::libc::c_int;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use shaper_net::signals::Signals;

/// How soon a signal is noticed that another thread was interrupted by, in milliseconds.
const CHECK_MS: u16 = 50;
/// As much as the main thread has.
const STACK: usize = 8 << 20;

/// Building goes on as long as nobody wants to stop.
///
/// # Errors
///
/// Once somebody asked to stop.
pub(super) fn go_on_building(signals: Signals) -> anyhow::Result<()> {
    if signals.requested().is_some() {
        bail!("interrupted while building, nothing measured");
    }
    Ok(())
}

/// Does `work`, and says so at once when it is asked to stop meanwhile.
pub(super) fn answering<T>(
    signals: Signals,
    say: &(dyn Fn(&str) + Sync),
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (ended, end) = io::pipe().context("cannot make a pipe")?;
    thread::scope(|scope| {
        scope.spawn(|| {
            wait_for(&[signals.as_fd(), ended.as_fd()], PollTimeout::NONE);
            if signals.requested().is_some() {
                say("interrupted, cleaning up");
            }
        });
        // Closed when this is left, be it by a panic.
        let _end = end;
        work()
    })
}

/// Judges on a thread of its own and waits for that, unless it is interrupted: for the second time, be the first one
/// that which ended the run (`interrupted`) or not.
pub(super) fn judging<T: Send + 'static>(
    interrupted: bool,
    say: &(dyn Fn(&str) + Sync),
    judge: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let counted = Counted::from_now()?;
    let (ended, end) = io::pipe().context("cannot make a pipe")?;
    let thread = thread::Builder::new().name("judge".into()).stack_size(STACK).spawn(move || {
        let _end = end;
        judge()
    });
    let thread = thread.context("cannot start the thread that judges")?;
    let mut told = interrupted;
    while !wait_for(&[ended.as_fd()], PollTimeout::from(CHECK_MS)) {
        let asked = u32::from(interrupted) + counted.count();
        if asked >= 2 {
            bail!("interrupted while judging: what was measured is removed");
        }
        if asked == 1 && !told {
            say("interrupted: what was measured is being judged; once more gives it up");
            told = true;
        }
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Whether one of them can be read or is closed, within the time.
fn wait_for(handles: &[BorrowedFd<'_>], timeout: PollTimeout) -> bool {
    let mut waiting: Vec<PollFd<'_>> = handles.iter().map(|handle| PollFd::new(*handle, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut waiting, timeout) {
            Err(Errno::EINTR) if timeout.is_none() => {}
            found => return found.is_ok_and(|found| found > 0),
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

/// Counts signals, of which [`Signals`] knows but the first. Dropped, what was there before is there again.
struct Counted(Vec<(Signal, SigAction)>);

impl Counted {
    fn from_now() -> anyhow::Result<Self> {
        COUNT.store(0, Ordering::SeqCst);
        let action = SigAction::new(SigHandler::Handler(count), SaFlags::SA_RESTART, SigSet::empty());
        let mut counted = Self(Vec::new());
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            // SAFETY: the handler adds to an atomic number, which is allowed in one (signal-safety(7)).
            let before = unsafe { sigaction(signal, &action) }.context("cannot count signals")?;
            counted.0.push((signal, before));
        }
        Ok(counted)
    }

    fn count(&self) -> u32 {
        COUNT.load(Ordering::SeqCst)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            // SAFETY: this handler was in place before and was taken over as it is.
            let _ = unsafe { sigaction(*signal, before) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use nix::sys::signal::raise;

    use super::*;

    // One test: signals are the process's.
    #[test]
    fn the_second_signal_ends_judging_and_the_first_is_answered() {
        let said = Mutex::new(Vec::new());
        let (first, is_said) = mpsc::channel();
        let say = |text: &str| {
            said.lock().unwrap().push(text.to_owned());
            let _ = first.send(());
        };
        assert_eq!(judging(false, &say, || Ok(7)).unwrap(), 7);
        assert_eq!(judging(true, &say, || Ok(7)).unwrap(), 7);
        assert!(said.lock().unwrap().is_empty());

        let (never, is_never) = mpsc::channel::<()>();
        let message = thread::scope(|scope| {
            scope.spawn(move || {
                // Before `judging` counts, a signal would end the tests.
                while !is_caught(Signal::SIGTERM) || !is_caught(Signal::SIGINT) {
                    thread::yield_now();
                }
                raise(Signal::SIGINT).unwrap();
                is_said.recv().unwrap();
                raise(Signal::SIGTERM).unwrap();
            });
            judging(false, &say, move || Ok(is_never.recv()?)).unwrap_err().to_string()
        });
        drop(never);
        assert!(message.contains("interrupted while judging"), "{message}");
        let said = said.lock().unwrap();
        assert!(matches!(said.as_slice(), [one] if one.contains("once more gives it up")), "{said:?}");
        assert!(!is_caught(Signal::SIGINT));
    }

    fn is_caught(signal: Signal) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
    }
}
