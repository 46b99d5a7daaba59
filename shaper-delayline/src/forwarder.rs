//! The loop: receive, hold, release, transmit, and give frames back.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use shaper_common::layout::XskMeta;
use shaper_common::units::Nanos;
use shaper_xsk::{Descriptor, Umem};

use crate::control::Control;
use crate::copies;
use crate::error::DelayLineError;
use crate::monitor::{Counts, Monitor};
use crate::pool::FramePool;
use crate::port::{Handed, Left, Output, Port};
use crate::released::{ReleaseLog, Released, lateness_histogram};
use crate::sizing::Sizing;
use crate::sys::{self, PollSet};
use crate::wheel::Wheel;

/// Packets taken from a port, and frames taken out of the wheel, before the others get their turn.
const BATCH: u32 = 64;
/// Batches taken from a port before packets are released.
const RECEIVE_ROUNDS: u32 = 64;
/// Nodes moved ahead of time in the wheel, each turn of the loop.
const WORK_AHEAD: u32 = 2 * BATCH;
/// A drain is over when nothing arrived for this long. Longer than a packet takes through the kernel's backlog.
const QUIET: Nanos = Nanos(5_000_000);
/// How long to wait when a device takes no packets.
const BLOCKED: Nanos = Nanos(50_000);
/// How the loop runs.
#[derive(Debug)]
pub struct Config {
    /// Spin instead of sleeping: takes a processor, gives the least lateness. Where other work competes for that
    /// processor, each turn the scheduler gives to it is a stall of milliseconds; then real-time priority without
    /// `busy_poll` has the better tail.
    pub busy_poll: bool,
    /// Run under `SCHED_FIFO` with this priority, 1 to 99. Together with `busy_poll` on a processor that is not free
    /// for it, the kernel still takes 5 % of the time for others, 50 ms in one piece (`sched_rt_runtime_us`).
    pub realtime_priority: Option<u8>,
    /// Run on this processor only.
    pub cpu: Option<u32>,
    /// Waits shorter than this are spun even without `busy_poll`, and longer ones end this much early. About the
    /// host's wake-up latency, 50 us or so, takes most lateness away at rates at which packets are further apart.
    pub spin: Nanos,
    /// The longest sleep, and so the longest time between two heartbeats.
    pub heartbeat: Nanos,
    /// Where the log of releases goes, in chunks of up to 4096 entries, none older than about 20 ms or one sleep.
    pub released: Option<Sender<Vec<Released>>>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            busy_poll: false,
            realtime_priority: None,
            cpu: None,
            spin: Nanos(10_000),
            heartbeat: Nanos(20_000_000),
            released: None,
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// [`Control::stop`].
    Stopped,
    /// [`Control::drain`], with nothing held.
    Drained,
    /// [`Control::drain`], at its deadline.
    DrainDeadline,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub ended: Ended,
    /// Packets still held, all directions together.
    pub held: u64,
    /// Frames sent that the kernel has not given back, since a receiver has not read them yet.
    pub unreturned: u32,
    /// Frames that are nowhere; other than 0 is a defect.
    pub leaked: u32,
}

/// What is known of a packet by its frame.
#[derive(Debug, Clone, Copy, Default)]
struct Packet {
    id: u64,
    addr: u64,
    len: u32,
    direction: u32,
    /// 0 for the packet that came in.
    copy: u8,
}

/// Holds packets of any number of ports on one UMEM until their release time.
///
/// An XDP program hands a packet over by `bpf_redirect_map` into an XSKMAP, with 32 bytes of metadata in front
/// ([`XskMeta`], little-endian). At its release time, never before, the packet leaves at the port's peer; packets
/// with the same release time leave in order of arrival. A packet without metadata, or with release time 0, is
/// dropped and counted.
///
/// Copies that the metadata ask for are made when the packet arrives, each in a frame of its own from then on. Copy k
/// leaves k spacings behind the packet, never before; without a spacing all leave right behind it, in order. A copy for
/// which no frame is free is not made, and counted.
#[derive(Debug)]
pub struct DelayLine {
    umem: Umem,
    outputs: Vec<Output>,
    packets: Box<[Packet]>,
    pool: FramePool,
    wheel: Wheel,
    /// By direction: the port that packets come in at.
    counts: Vec<Counts>,
    changed: Vec<bool>,
    batch: Vec<Descriptor>,
    fill_target: u32,
    /// The port whose fill ring is served first, so that scarce frames go round.
    first_to_fill: usize,
    starved: u64,
    log: ReleaseLog,
    config: Config,
    monitor: Arc<Monitor>,
}

