//! Classic pcap: one header, then records (draft-ietf-opsawg-pcap), and the variants of it that are known for sure.

use super::{error::Fault, interface::Interface, order::Order, time::Resolution};

pub(super) const FILE_HEADER: usize = 24;
/// As much of the file as is looked at to tell variants apart, file header included.
pub(super) const LOOK: usize = 64 * 1024;
const RECORD_HEADER: usize = 16;
/// With interface index, protocol and packet type behind it.
const KUZNETZOV_HEADER: usize = 24;
/// With processors besides.
const SUSE_HEADER: usize = 28;
/// With four bytes of no known meaning.
const NOKIA_HEADER: usize = 20;
/// Records that must make sense for a variant to be taken for what the file is.
const RECORDS: usize = 8;
/// Longest record believed: libpcap's own largest snapshot length (USB, D-Bus).
const LONGEST: u32 = 128 << 20;
/// What makes sense where a file is to be recognised: libpcap's largest snapshot length elsewhere.
const SENSIBLE: u32 = 256 << 10;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;
/// Ixia's lcap, stamped by hardware and by software: behind the file header stands the length of all records.
const LCAP_HARDWARE: u32 = 0x1c00_01ac;
const LCAP_SOFTWARE: u32 = 0x1c00_01ab;
/// Reserved in libpcap for formats that were never published.
const MESQUITA: u32 = 0xa1b2_34cd;
const NAVTEL: u32 = 0xa12b_3c4d;

/// Format of a classic file, from its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classic {
    order: Order,
    nanoseconds: bool,
    linktype: u16,
    /// Length of a record's header.
    record: usize,
    /// Length of the file's.
    file: usize,
}

/// A record's header.
pub(super) struct Record {
    pub(super) linktype: u16,
    pub(super) ts_ns: i64,
    pub(super) caplen: u32,
    pub(super) origlen: u32,
}

impl Classic {
    /// Reads the file header from the first [`LOOK`] bytes; `None` when the magic is not that of a classic file.
    pub(super) fn from_start(start: &[u8]) -> Result<Option<(Self, Interface)>, Fault> {
        let mut found = None;
        for order in [Order::Little, Order::Big] {
            let (nanoseconds, record, file) = match order.u32(start, 0) {
                Some(MICROSECONDS) => (false, RECORD_HEADER, FILE_HEADER),
                Some(NANOSECONDS) => (true, RECORD_HEADER, FILE_HEADER),
                Some(KUZNETZOV) => (false, KUZNETZOV_HEADER, FILE_HEADER),
                Some(LCAP_SOFTWARE | LCAP_HARDWARE) => (false, RECORD_HEADER, FILE_HEADER + 4),
                Some(MESQUITA) => return Err(Fault::Variant("pcap as Mesquita changed it")),
                Some(NAVTEL) => return Err(Fault::Variant("pcap as Navtel changed it")),
                _ => continue,
            };
            found = Some((order, nanoseconds, record, file));
        }
        let Some((order, nanoseconds, record, file)) = found else { return Ok(None) };
        let fields = (order.u16(start, 4), order.u16(start, 6), order.u32(start, 16), order.u32(start, 20));
        let (Some(major), Some(minor), Some(snaplen), Some(network)) = fields else {
            return Err(Fault::CutHeader);
        };
        if start.len() < file {
            return Err(Fault::CutHeader);
        }
        if major != 2 {
            return Err(Fault::Version(major, minor));
        }
        // The upper half of the field tells the length of a frame check sequence.
        let linktype = (network & 0xffff) as u16;
        let classic = Self { order, nanoseconds, linktype, record, file };
        // Readers do not agree on the unit of what hardware stamped: microseconds, unless the stamps themselves say
        // that it is a smaller one.
        let nanoseconds = nanoseconds
            || order.u32(start, 0) == Some(LCAP_HARDWARE)
                && classic.records(start).any(|[fraction, ..]| fraction >= 1_000_000);
        let resolution = if nanoseconds { Resolution::NANOSECONDS } else { Resolution::MICROSECONDS };
        let interface = Interface::classic(linktype, snaplen, resolution);
        let classic = Self { nanoseconds, ..classic };
        classic.sure(start)?;
        Ok(Some((classic, interface)))
    }

    /// Refuses files of systems that wrote longer record headers under the same magic.
    fn sure(self, start: &[u8]) -> Result<(), Fault> {
        if self.file != FILE_HEADER || self.makes_sense(start) {
            return Ok(());
        }
        let others: &[_] = if self.record == RECORD_HEADER {
            &[
                (NOKIA_HEADER, "pcap with Nokia's record headers"),
                (KUZNETZOV_HEADER, "pcap with the record headers of Red Hat 6.1"),
            ]
        } else {
            &[(SUSE_HEADER, "pcap with the record headers of SuSE 6.3")]
        };
        let fits = |record: usize| {
            let other = Self { record, ..self };
            other.holds_two(start) && other.makes_sense(start)
        };
        match others.iter().find(|(record, _)| fits(*record)) {
            Some((_, name)) => Err(Fault::Variant(name)),
            None => Ok(()),
        }
    }

    /// Whether the first records are such as a capture has.
    fn makes_sense(self, start: &[u8]) -> bool {
        let fractions = if self.nanoseconds { 1_000_000_000 } else { 1_000_000 };
        self.records(start).take(RECORDS).all(|[fraction, caplen, origlen]| {
            fraction < fractions && caplen <= SENSIBLE && caplen <= origlen && origlen > 0
        })
    }

    /// Whether there are two whole records: fewer prove nothing.
    fn holds_two(self, start: &[u8]) -> bool {
        let mut end = self.file;
        let mut whole = self.records(start).map(|[_, caplen, _]| {
            end = end.saturating_add(self.record).saturating_add(caplen as usize);
            end <= start.len()
        });
        whole.next() == Some(true) && whole.next() == Some(true)
    }

    /// Fraction of a second, length captured and length of the records at the start of a file.
    fn records(self, start: &[u8]) -> impl Iterator<Item = [u32; 3]> {
        let mut at = self.file;
        std::iter::from_fn(move || {
            let header = start.get(at..)?.get(..self.record)?;
            let [fraction, caplen, origlen] = [4, 8, 12].map(|at| self.order.u32(header, at).unwrap_or(0));
            at = at.saturating_add(self.record).saturating_add(caplen as usize);
            Some([fraction, caplen, origlen])
        })
    }

    /// Length of the file header.
    pub(super) fn file_header(self) -> usize {
        self.file
    }

    /// Length of a record's header.
    #[inline]
    pub(super) fn record_header(self) -> usize {
        self.record
    }

    /// Reads a record header, which `bytes` must hold whole.
    #[inline]
    pub(super) fn record(self, bytes: &[u8]) -> Result<Record, Fault> {
        let Some(header) = bytes.first_chunk::<16>() else { return Err(Fault::TooShort(bytes.len())) };
        let [seconds, fraction, caplen, origlen] = self.order.words(*header);
        if caplen > LONGEST {
            return Err(Fault::Length { what: "a packet record", claimed: caplen.into(), allowed: "up to 128 MiB" });
        }
        let unit = if self.nanoseconds { 1 } else { 1_000 };
        // At most 2^32 * 10^9 + 2^32 * 10^3 < 2^63.
        let ts_ns = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * unit;
        Ok(Record { linktype: self.linktype, ts_ns, caplen, origlen })
    }
}
