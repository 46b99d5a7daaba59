//! What a capture says about the interfaces it was taken on.

use super::{options::Options, time::Resolution};

/// One capture point: an Interface Description Block, or a classic file as a whole.
#[derive(Clone, Debug)]
pub struct Interface {
    /// `if_name`, if told.
    pub name: Option<String>,
    /// `if_description`, if told.
    pub description: Option<String>,
    /// `if_filter` as text, if it was told as text.
    pub filter: Option<String>,
    /// `LINKTYPE_*` of its packets, see [`linktype`](super::linktype).
    pub linktype: u16,
    /// Longest packet the capture kept, in bytes; 0 means no limit.
    pub snaplen: u32,
    /// Unit of its stamps in the file.
    pub resolution: Resolution,
    /// Seconds added to every stamp (`if_tsoffset`).
    pub offset: i64,
    /// The last Interface Statistics Block seen for it so far.
    pub statistics: Option<InterfaceStatistics>,
}

/// Counters of an Interface Statistics Block (draft section 4.6); each only if told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStatistics {
    /// `isb_starttime`, nanoseconds since the epoch.
    pub start: Option<i64>,
    /// `isb_endtime`, nanoseconds since the epoch.
    pub end: Option<i64>,
    /// `isb_ifrecv`: packets the interface received.
    pub received: Option<u64>,
    /// `isb_ifdrop`: packets the interface dropped for lack of resources.
    pub dropped: Option<u64>,
    /// `isb_osdrop`: packets the operating system dropped.
    pub dropped_by_system: Option<u64>,
}

impl InterfaceStatistics {
    /// Packets that the capture says it lost, wherever.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.unwrap_or(0).saturating_add(self.dropped_by_system.unwrap_or(0))
    }
}

const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const IF_FILTER: u16 = 11;
const IF_TSOFFSET: u16 = 14;
const ISB_START: u16 = 2;
const ISB_END: u16 = 3;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

impl Interface {
    pub(super) fn described(linktype: u16, snaplen: u32, options: &Options<'_>) -> Self {
        let octet = options.all(IF_TSRESOL).next().and_then(|value| value.first().copied());
        // The first octet of if_filter says how the rest is coded; 0 is a libpcap expression.
        let filter = options.all(IF_FILTER).find_map(|value| match value.split_first() {
            Some((0, text)) => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        });
        Self {
            name: options.text(IF_NAME),
            description: options.text(IF_DESCRIPTION),
            filter,
            linktype,
            snaplen,
            resolution: octet.map_or(Resolution::MICROSECONDS, Resolution::from_octet),
            offset: options.u64(IF_TSOFFSET).map_or(0, u64::cast_signed),
            statistics: None,
        }
    }

    pub(super) fn classic(linktype: u16, snaplen: u32, resolution: Resolution) -> Self {
        Self { name: None, description: None, filter: None, linktype, snaplen, resolution, offset: 0, statistics: None }
    }

    /// Bytes of text that it holds.
    pub(super) fn text(&self) -> usize {
        [&self.name, &self.description, &self.filter].into_iter().flatten().map(String::len).sum()
    }

    pub(super) fn statistics(&self, options: &Options<'_>) -> InterfaceStatistics {
        let time = |code| options.halves(code).and_then(|raw| self.resolution.nanoseconds(raw, self.offset));
        InterfaceStatistics {
            start: time(ISB_START),
            end: time(ISB_END),
            received: options.u64(ISB_IFRECV),
            dropped: options.u64(ISB_IFDROP),
            dropped_by_system: options.u64(ISB_OSDROP),
        }
    }
}
