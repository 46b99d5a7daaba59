//! Device features (offloads): reading, switching, and putting back what was wanted before.
//!
//! By the `SIOCETHTOOL` ioctl, with the kernel's own feature names (`ethtool -k` shows them), so that what is put back
//! is exact: `tx-checksum-ipv4` and `tx-checksum-ip-generic` are different devices' words for one thing.

use std::ffi::CString;
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};

use crate::driver::Timestamping;
use crate::journal::{Entry, Journal, Recorded, Undone};
use crate::netns::NetNs;
use crate::rtnl::{Rtnl, check_ifname};
use crate::{Error, Result, sys};

// include/uapi/linux/ethtool.h
const ETHTOOL_GDRVINFO: u32 = 0x3;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GET_TS_INFO: u32 = 0x41;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;

/// A group of features as people speak of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Offload {
    /// Checksums filled in by the device.
    TxChecksum,
    /// TCP segmentation by the device.
    Tso,
    /// Segmentation on the way to the device, with the tunnel and UDP kinds.
    Gso,
    /// Joining received packets, with its hardware kinds and LRO.
    Gro,
    /// VLAN tags put in by the device.
    TxVlan,
    /// VLAN tags taken out by the device.
    RxVlan,
}

impl Offload {
    /// All that must be off where a packet shall be one packet, with its checksum in it.
    pub const ALL: [Self; 6] = [Self::TxChecksum, Self::Tso, Self::Gso, Self::Gro, Self::TxVlan, Self::RxVlan];

    /// Whether the kernel's feature `name` (`netdev_features_strings`, net/ethtool/common.c) belongs to this group.
    pub fn includes(self, name: &str) -> bool {
        match self {
            Self::TxChecksum => name.starts_with("tx-checksum-"),
            Self::Tso => name.starts_with("tx-tcp") && name.ends_with("-segmentation"),
            Self::Gso => {
                name == "tx-generic-segmentation"
                    || (name.starts_with("tx-") && name.ends_with("-segmentation") && !name.starts_with("tx-tcp"))
                    || name == "tx-gso-list"
                    || name == "tx-gso-partial"
            }
            Self::Gro => matches!(name, "rx-gro" | "rx-gro-hw" | "rx-gro-list" | "rx-udp-gro-forwarding" | "rx-lro"),
            Self::TxVlan => matches!(name, "tx-vlan-hw-insert" | "tx-vlan-stag-hw-insert"),
            Self::RxVlan => matches!(name, "rx-vlan-hw-parse" | "rx-vlan-stag-hw-parse"),
        }
    }
}

/// One feature of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The kernel's name.
    pub name: String,
    /// On, right now.
    pub active: bool,
    /// Wanted: on, were nothing that it needs off.
    pub wanted: bool,
    /// Whether it can be switched at all.
    pub changeable: bool,
}

