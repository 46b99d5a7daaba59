//! Workers: threads that handle the media of some clients each, without an async runtime.
//!
//! A worker waits for the sockets of its legs, for str0m's timers, for frames that are due, and for
//! commands of the signalling thread. Frames are due at times that are fixed when a track begins
//! (an open loop): what comes late is sent late, and how late is measured.

pub(crate) mod command;
pub(crate) mod leg;
mod numbers;
mod receive;
pub(crate) mod report;
mod run;
mod send;
pub(crate) mod stream;
mod timers;
pub(crate) mod track;

use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags};

use self::command::Command;
use self::leg::Leg;
use self::report::WorkerReport;
use self::timers::Timers;
use super::config::Faults;
use super::latency::Latency;
use crate::clock::Clock;
use crate::packet_log::Batch;

/// The number of a leg, which no other of a run has.
pub(crate) type LegNumber = u64;

/// Media packets that each client has sent so far.
pub(crate) type Progress = Arc<Vec<AtomicU64>>;

/// How the signalling thread reaches a worker.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    commands: Sender<Command>,
    wake: Arc<UnixDatagram>,
}

impl WorkerHandle {
    /// Hands over a command. A worker that has ended drops it.
    pub(crate) fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            // A full queue of wake-ups wakes as well.
            let _ = self.wake.send(&[0]);
        }
    }
}

/// What a worker is started with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    /// When the run began.
    pub(crate) began: Instant,
    pub(crate) log: Option<Batch>,
    pub(crate) progress: Progress,
    pub(crate) faults: Faults,
}

/// Starts a worker.
pub(crate) fn start(start: Start) -> io::Result<(WorkerHandle, JoinHandle<WorkerReport>)> {
    let (wake, woken) = UnixDatagram::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let (commands, incoming) = channel();
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let name = format!("load-{}", start.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let shared = Shared {
            clock: start.clock,
            began: start.began,
            log: start.log,
            progress: start.progress,
            timers: Timers::default(),
            slip: Latency::default(),
            sending: true,
            faults: start.faults,
        };
        let next_second = shared.began + run::SECOND;
        let worker = Worker { shared, legs: HashMap::new(), reports: Vec::new(), epoll, incoming, woken, next_second };
        worker.run()
    })?;
    Ok((WorkerHandle { commands, wake: Arc::new(wake) }, thread))
}

/// What legs need beside themselves.
pub(crate) struct Shared {
    clock: Clock,
    began: Instant,
    log: Option<Batch>,
    progress: Progress,
    timers: Timers,
    slip: Latency,
    sending: bool,
    faults: Faults,
}

struct Worker {
    shared: Shared,
    legs: HashMap<LegNumber, Box<Leg>>,
    reports: Vec<report::LegReport>,
    epoll: Epoll,
    incoming: Receiver<Command>,
    woken: UnixDatagram,
    next_second: Instant,
}