impl DelayLine {
    /// Takes the ports over and fills their fill rings. All sockets must be bound to `umem`, with no frames in use.
    ///
    /// # Errors
    /// [`DelayLineError::NoPorts`], [`DelayLineError::NoSuchPeer`], [`DelayLineError::TooFewFrames`].
    pub fn new(umem: &Umem, ports: Vec<Port>, config: Config) -> Result<DelayLine, DelayLineError> {
        let frames = umem.frames();
        let count = ports.len();
        let fill = ports.iter().map(|port| port.socket.fill_size()).min().ok_or(DelayLineError::NoPorts)?;
        if let Some((port, Port { peer, .. })) = ports.iter().enumerate().find(|(_, port)| port.peer >= count) {
            return Err(DelayLineError::NoSuchPeer { port, peer: *peer, ports: count });
        }
        let sizing = Sizing { ports: count as u32, fill };
        if frames < sizing.least() {
            return Err(DelayLineError::TooFewFrames { frames, ports: count, least: sizing.least() });
        }
        for frame in 0..frames {
            clear_metadata(umem, umem.frame_address(frame) + u64::from(umem.data_offset()));
        }
        let monitor = Arc::new(Monitor::new(
            ports.iter().map(|port| port.socket.statistics_handle()).collect(),
            ports.iter().map(|_| lateness_histogram()).collect::<Result<_, _>>()?,
            frames,
        ));
        let mut line = DelayLine {
            umem: umem.clone(),
            outputs: ports.into_iter().map(|port| Output::new(port, frames as usize)).collect(),
            packets: vec![Packet::default(); frames as usize].into(),
            pool: FramePool::new(frames),
            wheel: Wheel::new(frames, sys::monotonic()),
            counts: vec![Counts::default(); count],
            changed: vec![false; count],
            batch: Vec::with_capacity(BATCH as usize),
            fill_target: sizing.fill_target(frames),
            first_to_fill: 0,
            starved: 0,
            log: ReleaseLog::new(None),
            config: Config { released: None, ..config },
            monitor,
        };
        line.log = ReleaseLog::new(config.released);
        line.refill();
        line.show();
        Ok(line)
    }

    /// What other threads may watch.
    pub fn monitor(&self) -> Arc<Monitor> {
        self.monitor.clone()
    }

    /// Runs on the calling thread until `control` says otherwise, or a port cannot go on. May be called again.
    ///
    /// # Errors
    /// [`DelayLineError::Thread`] if scheduling asked for is refused, [`DelayLineError::Transmit`] and
    /// [`DelayLineError::Wait`] if the kernel answers what no working socket gets.
    pub fn run(&mut self, control: &Control) -> Result<Outcome, DelayLineError> {
        self.prepare_thread()?;
        let mut poll = PollSet::readable(self.outputs.iter().map(|output| output.socket.fd()));
        let mut last_arrival = sys::monotonic();
        let ended = loop {
            let reaped = self.reap();
            let received = self.receive();
            self.refill();
            let now = sys::monotonic();
            let released = self.release(now)?;
            self.wheel.work_ahead(WORK_AHEAD);
            self.log.tick(now);
            self.monitor.beat(now);
            self.show();
            if received > 0 {
                last_arrival = now;
            }
            if control.stopped() {
                break Ended::Stopped;
            }
            if let Some(deadline) = control.draining() {
                if self.held() == 0 && now.saturating_sub(last_arrival) >= QUIET {
                    break Ended::Drained;
                }
                if now >= deadline {
                    break Ended::DrainDeadline;
                }
            }
            if !self.config.busy_poll && reaped + received + released == 0 {
                let timeout = self.time_to_sleep(now, control.draining().is_some());
                if self.outputs.iter().any(Output::is_staged) {
                    // In copy mode polling a socket transmits, and keeps to itself what the device dropped.
                    std::thread::sleep(Duration::from_nanos(timeout.0));
                } else if timeout > Nanos::ZERO {
                    poll.wait(timeout).map_err(|source| DelayLineError::Wait { ports: self.outputs.len(), source })?;
                }
            }
        };
        self.reap();
        self.log.hand_over();
        self.show();
        Ok(self.outcome(ended))
    }

