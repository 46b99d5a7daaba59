//! Flows that have draws, indices and order of their own: none hangs on another, and the table that holds them is bounded.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_channel::{Channel, ChannelSpec};
use shaper_common::chance::Chance;
use shaper_common::corrupt::{ANYWHERE, Corrupt};
use shaper_common::duplicate::Duplicate;
use shaper_common::fate::{Cause, Fate};
use shaper_common::flow::{Bucket, WAYS};
use shaper_common::layout::{Params, flags};
use shaper_common::loss::Chain;
use shaper_common::parse;
use shaper_common::pipeline::Packet;
use shaper_common::police::PolicerSettings;
use shaper_common::process::per_nano;
use shaper_common::reorder::Reorder;
use shaper_common::slot::Slots;
use shaper_common::units::{BitsPerSec, Nanos, Probability};

/// Two-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.290_527;
/// The 99.9 % quantile of chi-square with 225 degrees of freedom (Wilson and Hilferty).
const CHI_SQUARE_225: f64 = 295.4;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn probability(of: f64) -> Probability {
    Probability((of * 2f64.powi(32)).round() as u64)
}

/// Everything that a flow carries on is in use.
fn everything() -> Params {
    let chance = Chance::new(probability(0.3), probability(0.2), probability(0.6));
    Params {
        seed: 7,
        stream: 3,
        chain: Chain {
            lose: [0.0, 1.0, 0.0, 0.0].map(probability),
            leave: [0.1, 0.4, 0.0, 0.0].map(|leave| [probability(leave); 2]),
            to: [[1, 0], [0, 0], [0, 0], [0, 0]],
            first: [0.8, 1.0, 1.0].map(probability),
            longest: 4,
            ..Chain::default()
        },
        has_chain: 1,
        duplicate: Duplicate { chance, spacing: Nanos(100), copies: 2, ..Duplicate::default() },
        corrupt: Corrupt { chance, at: ANYWHERE, bits: 1, ..Corrupt::default() },
        reorder: Reorder { chance, gap: 3, ..Reorder::default() },
        delay: Nanos(4 * MILLI),
        jitter: Nanos(3 * MILLI),
        jitter_kind: 1,
        per_nano: per_nano(Nanos(20 * MILLI)).unwrap(),
        order: 1,
        flags: flags::FLOWS,
        ..Params::default()
    }
}

fn channel(params: Params, flows: u32) -> Channel {
    Channel::new(ChannelSpec { flows, ..ChannelSpec::plain(params) })
}

fn packet(now: u64, flow_hash: u32) -> Packet {
    let headers = Packet { network: 14, transport: 34, payload: 42, ..Packet::default() };
    Packet { now: Nanos(now), len: 200, flow_hash, ..headers }
}

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn a_flows_fates_are_the_same_whatever_comes_between() {
    let pattern = Params { has_chain: 0, period: 5, pattern: 0b10010, ..everything() };
    let free = Params { has_chain: 0, loss: probability(0.2), jitter_kind: 2, per_nano: 0, order: 0, ..everything() };
    let cases = (
        prop::sample::select(vec![everything(), pattern, free]),
        // As many flows as fit wherever they fall.
        prop::collection::vec(any::<u32>(), 1..=WAYS),
        prop::collection::vec((any::<prop::sample::Index>(), 0..2 * MILLI), 1..400),
    );
    let judged = runner(300).run(&cases, |(params, hashes, arrivals)| {
        let mut together = channel(params, 16);
        let mut alone = HashMap::new();
        let mut now = SECOND;
        for (flow, gap) in arrivals {
            now += gap;
            let packet = packet(now, *flow.get(&hashes));
            let own = alone.entry(packet.flow_hash).or_insert_with(|| channel(params, 16));
            prop_assert_eq!(together.decide(&packet), own.decide(&packet));
        }
        prop_assert_eq!(together.state().counts.flows_evicted, 0);
        Ok(())
    });
    judged.unwrap();
}

/// 16 by 16 cells of two uniform delays.
fn assert_independent(pairs: impl Iterator<Item = (f64, f64)>, what: &str) {
    let mut cells = [[0f64; 16]; 16];
    for (left, right) in pairs {
        cells[(left * 16.0) as usize][(right * 16.0) as usize] += 1.0;
    }
    let rows = cells.map(|row| row.iter().sum::<f64>());
    let columns: Vec<f64> = (0..16).map(|column| cells.iter().map(|row| row[column]).sum()).collect();
    let n: f64 = rows.iter().sum();
    let mut statistic = 0.0;
    for (row, total) in cells.iter().zip(rows) {
        for (count, column) in row.iter().zip(&columns) {
            let expected = total * column / n;
            assert!(expected > 100.0, "{what}: {n} pairs say nothing");
            statistic += (count - expected).powi(2) / expected;
        }
    }
    assert!(statistic < CHI_SQUARE_225, "{what}: chi-square {statistic:.1}");
}

