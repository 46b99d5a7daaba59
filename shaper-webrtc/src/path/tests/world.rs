//! Makes up a run: clients that each send a stream of audio and one of video to all others, by a server,
//! with everything that logs and captures would have of it, and counts what it does.

use std::collections::BTreeMap;

use crate::packet_log::{self, Received, Sent, Stream};
use crate::path::{Direction, EngineDrop, Inputs, MapLog, PacketLog, Point};
use crate::serve::{Forwarded, Record, Reported};

pub(super) const MS: i64 = 1_000_000;
/// From CLOCK_MONOTONIC to wall time.
pub(super) const AHEAD: i64 = 1_700_000_000_000_000_000;
/// From packet to packet of a stream.
pub(super) const SPACING: i64 = 20 * MS;
/// The pieces of a packet's way that never change.
pub(super) const SENDER: i64 = 50_000;
pub(super) const SERVER_IN: i64 = 20_000;
pub(super) const FORWARDING: i64 = 100_000;
pub(super) const SERVER_OUT: i64 = 30_000;
pub(super) const RECEIVER: i64 = 150_000;
/// From a loss to the arrival of its retransmission.
pub(super) const REPAIR: i64 = 120 * MS;

type Chooses = Box<dyn Fn(u32, u32) -> bool>;

/// What a link does to a packet, by SSRC and index.
pub(super) struct Link {
    pub(super) loses: Chooses,
    /// Loses the retransmission too.
    pub(super) loses_again: Chooses,
    pub(super) doubles: Chooses,
    pub(super) delay: Box<dyn Fn(u32, u32) -> i64>,
}

pub(super) fn never() -> Chooses {
    Box::new(|_, _| false)
}

impl Link {
    fn clean(delay: i64) -> Self {
        Self { loses: never(), loses_again: never(), doubles: never(), delay: Box::new(move |_, _| delay) }
    }
}

/// How a run is to be.
pub(super) struct World {
    pub(super) clients: u32,
    pub(super) packets: u32,
    /// The sequence number of the first packet of each stream, in and out.
    pub(super) first: u16,
    pub(super) up: Link,
    pub(super) down: Link,
    /// By SSRC out: the server drops it after giving it a number.
    pub(super) server_drops: Chooses,
    /// By SSRC out: the tester's socket overflows.
    pub(super) tester_drops: Chooses,
    /// By SSRC: the server's capture misses what arrives or leaves.
    pub(super) capture_misses: Chooses,
    /// Video before this index is not sent on, as before a key frame.
    pub(super) key_frame: u32,
    /// What the server takes.
    pub(super) forwarding: i64,
    /// What a starved receiver takes longer.
    pub(super) starved: Box<dyn Fn(u32) -> i64>,
}

/// What a world did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Truth {
    pub(super) sent: u64,
    pub(super) lost_up: BTreeMap<u32, u64>,
    pub(super) lost_down: BTreeMap<u32, u64>,
    pub(super) repaired_down: BTreeMap<u32, u64>,
    pub(super) dropped_by_server: u64,
    pub(super) dropped_by_tester: u64,
    pub(super) delivered: u64,
    pub(super) repaired: u64,
}

pub(super) fn ssrc_in(client: u32, video: bool) -> u32 {
    1000 + client * 10 + u32::from(video)
}

pub(super) fn ssrc_out(from: u32, to: u32, video: bool) -> u32 {
    100_000 + to * 1000 + from * 10 + u32::from(video)
}

fn rtx(ssrc: u32, video: bool) -> u32 {
    if video { ssrc + 5 } else { 0 }
}

/// One stream and one packet of it on its way out.
#[derive(Clone, Copy)]
struct Hop {
    from: u32,
    to: u32,
    video: bool,
    index: u32,
    /// When the server has it, CLOCK_MONOTONIC.
    at: i64,
    /// Whether it had to be sent again to get there.
    repaired: bool,
}

struct Run {
    world: World,
    server: Point,
    points: Vec<Point>,
    map: Vec<Record>,
    log: Vec<packet_log::Record>,
    drops: Vec<EngineDrop>,
    truth: Truth,
    /// Of each stream what its receiver got: number and time.
    got: BTreeMap<(u32, bool), Vec<(i64, i64)>>,
    again: BTreeMap<u32, u16>,
}

impl World {
    pub(super) fn new(clients: u32, packets: u32) -> Self {
        Self {
            clients,
            packets,
            first: 100,
            up: Link::clean(10 * MS),
            down: Link::clean(25 * MS),
            server_drops: never(),
            tester_drops: never(),
            capture_misses: never(),
            key_frame: 0,
            forwarding: FORWARDING,
            starved: Box::new(|_| 0),
        }
    }