    fn prepare_thread(&self) -> Result<(), DelayLineError> {
        let failed = |call, advice| move |source| DelayLineError::Thread { call, source, advice };
        sys::precise_timers().map_err(failed("prctl(PR_SET_TIMERSLACK)", "this should not fail"))?;
        if let Some(cpu) = self.config.cpu {
            sys::pin(cpu).map_err(failed("sched_setaffinity", "name a processor that is online and allowed"))?;
        }
        if let Some(priority) = self.config.realtime_priority {
            sys::realtime(priority).map_err(failed(
                "sched_setscheduler(SCHED_FIFO)",
                "use a priority from 1 to 99, and run as root, with CAP_SYS_NICE, or without realtime priority",
            ))?;
        }
        Ok(())
    }

    /// Takes back the frames of packets that were sent.
    fn reap(&mut self) -> u32 {
        let (pool, umem) = (&mut self.pool, &self.umem);
        let mut reaped = 0;
        for output in self.outputs.iter_mut().filter(|output| output.unreturned > 0 || output.is_staged()) {
            reaped += output.reap(BATCH * 4, |frame| _ = pool.give(frame), |address| umem.frame_number(address));
        }
        reaped
    }

    /// Takes what arrived into the wheel: all of it, so that after a stall nothing leaves before an earlier one that
    /// is still in a ring, but not for ever.
    fn receive(&mut self) -> u32 {
        let mut received = 0;
        for _ in 0..RECEIVE_ROUNDS {
            let round = self.receive_round();
            received += round;
            if round == 0 {
                break;
            }
        }
        received
    }

    /// Takes up to a batch from each port.
    fn receive_round(&mut self) -> u32 {
        let mut received = 0;
        for direction in 0..self.outputs.len() {
            let (output, batch, umem) = (&mut self.outputs[direction], &mut self.batch, &self.umem);
            batch.clear();
            let count = output.socket.receive(BATCH, |packet| {
                umem.prefetch(packet.addr.wrapping_sub(size_of::<XskMeta>() as u64));
                batch.push(packet);
            });
            if count == 0 {
                continue;
            }
            output.to_receive = output.to_receive.saturating_sub(count);
            received += count;
            self.counts[direction].received += u64::from(count);
            self.changed[direction] = true;
            let mut batch = std::mem::take(&mut self.batch);
            for packet in batch.drain(..) {
                self.take_in(packet, direction);
            }
            self.batch = batch;
        }
        received
    }

    /// Holds one packet that arrived, and copies of it.
    #[inline]
    fn take_in(&mut self, packet: Descriptor, direction: usize) {
        let counts = &mut self.counts[direction];
        let Some(frame) = self.umem.frame_number(packet.addr) else {
            // The kernel gives back addresses it was given, so this cannot be.
            counts.no_metadata += 1;
            return;
        };
        let Some(meta) = take_metadata(&self.umem, packet.addr) else {
            counts.no_metadata += 1;
            self.pool.give(frame);
            return;
        };
        let original = Packet { id: meta.id, addr: packet.addr, len: packet.len, direction: direction as u32, copy: 0 };
        self.packets[frame as usize] = original;
        counts.held += 1;
        // Has room for every frame there is.
        self.wheel.insert(frame, meta.release);
        for copy in copies::wanted(&meta) {
            counts.copies += 1;
            let Some((frame, addr)) = copies::copy(&self.umem, &mut self.pool, packet) else {
                counts.copies_dropped += 1;
                continue;
            };
            self.packets[frame as usize] = Packet { addr, copy, ..original };
            counts.held += 1;
            self.wheel.insert(frame, copies::release(&meta, copy));
        }
    }

    /// Keeps the fill rings at their target, as far as there are free frames.
    fn refill(&mut self) {
        let ports = self.outputs.len();
        let mut short = false;
        for turn in 0..ports {
            let output = &mut self.outputs[(self.first_to_fill + turn) % ports];
            let mut missing = self.fill_target.saturating_sub(output.to_receive);
            if missing == 0 || (missing < BATCH && missing < self.fill_target / 2) {
                continue;
            }
            let (pool, umem) = (&mut self.pool, &self.umem);
            let given = output.socket.refill(|| {
                missing = missing.checked_sub(1)?;
                pool.take().map(|frame| umem.frame_address(frame))
            });
            output.to_receive += given;
            short |= self.pool.free() == 0;
        }
        if short {
            self.starved += 1;
            self.first_to_fill = (self.first_to_fill + 1) % ports;
        }
    }

