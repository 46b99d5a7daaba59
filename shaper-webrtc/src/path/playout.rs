//! The jitter buffer that a receiver would have needed: a model, since nothing is decoded here.
//!
//! An adaptive playout buffer. The transit of a packet is its arrival less its RTP timestamp in time;
//! its relative delay is its transit less the smallest transit of the last two seconds, so a clock that
//! drifts does no harm. The buffer aims at a quantile of the relative delays of the last packets, which
//! is the principle of `NetEq`, the buffer of libwebrtc; Ramjee, Kurose, Towsley and Schulzrinne (INFOCOM
//! 1994) aim at mean plus four deviations instead. A packet is played when the one with the smallest
//! transit would have waited for the target: it waits for the target less its own relative delay, and
//! one whose relative delay is larger is late, and discarded. Each target is made of earlier packets
//! alone. The buffer stretches and shrinks between packets without a limit, so what a real one hears of
//! a change is left out.

use std::collections::{HashMap, VecDeque};

use shaper_offline::stats::Distribution;

use super::Inputs;
use super::figures::{CAPACITY, budget, summary};
use super::result::Playout;
use super::streams::{Streams, name_of};
use crate::packet_log::Received;
use crate::signal::rtp::MediaKind;

/// For how long a transit can be the smallest.
const BASE_NS: i64 = 2_000_000_000;
/// Packets that the target is made of.
const WINDOW: usize = 500;
/// The target is this quantile of them.
const PERMILLE: usize = 970;
/// Packets before the target is made of them, and what it is until then.
const FIRST: usize = 50;
const START_NS: i64 = 80_000_000;

/// The buffer of one stream.
#[derive(Debug, Default)]
struct Buffer {
    /// The last RTP timestamp, and what it comes to since the first, in ticks.
    last: Option<(u32, i64)>,
    /// Arrivals and transits that may be the smallest, both ascending.
    smallest: VecDeque<(i64, i64)>,
    /// Relative delays in the order of arrival, and sorted.
    recent: VecDeque<i64>,
    sorted: Vec<i64>,
}

/// What becomes of a packet in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Played {
    target: i64,
    /// How long it waits; none if it is late.
    waits: Option<i64>,
}

impl Buffer {
    fn arrive(&mut self, arrival: i64, timestamp: u32, clock_rate: u32) -> Played {
        // Timestamps wrap; the difference has a sign.
        let ticks = self.last.map_or(0, |(last, ticks)| ticks + i64::from(timestamp.wrapping_sub(last) as i32));
        self.last = Some((timestamp, ticks));
        let media = i128::from(ticks) * 1_000_000_000 / i128::from(clock_rate.max(1));
        let transit = arrival.saturating_sub(i64::try_from(media).unwrap_or(i64::MAX));
        let relative = transit.saturating_sub(self.base(arrival, transit));
        let target = self.target();
        self.remember(relative);
        Played { target, waits: (relative <= target).then(|| target - relative) }
    }

    /// The smallest transit of the last two seconds.
    fn base(&mut self, arrival: i64, transit: i64) -> i64 {
        while self.smallest.back().is_some_and(|(_, other)| *other >= transit) {
            self.smallest.pop_back();
        }
        self.smallest.push_back((arrival, transit));
        while self.smallest.front().is_some_and(|(at, _)| *at < arrival.saturating_sub(BASE_NS)) {
            self.smallest.pop_front();
        }
        self.smallest.front().map_or(transit, |(_, smallest)| *smallest)
    }

    fn target(&self) -> i64 {
        if self.sorted.len() < FIRST {
            return START_NS;
        }
        let rank = (self.sorted.len() * PERMILLE).div_ceil(1000);
        self.sorted.get(rank.saturating_sub(1)).copied().unwrap_or(START_NS)
    }

    fn remember(&mut self, relative: i64) {
        if self.recent.len() >= WINDOW
            && let Some(oldest) = self.recent.pop_front()
            && let Ok(at) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(at);
        }
        self.recent.push_back(relative);
        let at = self.sorted.partition_point(|other| *other < relative);
        self.sorted.insert(at, relative);
    }
}

