//! Corruption: how many packets, where in them, and what.

use proptest::prelude::*;
use shaper_common::chance::Chance;
use shaper_common::corrupt::{self, ANYWHERE, Corrupt, Damage, MOST_BITS, MOST_BYTES, Part};
use shaper_common::layout::Params;
use shaper_common::pipeline::Packet;
use shaper_common::units::Probability;

use crate::link::{Link, MILLI, MILLION, packet, probability, runner, steady};
use crate::statistics::{assert_counts, assert_independent, assert_share, assert_uniform};

const PARTS: [Part; 4] = [Part::Any, Part::Network, Part::Transport, Part::Payload];

/// Begin and end of each part of [`packet`] with this length.
fn bounds(part: Part, len: u32) -> (u32, u32) {
    match part {
        Part::Any => (14, len),
        Part::Network => (14, 34),
        Part::Transport => (34, 42),
        Part::Payload => (42, len),
    }
}

fn bits(part: Part, bits: u32) -> Corrupt {
    Corrupt { part: part as u32, at: ANYWHERE, bits, ..Corrupt::default() }
}

fn bytes(part: Part, bytes: u32) -> Corrupt {
    Corrupt { part: part as u32, at: ANYWHERE, bytes, ..Corrupt::default() }
}

/// What so many packets of a length are changed by.
fn damages(settings: Corrupt, len: u32, count: usize) -> impl Iterator<Item = Damage> {
    let corrupt = Corrupt { chance: Chance::independent(Probability::ALWAYS), ..settings };
    let mut link = Link::new(Params { seed: 7, stream: 3, corrupt, ..Params::default() });
    (0..count as u64).map(move |index| link.decide(&packet(1 + index * MILLI, len)).damage)
}

#[test]
fn so_many_packets_are_changed_and_those_are_counted() {
    for (share, repair) in [(0.001, 0), (0.05, 1), (0.5, 0)] {
        let corrupt = Corrupt { chance: Chance::independent(probability(share)), repair, ..bits(Part::Any, 1) };
        let mut link = Link::new(Params { seed: 11, corrupt, ..Params::default() });
        let changed = steady(MILLI, MILLION).map(|packet| link.decide(&packet).damage).filter(|damage| {
            assert_eq!(u32::from(damage.repair), repair * u32::from(!damage.is_none()));
            !damage.is_none()
        });
        let changed = changed.count();
        assert_share(changed, MILLION, share, 1.0, "changed packets");
        assert_eq!(link.counts().corrupted, changed as u64);
    }
}

#[test]
fn single_flipped_bits_are_uniform_over_the_part() {
    for part in PARTS {
        let (start, end) = bounds(part, 100);
        let mut seen = vec![0; 8 * (end - start) as usize];
        for damage in damages(bits(part, 1), 100, 200_000) {
            assert_eq!(damage.flips.count_ones(), 1);
            let bit = 8 * (u32::from(damage.at) - start) + damage.flips.leading_zeros();
            seen[bit as usize] += 1;
        }
        assert_uniform(&seen, &format!("bits of {part:?}"));
    }
}

#[test]
fn replaced_bytes_begin_uniformly_where_all_lie_within_the_part() {
    for part in PARTS {
        for count in 1..=MOST_BYTES {
            let (start, end) = bounds(part, 100);
            let mut seen = vec![0; (end - start - count + 1) as usize];
            for damage in damages(bytes(part, count), 100, 50_000) {
                seen[usize::from(damage.at) - start as usize] += 1;
            }
            assert_uniform(&seen, &format!("{count} bytes of {part:?}"));
        }
    }
}

/// Whether all ones stand in a row.
fn is_row(flips: u32) -> bool {
    flips.leading_zeros() + flips.count_ones() + flips.trailing_zeros() == 32
}

#[test]
fn flipped_bits_are_so_many_in_a_row_and_begin_uniformly_but_at_the_end() {
    for count in 1..=MOST_BITS {
        // 60 bytes: the last one is hit often enough to be seen.
        let len = 42 + 60;
        let mut from = [0; 8];
        let mut in_last = 0;
        for damage in damages(bits(Part::Payload, count), len, 100_000) {
            let at = u32::from(damage.at);
            assert!((42..len).contains(&at) && damage.flips.count_ones() == count && is_row(damage.flips));
            let end = 8 * at + damage.flips.leading_zeros() + count;
            assert!(damage.flips.leading_zeros() < 8 && end <= 8 * len, "{damage:?} beyond the end");
            if at == len - 1 {
                in_last += 1;
                assert!(damage.flips.leading_zeros() <= 8 - count);
            } else {
                from[damage.flips.leading_zeros() as usize] += 1;
            }
        }
        assert_uniform(&from, &format!("first of {count} bits"));
        assert_share(in_last, 100_000, 1.0 / 60.0, 1.0, "rows in the last byte");
    }
}

