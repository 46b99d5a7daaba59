//! A queue whose limit is a number of packets, against a simulated one.

use std::collections::VecDeque;

use shaper_channel::{Channel, ChannelSpec};
use shaper_common::backlog::MOST_PACKETS;
use shaper_common::chance::Chance;
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, flags};
use shaper_common::pipeline::Packet;
use shaper_common::units::{BitsPerSec, Nanos, Probability};

const SECOND: u64 = 1_000_000_000;

fn probability(of: f64) -> Probability {
    Probability((of * 2f64.powi(32)).round() as u64)
}

/// Packets of 60 to 1514 bytes, `interval` apart in the mean.
fn packets(interval: u64, count: u32) -> impl Iterator<Item = Packet> {
    let mut now = SECOND;
    (1..=count).map(move |number| {
        let [first, second] = [0x9e37_79b1u32, 0x85eb_ca77].map(|factor| u64::from(number.wrapping_mul(factor)));
        now += (first * (2 * interval + 1)) >> 32;
        Packet { now: Nanos(now), len: 60 + ((second * 1_455) >> 32) as u32, ..Packet::default() }
    })
}

/// A first-in first-out queue with so many places; the packet that is being served has one. Copies are through together
/// with the last of them.
struct Queue {
    rate: u128,
    places: usize,
    /// In units of 1/rate nanoseconds.
    free: u128,
    through: VecDeque<u128>,
}

impl Queue {
    fn new(rate: u64, places: u32) -> Self {
        Self { rate: rate.into(), places: places as usize, free: 0, through: VecDeque::new() }
    }

    /// When the packet is through, in whole nanoseconds, and how many of its copies find room.
    fn take(&mut self, packet: &Packet, copies: u32) -> Option<(u64, u32)> {
        let now = u128::from(packet.now.0) * self.rate;
        // A packet is through when the clock shows so.
        while self.through.front().is_some_and(|through| through / self.rate <= packet.now.0.into()) {
            self.through.pop_front();
        }
        let room = self.places.checked_sub(self.through.len() + 1)?;
        let copies = copies.min(u32::try_from(room).unwrap_or(u32::MAX));
        let need = u128::from(packet.len) * 8_000_000_000;
        let own = self.free.max(now) + need;
        self.free = own + u128::from(copies) * need;
        self.through.extend((0..=copies).map(|_| self.free));
        Some((u64::try_from(own / self.rate).unwrap_or(u64::MAX), copies))
    }
}

#[test]
fn a_queue_of_so_many_packets_takes_as_many_as_a_simulated_one() {
    let plain = Params { seed: 7, stream: 3, rate: BitsPerSec(10_000_019), queue: Nanos::MAX, ..Params::default() };
    let chance = Chance::independent(probability(0.3));
    let copied = Params { duplicate: Duplicate { chance, copies: 3, ..Duplicate::default() }, ..plain };
    let lossy = |params| Params { loss: probability(0.25), ..params };
    let behind = |params| Params { flags: flags::LOSS_BEHIND, ..lossy(params) };
    // With the share of packets that the bottleneck is offered, copies among them.
    let cases = [
        (plain, 1.0),
        (lossy(plain), 0.75),
        (behind(plain), 1.0),
        (copied, 1.9),
        (lossy(copied), 1.425),
        (behind(copied), 1.9),
    ];
    for (number, (settings, offered)) in cases.into_iter().enumerate() {
        for places in [1, 2, 7, 64, MOST_PACKETS] {
            let mut channel = Channel::new(ChannelSpec::plain(Params { queue_packets: places, ..settings }));
            // What is chosen is seen where nothing limits it.
            let unlimited = Params { rate: BitsPerSec(0), queue: Nanos::ZERO, flags: 0, ..settings };
            let mut lost = Channel::new(ChannelSpec::plain(Params { duplicate: Duplicate::default(), ..unlimited }));
            let mut copies = Channel::new(ChannelSpec::plain(Params { loss: Probability::NEVER, ..unlimited }));
            let mut queue = Queue::new(10_000_019, places);
            let (mut dropped, mut cut, mut full) = (0, 0, 0);
            // Beyond the rate by a twentieth, and by half for the longest queue, which must fill.
            let load = if places == MOST_PACKETS { 1.5 } else { 1.05 };
            let interval = (787.0 * 800.0 * offered / load) as u64;
            for packet in packets(interval, 30_000) {
                let (is_lost, wanted) = (lost.decide(&packet).cause == Cause::Loss, copies.decide(&packet).copies);
                let fate = channel.decide(&packet);
                if is_lost && settings.flags & flags::LOSS_BEHIND == 0 {
                    assert_eq!((fate.cause, fate.served), (Cause::Loss, 0));
                    continue;
                }
                let Some((through, taken)) = queue.take(&packet, wanted) else {
                    assert_eq!((fate.cause, fate.served), (Cause::Queue, 0), "case {number}, {places} places");
                    dropped += 1;
                    continue;
                };
                assert_eq!(fate.served, 1 + taken, "case {number}, {places} places");
                if is_lost {
                    assert_eq!(fate.cause, Cause::Loss);
                } else {
                    assert_eq!((fate.cause, fate.release, fate.copies), (Cause::None, Nanos(through), taken));
                }
                cut += u32::from(taken < wanted);
                full = full.max(queue.through.len());
            }
            assert_eq!(channel.state().counts.queue, dropped);
            assert!(dropped > 500 && full == places as usize, "case {number}, {places} places: {dropped} {full}");
            assert!(settings.duplicate.copies == 0 || cut > 100, "case {number}, {places} places: {cut}");
        }
    }
}

#[test]
fn the_shorter_of_both_limits_counts() {
    // 1000 bytes at 8 Mbit/s are a millisecond.
    let limited = |milliseconds: u64, places| {
        let params = Params {
            rate: BitsPerSec(8_000_000),
            queue: Nanos(milliseconds * 1_000_000),
            queue_packets: places,
            ..Params::default()
        };
        let mut channel = Channel::new(ChannelSpec::plain(params));
        let packet = Packet { now: Nanos(SECOND), len: 1_000, ..Packet::default() };
        (0..100).filter(|_| channel.decide(&packet).cause == Cause::None).count()
    };
    assert_eq!([limited(10, 20), limited(20, 10), limited(10, 10), limited(1, 1)], [10, 10, 10, 1]);
}
