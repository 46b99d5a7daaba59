//! Which rule a packet goes by: its key of 16 words, and the look-up of masked keys.
//!
//! A rule is a list of [`Match`]es, any of which makes it match. Matches with the same mask form a *shape*: all of
//! them are looked up at once, by the key under that mask. A packet costs one look-up a shape, however many rules
//! there are (tuple space search: Srinivasan, Suri and Varghese, SIGCOMM 1999). Kernel and userspace share [`classify`]
//! and differ in the table alone.

use crate::parse::{self, Bytes, Kind, Notes, Summary};

/// Words of a key.
pub const WORDS: usize = 16;
/// How many shapes one set of rules may have.
pub const SHAPES: usize = 16;

/// Flags of a key: the bits of its word 1.
///
/// [`flags::IPV4`] and [`flags::IPV6`] say what the ethertype says, [`flags::TCP`] and [`flags::UDP`] what the protocol
/// says, each in one bit: what is *not* TCP is then one match, not one for each bit of the protocol.
pub mod flags {
    /// ARP, neighbour discovery, IGMP or MLD, see [`crate::parse::Kind`].
    pub const CONTROL: u32 = 1;
    /// The destination MAC address has its group bit set; broadcast has it too.
    pub const MULTICAST: u32 = 2;
    /// The destination MAC address is all ones.
    pub const BROADCAST: u32 = 4;
    /// A piece of an IP packet: the first, one between or the last.
    pub const FRAGMENT: u32 = 8;
    /// A piece that is not the first: it has no layer-4 header.
    pub const LATER_FRAGMENT: u32 = 16;
    /// At least one VLAN tag.
    pub const TAGGED: u32 = 32;
    /// At least two VLAN tags.
    pub const TAGGED_TWICE: u32 = 64;
    /// [`super::words::LAYER4`] holds ports: TCP, UDP or SCTP, and no later fragment.
    pub const PORTS: u32 = 128;
    /// [`super::words::LAYER4`] holds type and code of ICMP or ICMPv6, and no later fragment.
    pub const ICMP: u32 = 256;
    /// An IPv4 packet.
    pub const IPV4: u32 = 512;
    /// An IPv6 packet.
    pub const IPV6: u32 = 1024;
    /// Protocol 6.
    pub const TCP: u32 = 2048;
    /// Protocol 17.
    pub const UDP: u32 = 4096;
}

/// What each word of a key holds.
pub mod words {
    /// `ethertype << 16 | protocol << 8 | TOS`: the ethertype behind all tags, the protocol of IPv4 or the last next
    /// header of IPv6, the TOS byte or traffic class; zero where the packet is not IP.
    pub const TYPES: usize = 0;
    /// See [`super::flags`].
    pub const FLAGS: usize = 1;
    /// `outer << 16 | inner`: the VLAN identifiers, zero where there is no such tag.
    pub const VLANS: usize = 2;
    /// `source port << 16 | destination port`, or `type << 16 | code` of ICMP; zero for anything else.
    pub const LAYER4: usize = 3;
    /// The first of four words of the source address; IPv4 takes the first, and the others are zero.
    pub const SOURCE: usize = 4;
    /// The first of four words of the destination address.
    pub const DESTINATION: usize = 8;
    /// The first of three words: destination and source MAC address, as they stand in the frame.
    pub const ETHERNET: usize = 12;
    /// TCP flags in the low byte, from FIN, 1, to CWR, 128.
    pub const TCP_FLAGS: usize = 15;
}

/// What rules look at in a packet, see [`words`]; in host order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The words.
    pub words: [u32; WORDS],
}

impl Key {
    /// A key in which nothing is set: the mask that matches every packet.
    pub const ZERO: Self = Self { words: [0; WORDS] };

    /// One word; zero beyond the last.
    #[inline(always)]
    #[must_use]
    pub fn word(&self, at: usize) -> u32 {
        self.words.get(at).copied().unwrap_or(0)
    }

    /// Sets bits of one word.
    #[inline(always)]
    pub fn set(&mut self, at: usize, bits: u32) {
        if let Some(word) = self.words.get_mut(at) {
            *word |= bits;
        }
    }

    /// Whether all of these [`flags`] are set.
    #[inline(always)]
    #[must_use]
    pub fn has(&self, flags: u32) -> bool {
        self.word(words::FLAGS) & flags == flags
    }
}

