//! Duplicates: which packets have copies, how far those are apart, and what they take of the bottleneck.

use shaper_common::chance::Chance;
use shaper_common::delay::Jitter;
use shaper_common::duplicate::{Duplicate, MOST_COPIES};
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, flags};
use shaper_common::order::Order;
use shaper_common::units::{BitsPerSec, Nanos, Probability};

use crate::link::{Link, MICRO, MILLI, MILLION, SECOND, irregular, packet, probability, steady};
use crate::statistics::assert_share;

fn copied(share: f64, copies: u32, spacing: u64) -> Params {
    let chance = Chance::independent(probability(share));
    Params {
        seed: 7,
        stream: 3,
        duplicate: Duplicate { chance, spacing: Nanos(spacing), copies, ..Duplicate::default() },
        ..Params::default()
    }
}

#[test]
fn so_many_packets_have_so_many_copies_so_far_apart() {
    for (share, copies, spacing) in [(0.001, 1, 0), (0.05, 3, 250 * MICRO), (0.5, MOST_COPIES, MILLI)] {
        let mut link = Link::new(copied(share, copies, spacing));
        let mut hits = 0;
        for packet in steady(MILLI, MILLION) {
            let fate = link.decide(&packet);
            assert_eq!((fate.cause, fate.release), (Cause::None, packet.now));
            if fate.copies > 0 {
                assert_eq!((fate.copies, fate.spacing), (copies, Nanos(spacing)));
                hits += 1;
            } else {
                assert_eq!(fate.spacing, Nanos::ZERO);
            }
        }
        assert_share(hits, MILLION, share, 1.0, "copied packets");
        assert_eq!(link.counts().copies, hits as u64 * u64::from(copies));
    }
}

#[test]
fn copies_share_the_packets_jitter_and_go_with_a_lost_one() {
    let with = Params {
        delay: Nanos(20 * MILLI),
        jitter: Nanos(10 * MILLI),
        jitter_kind: Jitter::Normal as u32,
        loss: probability(0.2),
        ..copied(0.3, 2, 5 * MICRO)
    };
    let without = Params { duplicate: Duplicate::default(), ..with };
    let (mut with, mut without) = (Link::new(with), Link::new(without));
    let (mut copied, mut lost) = (0, 0);
    for packet in steady(MILLI, 100_000) {
        let (own, plain) = (with.decide(&packet), without.decide(&packet));
        assert_eq!((own.release, own.cause), (plain.release, plain.cause));
        assert!(own.cause == Cause::None || (own.copies, own.served) == (0, 0));
        copied += u32::from(own.copies > 0);
        lost += u32::from(own.cause == Cause::Loss);
    }
    assert!(copied > 10_000 && lost > 10_000);
}

/// A bottleneck whose times are exact: in units of 1/rate nanoseconds.
struct Exact {
    rate: u128,
    queue: u128,
    free: u128,
}

impl Exact {
    /// When the packet is through, the copies that are so within the queue, and the time between them.
    fn serve(&mut self, now: u64, len: u32, wanted: u32) -> Option<(u64, u32, u64)> {
        let (now, need) = (u128::from(now), u128::from(len) * 8_000_000_000);
        let through = self.free.max(now * self.rate) + need;
        // Times are told in whole nanoseconds.
        let fits = |copies: u32| (through + u128::from(copies) * need) / self.rate <= now + self.queue;
        if !fits(0) {
            return None;
        }
        let copies = (0..=wanted).rev().find(|copies| fits(*copies)).unwrap_or(0);
        self.free = through + u128::from(copies) * need;
        let told = |time: u128| u64::try_from(time / self.rate).unwrap();
        Some((told(through), copies, told(need)))
    }
}