#[test]
fn flows_are_independent_of_each_other() {
    let jitter = Params {
        seed: 7,
        delay: Nanos(SECOND / 2),
        jitter: Nanos(SECOND / 2),
        jitter_kind: 1,
        flags: flags::FLOWS,
        ..Params::default()
    };
    let delays = |hash: u32, params: Params| {
        let mut channel = channel(params, 8);
        (0..100_000).map(move |index| {
            let now = SECOND + index * MILLI;
            // The very last nanosecond is as good as that before.
            (channel.decide(&packet(now, hash)).release.0 - now).min(SECOND - 1) as f64 / SECOND as f64
        })
    };
    for other in [1, 2, 0x8000_0000, u32::MAX] {
        assert_independent(delays(0, jitter).zip(delays(other, jitter)), &format!("flows 0 and {other:#x}"));
    }
    // Nor do a flow's draws depend on each other, nor on those of the same flow on another link, nor on the link's own.
    assert_independent(delays(5, jitter).zip(delays(5, jitter).skip(1)), "a packet and the next one");
    assert_independent(delays(5, jitter).zip(delays(5, Params { stream: 1, ..jitter })), "two links");
    assert_independent(delays(5, jitter).zip(delays(5, Params { flags: 0, ..jitter })), "flow and link");
}

#[test]
fn the_first_packets_of_many_flows_are_lost_as_often_as_any() {
    let params = Params { has_chain: 0, loss: probability(0.2), ..everything() };
    let mut channels = [params, everything()].map(|params| channel(params, 1 << 17));
    let n = 20_000;
    for (channel, what) in channels.iter_mut().zip(["each on its own", "in bursts"]) {
        let lost = (0..n).filter(|hash| channel.decide(&packet(SECOND, *hash)).cause == Cause::Loss).count();
        let bound = Z_999 * (f64::from(n) * 0.2 * 0.8).sqrt();
        assert!((lost as f64 - 0.2 * f64::from(n)).abs() < bound, "{what}: {lost} of {n}");
    }
}

/// A table by the definition: in each bucket the flows that it holds, with the index of the next packet and when each was
/// last seen.
fn expected(flows: u32, packets: &[Packet]) -> (Vec<u64>, u64) {
    let mask = flows / WAYS as u32 - 1;
    let mut buckets: HashMap<u32, Vec<(u32, u64, u64)>> = HashMap::new();
    let mut evicted = 0;
    let mut indices = Vec::new();
    for packet in packets {
        let bucket = buckets.entry(Bucket::of(packet.flow_hash, mask)).or_default();
        if bucket.iter().all(|(hash, ..)| *hash != packet.flow_hash) {
            if bucket.len() == WAYS {
                let oldest = bucket.iter().enumerate().min_by_key(|(_, (_, _, seen))| *seen).unwrap().0;
                bucket.remove(oldest);
                evicted += 1;
            }
            bucket.push((packet.flow_hash, 0, 0));
        }
        let (_, index, seen) = bucket.iter_mut().find(|(hash, ..)| *hash == packet.flow_hash).unwrap();
        indices.push(*index);
        *index += 1;
        *seen = packet.now.0;
    }
    (indices, evicted)
}

#[test]
fn the_table_is_bounded_and_the_flow_not_seen_for_longest_makes_room() {
    for (flows, range) in [(8, 12), (8, 100), (64, 90), (64, 10_000), (1_024, 1_300), (1_024, 100)] {
        let mut random = 1u32;
        let packets: Vec<Packet> = (0..50_000)
            .map(|index| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                packet(SECOND + index * 1_000, ((u64::from(random) * range) >> 32) as u32)
            })
            .collect();
        let mut channel = channel(everything(), flows);
        let (indices, evicted) = expected(flows, &packets);
        for (packet, index) in packets.iter().zip(indices) {
            let _ = channel.decide(packet);
            assert_eq!(channel.met().flow.next_index, index, "{flows} places for {range} flows");
        }
        assert_eq!(channel.state().counts.flows_evicted, evicted, "{flows} places for {range} flows");
        assert!(if range > flows.into() { evicted > 1_000 } else { evicted == 0 });
    }
}

#[test]
fn a_flow_that_was_put_out_begins_anew_and_the_others_go_on() {
    let mut channel = channel(everything(), WAYS as u32);
    let mut now = SECOND;
    let mut fifty_of = |hash: u32| -> Vec<Fate> {
        let fates = (0..50).map(|_| {
            now += MILLI;
            let fate = channel.decide(&packet(now, hash));
            // By the time since the arrival, so that fates of other times can be compared.
            Fate { release: fate.release.saturating_sub(Nanos(now)), ..fate }
        });
        let fates = fates.collect();
        now += SECOND;
        fates
    };
    let begun: Vec<_> = (0..8).map(&mut fifty_of).collect();
    // The table is full; each goes on where it was.
    let more: Vec<_> = (0..8).map(&mut fifty_of).collect();
    assert!(begun.iter().zip(&more).all(|(begun, more)| begun != more));
    // A ninth puts out the first, which then puts out the second.
    let _ = fifty_of(8);
    assert_eq!(fifty_of(0), begun[0]);
    assert_eq!(fifty_of(1), begun[1]);
    let third = fifty_of(3);
    assert!(third != begun[3] && third != more[3]);
    assert_eq!(channel.state().counts.flows_evicted, 3);
}

