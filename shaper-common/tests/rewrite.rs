//! Marks and damage in packets, with checksums summed anew over the whole packet as the reference.

use proptest::prelude::*;
use shaper_common::corrupt::Damage;
use shaper_common::parse::{self, Summary};
use shaper_common::rewrite;

const ETHERNET: usize = 14;

/// RFC 1071 over some bytes, not complemented.
fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn checksum(sum: u32) -> u16 {
    let folded = (sum >> 16) + (sum & 0xffff);
    !(((folded >> 16) + (folded & 0xffff)) as u16)
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Kind {
    ipv6: bool,
    protocol: u8,
    tags: usize,
    options: usize,
}

impl Kind {
    fn network(self) -> usize {
        ETHERNET + 4 * self.tags
    }

    fn transport(self) -> usize {
        self.network() + if self.ipv6 { 40 } else { 20 + 4 * self.options }
    }

    fn field(self) -> usize {
        self.transport()
            + match self.protocol {
                17 => 6,
                6 => 16,
                _ => 2,
            }
    }

    /// The checksum that the transport header of this frame should have.
    fn right(self, frame: &[u8]) -> u16 {
        let mut copy = frame.to_vec();
        copy[self.field()..self.field() + 2].fill(0);
        let network = self.network();
        let addresses = if self.ipv6 { network + 8..network + 40 } else { network + 12..network + 20 };
        let pseudo = match self.protocol {
            1 => 0,
            protocol => sum(&copy[addresses]) + u32::from(protocol) + (copy.len() - self.transport()) as u32,
        };
        let right = checksum(sum(&copy[self.transport()..]) + pseudo);
        if self.protocol == 17 && right == 0 { 0xffff } else { right }
    }

    fn header_right(self, frame: &[u8]) -> u16 {
        let mut copy = frame[self.network()..self.transport()].to_vec();
        copy[10..12].fill(0);
        checksum(sum(&copy))
    }

    /// A frame with right checksums.
    fn frame(self, ecn: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        for _ in 0..self.tags {
            frame.extend([0x81, 0, 0, 7]);
        }
        let header = match self.protocol {
            17 => vec![0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0],
            6 => [&[9, 8, 7, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 16][..], &[1; 6]].concat(),
            _ => vec![8, 0, 0, 0, 5, 5, 5, 5],
        };
        let length = (header.len() + payload.len()) as u16;
        if self.ipv6 {
            frame.extend([0x86, 0xdd, 0x60, ecn << 4, 0, 0]);
            frame.extend(length.to_be_bytes());
            frame.extend([self.protocol, 64]);
            frame.extend(1..=32);
        } else {
            frame.extend([8, 0, 0x45 + self.options as u8, ecn]);
            frame.extend((20 + 4 * self.options as u16 + length).to_be_bytes());
            frame.extend([1, 2, 0, 0, 64, self.protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
            frame.extend(vec![1; 4 * self.options]);
        }
        frame.extend(header);
        frame.extend(payload);
        if !self.ipv6 {
            let right = self.header_right(&frame);
            frame[self.network() + 10..self.network() + 12].copy_from_slice(&right.to_be_bytes());
        }
        let right = self.right(&frame);
        frame[self.field()..self.field() + 2].copy_from_slice(&right.to_be_bytes());
        frame
    }

    fn is_right(self, frame: &[u8]) -> bool {
        let at = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        at(self.field()) == self.right(frame) && (self.ipv6 || at(self.network() + 10) == self.header_right(frame))
    }

    /// Whether a byte is neither a checksum nor one that a transport checksum takes from elsewhere: lengths, versions
    /// and protocols.
    fn is_plain(self, at: usize) -> bool {
        let header = at.wrapping_sub(self.network());
        let special = if self.ipv6 { [0, 4, 5, 6].contains(&header) } else { [0, 2, 3, 9].contains(&header) };
        !special
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    (any::<bool>(), prop::sample::select(vec![17u8, 6, 1]), 0..3usize, 0..4usize).prop_map(
        |(ipv6, protocol, tags, options)| Kind {
            ipv6,
            protocol: if ipv6 && protocol == 1 { 17 } else { protocol },
            tags,
            options: if ipv6 { 0 } else { options },
        },
    )
}

fn read(kind: Kind, frame: &[u8]) -> Summary {
    let summary = parse::summary(frame);
    let parts = summary.parts;
    assert_eq!(
        [parts.network, parts.transport, parts.checksum].map(usize::from),
        [kind.network(), kind.transport(), kind.field()]
    );
    summary
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn a_mark_is_the_ecn_field_alone_and_the_header_stays_right(kind in kinds(), ecn in 1..4u8, payload in prop::collection::vec(any::<u8>(), 0..40)) {
        let before = kind.frame(ecn, &payload);
        let mut frame = before.clone();
        let summary = read(kind, &frame);
        prop_assert_eq!(summary.parts.ecn, u16::from(ecn));
        rewrite::mark(&mut frame[..], &summary.parts).unwrap();
        prop_assert_eq!(read(kind, &frame).parts.ecn, 3);
        prop_assert!(kind.is_right(&frame));
        let changed = before.iter().zip(&frame).filter(|(before, after)| before != after).count();
        // The field, and the two bytes of IPv4's checksum.
        let most = if kind.ipv6 { 1 } else { 3 };
        prop_assert!(changed <= most);
    }

    #[test]
    fn damage_is_what_was_asked_and_repaired_checksums_are_right(
        kind in kinds(),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        place in any::<prop::sample::Index>(),
        flips in any::<u32>(),
        bytes in 1..5usize,
    ) {
        let before = kind.frame(0, &payload);
        let summary = read(kind, &before);
        let at = kind.network() + place.index(before.len() - kind.network());
        let bytes = bytes.min(before.len() - at);
        let mut flips = flips & !u32::MAX.checked_shr(8 * bytes as u32).unwrap_or(0);
        let expected: Vec<u8> = before
            .iter()
            .enumerate()
            .map(|(place, byte)| match place.checked_sub(at) {
                Some(k @ 0..4) => byte ^ flips.to_be_bytes()[k],
                _ => *byte,
            })
            .collect();
        let len = before.len() as u32;
        let mut broken = before.clone();
        rewrite::damage(&mut broken[..], len, &summary.parts, &Damage { flips, at: at as u16, repair: 0 });
        prop_assert_eq!(&broken, &expected);

        for k in 0..4 {
            if !kind.is_plain(at + k) {
                flips &= !(0xff00_0000 >> (8 * k));
            }
        }
        let mut repaired = before.clone();
        rewrite::damage(&mut repaired[..], len, &summary.parts, &Damage { flips, at: at as u16, repair: 1 });
        prop_assert!(kind.is_right(&repaired), "{kind:?} {at} {flips:08x}");
        for (place, (got, was)) in repaired.iter().zip(&before).enumerate() {
            let is_checksum = place.wrapping_sub(kind.field()) < 2
                || (!kind.ipv6 && place.wrapping_sub(kind.network() + 10) < 2);
            let flip = place.checked_sub(at).and_then(|k| flips.to_be_bytes().get(k).copied()).unwrap_or(0);
            prop_assert!(is_checksum || *got == was ^ flip);
        }
    }

    #[test]
    fn a_udp_packet_without_a_checksum_stays_without(place in any::<prop::sample::Index>(), flips in any::<u32>()) {
        let kind = Kind { ipv6: false, protocol: 17, tags: 0, options: 0 };
        let mut frame = kind.frame(0, &[7; 40]);
        frame[kind.field()..kind.field() + 2].fill(0);
        let summary = read(kind, &frame);
        let at = kind.transport() + 8 + place.index(36);
        rewrite::damage(&mut frame[..], 82, &summary.parts, &Damage { flips, at: at as u16, repair: 1 }).unwrap();
        prop_assert_eq!(&frame[kind.field()..kind.field() + 2], &[0, 0]);
    }
}

/// A version that was damaged makes no other packet of it: an IPv6 address is no place for the checksum of an IPv4 header.
#[test]
fn a_packet_whose_version_is_damaged_is_repaired_as_what_it_was() {
    for ipv6 in [false, true] {
        for bit in 24..32 {
            let kind = Kind { ipv6, protocol: 17, tags: 0, options: 0 };
            let before = kind.frame(0, &[7; 40]);
            let parts = read(kind, &before).parts;
            let mut repaired = before.clone();
            let damage = Damage { flips: 1 << bit, at: ETHERNET as u16, repair: 1 };
            rewrite::damage(&mut repaired[..], before.len() as u32, &parts, &damage).unwrap();
            let mut expected = before;
            expected[ETHERNET] ^= 1 << (bit - 24);
            if !ipv6 {
                let right = kind.header_right(&expected);
                expected[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&right.to_be_bytes());
            }
            assert_eq!(repaired, expected, "bit {bit}");
        }
    }
}

#[test]
fn a_packet_whose_version_is_not_that_of_its_ethertype_cannot_be_marked() {
    for (ethertype, version, other) in [(0x0800u16, 4, 6), (0x86dd, 6, 4)] {
        let ecn = |version: u8| {
            let mut frame = vec![0; ETHERNET + 60];
            frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
            // ECT(1) in either place of the field, and UDP.
            frame[14..16].copy_from_slice(&[version << 4 | 5, 0x11]);
            *if ethertype == 0x0800 { &mut frame[23] } else { &mut frame[20] } = 17;
            parse::summary(frame.as_slice()).parts.ecn
        };
        assert_eq!((ecn(version), ecn(other)), (1, 0), "{ethertype:x}");
    }
}