/// A model of each stream that the tester received.
pub(super) fn playout(inputs: &Inputs, streams: &Streams) -> Vec<Playout> {
    let mut received = HashMap::<u32, Vec<&Received>>::new();
    for packet in inputs.packets.iter().flat_map(|log| &log.received).filter(|packet| !packet.duplicate) {
        received.entry(packet.ssrc).or_default().push(packet);
    }
    let budget = budget();
    let mut models = Vec::new();
    for ssrc in streams.downs.keys() {
        let Some(mut packets) = received.remove(ssrc) else { continue };
        packets.sort_by_key(|packet| packet.time_ns);
        let Some(first) = packets.first() else { continue };
        let kind = if first.video { MediaKind::Video } else { MediaKind::Audio };
        let mut buffer = Buffer::default();
        let mut targets = Distribution::within(CAPACITY, &budget);
        let mut waits = Distribution::within(CAPACITY, &budget);
        let mut late = 0;
        for packet in &packets {
            let arrival = i64::try_from(packet.time_ns).unwrap_or(i64::MAX);
            let played = buffer.arrive(arrival, packet.rtp_timestamp, kind.clock_rate());
            targets.push(played.target);
            match played.waits {
                Some(wait) => waits.push(wait),
                None => late += 1,
            }
        }
        let count = packets.len() as u64;
        models.push(Playout {
            modelled: true,
            client: name_of(first.client),
            ssrc: *ssrc,
            video: first.video,
            packets: count,
            late,
            late_share: late as f64 / count as f64,
            target: summary(&mut targets),
            delay: summary(&mut waits),
        });
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Packets of 20 ms, each delayed by so much.
    fn play(delays: impl Iterator<Item = i64>) -> Vec<Played> {
        let mut buffer = Buffer::default();
        let start = u32::MAX - 5000;
        let arrive = |(index, delay): (usize, i64)| {
            let index = index as i64;
            buffer.arrive(index * 20 * MS + delay, start.wrapping_add(index as u32 * 960), 48_000)
        };
        delays.enumerate().map(arrive).collect()
    }

    #[test]
    fn without_jitter_the_buffer_empties_and_nothing_is_late() {
        let played = play((0..1000).map(|_| 30 * MS));
        assert!(played.iter().all(|packet| packet.waits.is_some()));
        assert_eq!(played[0].target, START_NS);
        assert_eq!(played[999], Played { target: 0, waits: Some(0) });
    }

    #[test]
    fn the_target_grows_to_the_quantile_and_few_are_late() {
        // Uniform from 0 to 39 ms.
        let played = play((0..4000_i64).map(|index| index * 7919 % 40 * MS));
        let settled = &played[1000..];
        let late = settled.iter().filter(|packet| packet.waits.is_none()).count();
        assert!(settled.iter().all(|packet| (37 * MS..=39 * MS).contains(&packet.target)), "{:?}", settled[0]);
        assert!((30..=150).contains(&late), "{late} of 3000");
    }

    #[test]
    fn a_step_in_delay_makes_packets_late_until_the_buffer_has_adapted() {
        let played = play((0..3000_i64).map(|index| if index < 1000 { 0 } else { 100 * MS }));
        let late: Vec<usize> = (0..3000).filter(|index| played[*index].waits.is_none()).collect();
        assert_eq!(late.first(), Some(&1000));
        assert!(late.len() < 120 && late.last().unwrap() < &1110, "{late:?}");
        assert_eq!(played[2999].target, 0, "the base has moved");
    }

    #[test]
    fn a_packet_waits_for_what_it_came_before_the_target() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.arrive(0, 0, 90_000).waits, Some(80 * MS));
        assert_eq!(buffer.arrive(50 * MS, 1800, 90_000).waits, Some(50 * MS));
        assert_eq!(buffer.arrive(150 * MS, 3600, 90_000).waits, None);
        assert_eq!(buffer.arrive(60 * MS, 1800, 90_000).waits, Some(40 * MS), "a timestamp that goes back");
    }
}
