//! Keys: what each word holds for frames of every kind, and that the lowest rule wins.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shaper_common::parse::{self, Kind};
use shaper_common::rules::{self, Key, Match, RuleKey, SHAPES, Shapes, classify, flags, summary_and_key, words};

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The link layer up to the ethertype, with tags of these identifiers.
fn ethernet(tags: &[u16], ethertype: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend((0xa000 | tag).to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame
}

fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x46, 0xb9, 0, 0, 0x12, 0x34];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6, 1, 1, 1, 1]);
    packet.extend(payload);
    packet
}

/// `extensions` are whole headers but for the first byte, each behind its number.
fn ipv6(extensions: &[(u8, &[u8])], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x6b, 0x90, 0, 0, 0, 0, extensions.first().map_or(protocol, |(kind, _)| *kind), 64];
    packet.extend(1..=32u8);
    for (place, (_, rest)) in extensions.iter().enumerate() {
        packet.push(extensions.get(place + 1).map_or(protocol, |(kind, _)| *kind));
        packet.extend(*rest);
    }
    packet.extend(payload);
    packet
}

const PAYLOAD: [u8; 24] =
    [0x30, 0x39, 0, 80, 5, 6, 7, 8, 9, 10, 11, 12, 0x50, 0x12, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24];
const OPTIONS: &[u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const FIRST: &[u8] = &[0, 0, 1, 0, 0, 0, 9];
const LATER: &[u8] = &[0, 0, 8, 0, 0, 0, 9];
const ATOMIC: &[u8] = &[0, 0, 0, 0, 0, 0, 9];

fn frames() -> Vec<Vec<u8>> {
    let packets = [
        (0x0800, ipv4(17, 0, &PAYLOAD)),
        (0x0800, ipv4(6, 0x4000, &PAYLOAD)),
        (0x0800, ipv4(6, 0x2000, &PAYLOAD)),
        (0x0800, ipv4(132, 0x00b9, &PAYLOAD)),
        (0x0800, ipv4(1, 0, &PAYLOAD)),
        (0x0800, ipv4(2, 0, &PAYLOAD)),
        (0x86dd, ipv6(&[], 132, &PAYLOAD)),
        (0x86dd, ipv6(&[], 58, &[135, 0, 1, 2])),
        (0x86dd, ipv6(&[(0, OPTIONS), (44, FIRST), (60, OPTIONS)], 17, &PAYLOAD)),
        (0x86dd, ipv6(&[(44, LATER)], 17, &PAYLOAD)),
        (0x86dd, ipv6(&[(44, FIRST)], 58, &[135, 0, 1, 2])),
        (0x86dd, ipv6(&[(0, OPTIONS), (60, OPTIONS), (43, OPTIONS), (60, OPTIONS), (60, OPTIONS)], 17, &PAYLOAD)),
        (0x0806, vec![0; 28]),
        (0x88cc, PAYLOAD.to_vec()),
    ];
    let tags: [&[u16]; 4] = [&[], &[5], &[7, 9], &[7, 9, 11]];
    let tagged = tags.iter().flat_map(|tags| {
        packets.iter().map(|(ethertype, packet)| [ethernet(tags, *ethertype), packet.clone()].concat())
    });
    tagged.collect()
}

fn key(frame: &[u8]) -> Key {
    rules::key(frame).unwrap()
}

fn of_packet(ethertype: u16, packet: &[u8]) -> Key {
    key(&[ethernet(&[], ethertype), packet.to_vec()].concat())
}

#[test]
fn each_word_holds_what_it_says() {
    let key = key(&[ethernet(&[7, 9], 0x0800), ipv4(6, 0x4000, &PAYLOAD)].concat());
    let expected = Key {
        words: [
            0x0800_06b9,
            flags::TAGGED | flags::TAGGED_TWICE | flags::PORTS | flags::IPV4 | flags::TCP,
            7 << 16 | 9,
            12345 << 16 | 80,
            0x0a01_0203,
            0,
            0,
            0,
            0x0a04_0506,
            0,
            0,
            0,
            0x0200_0000,
            0x0001_0200,
            0x0000_0002,
            0x12,
        ],
    };
    assert_eq!(key, expected, "{key:x?}");
}

#[test]
fn ipv6_is_followed_through_its_extension_headers() {
    let key = of_packet(0x86dd, &ipv6(&[(0, OPTIONS), (60, OPTIONS)], 17, &PAYLOAD));
    assert_eq!(key.word(words::TYPES), 0x86dd_11b9);
    assert_eq!(key.word(words::FLAGS), flags::PORTS | flags::IPV6 | flags::UDP);
    assert_eq!(key.word(words::LAYER4), 12345 << 16 | 80);
    assert_eq!(key.word(words::SOURCE), 0x0102_0304);
    assert_eq!(key.word(words::DESTINATION + 3), 0x1d1e_1f20);
    let long = ipv6(&[(0, OPTIONS), (60, OPTIONS), (43, OPTIONS), (60, OPTIONS), (60, OPTIONS)], 17, &PAYLOAD);
    assert_eq!(rules::key([ethernet(&[], 0x86dd), long].concat().as_slice()), None);
}

#[test]
fn ports_are_read_from_the_first_fragment_alone() {
    let ports = |packet: &Key| (packet.word(words::FLAGS) & !(flags::IPV4 | flags::IPV6), packet.word(words::LAYER4));
    let (first, later) = (flags::FRAGMENT, flags::FRAGMENT | flags::LATER_FRAGMENT);
    let whole = flags::PORTS | flags::UDP;
    let port = 12345 << 16 | 80;
    assert_eq!(ports(&of_packet(0x0800, &ipv4(17, 0x2000, &PAYLOAD))), (first | whole, port));
    assert_eq!(ports(&of_packet(0x0800, &ipv4(17, 0x2001, &PAYLOAD))), (later | flags::UDP, 0));
    assert_eq!(ports(&of_packet(0x0800, &ipv4(17, 0x0001, &PAYLOAD))), (later | flags::UDP, 0));
    assert_eq!(ports(&of_packet(0x86dd, &ipv6(&[(44, FIRST)], 17, &PAYLOAD))), (first | whole, port));
    assert_eq!(ports(&of_packet(0x86dd, &ipv6(&[(44, LATER)], 17, &PAYLOAD))), (later | flags::UDP, 0));
    assert_eq!(ports(&of_packet(0x86dd, &ipv6(&[(44, ATOMIC)], 17, &PAYLOAD))), (whole, port));
}

#[test]
fn icmp_gives_type_and_code_of_its_own_family() {
    let icmp = of_packet(0x0800, &ipv4(1, 0, &[3, 4, 0, 0]));
    assert!(icmp.has(flags::ICMP | flags::IPV4));
    assert_eq!(icmp.word(words::LAYER4), 3 << 16 | 4);
    assert!(!of_packet(0x0800, &ipv4(58, 0, &PAYLOAD)).has(flags::ICMP));
    assert!(!of_packet(0x86dd, &ipv6(&[], 1, &PAYLOAD)).has(flags::ICMP));
}

#[test]
fn the_group_bit_makes_multicast_and_all_ones_broadcast() {
    let to = |address: [u8; 6]| {
        let mut frame = [ethernet(&[], 0x0800), ipv4(17, 0, &PAYLOAD)].concat();
        frame[..6].copy_from_slice(&address);
        key(&frame).word(words::FLAGS) & (flags::MULTICAST | flags::BROADCAST)
    };
    assert_eq!(to([1, 0, 0x5e, 0, 0, 1]), flags::MULTICAST);
    assert_eq!(to([0xff; 6]), flags::MULTICAST | flags::BROADCAST);
    assert_eq!(to([0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), flags::MULTICAST);
    assert_eq!(to([2, 0, 0, 0, 0, 1]), 0);
}

#[test]
fn frames_that_are_not_ip_have_a_key_and_no_addresses() {
    let key = of_packet(0x88cc, &[]);
    assert_eq!(key.word(words::TYPES), 0x88cc_0000);
    assert_eq!(key.words[1..12], [0; 11]);
    // A third tag is not looked behind.
    assert_eq!(self::key(&ethernet(&[7, 9, 11], 0x0800)).word(words::TYPES), 0x8100_0000);
    assert_eq!(self::key(&ethernet(&[], 0x0806)).word(words::FLAGS), flags::CONTROL);
}

/// What holds for every key, whatever the frame.
fn consistent(key: &Key) -> Result<(), TestCaseError> {
    let implies = |flag: u32, other: u32| !key.has(flag) || key.has(other);
    prop_assert!(implies(flags::BROADCAST, flags::MULTICAST));
    prop_assert!(implies(flags::LATER_FRAGMENT, flags::FRAGMENT));
    prop_assert!(implies(flags::TAGGED_TWICE, flags::TAGGED));
    prop_assert!(!key.has(flags::IPV4 | flags::IPV6));
    prop_assert!(!key.has(flags::TCP | flags::UDP));
    prop_assert!(!key.has(flags::PORTS | flags::ICMP));
    prop_assert!(!key.has(flags::PORTS | flags::LATER_FRAGMENT));
    let protocol = key.word(words::TYPES) >> 8 & 0xff;
    prop_assert_eq!(key.has(flags::TCP), protocol == 6);
    prop_assert_eq!(key.has(flags::UDP), protocol == 17);
    prop_assert!(!key.has(flags::ICMP) || protocol == 1 || protocol == 58);
    prop_assert!(!key.has(flags::PORTS) || [6, 17, 132].contains(&protocol));
    let ethertype = key.word(words::TYPES) >> 16;
    prop_assert_eq!(key.has(flags::IPV4), ethertype == 0x0800);
    prop_assert_eq!(key.has(flags::IPV6), ethertype == 0x86dd);
    prop_assert!(key.word(words::FLAGS) & (flags::IPV4 | flags::IPV6) != 0 || !key.has(flags::FRAGMENT));
    let ip = key.has(flags::IPV4) || key.has(flags::IPV6);
    prop_assert!(ip || key.word(words::TYPES) & 0xffff == 0);
    let layer4 = key.has(flags::PORTS) || key.has(flags::ICMP);
    prop_assert!(layer4 || key.word(words::LAYER4) == 0);
    Ok(())
}

#[test]
fn notes_never_change_the_summary_and_keys_are_consistent_for_damaged_frames() {
    let damaged = (
        prop::sample::select(frames()),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        any::<prop::sample::Index>(),
    );
    runner(20_000)
        .run(&damaged, |(mut frame, damages, length)| {
            for (place, byte) in damages {
                let place = place.index(frame.len());
                frame[place] = byte;
            }
            let length = length.index(frame.len() + 1);
            let (summary, key) = summary_and_key(&frame[..length]);
            prop_assert_eq!(summary, parse::summary(&frame[..length]));
            if let Some(key) = key {
                prop_assert_eq!(key.has(flags::CONTROL), summary.kind == Kind::Control);
                consistent(&key)?;
            }
            Ok(())
        })
        .unwrap();
    let (mut with, mut without) = (0, 0);
    for frame in frames() {
        for length in 0..=frame.len() {
            let (summary, key) = summary_and_key(&frame[..length]);
            assert_eq!(summary, parse::summary(&frame[..length]));
            if key.is_some() { with += 1 } else { without += 1 }
        }
    }
    assert!(with > 500 && without > 500, "{with} with a key and {without} without");
}

#[test]
fn the_lowest_rule_of_all_that_match_wins() {
    // Few bits, so that masked keys meet.
    let word = || prop::sample::select(vec![0u32, 1, 2, 3]);
    let key = || {
        prop::collection::vec(word(), 3).prop_map(|few| {
            let mut key = Key::ZERO;
            key.words[..3].copy_from_slice(&few);
            key
        })
    };
    let masks = prop::collection::btree_set(key(), 1..=SHAPES);
    let rules = prop::collection::vec((any::<prop::sample::Index>(), key()), 1..40);
    let answers = std::cell::RefCell::new((0, 0));
    runner(2_000)
        .run(&(masks, rules, prop::collection::vec(key(), 20)), |(masks, rules, packets)| {
            let masks: Vec<Key> = masks.into_iter().collect();
            let rules: Vec<Match> = rules
                .iter()
                .map(|(mask, value)| {
                    let mask = *mask.get(&masks);
                    let mut value = *value;
                    value.words.iter_mut().zip(&mask.words).for_each(|(value, mask)| *value &= mask);
                    Match { mask, value }
                })
                .collect();
            let least = |mask: &Key| rules.iter().position(|rule| rule.mask == *mask);
            let mut order: Vec<(usize, Key)> = masks.iter().filter_map(|mask| Some((least(mask)?, *mask))).collect();
            order.sort_unstable();
            let mut shapes = Shapes { count: order.len() as u32, ..Shapes::EMPTY };
            let mut table = HashMap::new();
            for (shape, (least, mask)) in order.iter().enumerate() {
                shapes.least[shape] = *least as u32;
                shapes.masks[shape] = *mask;
                for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mask == *mask) {
                    let key = RuleKey { direction: 3, shape: shape as u32, words: rule.value.words };
                    table.entry(key).or_insert(number as u32);
                }
            }
            for packet in &packets {
                let got = classify(packet, 3, &shapes, &mut RuleKey::default(), |key| table.get(key).copied());
                let expected = rules.iter().position(|rule| rule.matches(packet)).map(|number| number as u32);
                prop_assert_eq!(got, expected);
                let mut answers = answers.borrow_mut();
                if got.is_some() {
                    answers.0 += 1
                } else {
                    answers.1 += 1
                }
                prop_assert_eq!(
                    classify(packet, 4, &shapes, &mut RuleKey::default(), |key| table.get(key).copied()),
                    None
                );
            }
            Ok(())
        })
        .unwrap();
    let (found, none) = answers.into_inner();
    assert!(found > 5_000 && none > 5_000, "{found} packets with a rule and {none} without");
}