    pub(super) fn run(self) -> (Inputs, Truth) {
        let point = |name: String| Point { name, ..Point::default() };
        let mut run = Run {
            server: point("server".to_owned()),
            points: (1..=self.clients).map(|client| point(format!("c{client}"))).collect(),
            world: self,
            map: Vec::new(),
            log: Vec::new(),
            drops: Vec::new(),
            truth: Truth::default(),
            got: BTreeMap::new(),
            again: BTreeMap::new(),
        };
        run.streams();
        for from in 0..run.world.clients {
            for video in [false, true] {
                for index in 0..run.world.packets {
                    run.send(from, video, index);
                }
            }
        }
        run.finish()
    }
}

impl Run {
    fn streams(&mut self) {
        let clock = (0, AHEAD as u64);
        self.map.push(Record::Clock { monotonic_ns: clock.0, realtime_ns: clock.1 });
        self.log.push(packet_log::Record::Clock { monotonic_ns: clock.0, realtime_ns: clock.1 });
        for client in 0..self.world.clients {
            for (leg, out) in [(client * 2, false), (client * 2 + 1, true)] {
                let (participant, transport) = (u64::from(client) + 0xa0, u64::from(leg));
                self.map.push(Record::Leg { leg, out, participant, transport });
            }
            for video in [false, true] {
                let own = ssrc_in(client, video);
                let stream =
                    Stream { client, out: true, video, ssrc: own, rtx_ssrc: rtx(own, video), ..Stream::default() };
                self.log.push(packet_log::Record::Stream(Stream { from: client, track: u32::from(video), ..stream }));
                for from in (0..self.world.clients).filter(|from| *from != client) {
                    let ssrc = ssrc_out(from, client, video);
                    let (track, rtx_ssrc) = (u32::from(video), rtx(ssrc, video));
                    let stream = Stream { client, out: false, video, ssrc, rtx_ssrc, track, from };
                    self.log.push(packet_log::Record::Stream(stream));
                }
            }
        }
    }

    fn see(&mut self, client: Option<u32>, ssrc: u32, time: i64, sequence: u16, index: u32) {
        let point = match client {
            Some(client) => self.points.get_mut(client as usize).unwrap(),
            None if (self.world.capture_misses)(ssrc, index) => {
                self.server.dropped += 1;
                return;
            }
            None => &mut self.server,
        };
        point.streams.entry(ssrc).or_default().push((time + AHEAD, sequence));
    }

    fn next_again(&mut self, ssrc: u32) -> u16 {
        let next = self.again.entry(ssrc).or_insert(65_530);
        *next = next.wrapping_add(1);
        *next
    }

    fn dropped(&mut self, direction: Direction, ssrc: u32, sequence: u16, time: i64) {
        let cause = "random loss".to_owned();
        self.drops.push(EngineDrop { direction, ssrc, sequence, time_ns: time + AHEAD, cause });
    }

    fn send(&mut self, from: u32, video: bool, index: u32) {
        let at = 1_000 * MS + i64::from(index) * SPACING + i64::from(from) * MS;
        let (ssrc, sequence) = (ssrc_in(from, video), self.world.first.wrapping_add(index as u16));
        self.truth.sent += 1;
        self.log.push(packet_log::Record::Sent(Sent {
            client: from,
            track: u32::from(video),
            video,
            key_frame: video && index == 0,
            ssrc,
            sequence,
            rtp_timestamp: index * if video { 1800 } else { 960 },
            payload_bytes: 100,
            number: index,
            time_ns: at as u64,
        }));
        let left = at + SENDER;
        self.see(Some(from), ssrc, left, sequence, index);
        let arrival = left + (self.world.up.delay)(ssrc, index);
        let lost = (self.world.up.loses)(ssrc, index);
        let mut at_server = arrival;
        if lost {
            *self.truth.lost_up.entry(ssrc).or_default() += 1;
            self.dropped(Direction::Uplink, ssrc, sequence, left);
            if !video {
                return;
            }
            let (again, number) = (rtx(ssrc, video), self.next_again(ssrc));
            self.see(Some(from), again, left + REPAIR - 10 * MS, number, index);
            if (self.world.up.loses_again)(ssrc, index) {
                return;
            }
            at_server = left + REPAIR;
            self.see(None, again, at_server, number, index);
        } else {
            self.see(None, ssrc, arrival, sequence, index);
            if (self.world.up.doubles)(ssrc, index) {
                self.see(None, ssrc, arrival + MS, sequence, index);
            }
        }
        self.got.entry((ssrc, true)).or_default().push((i64::from(index), at_server));
        if video && index < self.world.key_frame {
            return;
        }
        for to in (0..self.world.clients).filter(|to| *to != from) {
            self.forward(Hop { from, to, video, index, at: at_server + SERVER_IN, repaired: lost });
        }
    }