/// One way for a packet to match: `key & mask == value`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Match {
    /// The bits that count.
    pub mask: Key,
    /// What they must be; zero where the mask is.
    pub value: Key,
}

impl Match {
    /// Whether a packet with this key matches.
    #[must_use]
    pub fn matches(&self, key: &Key) -> bool {
        let bits = key.words.iter().zip(&self.mask.words).map(|(key, mask)| key & mask);
        bits.eq(self.value.words.iter().copied())
    }
}

/// The key of the table of matches: a packet's key under a shape's mask. The value is the number of the rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleKey {
    /// The link direction.
    pub direction: u32,
    /// The number of the shape.
    pub shape: u32,
    /// The masked words.
    pub words: [u32; WORDS],
}

/// The shapes of one direction's rules, in the order of their lowest rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// How many there are.
    pub count: u32,
    /// Explicit padding.
    pub _reserved: u32,
    /// The lowest number of a rule with this shape: once a lower one is found, looking on is of no use.
    pub least: [u32; SHAPES],
    /// The masks.
    pub masks: [Key; SHAPES],
}

impl Default for Shapes {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Shapes {
    /// No rules: every packet goes by the default.
    pub const EMPTY: Self = Self { count: 0, _reserved: 0, least: [u32::MAX; SHAPES], masks: [Key::ZERO; SHAPES] };
}

/// The rule that a packet goes by: the one with the lowest number of those that match. `None` when none does.
///
/// `lookup` is the table: the kernel's hash map, or userspace's; `masked` is room for what it is asked for. No rule has the number `u32::MAX`.
#[inline(always)]
#[must_use]
pub fn classify(
    key: &Key,
    direction: u32,
    shapes: &Shapes,
    masked: &mut RuleKey,
    lookup: impl Fn(&RuleKey) -> Option<u32>,
) -> Option<u32> {
    let mut best = u32::MAX;
    masked.direction = direction;
    let mut shape = 0;
    while shape < SHAPES {
        if shape as u32 >= shapes.count {
            break;
        }
        let (Some(least), Some(mask)) = (shapes.least.get(shape), shapes.masks.get(shape)) else { break };
        if *least >= best {
            break;
        }
        masked.shape = shape as u32;
        for ((out, bits), mask) in masked.words.iter_mut().zip(&key.words).zip(&mask.words) {
            *out = bits & mask;
        }
        if let Some(rule) = lookup(masked) {
            best = if rule < best { rule } else { best };
        }
        shape += 1;
    }
    if best == u32::MAX { None } else { Some(best) }
}

/// The key of an Ethernet frame.
///
/// `None` for one that is cut short within what the key holds, and for IPv6 whose chain of extension headers is longer
/// than is looked through: no rule is asked about such a packet, it goes by the default.
#[inline(always)]
#[must_use]
pub fn key<B: Bytes + ?Sized>(frame: &B) -> Option<Key> {
    summary_and_key(frame).1
}

/// What [`parse::summary`] and [`key`] say, from one walk over the headers.
#[inline(always)]
#[must_use]
pub fn summary_and_key<B: Bytes + ?Sized>(frame: &B) -> (Summary, Option<Key>) {
    let mut key = Key::ZERO;
    let (summary, whole) = read_into(frame, &mut key);
    (summary, if whole { Some(key) } else { None })
}

/// As [`summary_and_key`], with the key written where the caller wants it, and whether there is one.
///
/// In the kernel that is the value of a map: the verifier follows what is on the stack along each way through the
/// headers, and would walk through all that comes after once for each of them.
#[inline(always)]
pub fn read_into<B: Bytes + ?Sized>(frame: &B, key: &mut Key) -> (Summary, bool) {
    *key = Key::ZERO;
    let mut making = Making { key, whole: false };
    let summary = parse::walk(frame, &mut making);
    let whole = making.whole;
    if summary.kind == Kind::Control {
        key.set(words::FLAGS, flags::CONTROL);
    }
    (summary, whole)
}

/// A key in the making.
struct Making<'k> {
    key: &'k mut Key,
    /// Whether all that belongs to the key was there. Only the last step of a walk says so.
    whole: bool,
}

/// `flag` where `is`, as arithmetic: each branch is one more way for the verifier to walk.
#[inline(always)]
const fn flag(is: bool, flag: u32) -> u32 {
    flag * is as u32
}

