//! Captures and their analyses without the addresses and contents that they were taken with.
//!
//! A frame is built anew: what is known to tell of nobody is copied into zeros, addresses are mapped, and of what is left
//! out a keyed digest says only what is equal. So whatever is not understood is gone, and packets are still found again.
//!
//! - [`address`] maps addresses, keeping prefixes, by Crypto-PAn (Xu, Fan, Ammar and Moon, "Prefix-preserving IP address
//!   anonymization", ICNP 2002); [`digest`] stands for content.
//! - [`frame`], [`network`] and [`payload`] write a frame anew, [`sums`] its checksums.
//! - [`results`] takes the addresses out of analyses.

mod address;
mod digest;
mod frame;
mod key;
mod network;
mod payload;
mod results;
mod sums;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::Hash,
    net::{Ipv4Addr, Ipv6Addr},
};

use address::Permutation;
use digest::Digest;

pub use frame::{Content, RtpSources};
pub use key::{Key, NoKey};
pub(crate) use results::{Anonymous, NAMES};

/// Addresses remembered, of each kind; after so many they are worked out anew.
const REMEMBERED: usize = 65_536;

/// Maps addresses, and writes frames anew, by one key.
#[derive(Debug)]
pub struct Anonymizer {
    addresses: Permutation,
    digest: Digest,
    v4: HashMap<u32, u32>,
    v6: HashMap<u128, u128>,
}

impl Anonymizer {
    /// By a key: the same key maps the same address to the same one.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        let addresses = Permutation::new(key);
        let digest = Digest::new(&addresses);
        Self { addresses, digest, v4: HashMap::new(), v6: HashMap::new() }
    }

    /// An address that shares with every other mapped one as many leading bits as the originals share. Unspecified,
    /// loopback, broadcast and multicast addresses stay, and the prefix of link-local ones does.
    pub fn ipv4(&mut self, address: Ipv4Addr) -> Ipv4Addr {
        let Self { addresses, v4, .. } = self;
        remembered(v4, address.to_bits(), |bits| addresses.ipv4(bits)).into()
    }

    /// The same for version 6. Of solicited-node multicast, which holds part of an address, and of multicast that is made
    /// from a prefix (RFC 3306, RFC 3956) that part is mapped.
    pub fn ipv6(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        let Self { addresses, v6, .. } = self;
        remembered(v6, address.to_bits(), |bits| addresses.ipv6(bits)).into()
    }

    /// A MAC address without its vendor, marked as locally administered. Broadcast, zeros and groups of IEEE protocols
    /// stay; of groups the group bit does, and those of IP keep what says so.
    #[must_use]
    pub fn mac(&self, address: [u8; 6]) -> [u8; 6] {
        address::mac(&self.digest, address)
    }

    /// A source of RTP, which some senders make from their address.
    #[must_use]
    pub fn ssrc(&self, ssrc: u32) -> u32 {
        self.digest.number(digest::SSRC, ssrc)
    }

    /// What stands for a name: equal names give equal ones, of 32 hexadecimal digits.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{:032x}", u128::from_be_bytes(self.digest.of(digest::NAME, 0, name.as_bytes())))
    }
}

fn remembered<T: Copy + Eq + Hash>(known: &mut HashMap<T, T>, address: T, map: impl FnOnce(T) -> T) -> T {
    if let Some(&mapped) = known.get(&address) {
        return mapped;
    }
    if known.len() >= REMEMBERED {
        known.clear();
    }
    let mapped = map(address);
    known.insert(address, mapped);
    mapped
}