#[test]
fn copies_take_the_bottlenecks_time_exactly_as_far_as_there_is_room() {
    let cases = [
        (10_000_019, 8 * MILLI, 3, 0),
        (10_000_000, 6 * MILLI, MOST_COPIES, 70 * MICRO),
        (1_000_000_007, 40 * MICRO, 2, 1),
        (64_000, SECOND, 5, 0),
        (400_000_000_000, 77, MOST_COPIES, 0),
    ];
    for (rate, queue, copies, spacing) in cases {
        let params = copied(0.2, copies, spacing);
        // Which packets have copies is seen where nothing limits them.
        let mut chosen = Link::new(params);
        let mut link = Link::new(Params { rate: BitsPerSec(rate), queue: Nanos(queue), ..params });
        let mut exact = Exact { rate: rate.into(), queue: queue.into(), free: 0 };
        let (mut all, mut some, mut dropped) = (0, 0, 0);
        // Two thirds of the rate with all copies.
        let interval = 787 * 8 * SECOND * (5 + u64::from(copies)) / (rate * 5) * 3 / 2;
        for packet in irregular(rate, interval, 100_000) {
            let wanted = chosen.decide(&packet).copies;
            let fate = link.decide(&packet);
            let Some((through, taken, each)) = exact.serve(packet.now.0, packet.len, wanted) else {
                assert_eq!((fate.cause, fate.served), (Cause::Queue, 0));
                dropped += 1;
                continue;
            };
            let apart = if taken == 0 { 0 } else { each + spacing };
            assert_eq!((fate.cause, fate.release, fate.served), (Cause::None, Nanos(through), 1 + taken));
            assert_eq!((fate.copies, fate.spacing), (taken, Nanos(apart)), "of {wanted} copies at {rate} bit/s");
            all += u32::from(wanted > 0 && taken == wanted);
            some += u32::from(taken < wanted);
        }
        assert!(all > 1_000 && some > 100 && dropped > 100, "{rate} bit/s: {all} {some} {dropped}");
        let left = link.bottleneck();
        assert_eq!(u128::from(left.free_at.0) * exact.rate + u128::from(left.remainder), exact.free);
    }
}

#[test]
fn a_queue_of_four_services_takes_a_packet_and_three_copies() {
    // 1000 bytes at 8 Mbit/s are a millisecond.
    for (queue, copies) in [(4 * MILLI, 3), (4 * MILLI - 1, 2), (MILLI, 0), (100 * MILLI, MOST_COPIES)] {
        let params = Params {
            duplicate: Duplicate {
                chance: Chance::independent(Probability::ALWAYS),
                copies: MOST_COPIES,
                ..Duplicate::default()
            },
            rate: BitsPerSec(8_000_000),
            queue: Nanos(queue),
            ..Params::default()
        };
        let fate = Link::new(params).decide(&packet(SECOND, 1_000));
        assert_eq!((fate.copies, fate.served), (copies, 1 + copies), "queue {queue} ns");
    }
}

#[test]
fn copies_of_what_is_lost_behind_the_bottleneck_take_its_time_too() {
    let limited = Params { rate: BitsPerSec(10_000_000), queue: Nanos(SECOND), ..copied(0.3, 2, 0) };
    let lossy = Params { loss: probability(0.3), flags: flags::LOSS_BEHIND, ..limited };
    let (mut whole, mut lossy) = (Link::new(limited), Link::new(lossy));
    let mut lost_with_copies = 0;
    for packet in irregular(3, 2 * MILLI, 50_000) {
        let (whole, fate) = (whole.decide(&packet), lossy.decide(&packet));
        assert_eq!(fate.served, whole.served);
        assert!(fate.cause == Cause::Loss || fate == whole);
        assert!(fate.cause == Cause::None || fate.copies == 0);
        lost_with_copies += u32::from(fate.cause == Cause::Loss && fate.served == 3);
    }
    assert_eq!(whole.bottleneck(), lossy.bottleneck());
    assert!(lost_with_copies > 1_000);
}

#[test]
fn a_kept_order_holds_for_what_follows_copies() {
    for rate in [0, 5_000_000] {
        let free = Params {
            delay: Nanos(10 * MILLI),
            jitter: Nanos(5 * MILLI),
            jitter_kind: Jitter::Uniform as u32,
            rate: BitsPerSec(rate),
            queue: Nanos(100 * MILLI),
            ..copied(0.3, 3, 700 * MICRO)
        };
        for (order, is_kept) in [(Order::Keep, true), (Order::Free, false)] {
            let mut link = Link::new(Params { order: order as u32, ..free });
            let (mut last, mut overtaken) = (0, 0);
            for packet in steady(MILLI, 50_000) {
                let fate = link.decide(&packet);
                overtaken += u32::from(fate.release.0 < last);
                last = last.max(fate.release.0 + u64::from(fate.copies) * fate.spacing.0);
            }
            assert!(if is_kept { overtaken == 0 } else { overtaken > 5_000 }, "{order:?}: {overtaken} overtake");
            assert!(link.counts().copies > 30_000);
        }
    }
}
