//! Addresses mapped so that prefixes stay prefixes.
//!
//! Each bit is turned over or not by a function of the bits before it: Crypto-PAn, whose function is the first bit of AES
//! of these bits, filled up from a secret pad. No bit that leads to a prefix with a meaning is turned over, so such
//! prefixes stay, nothing else is mapped into them, and the map stays one to one and keeps prefixes.

use std::fmt;

use aes::{
    Aes128,
    cipher::{BlockCipherEncrypt, KeyInit},
};

use super::{
    digest::{self, Digest},
    key::Key,
};

/// Prefixes of IPv4 that stay, whatever is behind them.
const KEPT_V4: [(u32, u32); 3] = [
    // Loopback, link-local, multicast.
    (0x7f00_0000, 8),
    (0xa9fe_0000, 16),
    (0xe000_0000, 4),
];
/// Addresses that stay alone: the bits in front of them are those of 10/8 and of 192.168/16 too.
const ALONE_V4: [u32; 2] = [0, u32::MAX];
/// Prefixes of IPv6 that stay.
const KEPT_V6: [(u128, u32); 4] = [
    // Unspecified, loopback, link-local, multicast.
    (0, 128),
    (1, 128),
    (0xfe80 << 112, 64),
    (0xff << 120, 8),
];
/// Solicited-node multicast, ff02::1:ff00:0/104 (RFC 4291 section 2.7.1).
const SOLICITED: (u128, u32) = (0xff02 << 112 | 0x1_ff00_0000, 104);
/// Groups that are made from a host's name: ff02::2:ff00:0/104 (RFC 4620 section 4), and all of ff02::2:0:0/96 by the drafts
/// before it (draft-ietf-ipngwg-icmp-name-lookups), which some systems join still.
const NAMED: (u128, u32) = (0xff02 << 112 | 0x2_0000_0000, 96);

/// Crypto-PAn.
pub(super) struct Permutation {
    aes: Aes128,
    pad: u128,
}

impl Permutation {
    pub(super) fn new(key: &Key) -> Self {
        let (key, pad) = key.halves();
        let aes = Aes128::new(&key.into());
        let pad = u128::from_be_bytes(encrypt(&aes, pad));
        Self { aes, pad }
    }

    /// A key for something else.
    pub(super) fn derive(&self, what: u8) -> [u8; 16] {
        let mut block = *b"shaper\0\0\0\0\0\0\0\0\0\0";
        block[15] = what;
        encrypt(&self.aes, block)
    }

    /// Bits that stand at the top of the word, of which those in front of `from` stay.
    pub(super) fn map(&self, address: u128, from: u32, to: u32) -> u128 {
        let mut mapped = address;
        for at in from..to {
            let before = if at == 0 { 0 } else { u128::MAX << (128 - at) };
            let block = encrypt(&self.aes, (address & before | self.pad & !before).to_be_bytes());
            mapped ^= u128::from(block[0] >> 7) << (127 - at);
        }
        mapped
    }

    pub(super) fn ipv4(&self, address: u32) -> u32 {
        if ALONE_V4.contains(&address) {
            return address;
        }
        let mut mapped = self.of_prefix(address);
        // What would be one of those takes the place that the other one leaves: of the map's cycles they are cut out.
        while ALONE_V4.contains(&mapped) {
            mapped = self.of_prefix(mapped);
        }
        mapped
    }

    fn of_prefix(&self, address: u32) -> u32 {
        let wide = u128::from(address) << 96;
        let stay = match address >> 24 {
            // Made from a number of a network, or from a prefix (RFC 3180, RFC 6034).
            233 | 234 => 8,
            127 | 224..=239 => 32,
            _ => staying(wide, KEPT_V4.iter().map(|&(prefix, length)| (u128::from(prefix) << 96, length))),
        };
        (self.map(wide, stay, 32) >> 96) as u32
    }

    pub(super) fn ipv6(&self, address: u128) -> u128 {
        let stay = match (address >> 120, address >> 116 & 0xf) {
            (0xff, flags) if flags & 2 != 0 => 16,
            (0xff, _) if is_of(address, SOLICITED) => SOLICITED.1,
            (0xff, _) if is_of(address, NAMED) => NAMED.1,
            (0xff, _) => 128,
            _ => staying(address, KEPT_V6.iter().copied()),
        };
        self.map(address, stay, 128)
    }
}

impl fmt::Debug for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permutation(..)")
    }
}

pub(super) fn encrypt(aes: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = block.into();
    aes.encrypt_block(&mut block);
    block.into()
}

fn is_of(address: u128, (prefix, length): (u128, u32)) -> bool {
    (address ^ prefix).leading_zeros() >= length
}

/// How many leading bits stay: all on the way to a prefix that does.
fn staying(address: u128, kept: impl Iterator<Item = (u128, u32)>) -> u32 {
    kept.map(|(prefix, length)| ((address ^ prefix).leading_zeros() + 1).min(length)).max().unwrap_or(0)
}

/// What groups of IPv4 and IPv6 begin with.
const GROUP_V4: [u8; 3] = [0x01, 0x00, 0x5e];
const GROUP_V6: [u8; 2] = [0x33, 0x33];

pub(super) fn mac(digest: &Digest, address: [u8; 6]) -> [u8; 6] {
    let kept = match address {
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        | [0, 0, 0, 0, 0, 0]
        // Bridges and LLDP, Cisco's protocols, PTP.
        | [0x01, 0x80, 0xc2, 0, 0, _]
        | [0x01, 0x00, 0x0c, 0xcc, 0xcc, _]
        | [0x01, 0x1b, 0x19, 0, 0, 0] => return address,
        [a, b, c, ..] if [a, b, c] == GROUP_V4 => 3,
        [a, b, ..] if [a, b] == GROUP_V6 => 2,
        _ => 0,
    };
    let [a, b, c, d, e, f, ..] = digest.of(digest::MAC, 6, &address);
    let mut mapped = [a & 0xfc | 2 | address[0] & 1, b, c, d, e, f];
    for (slot, byte) in mapped.iter_mut().zip(address).take(kept) {
        *slot = byte;
    }
    mapped
}

/// The group address of Ethernet that stands for a group of IP; `None` for other addresses.
pub(super) fn group_of(destination: std::net::IpAddr) -> Option<[u8; 6]> {
    match destination {
        std::net::IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some([GROUP_V4[0], GROUP_V4[1], GROUP_V4[2], b & 0x7f, c, d])
        }
        std::net::IpAddr::V6(v6) if v6.is_multicast() => {
            let [.., a, b, c, d] = v6.octets();
            Some([GROUP_V6[0], GROUP_V6[1], a, b, c, d])
        }
        _ => None,
    }
}
