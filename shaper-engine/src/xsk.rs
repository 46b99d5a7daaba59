//! Engine `xsk`: XDP programs decide and drop, AF_XDP hands the rest to the delay line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use shaper_bpf::{Beat, Object};
use shaper_common::units::Nanos;
use shaper_delayline::{Config, Control, DelayLine, DelayLineError, Monitor, Outcome, Released};
use shaper_xsk::{Socket, SocketConfig, Umem, UmemConfig};

use crate::error::Error;
use crate::hold::{Hold, Left, Lost};
use crate::spec::Options;
use crate::thread::{join, spawn};

/// Entries of each ring of each socket. The fill rings of a lab of twenty hosts share the UMEM.
pub const RING: u32 = 2048;
/// Bytes of a frame: an MTU of 1500 with room for tags, XDP's headroom and metadata.
pub(crate) const FRAME: u32 = 2048;

/// The delay line, between ports whose number is that of the direction that comes in there.
pub(crate) struct Line {
    control: Control,
    monitor: Arc<Monitor>,
    running: Option<JoinHandle<(DelayLine, Result<Outcome, DelayLineError>)>>,
    heartbeat: Option<JoinHandle<Result<(), shaper_bpf::Error>>>,
    done: Arc<AtomicBool>,
    /// Kept when it has ended, for its sockets have statistics.
    ended: Option<DelayLine>,
}

impl Line {
    /// Binds a socket to each port, in the calling thread's network namespace, and starts to hold what comes in.
    /// `outputs` are the numbers of the ports that packets leave at, `frame` is the most bytes of one.
    pub(crate) fn open(
        object: &mut Object,
        ports: &[u32],
        outputs: &[usize],
        frame: u32,
        options: &Options,
        released: Sender<Vec<Released>>,
    ) -> Result<Self, Error> {
        let umem = Umem::new(UmemConfig { frames: options.frames, frame_size: frame, headroom: 0 })?;
        let rings = SocketConfig { rx: RING, tx: RING, fill: RING, completion: RING, ..SocketConfig::default() };
        let mut line_ports = Vec::with_capacity(ports.len());
        for ((number, ifindex), output) in (0u32..).zip(ports).zip(outputs) {
            let socket = Socket::bind(&umem, *ifindex, 0, &rings)?;
            object.set_socket(number, socket.fd())?;
            line_ports.push(shaper_delayline::Port { socket, peer: *output });
        }
        let config = Config {
            busy_poll: options.busy_poll,
            realtime_priority: options.realtime_priority,
            released: Some(released),
            ..Config::default()
        };
        let mut line = DelayLine::new(&umem, line_ports, config)?;
        let (control, monitor) = (Control::new(), line.monitor());
        let mut opened = Self {
            control: control.clone(),
            monitor: Arc::clone(&monitor),
            running: None,
            heartbeat: None,
            done: Arc::new(AtomicBool::new(false)),
            ended: None,
        };
        let (beat, done) = (object.take_beat()?, Arc::clone(&opened.done));
        opened.running = Some(spawn("delay line", move || {
            let ended = line.run(&control);
            (line, ended)
        })?);
        opened.heartbeat = Some(spawn("heartbeat", move || keep_beating(beat, &monitor, &done))?);
        Ok(opened)
    }
}

impl Hold for Line {
    fn left(&self, direction: usize) -> Left {
        self.monitor.counts(direction)
    }

    fn lost(&self, direction: usize) -> Result<Lost, Error> {
        let socket = self.monitor.statistics(direction)?.unwrap_or_default();
        Ok(Lost { socket, ..Lost::default() })
    }

    fn lateness(&self, direction: usize) -> Option<Histogram<u64>> {
        self.monitor.lateness(direction)
    }

    fn starved(&self) -> u64 {
        self.monitor.starved()
    }

    fn has_ended(&self) -> bool {
        self.running.as_ref().is_some_and(JoinHandle::is_finished)
            || self.heartbeat.as_ref().is_some_and(JoinHandle::is_finished)
    }

    fn drain(&mut self, _object: &Object, deadline: Nanos) -> Result<u32, Error> {
        self.control.drain(deadline);
        let (line, ended) = join("delay line", self.running.take())?;
        self.ended = Some(line);
        self.done.store(true, Ordering::Release);
        join("heartbeat", self.heartbeat.take())??;
        Ok(ended?.leaked)
    }

    fn abort(&mut self) {
        self.control.stop();
        self.done.store(true, Ordering::Release);
        // A thread that panicked has said so; there is nothing more to do for it here.
        for thread in [
            self.running.take().map(|line| line.join().map(drop)),
            self.heartbeat.take().map(|heartbeat| heartbeat.join().map(drop)),
        ] {
            drop(thread);
        }
    }
}

/// A part of the engine that could not be opened whole ends what was started of it.
impl Drop for Line {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Tells the programs when the delay line comes round, until it is `done`.
fn keep_beating(mut beat: Beat, monitor: &Monitor, done: &AtomicBool) -> Result<(), shaper_bpf::Error> {
    /// As long as the delay line sleeps at the most; both together are a small part of what is taken for stale.
    const ROUND: Duration = Duration::from_millis(20);
    while !done.load(Ordering::Acquire) {
        beat.set(monitor.heartbeat())?;
        thread::sleep(ROUND);
    }
    Ok(())
}