    /// Sends what is due at `now`, as far as the devices take it.
    fn release(&mut self, now: Nanos) -> Result<u32, DelayLineError> {
        let mut due = 0;
        while due < BATCH * 4
            && let Some(next) = self.wheel.pop_due(now)
        {
            let direction = self.packets[next.frame as usize].direction as usize;
            let peer = self.outputs[direction].peer;
            self.outputs[peer].enqueue(next);
            due += 1;
        }
        let mut handed_over = 0;
        for port in 0..self.outputs.len() {
            let output = &mut self.outputs[port];
            if output.waiting() == 0 {
                continue;
            }
            let (packets, counts, changed) = (&self.packets, &mut self.counts, &mut self.changed);
            let (log, pool) = (&mut self.log, &mut self.pool);
            let mut lateness = self.monitor.lateness_mut();
            handed_over += output
                .transmit(
                    |frame| {
                        let Packet { addr, len, .. } = packets[frame as usize];
                        Descriptor { addr, len, options: 0 }
                    },
                    |Handed { due, at, left, returned }| {
                        let Packet { id, direction, copy, .. } = packets[due.frame as usize];
                        let counts = &mut counts[direction as usize];
                        changed[direction as usize] = true;
                        counts.held -= 1;
                        let sent = left == Left::Sent;
                        if sent {
                            counts.released += 1;
                            lateness[direction as usize].saturating_record(at.saturating_sub(due.release).0);
                        } else {
                            counts.transmit_errors += 1;
                        }
                        if returned {
                            pool.give(due.frame);
                        }
                        log.push(Released { id, intended: due.release, actual: at, direction, copy, sent });
                    },
                )
                .map_err(|source| DelayLineError::Transmit { port, source })? as u32;
        }
        Ok(handed_over)
    }

    /// How long nothing needs doing unless a packet arrives.
    fn time_to_sleep(&self, now: Nanos, draining: bool) -> Nanos {
        let most = if draining { Nanos(QUIET.0 / 5) } else { self.config.heartbeat };
        if self.outputs.iter().any(|output| output.waiting() > 0) {
            return BLOCKED;
        }
        match self.wheel.next_deadline() {
            Some(deadline) => deadline.saturating_sub(now).saturating_sub(self.config.spin).min(most),
            None => most,
        }
    }

    fn held(&self) -> u64 {
        self.counts.iter().map(|counts| counts.held).sum()
    }

    /// Shows what changed to other threads.
    fn show(&mut self) {
        for (direction, changed) in self.changed.iter_mut().enumerate() {
            if std::mem::take(changed) {
                self.monitor.show_counts(direction, &self.counts[direction]);
            }
        }
        self.monitor.show_frames(self.pool.free(), self.pool.least_free(), self.starved);
    }

    fn outcome(&self, ended: Ended) -> Outcome {
        let held = self.held();
        let unreturned: u32 = self.outputs.iter().map(|output| output.unreturned).sum();
        let to_receive: u32 = self.outputs.iter().map(|output| output.to_receive).sum();
        let known = u64::from(self.pool.free()) + held + u64::from(unreturned) + u64::from(to_receive);
        let leaked = u64::from(self.umem.frames()).saturating_sub(known) as u32;
        Outcome { ended, held, unreturned, leaked }
    }
}

/// Reads the metadata in front of a packet and clears it, so that it cannot be read again with the next packet in
/// the same frame. Nothing if there is none.
#[inline]
fn take_metadata(umem: &Umem, packet: u64) -> Option<XskMeta> {
    let start = packet.checked_sub(size_of::<XskMeta>() as u64)?;
    let release = Nanos(umem.load(start)?);
    let id = umem.load(start + 8)?;
    let spacing = Nanos(umem.load(start + 16)?);
    let copies = umem.load(start + 24)? as u32;
    umem.store(start, 0)?;
    (release > Nanos::ZERO).then_some(XskMeta { release, id, spacing, copies, ..XskMeta::default() })
}

fn clear_metadata(umem: &Umem, packet: u64) {
    let _ = umem.store(packet - size_of::<XskMeta>() as u64, 0);
}
