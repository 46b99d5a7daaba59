//! One reader for classic pcap and pcapng, over a memory map, bytes or a stream, compressed or not.
//!
//! A file whose tail is cut off is read up to the cut and says so ([`Reader::tail`]); any other
//! damage is an error with the byte offset at which it was found, or an end like a cut for those
//! who ask for that ([`Reader::ending_at_damage`]). No length that a file claims is ever
//! allocated: buffers grow only with the bytes that are really there.

mod classic;
mod compression;
mod error;
mod format;
mod interface;
mod map;
mod ng;
mod options;
mod order;
mod packet;
mod reader;
mod source;
mod time;
mod zstd;

pub use compression::Compression;
pub use error::{Error, Fault};
pub use format::{Format, Tail};
pub use interface::{Interface, InterfaceStatistics};
pub use options::{Options, RawOption};
pub use packet::{Direction, Packet, Verdict};
pub use reader::{Reader, STDIN};
pub use time::Resolution;

/// Link types (`LINKTYPE_*`) from the register at <https://www.tcpdump.org/linktypes.html>.
pub mod linktype {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing host.
    pub const NULL: u16 = 0;
    /// IEEE 802.3 Ethernet.
    pub const ETHERNET: u16 = 1;
    /// PPP, with or without the address and control octets of HDLC.
    pub const PPP: u16 = 9;
    /// Raw IP, as some BSD systems number it.
    pub const RAW_BSD_12: u16 = 12;
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_BSD_14: u16 = 14;
    /// PPP in HDLC-like framing, or Cisco's HDLC.
    pub const PPP_HDLC: u16 = 50;
    /// A PPPoE session, from its header on.
    pub const PPP_ETHER: u16 = 51;
    /// Raw IP, version 4 or 6.
    pub const RAW: u16 = 101;
    /// Cisco's HDLC.
    pub const C_HDLC: u16 = 104;
    /// IEEE 802.11.
    pub const IEEE802_11: u16 = 105;
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    pub const LOOP: u16 = 108;
    /// Linux "cooked" capture, version 1.
    pub const LINUX_SLL: u16 = 113;
    /// IEEE 802.11 behind a Prism header, or an AVS one.
    pub const PRISM: u16 = 119;
    /// IEEE 802.11 behind a radiotap header.
    pub const RADIOTAP: u16 = 127;
    /// IEEE 802.11 behind an AVS header.
    pub const AVS: u16 = 163;
    /// A header of the Per-Packet Information format, which names the link type behind it.
    pub const PPI: u16 = 192;
    /// PPP behind an octet that tells the direction.
    pub const PPP_WITH_DIRECTION: u16 = 204;
    /// Raw IPv4.
    pub const IPV4: u16 = 228;
    /// Raw IPv6.
    pub const IPV6: u16 = 229;
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: u16 = 276;
}