#[test]
fn so_many_bytes_become_others_and_every_other_value_comes() {
    // 256 values of a draw for 255 others: the lowest flip takes two of them.
    let shares: Vec<f64> = (1..=255).map(|flip| if flip == 1 { 2.0 } else { 1.0 } / 256.0).collect();
    for count in 1..=MOST_BYTES {
        let mut seen = vec![vec![0; 255]; count as usize];
        for damage in damages(bytes(Part::Any, count), 1_000, 50_000) {
            let flips = damage.flips.to_be_bytes();
            let (changed, kept) = flips.split_at(count as usize);
            assert!(changed.iter().all(|flip| *flip != 0) && kept.iter().all(|flip| *flip == 0));
            for (seen, flip) in seen.iter_mut().zip(changed) {
                seen[usize::from(*flip) - 1] += 1;
            }
        }
        for (byte, seen) in seen.iter().enumerate() {
            assert_counts(seen, &shares, &format!("byte {byte} of {count}"));
        }
    }
}

#[test]
fn where_and_what_do_not_depend_on_each_other() {
    let (mut first, mut between) = ([[0; 16]; 16], [[0; 16]; 16]);
    for damage in damages(bytes(Part::Payload, 2), 42 + 1_601, MILLION / 4) {
        let [one, two, ..] = damage.flips.to_be_bytes().map(|flip| usize::from(flip >> 4));
        first[(usize::from(damage.at) - 42) / 100][one] += 1;
        between[one][two] += 1;
    }
    assert_independent(&first, "place and first byte");
    assert_independent(&between, "first and second byte");
}

#[test]
fn a_chosen_place_is_kept_and_behind_the_part_there_is_none() {
    for part in PARTS {
        let (start, end) = bounds(part, 100);
        for at in 0..end - start + 3 {
            for settings in [bits(part, 3), bytes(part, 2)] {
                for damage in damages(Corrupt { at, ..settings }, 100, 20) {
                    let expected = if at < end - start { (start + at, false) } else { (0, true) };
                    assert_eq!((u32::from(damage.at), damage.is_none()), expected, "byte {at} of {part:?}");
                }
            }
        }
    }
}

#[test]
fn a_packet_without_the_part_stays_whole() {
    let whole = packet(1, 100);
    let cases = [
        (Part::Any, Packet { network: 0, transport: 0, payload: 0, ..whole }),
        (Part::Network, Packet { network: 0, transport: 0, payload: 0, ..whole }),
        (Part::Transport, Packet { transport: 0, payload: 0, ..whole }),
        (Part::Transport, Packet { payload: 0, ..whole }),
        (Part::Payload, Packet { payload: 0, ..whole }),
        (Part::Payload, Packet { len: 42, ..whole }),
        (Part::Any, Packet { len: 14, ..whole }),
        (Part::Any, Packet { len: 65_536, ..whole }),
    ];
    for (part, packet) in cases {
        for settings in [bits(part, 1), bytes(part, 4), Corrupt { at: 0, ..bytes(part, 1) }] {
            let corrupt = Corrupt { chance: Chance::independent(Probability::ALWAYS), repair: 1, ..settings };
            let mut link = Link::new(Params { seed: 7, corrupt, ..Params::default() });
            for _ in 0..100 {
                assert_eq!(link.decide(&packet).damage, Damage::NONE, "{part:?} of {packet:?}");
            }
            assert_eq!((link.counts().corrupted, link.counts().forwarded), (0, 100));
        }
    }
}

#[test]
fn a_short_part_is_changed_to_its_end_and_no_further() {
    for length in 1..=5 {
        let changed = |settings, expected: u32| {
            for damage in damages(settings, 42 + length, 1_000) {
                let flips = damage.flips.to_be_bytes();
                assert!(
                    flips.iter().zip(0..).all(|(flip, at)| (*flip != 0) == (at < expected)),
                    "{damage:?} of {length}"
                );
            }
        };
        for wanted in 1..=MOST_BYTES {
            changed(bytes(Part::Payload, wanted), wanted.min(length));
            for at in 0..length {
                changed(Corrupt { at, ..bytes(Part::Payload, wanted) }, wanted.min(length - at));
            }
        }
        changed(Corrupt { at: length - 1, ..bits(Part::Payload, 8) }, 1);
    }
}

#[test]
fn no_header_and_no_draw_leads_out_of_the_part() {
    let cases = (
        (0u32..70_000, any::<u16>(), any::<u16>(), any::<u16>()),
        (0..4u32, prop_oneof![Just(ANYWHERE), 0..70_000u32, any::<u32>()], 0..=MOST_BITS, 0..=MOST_BYTES),
        (any::<u32>(), any::<u32>()),
    );
    let judged = runner(20_000).run(&cases, |((len, network, transport, payload), settings, (place, what))| {
        let (part, at, bits, bytes) = settings;
        let packet = Packet { len, network, transport, payload, ..Packet::default() };
        let settings = Corrupt { part, at, bits, bytes, ..Corrupt::default() };
        let damage = corrupt::damage(&settings, &packet, place, what);
        let (start, end): (u32, u32) = match PARTS[part as usize] {
            Part::Any => (network.into(), len),
            Part::Network => (network.into(), transport.into()),
            Part::Transport => (transport.into(), payload.into()),
            Part::Payload => (payload.into(), len),
        };
        // The last byte that is changed.
        let last = u32::from(damage.at) + 3 - damage.flips.trailing_zeros().min(31) / 8;
        prop_assert!(damage.is_none() || (start <= u32::from(damage.at) && last < end));
        let is_there = start > 0 && start < end && end < 65_536 && (at == ANYWHERE || at < end - start);
        prop_assert_eq!(damage.is_none(), !is_there || (bits == 0 && bytes == 0));
        Ok(())
    });
    judged.unwrap();
}
