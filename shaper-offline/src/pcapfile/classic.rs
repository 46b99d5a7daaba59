//! Classic pcap: one header, then records (draft-ietf-opsawg-pcap).

use super::{error::Fault, interface::Interface, order::Order, time::Resolution};

pub(super) const FILE_HEADER: usize = 24;
pub(super) const RECORD_HEADER: usize = 16;
/// Longest record believed: libpcap's own largest snapshot length (USB, D-Bus).
const LONGEST: u32 = 128 << 20;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;

/// Format of a classic file, from its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    order: Order,
    nanoseconds: bool,
    linktype: u16,
}

/// A record's header.
pub(super) struct Record {
    pub(super) ts_ns: i64,
    pub(super) caplen: u32,
    pub(super) origlen: u32,
}

impl Classic {
    /// Reads the 24-byte file header; `None` when the magic is not that of a classic file.
    pub(super) fn from_header(header: &[u8]) -> Result<Option<(Self, Interface)>, Fault> {
        let mut found = None;
        for order in [Order::Little, Order::Big] {
            match order.u32(header, 0) {
                Some(MICROSECONDS) => found = Some((order, false)),
                Some(NANOSECONDS) => found = Some((order, true)),
                Some(KUZNETZOV) => {
                    return Err(Fault::Variant("pcap with Kuznetzov's record headers"));
                }
                _ => {}
            }
        }
        let Some((order, nanoseconds)) = found else { return Ok(None) };
        let fields = (order.u16(header, 4), order.u16(header, 6), order.u32(header, 16), order.u32(header, 20));
        let (Some(major), Some(minor), Some(snaplen), Some(network)) = fields else {
            return Err(Fault::CutHeader);
        };
        if major != 2 {
            return Err(Fault::Version(major, minor));
        }
        // The upper half of the field tells the length of a frame check sequence.
        let linktype = (network & 0xffff) as u16;
        let resolution = if nanoseconds { Resolution::NANOSECONDS } else { Resolution::MICROSECONDS };
        let interface = Interface::classic(linktype, snaplen, resolution);
        Ok(Some((Self { order, nanoseconds, linktype }, interface)))
    }

    pub(super) fn linktype(self) -> u16 {
        self.linktype
    }

    /// Reads a record header, which `bytes` must hold whole.
    #[inline]
    pub(super) fn record(self, bytes: &[u8]) -> Result<Record, Fault> {
        let fields =
            (self.order.u32(bytes, 0), self.order.u32(bytes, 4), self.order.u32(bytes, 8), self.order.u32(bytes, 12));
        let (Some(seconds), Some(fraction), Some(caplen), Some(origlen)) = fields else {
            return Err(Fault::TooShort(bytes.len()));
        };
        if caplen > LONGEST {
            return Err(Fault::Length { what: "a packet record", claimed: caplen.into(), allowed: "up to 128 MiB" });
        }
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        // At most 2^32 * 10^9 + 2^32 * 10^3 < 2^63.
        let ts_ns = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * unit;
        Ok(Record { ts_ns, caplen, origlen })
    }
}