/// UDP over IPv4 between two hosts of 10.0.0.0/8.
fn hash_of(source: u32, destination: u32, ports: [u16; 2]) -> u32 {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend((0x0a00_0000 + source).to_be_bytes());
    frame.extend((0x0a00_0000 + destination).to_be_bytes());
    frame.extend(ports.map(u16::to_be_bytes).concat());
    frame.extend([0, 8, 0, 0]);
    parse::summary(frame.as_slice()).flow_hash
}

/// Of so many flows in a table of twice that, no more are put out than of flows at random: where the mean of a bucket is
/// four, those of a Poisson distribution beyond its places.
#[test]
fn flows_spread_over_the_table_also_where_addresses_and_ports_are_counted_up() {
    let flows = 4_096u16;
    let buckets = f64::from(flows) / 4.0;
    let (mut share, mut mean, mut square) = ((-4f64).exp(), 0.0, 0.0);
    for held in 1..60 {
        share *= 4.0 / f64::from(held);
        let beyond = (f64::from(held) - WAYS as f64).max(0.0);
        mean += share * beyond;
        square += share * beyond * beyond;
    }
    let most = buckets * mean + Z_999 * (buckets * (square - mean * mean)).sqrt();
    let judge = |what: &str, hash: fn(u16) -> u32| {
        let mut channel = channel(everything(), 2 * u32::from(flows));
        for number in 0..flows {
            let _ = channel.decide(&packet(SECOND + u64::from(number), hash(number)));
        }
        let evicted = channel.state().counts.flows_evicted;
        assert!((evicted as f64) < most, "{what}: {evicted} of {flows}, {most:.0} allowed");
    };
    judge("source ports", |number| hash_of(1, 2, [30_000 + number, 5_004]));
    judge("destination ports", |number| hash_of(1, 2, [5_004, 30_000 + number]));
    judge("both ports", |number| hash_of(1, 2, [30_000 + number, 30_000 + number]));
    judge("sources", |number| hash_of(number.into(), 2, [5_004, 5_004]));
    judge("destinations", |number| hash_of(1, number.into(), [5_004, 5_004]));
    judge("sources and their ports", |number| hash_of((number / 32).into(), 2, [30_000 + number % 32, 5_004]));
}

#[test]
fn without_flows_their_hash_means_nothing() {
    let link = Params { flags: 0, rate: BitsPerSec(3_000_000), queue: Nanos(20 * MILLI), ..everything() };
    let (mut one, mut many) = (channel(link, 8), channel(link, 8));
    for index in 0..50_000u32 {
        let now = SECOND + u64::from(index) * MILLI / 2;
        let of_one = one.decide(&packet(now, 0));
        assert_eq!(of_one, many.decide(&packet(now, index.wrapping_mul(0x9e37_79b1))));
    }
    assert!(one.state().counts.queue > 1_000 && one.state().counts.loss > 1_000);
    assert_eq!(one.state().counts.flows_evicted + many.state().counts.flows_evicted, 0);
}

/// Bottleneck, policer and slots are the link's, whoever's packet comes.
#[test]
fn what_belongs_to_the_link_is_shared_by_its_flows() {
    let link = Params {
        seed: 7,
        policer: PolicerSettings { rate: BitsPerSec(3_100_000), burst: Nanos(30 * MILLI) },
        rate: BitsPerSec(2_900_000),
        queue: Nanos(20 * MILLI),
        queue_packets: 9,
        ..Params::default()
    };
    let slots = Slots { gap: Nanos(3 * MILLI), packets: 4, ..Slots::default() };
    for link in [link, Params { slots, order: 1, ..link }] {
        let mut link_scope = channel(link, 8);
        let mut flow_scope = channel(Params { flags: flags::FLOWS, ..link }, 8);
        for index in 0..50_000u32 {
            let packet = packet(SECOND + u64::from(index) * 400_000, index.wrapping_mul(0x9e37_79b1) >> 28);
            let packet = Packet { len: 60 + index.wrapping_mul(7_919) % 200, ..packet };
            assert_eq!(link_scope.decide(&packet), flow_scope.decide(&packet));
        }
        let counts = flow_scope.state().counts;
        assert!(counts.queue > 500 && counts.policer > 500 && counts.flows_evicted > 1_000, "{counts:?}");
    }
}