    fn forward(&mut self, hop: Hop) {
        let Hop { from, to, video, index, .. } = hop;
        let ssrc = ssrc_out(from, to, video);
        // Of a retransmission captures do not tell whose it is.
        if !hop.repaired && (self.world.server_drops)(ssrc, index) {
            self.truth.dropped_by_server += 1;
            return;
        }
        let sequence_in = self.world.first.wrapping_add(index as u16);
        let sequence = sequence_in.wrapping_add(7);
        let out = hop.at + self.world.forwarding;
        self.map.push(Record::Forwarded(Forwarded {
            video,
            key_frame: false,
            datagram_bytes: 130,
            payload_bytes: 100,
            sequence_in,
            sequence_out: sequence,
            ssrc_in: ssrc_in(from, video),
            ssrc_out: ssrc,
            leg_in: from * 2,
            leg_out: to * 2 + 1,
            time_in_ns: hop.at as u64,
            time_out_ns: out as u64,
        }));
        let left = out + SERVER_OUT;
        self.see(None, ssrc, left, sequence, index);
        let mut arrival = left + (self.world.down.delay)(ssrc, index);
        let lost = (self.world.down.loses)(ssrc, index);
        if lost {
            *self.truth.lost_down.entry(ssrc).or_default() += 1;
            self.dropped(Direction::Downlink, ssrc, sequence, left);
            if !video {
                return;
            }
            let (again, number) = (rtx(ssrc, video), self.next_again(ssrc));
            let packet = Forwarded { video, ssrc_out: again, leg_out: to * 2 + 1, ..Forwarded::default() };
            let time_out_ns = (left + REPAIR - 25 * MS) as u64;
            self.map.push(Record::Retransmitted(Forwarded { sequence_out: number, time_out_ns, ..packet }));
            self.see(None, again, left + REPAIR - 25 * MS, number, index);
            if (self.world.down.loses_again)(ssrc, index) {
                return;
            }
            arrival = left + REPAIR;
            self.see(Some(to), again, arrival, number, index);
            *self.truth.repaired_down.entry(ssrc).or_default() += 1;
        } else {
            self.see(Some(to), ssrc, arrival, sequence, index);
            if (self.world.down.doubles)(ssrc, index) {
                self.see(Some(to), ssrc, arrival + MS, sequence, index);
            }
        }
        if !lost && (self.world.tester_drops)(ssrc, index) {
            self.truth.dropped_by_tester += 1;
            return;
        }
        *if lost || hop.repaired { &mut self.truth.repaired } else { &mut self.truth.delivered } += 1;
        let at = arrival + RECEIVER + (self.world.starved)(index);
        self.got.entry((ssrc, false)).or_default().push((i64::from(index), at));
        self.log.push(packet_log::Record::Received(Received {
            client: to,
            from,
            track: u32::from(video),
            video,
            ssrc,
            sequence,
            rtp_timestamp: index * if video { 1800 } else { 960 },
            payload_bytes: 100,
            number: index,
            time_ns: at as u64,
            repaired: lost,
            duplicate: false,
        }));
    }

    /// Writes the last reports, as RFC 3550 counts, and puts everything together.
    fn finish(mut self) -> (Inputs, Truth) {
        let end = 3_000 * MS + i64::from(self.world.packets) * SPACING;
        for ((ssrc, uplink), got) in &self.got {
            let mut in_time = got.clone();
            in_time.sort_by_key(|(number, time)| (*time, *number));
            let first = in_time.first().unwrap().0;
            let highest = got.iter().map(|(number, _)| *number).max().unwrap();
            let received = got.iter().filter(|(number, _)| *number >= first).count() as i64;
            let packets_lost = highest - first + 1 - received;
            let video = ssrc % 10 == 1;
            if *uplink {
                let reported = packet_log::Reported {
                    client: (ssrc - 1000) / 10,
                    out: true,
                    video,
                    ssrc: *ssrc,
                    packets_lost,
                    highest: Some(self.world.first.wrapping_add(highest as u16)),
                    ..Default::default()
                };
                self.log.push(packet_log::Record::Reported(packet_log::Reported { time_ns: end as u64, ..reported }));
            } else {
                let highest = u64::from(self.world.first) + 7 + highest as u64;
                let said = Reported { video, ssrc_out: *ssrc, packets_lost, highest, ..Reported::default() };
                self.map.push(Record::Reported(Reported { time_ns: end as u64, ..said }));
            }
        }
        // Something else goes on for longer than media.
        for point in self.points.iter_mut().chain([&mut self.server]) {
            point.range = Some((AHEAD, end + AHEAD));
        }
        let mut shuffled = self.log;
        // The log of one client is in order of time, those of several are not.
        shuffled.sort_by_key(|record| match record {
            packet_log::Record::Sent(packet) => (1, packet.time_ns),
            packet_log::Record::Received(packet) => (1, packet.time_ns),
            _ => (0, 0),
        });
        let inputs = Inputs {
            map: Some(MapLog::collect(self.map.into_iter().map(Ok::<_, ()>)).unwrap()),
            packets: Some(PacketLog::collect(shuffled.into_iter().map(Ok::<_, ()>)).unwrap()),
            server: Some(self.server),
            clients: self.points,
            drops: self.drops,
            slip_p99_ns: None,
        };
        (inputs, self.truth)
    }
}
