//! Slots: packets leave in bursts, no more than a slot takes, and the slots are as far apart as asked for.

use shaper_common::delay::Jitter;
use shaper_common::layout::Params;
use shaper_common::pipeline::Packet;
use shaper_common::slot::Slots;
use shaper_common::units::{BitsPerSec, Nanos};

use crate::link::{Link, MICRO, MILLI, MILLION, SECOND, irregular, packet, steady};
use crate::statistics::{assert_distribution, assert_uniform};

fn slotted(slots: Slots) -> Params {
    Params { seed: 7, stream: 3, slots, ..Params::default() }
}

fn regular(gap: u64, packets: u32, bytes: u32) -> Slots {
    Slots { gap: Nanos(gap), packets, bytes, ..Slots::default() }
}

/// A station that is granted turns: at each it sends what waits, first come first served, as far as the turn takes it. The
/// next turn is a gap later, or when a packet comes, whichever is later. Packets are given in the order in which they are
/// ready, and each one's turn comes back.
fn turns(gap: u64, most: usize, bytes: u64, packets: &[(u64, u32)]) -> Vec<u64> {
    let mut sent = Vec::new();
    let mut turn = 0;
    while let Some((first, _)) = packets.get(sent.len()) {
        turn = if sent.is_empty() { *first } else { *first.max(&(turn + gap)) };
        let mut taken = 0;
        let mut room = bytes;
        for (ready, len) in &packets[sent.len()..] {
            let fits = taken == 0 || (taken < most && u64::from(*len) <= room);
            if *ready > turn || !fits {
                break;
            }
            taken += 1;
            room = room.saturating_sub((*len).into());
        }
        sent.resize(sent.len() + taken, turn);
    }
    sent
}

#[test]
fn packets_leave_as_from_a_station_that_is_granted_turns() {
    let cases = [(8 * MILLI, 0, 0), (8 * MILLI, 5, 0), (8 * MILLI, 0, 4_000), (MILLI, 3, 2_500), (20 * MILLI, 1, 0)];
    for (number, (gap, most, bytes)) in cases.into_iter().enumerate() {
        // Through a bottleneck first, so that packets are ready when that served them.
        let rate = Params { rate: BitsPerSec(20_000_000), queue: Nanos(SECOND), ..Params::default() };
        let slots = Params { slots: regular(gap, most, bytes), ..rate };
        let (mut before, mut link) = (Link::new(rate), Link::new(slots));
        // Sometimes more than the slots take, sometimes nothing for a while.
        let packets: Vec<Packet> = irregular(number as u64, MILLI, 50_000)
            .enumerate()
            .map(|(index, packet)| {
                let pause = (index / 1_000) as u64 * 97 * MILLI;
                Packet { now: packet.now.saturating_add(Nanos(pause)), ..packet }
            })
            .collect();
        let ready: Vec<(u64, u32)> =
            packets.iter().map(|packet| (before.decide(packet).release.0, packet.len)).collect();
        let most = if most == 0 { usize::MAX } else { most as usize };
        let bytes = if bytes == 0 { u64::MAX } else { bytes.into() };
        let sent: Vec<u64> = packets.iter().map(|packet| link.decide(packet).release.0).collect();
        assert_eq!(sent, turns(gap, most, bytes, &ready), "case {number}");
        assert!(sent.iter().zip(&ready).any(|(sent, (ready, _))| sent == ready), "no turn ever waits for a packet");
        assert!(sent.iter().zip(&ready).any(|(sent, (ready, _))| sent > ready), "no packet ever waits for a turn");
    }
}

