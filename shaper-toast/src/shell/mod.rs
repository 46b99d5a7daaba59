//! The shell around a role: one thread, two sockets, the log. It sleeps until the next deadline or
//! datagram; deadlines come from the core's schedule, so that a late wake-up delays nothing else.

mod socket;

use std::net::SocketAddrV4;

use crate::clock::{AppClock, ClockBase};
use crate::config::{ConfigError, NodeConfig};
use crate::endpoint::Endpoint;
use crate::log::{Counts, LogWriter, WriteError};
use crate::stop::StopFlag;
use crate::sys;
use crate::units::Nanos;

pub use socket::SocketError;
use socket::Sockets;

/// Why a role could not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The interface or a socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The log.
    #[error(transparent)]
    Log(#[from] WriteError),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunSummary {
    /// The datagrams.
    pub counts: Counts,
    /// When it ended.
    pub ended: Nanos,
    /// Whether the stop flag ended it.
    pub stopped: bool,
}

/// A role's core as the shell drives it.
pub(crate) trait Core {
    fn receive(&mut self, now: Nanos, from: SocketAddrV4, datagram: &[u8]);
    fn transmit(&mut self, now: Nanos, out: &mut [u8]) -> Option<usize>;
    fn deadline(&self) -> Nanos;
    fn finished(&self, now: Nanos) -> bool;
    fn endpoint(&mut self) -> &mut Endpoint;
    fn joined(&mut self, now: Nanos);
    fn leave_at(&self) -> Option<Nanos>;
    /// The group was left: asked for at `begun`, done and drained at `now`.
    fn left(&mut self, begun: Nanos, now: Nanos);
    fn summarise(&mut self, now: Nanos);
}

/// The longest sleep: how soon a stop flag raised by another thread is seen.
const LONGEST_SLEEP: Nanos = Nanos::from_millis(50);
/// Datagrams taken in before what is due is sent.
const RECEIVE_BATCH: usize = 16;

pub(crate) fn run<C: Core>(
    node: &NodeConfig,
    join_at: Option<Nanos>,
    stop: &StopFlag,
    make: impl FnOnce(SocketAddrV4, AppClock, Nanos) -> Result<C, ConfigError>,
) -> Result<RunSummary, RunError> {
    let base = match node.clock.base {
        ClockBase::Monotonic => 0,
        ClockBase::Realtime => sys::realtime_minus_monotonic(),
    };
    let clock = AppClock::new(node.clock, base);
    // A timer slack of 50 us is the default; failing to lower it costs only precision.
    let _ = nix::sys::prctl::set_timerslack(1);
    let mut sockets = Sockets::open(node)?;
    let log = LogWriter::create(&node.log)?;
    let mut core = make(sockets.source(), clock, sys::monotonic())?;
    let mut alive = log.write(core.endpoint().drain());
    if let Some(at) = join_at {
        wait_until(at, stop);
    }
    let mut stopped = stop.is_stopped();
    if !stopped {
        sockets.join()?;
        core.joined(sys::monotonic());
        (stopped, alive) = drive(&mut core, &mut sockets, &log, stop, node.spin, alive)?;
    }
    let ended = sys::monotonic();
    core.endpoint().counts.receive_buffer_drops = sockets.drops();
    core.summarise(ended);
    let counts = core.endpoint().counts;
    let _ = alive && log.write(core.endpoint().drain());
    log.close()?;
    Ok(RunSummary { counts, ended, stopped })
}

/// Until the core is finished, the flag is raised or the log has failed (which its close tells).
fn drive<C: Core>(
    core: &mut C,
    sockets: &mut Sockets,
    log: &LogWriter,
    stop: &StopFlag,
    spin: Nanos,
    mut alive: bool,
) -> Result<(bool, bool), SocketError> {
    let mut buffer = vec![0u8; 65_536];
    let mut drops_read = Nanos::ZERO;
    while alive {
        let now = sys::monotonic();
        if stop.is_stopped() {
            return Ok((true, alive));
        }
        if core.finished(now) {
            break;
        }
        if core.leave_at().is_some_and(|at| at <= now) {
            let begun = sys::monotonic();
            sockets.leave()?;
            // What waits in the socket arrived while the group was still joined.
            while let Some((len, from)) = sockets.receive(&mut buffer)? {
                core.receive(sys::monotonic(), from, &buffer[..len]);
            }
            core.left(begun, sys::monotonic());
        }
        if now - drops_read >= Nanos::from_millis(500) {
            drops_read = now;
            core.endpoint().counts.receive_buffer_drops = sockets.drops();
        }
        while let Some(len) = core.transmit(sys::monotonic(), &mut buffer) {
            if let Err(error) = sockets.send(&buffer[..len]) {
                core.endpoint().send_failed(sys::monotonic(), error.to_string());
            }
        }
        alive = log.write(core.endpoint().drain());
        let until = core.deadline() - sys::monotonic();
        if until > spin {
            sockets.wait((until - spin).min(LONGEST_SLEEP))?;
        }
        for _ in 0..RECEIVE_BATCH {
            let Some((len, from)) = sockets.receive(&mut buffer)? else {
                break;
            };
            core.receive(sys::monotonic(), from, &buffer[..len]);
        }
    }
    Ok((false, alive))
}

fn wait_until(at: Nanos, stop: &StopFlag) {
    while !stop.is_stopped() {
        let left = at - sys::monotonic();
        if left == Nanos::ZERO {
            return;
        }
        std::thread::sleep(left.min(LONGEST_SLEEP).into());
    }
}
