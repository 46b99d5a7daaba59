//! A shard: one thread, one UDP socket, and the legs of some rooms. Everything that happens to a
//! packet happens here, without a lock: a room lives in one shard.
//!
//! The thread waits for its socket, for commands of the control plane, and for str0m's timers. What
//! comes in is handled at once, and written to the legs that it goes out on; these are driven when the
//! batch is through, so that each is touched once for many packets.

pub(crate) mod alone;
pub(crate) mod command;
mod commands;
mod consume;
mod forward;
mod leg;
mod media;
mod open;
mod produce;
mod receive;
mod run;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
mod tick;
mod track;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use str0m::{Input, Output};
use tokio::sync::mpsc::UnboundedSender;

use self::command::{Command, LegNumber, ShardEvent};
use self::leg::Leg;
use self::track::{Consumer, Producer};
use super::config::ServeConfig;
use super::ids::Id;
use super::map_log::{Batch, Forwarded, Record};
use super::metrics::{Metrics, add};
use crate::clock::Clock;
use crate::guard;
use crate::identity::Identity;
use crate::rtp_header::rtp_numbers;

/// No timer is set for longer than this; one for later is set again.
const LONGEST_TIMER: Duration = Duration::from_secs(1);

/// How the control plane reaches a shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardHandle {
    commands: Sender<Command>,
    wake: Arc<UnixDatagram>,
    /// Where its socket is bound.
    pub(crate) bound: SocketAddr,
    /// Gone when its thread has ended.
    running: Weak<()>,
}

impl ShardHandle {
    /// Whether its thread runs.
    pub(crate) fn runs(&self) -> bool {
        self.running.strong_count() > 0
    }

    /// Hands over a command. A shard that has ended drops it, and with it the place for the answer.
    pub(crate) fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            // A full queue of wake-ups wakes as well.
            let _ = self.wake.send(&[0]);
        }
    }
}

/// What a shard is started with.
pub(crate) struct Start {
    pub(crate) index: usize,
    pub(crate) config: ServeConfig,
    pub(crate) identity: Identity,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Option<Batch>,
    pub(crate) clock: Clock,
    pub(crate) events: UnboundedSender<ShardEvent>,
}

/// Binds the socket of a shard and starts its thread.
pub(crate) fn start(start: Start) -> io::Result<(ShardHandle, JoinHandle<()>)> {
    let config = &start.config;
    let offset = u16::try_from(start.index).map_err(io::Error::other)?;
    let port = match config.media_port {
        0 => 0,
        first => first.checked_add(offset).ok_or_else(|| io::Error::other("no such port"))?,
    };
    let socket = socket::bind(SocketAddr::new(config.media_address, port))?;
    let bound = socket.local_addr()?;
    let local = SocketAddr::new(config.advertise.unwrap_or(config.media_address), bound.port());
    let (wake, woken) = UnixDatagram::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let (commands, incoming) = channel();
    let running = Arc::new(());
    let handle = ShardHandle { commands, wake: Arc::new(wake), bound, running: Arc::downgrade(&running) };
    let name = format!("shard-{}", start.index);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        // Dropped whichever way the thread ends.
        let _running = running;
        Shard::new(start, socket, local, incoming, woken).run();
    })?;
    Ok((handle, thread))
}

struct Shard {
    index: usize,
    config: ServeConfig,
    identity: Identity,
    metrics: Arc<Metrics>,
    log: Option<Batch>,
    clock: Clock,
    events: UnboundedSender<ShardEvent>,
    socket: UdpSocket,
    /// What candidates name, and what datagrams count as sent to.
    local: SocketAddr,
    commands: Receiver<Command>,
    woken: UnixDatagram,
    /// By number, divided by the number of shards; numbers are not used again.
    legs: Vec<Option<Box<Leg>>>,
    by_ufrag: HashMap<String, LegNumber>,
    by_address: HashMap<SocketAddr, LegNumber>,
    producers: HashMap<Id, Producer>,
    consumers: HashMap<Id, Consumer>,
    timers: BinaryHeap<Reverse<(Instant, LegNumber)>>,
    dirty: Vec<LegNumber>,
    /// Legs that end, and why.
    ending: Vec<(LegNumber, String)>,
    /// Who spoke last, by room.
    speakers: HashMap<Id, Id>,
    faults: forward::FaultDraw,
    next_tick: Instant,
    next_second: Instant,
    stopping: bool,
}

impl Shard {
    fn new(
        start: Start,
        socket: UdpSocket,
        local: SocketAddr,
        commands: Receiver<Command>,
        woken: UnixDatagram,
    ) -> Self {
        let Start { index, config, identity, metrics, log, clock, events } = start;
        let now = Instant::now();
        let faults = forward::FaultDraw::new(config.faults);
        Self {
            index,
            config,
            identity,
            metrics,
            log,
            clock,
            events,
            socket,
            local,
            commands,
            woken,
            legs: Vec::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            producers: HashMap::new(),
            consumers: HashMap::new(),
            timers: BinaryHeap::new(),
            dirty: Vec::new(),
            ending: Vec::new(),
            speakers: HashMap::new(),
            faults,
            next_tick: now,
            next_second: now,
            stopping: false,
        }
    }

    fn slot(&self, leg: LegNumber) -> usize {
        leg as usize / self.config.threads.max(1)
    }

    /// The number of the next leg: shard i of n has i, i + n, i + 2n, …
    fn next_leg_number(&self) -> Option<LegNumber> {
        let number = self.legs.len().checked_mul(self.config.threads.max(1))?.checked_add(self.index)?;
        LegNumber::try_from(number).ok()
    }

    fn leg(&mut self, leg: LegNumber) -> Option<&mut Leg> {
        let slot = self.slot(leg);
        self.legs.get_mut(slot)?.as_deref_mut().filter(|leg| !leg.failed)
    }