/// A handle on the features of the devices of the namespace it was opened in, whatever thread uses it later.
#[derive(Debug)]
pub struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    /// Opens a handle on the calling thread's namespace.
    pub fn open() -> Result<Self> {
        // Any socket serves; this one is never bound to anything that could receive.
        let socket = UdpSocket::bind(("127.0.0.1", 0))
            .or_else(|_| UdpSocket::bind(("0.0.0.0", 0)))
            .map_err(|e| Error::os("open a socket", "ethtool", e))?;
        Ok(Self { socket: socket.into() })
    }

    /// All features of a device.
    pub fn features(&self, ifname: &str) -> Result<Vec<Feature>> {
        let names = self.names(ifname)?;
        let blocks = names.len().div_ceil(32);
        let mut data = vec![0u32; 2 + 4 * blocks];
        set(&mut data, 0, ETHTOOL_GFEATURES);
        set(&mut data, 1, word(blocks));
        self.call(ifname, "read the features", &mut data)?;
        let bit = |at: usize, field: usize| {
            let block = data.get(2 + 4 * (at / 32) + field).copied().unwrap_or(0);
            block >> (at % 32) & 1 == 1
        };
        let feature = |(at, name): (usize, String)| Feature {
            name,
            active: bit(at, 2),
            wanted: bit(at, 1),
            changeable: bit(at, 0) && !bit(at, 3),
        };
        Ok(names.into_iter().enumerate().map(feature).filter(|f| !f.name.is_empty()).collect())
    }

    /// Switches features by name; names that the device cannot switch are an error, those it does not know are left
    /// out.
    pub fn set(&self, ifname: &str, wanted: &[(String, bool)]) -> Result<()> {
        let names = self.names(ifname)?;
        let blocks = names.len().div_ceil(32);
        let mut data = vec![0u32; 2 + 2 * blocks];
        set(&mut data, 0, ETHTOOL_SFEATURES);
        set(&mut data, 1, word(blocks));
        for (name, on) in wanted {
            let Some(at) = names.iter().position(|n| n == name) else { continue };
            let bit = 1u32 << (at % 32);
            let block = 2 + 2 * (at / 32);
            if let Some(valid) = data.get_mut(block) {
                *valid |= bit;
            }
            if let Some(requested) = data.get_mut(block + 1).filter(|_| *on) {
                *requested |= bit;
            }
        }
        self.call(ifname, "switch the features", &mut data)
    }

    /// The name of a device's driver.
    pub(crate) fn driver(&self, ifname: &str) -> Result<String> {
        /// `struct ethtool_drvinfo`: command, five texts of 32 bytes, 12 bytes in reserve, five numbers.
        const WORDS: usize = 1 + (5 * 32 + 12) / 4 + 5;
        let mut data = [0u32; WORDS];
        set(&mut data, 0, ETHTOOL_GDRVINFO);
        self.call(ifname, "read the driver's name", &mut data)?;
        let name: Vec<u8> = data.iter().skip(1).take(32 / 4).flat_map(|word| word.to_ne_bytes()).collect();
        Ok(text(&name))
    }

    /// What stamps packets at a device.
    pub(crate) fn timestamping(&self, ifname: &str) -> Result<Timestamping> {
        // struct ethtool_ts_info: the bits stand behind the command.
        let mut data = [0u32; 11];
        set(&mut data, 0, ETHTOOL_GET_TS_INFO);
        self.call(ifname, "read what stamps packets", &mut data)?;
        Ok(Timestamping::of(data[1]))
    }

    /// The queues that a device receives by, of those that it has room for; `None` where its driver does not tell.
    pub fn receive_queues(&self, ifname: &str) -> Result<Option<u32>> {
        // struct ethtool_channels: command; the most of receive, transmit, other and combined ones; those in use.
        let mut data = [0u32; 9];
        set(&mut data, 0, ETHTOOL_GCHANNELS);
        match self.call(ifname, "count the queues", &mut data) {
            Ok(()) => Ok(Some(data[5].saturating_add(data[8])).filter(|count| *count > 0)),
            Err(e) if e.errno() == Some(libc::EOPNOTSUPP) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The kernel's feature names, each at its bit.
    fn names(&self, ifname: &str) -> Result<Vec<String>> {
        // struct ethtool_sset_info: cmd, reserved, a 64-bit mask, one length for each bit of the mask.
        let mask = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = mask;
        let low = u32::from_ne_bytes([a, b, c, d]);
        let high = u32::from_ne_bytes([e, f, g, h]);
        let mut info = [ETHTOOL_GSSET_INFO, 0, low, high, 0];
        self.call(ifname, "count the features", &mut info)?;
        let count = info[4] as usize;
        let mut data = vec![0u32; 3 + count * ETH_GSTRING_LEN / 4];
        set(&mut data, 0, ETHTOOL_GSTRINGS);
        set(&mut data, 1, ETH_SS_FEATURES);
        set(&mut data, 2, word(count));
        self.call(ifname, "name the features", &mut data)?;
        let bytes: Vec<u8> = data.iter().skip(3).flat_map(|w| w.to_ne_bytes()).collect();
        Ok(bytes.chunks_exact(ETH_GSTRING_LEN).map(text).collect())
    }

    fn call(&self, ifname: &str, tried: &str, data: &mut [u32]) -> Result<()> {
        check_ifname(ifname)?;
        let name = CString::new(ifname).map_err(|e| Error::os(tried, ifname, std::io::Error::from(e)))?;
        // SAFETY: each caller sizes `data` by the counts it puts into it, which is what the kernel goes by.
        unsafe { sys::ethtool(self.socket.as_fd(), &name, data) }.map_err(|e| Error::os(tried, ifname, e))?;
        Ok(())
    }

    /// Switches off all features of these groups that are on or wanted; says what was wanted before.
    ///
    /// Nothing is journalled: for devices in a namespace of our own.
    pub fn switch_off(&self, ifname: &str, groups: &[Offload]) -> Result<Vec<(String, bool)>> {
        let before = self.to_switch_off(ifname, groups)?;
        self.off(ifname, groups, &before)?;
        Ok(before)
    }

    fn to_switch_off(&self, ifname: &str, groups: &[Offload]) -> Result<Vec<(String, bool)>> {
        let ours = |f: &Feature| f.changeable && (f.wanted || f.active) && groups.iter().any(|g| g.includes(&f.name));
        Ok(self.features(ifname)?.into_iter().filter(ours).map(|f| (f.name, f.wanted)).collect())
    }

    fn off(&self, ifname: &str, groups: &[Offload], before: &[(String, bool)]) -> Result<()> {
        if before.is_empty() {
            return Ok(());
        }
        let off: Vec<_> = before.iter().map(|(name, _)| (name.clone(), false)).collect();
        self.set(ifname, &off)?;
        let still = |f: &Feature| f.changeable && f.active && groups.iter().any(|g| g.includes(&f.name));
        match self.features(ifname)?.into_iter().find(still) {
            None => Ok(()),
            Some(feature) => Err(Error::Os {
                tried: format!("switch off {}", feature.name),
                on: ifname.into(),
                why: "the driver keeps it on".into(),
                source: std::io::Error::from_raw_os_error(libc::EOPNOTSUPP),
            }),
        }
    }
}

fn word(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn set(data: &mut [u32], at: usize, value: u32) {
    if let Some(word) = data.get_mut(at) {
        *word = value;
    }
}

/// What stands before the zero.
fn text(raw: &[u8]) -> String {
    let end = raw.iter().position(|b| *b == 0).unwrap_or(raw.len());
    String::from_utf8_lossy(raw.get(..end).unwrap_or_default()).into_owned()
}

/// Features switched off on a device that is not ours; what was wanted before is put back when this is dropped.
#[derive(Debug)]
pub struct OffloadGuard {
    ethtool: Ethtool,
    rtnl: Rtnl,
    /// The device: names change.
    index: u32,
    before: Vec<(String, bool)>,
    recorded: Option<Recorded>,
}

impl OffloadGuard {
    /// Switches off these groups on `ifname` in `netns` (`None`: the calling thread's, which must be the host's).
    pub fn switch_off(journal: &Journal, netns: Option<&NetNs>, ifname: &str, groups: &[Offload]) -> Result<Self> {
        let (ethtool, rtnl) = match netns {
            Some(ns) => (ns.run(Ethtool::open)??, ns.rtnl()?),
            None => (Ethtool::open()?, Rtnl::open()?),
        };
        let index = rtnl.link(ifname)?.index;
        let before = ethtool.to_switch_off(ifname, groups)?;
        let recorded = journal.record(Entry::Offload {
            netns: netns.map(|n| n.name().to_owned()),
            ifname: ifname.into(),
            index,
            before: before.clone(),
        })?;
        // Made before the switch, so that a switch that fails half-way is put back.
        let guard = Self { ethtool, rtnl, index, before, recorded: Some(recorded) };
        guard.ethtool.off(ifname, groups, &guard.before)?;
        Ok(guard)
    }

    /// The features switched, and whether each was wanted before.
    pub fn before(&self) -> &[(String, bool)] {
        &self.before
    }
}

impl Drop for OffloadGuard {
    fn drop(&mut self) {
        let put_back = match self.rtnl.find_index(self.index) {
            Ok(Some(link)) => put_back(&self.ethtool, &link.name, &self.before).map(drop),
            Ok(None) => Ok(()),
            Err(e) => Err(e),
        };
        match put_back {
            Ok(()) => {
                if let Some(recorded) = self.recorded.take() {
                    recorded.taken_back();
                }
            }
            Err(e) => tracing::warn!("{e}"),
        }
    }
}

/// Puts back what was wanted of the features of `ifname` in the calling thread's namespace.
pub(crate) fn restore(ifname: &str, before: &[(String, bool)]) -> Result<Undone> {
    put_back(&Ethtool::open()?, ifname, before)
}

fn put_back(ethtool: &Ethtool, ifname: &str, before: &[(String, bool)]) -> Result<Undone> {
    // That it goes away just now, or gets another name, is an error: who tries again finds out which.
    let now = ethtool.features(ifname)?;
    let differs = |(name, wanted): &&(String, bool)| now.iter().any(|f| f.name == *name && f.wanted != *wanted);
    let change: Vec<_> = before.iter().filter(differs).cloned().collect();
    if change.is_empty() {
        return Ok(Undone::Before);
    }
    ethtool.set(ifname, &change).map(|()| Undone::Now)
}

#[cfg(test)]
mod tests {
    use super::Offload;

    #[test]
    fn groups_hold_the_kernels_names_and_do_not_overlap() {
        let table = [
            ("tx-checksum-ip-generic", Some(Offload::TxChecksum)),
            ("tx-checksum-sctp", Some(Offload::TxChecksum)),
            ("tx-tcp-segmentation", Some(Offload::Tso)),
            ("tx-tcp6-segmentation", Some(Offload::Tso)),
            ("tx-tcp-mangleid-segmentation", Some(Offload::Tso)),
            ("tx-generic-segmentation", Some(Offload::Gso)),
            ("tx-udp-segmentation", Some(Offload::Gso)),
            ("tx-udp_tnl-segmentation", Some(Offload::Gso)),
            ("rx-gro", Some(Offload::Gro)),
            ("tx-vlan-hw-insert", Some(Offload::TxVlan)),
            ("rx-vlan-hw-parse", Some(Offload::RxVlan)),
            ("tx-scatter-gather", None),
            ("rx-checksum", None),
            ("highdma", None),
        ];
        for (name, group) in table {
            let found: Vec<_> = Offload::ALL.into_iter().filter(|g| g.includes(name)).collect();
            assert_eq!(found, group.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}