impl<B: Bytes + ?Sized> Notes<B> for Making<'_> {
    const TAKEN: bool = true;

    #[inline(always)]
    fn tag(&mut self, number: u32, control: u16) {
        let id = control as u32 & 0xfff;
        let (bit, id) = if number == 0 { (flags::TAGGED, id << 16) } else { (flags::TAGGED_TWICE, id) };
        self.key.set(words::FLAGS, bit);
        self.key.set(words::VLANS, id);
    }

    #[inline(always)]
    fn ethertype(&mut self, frame: &B, ethertype: u16) {
        let (Some(first), Some(second), Some(third)) = (frame.u32(0), frame.u32(4), frame.u32(8)) else { return };
        let group = first >> 24 & 1;
        let broadcast = first == u32::MAX && second >> 16 == 0xffff;
        self.key.set(words::FLAGS, flag(group != 0, flags::MULTICAST) | flag(broadcast, flags::BROADCAST));
        self.key.set(words::ETHERNET, first);
        self.key.set(words::ETHERNET + 1, second);
        self.key.set(words::ETHERNET + 2, third);
        self.key.set(words::TYPES, (ethertype as u32) << 16);
    }

    #[inline(always)]
    fn other(&mut self) {
        self.whole = true;
    }

    #[inline(always)]
    fn ipv4(&mut self, frame: &B, at: usize, first: u16, fragment: u16) {
        self.key.set(words::TYPES, first as u32 & 0xff);
        let later = flag(fragment & 0x1fff != 0, flags::LATER_FRAGMENT);
        self.key.set(words::FLAGS, flags::IPV4 | flag(fragment & 0x3fff != 0, flags::FRAGMENT) | later);
        let (Some(source), Some(destination)) = (frame.u32(at + 12), frame.u32(at + 16)) else { return };
        self.key.set(words::SOURCE, source);
        self.key.set(words::DESTINATION, destination);
        self.whole = true;
    }

    #[inline(always)]
    fn ipv6(&mut self, frame: &B, at: usize) {
        let Some(first) = frame.u16(at) else { return };
        self.key.set(words::TYPES, first as u32 >> 4 & 0xff);
        self.key.set(words::FLAGS, flags::IPV6);
        let mut word = 0;
        while word < 8 {
            let Some(bits) = frame.u32(at + 8 + 4 * word) else { return };
            self.key.set(words::SOURCE + word, bits);
            word += 1;
        }
        self.whole = true;
    }

    #[inline(always)]
    fn ipv6_fragment(&mut self, field: u16) {
        // A header with neither an offset nor more to come makes no fragment: RFC 6946.
        let later = flag(field >> 3 != 0, flags::LATER_FRAGMENT);
        self.key.set(words::FLAGS, flag(field & 0xfff9 != 0, flags::FRAGMENT) | later);
    }

    #[inline(always)]
    fn unread(&mut self) {
        self.whole = false;
    }

    #[inline(always)]
    fn protocol(&mut self, protocol: u8) {
        let transport = flag(protocol == parse::TCP, flags::TCP) | flag(protocol == parse::UDP, flags::UDP);
        self.key.set(words::FLAGS, transport);
        self.key.set(words::TYPES, (protocol as u32) << 8);
    }

    #[inline(always)]
    fn layer4(&mut self, frame: &B, at: usize, protocol: u8) {
        if protocol == parse::TCP || protocol == parse::UDP || protocol == parse::SCTP {
            let Some(ports) = frame.u32(at) else { return self.whole = false };
            self.key.set(words::LAYER4, ports);
            self.key.set(words::FLAGS, flags::PORTS);
            if protocol == parse::TCP {
                let Some(bits) = frame.u16(at + 12) else { return self.whole = false };
                self.key.set(words::TCP_FLAGS, bits as u32 & 0xff);
            }
        } else if protocol == parse::ICMP && self.key.has(flags::IPV4)
            || protocol == parse::ICMPV6 && self.key.has(flags::IPV6)
        {
            let Some(message) = frame.u16(at) else { return self.whole = false };
            self.key.set(words::LAYER4, (message as u32 >> 8) << 16 | message as u32 & 0xff);
            self.key.set(words::FLAGS, flags::ICMP);
        }
    }
}