    fn take_leg(&mut self, leg: LegNumber) -> Option<Box<Leg>> {
        let slot = self.slot(leg);
        self.legs.get_mut(slot)?.take_if(|leg| !leg.failed)
    }

    fn put_leg(&mut self, leg: Box<Leg>) {
        let slot = self.slot(leg.number);
        if let Some(place) = self.legs.get_mut(slot) {
            *place = Some(leg);
        }
    }

    /// Lists a leg among those that have something to say.
    fn mark(&mut self, number: LegNumber) {
        let Some(leg) = self.leg(number) else { return };
        if !std::mem::replace(&mut leg.dirty, true) {
            self.dirty.push(number);
        }
    }

    /// Drives all legs that are listed, and those that are listed meanwhile. Requests for key frames
    /// go back from outgoing legs to incoming ones, and no further, so this ends.
    fn drive_dirty(&mut self, now: Instant) {
        while let Some(number) = self.dirty.pop() {
            let Some(mut leg) = self.take_leg(number) else { continue };
            leg.dirty = false;
            match guard::handle_input(&mut leg.rtc, Input::Timeout(now)) {
                Ok(()) => self.drain(&mut leg, now),
                Err(reason) => self.fail(&mut leg, reason),
            }
            self.put_leg(leg);
        }
    }

    /// Takes everything that str0m has to say about a leg.
    fn drain(&mut self, leg: &mut Leg, now: Instant) {
        loop {
            match guard::poll_output(&mut leg.rtc) {
                Ok(Output::Timeout(due)) => {
                    self.schedule(leg, due, now);
                    return;
                }
                Ok(Output::Transmit(datagram)) => self.transmit(leg, datagram.destination, &datagram.contents),
                Ok(Output::Event(event)) => {
                    self.event(leg, event, now);
                    if leg.failed {
                        return;
                    }
                }
                Err(reason) => {
                    self.fail(leg, reason);
                    return;
                }
            }
        }
    }

    fn schedule(&mut self, leg: &mut Leg, due: Instant, now: Instant) {
        leg.due = due;
        // An entry that an earlier one replaces stays until its time: that must come.
        let at = due.min(now + LONGEST_TIMER);
        if leg.queued.is_none_or(|queued| at < queued) {
            leg.queued = Some(at);
            self.timers.push(Reverse((at, leg.number)));
        }
    }

    /// Lists the legs whose timers have come.
    fn expire(&mut self, now: Instant) {
        while let Some(&Reverse((due, number))) = self.timers.peek()
            && due <= now
        {
            self.timers.pop();
            let Some(leg) = self.leg(number) else { continue };
            // Entries that an earlier one has replaced stand for nothing.
            if leg.queued != Some(due) {
                continue;
            }
            leg.queued = None;
            if leg.due <= now {
                self.mark(number);
            } else {
                let at = leg.due.min(now + LONGEST_TIMER);
                leg.queued = Some(at);
                self.timers.push(Reverse((at, number)));
            }
        }
    }

    fn transmit(&mut self, leg: &mut Leg, to: SocketAddr, datagram: &[u8]) {
        let numbers = rtp_numbers(datagram);
        // Read before the call: afterwards the receiver may have it already.
        let time_out = Instant::now();
        match self.socket.send_to(datagram, to) {
            Ok(_) => {
                add(&self.metrics.datagrams_out, 1);
                add(&self.metrics.bytes_out, datagram.len() as u64);
            }
            Err(_) => {
                add(&self.metrics.send_failed, 1);
                return;
            }
        }
        if let Some((ssrc, sequence)) = numbers {
            self.sent(leg, ssrc, sequence, datagram.len(), time_out);
        }
    }

    /// Writes down what an RTP packet that left was before.
    fn sent(&mut self, leg: &Leg, ssrc: u32, sequence: u16, bytes: usize, time_out: Instant) {
        let Some(outgoing) = leg.outgoing.get(&ssrc) else { return };
        let Some(consumer) = self.consumers.get_mut(&outgoing.consumer) else { return };
        let mut packet = Forwarded {
            video: consumer.kind == crate::signal::rtp::MediaKind::Video,
            datagram_bytes: u16::try_from(bytes).unwrap_or(u16::MAX),
            sequence_out: sequence,
            ssrc_out: ssrc,
            leg_out: leg.number,
            time_out_ns: self.clock.monotonic(time_out),
            ..Forwarded::default()
        };
        if outgoing.retransmission {
            add(&self.metrics.rtp_retransmitted, 1);
            if let Some(log) = &mut self.log {
                log.push(&Record::Retransmitted(packet));
            }
            return;
        }
        add(&self.metrics.rtp_forwarded, 1);
        let Some(origin) = consumer.origins.take(sequence) else {
            if let Some(log) = &mut self.log {
                log.miss();
            }
            return;
        };
        packet.key_frame = origin.key_frame;
        packet.payload_bytes = origin.payload_bytes;
        packet.sequence_in = origin.sequence_in;
        packet.ssrc_in = origin.ssrc_in;
        packet.leg_in = origin.leg_in;
        packet.time_in_ns = self.clock.monotonic(origin.time_in);
        if let Some(log) = &mut self.log {
            log.push(&Record::Forwarded(packet));
        }
    }

    /// A leg cannot go on: nothing finds it any more, until it is buried.
    fn fail(&mut self, leg: &mut Leg, reason: String) {
        leg.failed = true;
        add(&self.metrics.leg_errors, 1);
        self.ending.push((leg.number, reason));
    }

    fn tell(&self, event: ShardEvent) {
        // Nobody listens any more while the server stops.
        let _ = self.events.send(event);
    }
}