#[test]
fn no_slot_takes_more_than_it_may_and_none_opens_before_the_last() {
    let slots = Slots {
        gap: Nanos(2 * MILLI),
        spread: Nanos(MILLI),
        kind: Jitter::Uniform as u32,
        packets: 4,
        bytes: 3_000,
        ..Slots::default()
    };
    // Jitter in front, so that packets are not ready in the order in which they came.
    let jitter = Params {
        delay: Nanos(20 * MILLI),
        jitter: Nanos(15 * MILLI),
        jitter_kind: Jitter::Uniform as u32,
        ..slotted(Slots::default())
    };
    let (mut ready, mut link) = (Link::new(jitter), Link::new(Params { slots, ..jitter }));
    let (mut opens, mut packets, mut bytes) = (0, 0, 0);
    let (mut full, mut long, mut heavy) = (0, 0, 0);
    for packet in irregular(3, 900 * MICRO, MILLION) {
        let release = link.decide(&packet).release.0;
        assert!(release >= opens && release >= ready.decide(&packet).release.0);
        if release > opens {
            assert!(opens == 0 || release - opens >= MILLI, "slots {} ns apart", release - opens);
            full += u32::from(packets == 4);
            long += u32::from(packets < 4 && bytes + packet.len > 3_000);
            (opens, packets, bytes) = (release, 0, 0);
        }
        (packets, bytes) = (packets + 1, bytes + packet.len);
        assert!(packets <= 4 && bytes <= 3_000);
        heavy = heavy.max(bytes);
    }
    assert!(full > 10_000 && long > 10_000 && heavy > 2_990);
}

#[test]
fn a_packet_longer_than_a_slot_has_one_for_itself() {
    let mut link = Link::new(slotted(regular(MILLI, 0, 1_000)));
    let releases = [1_500, 400, 600, 1, 1_500, 1_500, 100].map(|len| link.decide(&packet(SECOND, len)).release.0);
    assert_eq!(releases.map(|release| (release - SECOND) / MILLI), [0, 1, 1, 2, 3, 4, 5]);
}

/// Times between slots while more comes than they take.
fn gaps(slots: Slots, count: usize) -> Vec<u64> {
    let mut link = Link::new(slotted(slots));
    let opens: Vec<u64> = (0..=count).map(|_| link.decide(&packet(SECOND, 200)).release.0).collect();
    opens.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn slots_under_load_are_apart_by_their_distribution() {
    let one = |gap, spread, kind: Jitter| Slots {
        gap: Nanos(gap),
        spread: Nanos(spread),
        kind: kind as u32,
        packets: 1,
        ..Slots::default()
    };
    assert!(gaps(one(5 * MILLI, 0, Jitter::None), 1_000).iter().all(|gap| *gap == 5 * MILLI));
    let (lowest, width) = (2e6, 6e6);
    let uniform = gaps(one(5 * MILLI, 3 * MILLI, Jitter::Uniform), MILLION);
    assert!(uniform.iter().all(|gap| (2 * MILLI..=8 * MILLI).contains(gap)));
    assert_distribution(uniform, |gap| ((gap - lowest) / width).clamp(0.0, 1.0), "uniform gaps");
    // Deciles of the standard normal distribution.
    let deciles = [-1.281_552, -0.841_621, -0.524_401, -0.253_347, 0.0, 0.253_347, 0.524_401, 0.841_621, 1.281_552];
    let mut seen = [0; 10];
    for gap in gaps(one(50 * MILLI, 5 * MILLI, Jitter::Normal), MILLION) {
        let z = (gap as f64 - 50e6) / 5e6;
        seen[deciles.iter().filter(|decile| z >= **decile).count()] += 1;
    }
    assert_uniform(&seen, "tenths of normal gaps");
}

#[test]
fn a_slot_of_an_idle_link_opens_for_the_packet() {
    let mut link = Link::new(slotted(regular(10 * MILLI, 0, 0)));
    // Each comes after the next slot would have opened.
    for packet in steady(11 * MILLI, 1_000) {
        assert_eq!(link.decide(&packet).release, packet.now);
    }
    // One that comes in between waits for the end of the gap, and those behind it leave with it.
    let start = SECOND + 999 * 11 * MILLI;
    for (came, leaves) in [(3, 10), (7, 10), (10, 10), (11, 20), (20, 20), (31, 31), (32, 41)] {
        assert_eq!(link.decide(&packet(start + came * MILLI, 200)).release.0, start + leaves * MILLI);
    }
}
