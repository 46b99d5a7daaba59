//! A private veth pair, by which packets of an interface are led to a delay line and back.

use crate::journal::{Entry, Journal, Recorded};
use crate::netns::NetNs;
use crate::offload::{Ethtool, Offload};
use crate::rtnl::{Rtnl, VethEnd};
use crate::{Error, Result, sysctl};

/// How much longer than the interface's packets those of the pair may be: two VLAN tags.
const TAGS: u32 = 8;

/// A veth pair in the namespace of an interface, without addresses and offloads. Dropped, it is deleted.
#[derive(Debug)]
pub struct Pair {
    /// The end that packets of the interface are sent into, and come back out of.
    pub near: End,
    /// The end that the delay line is at.
    pub far: End,
    rtnl: Rtnl,
    recorded: Option<Recorded>,
}

/// An end of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Name.
    pub name: String,
    /// Interface index.
    pub index: u32,
}

impl Pair {
    /// Makes a pair in `netns` for packets of up to `mtu` bytes, both ends up. Its names are made of `name` and a
    /// letter.
    ///
    /// # Errors
    /// [`Error::Exists`] when one of the names is taken.
    pub fn create(journal: &Journal, netns: &NetNs, name: &str, mtu: u32) -> Result<Self> {
        let (near, far) = (format!("{name}n"), format!("{name}f"));
        let within = (!netns.name().is_empty()).then(|| netns.name().to_owned());
        let recorded = journal.record(Entry::Link { netns: within, ifname: near.clone() })?;
        let rtnl = netns.rtnl()?;
        let ends = netns.run(|| make(&rtnl, [&near, &far], mtu + TAGS))?;
        match ends {
            Ok([near, far]) => Ok(Self { near, far, rtnl, recorded: Some(recorded) }),
            Err(error) => {
                if matches!(error, Error::Exists { .. }) {
                    // Somebody else's.
                    recorded.taken_back();
                }
                Err(error)
            }
        }
    }
}

fn make(rtnl: &Rtnl, names: [&str; 2], mtu: u32) -> Result<[End; 2]> {
    let [near, far] = names.map(|name| VethEnd { mtu, ..VethEnd::new(None, name) });
    rtnl.create_veth(&near, &far)?;
    let ethtool = Ethtool::open()?;
    let end = |name: &str| {
        // Super-packets are cut up and checksums filled in on the way into the pair.
        ethtool.switch_off(name, &Offload::ALL)?;
        // Nobody but us is to send anything here. Where the kernel has no IPv6 there is nothing to switch off.
        match sysctl::write_unjournalled(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1") {
            Err(Error::Os { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            written => written?,
        }
        let index = rtnl.link(name)?.index;
        rtnl.set_up(index, true)?;
        Ok::<_, Error>(End { name: name.to_owned(), index })
    };
    Ok([end(names[0])?, end(names[1])?])
}

impl Drop for Pair {
    fn drop(&mut self) {
        let deleted = match self.rtnl.find(&self.near.name) {
            Ok(Some(link)) if link.index == self.near.index => self.rtnl.delete(link.index),
            // Gone with its namespace, or by other hands.
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match (deleted, self.recorded.take()) {
            (Ok(()), Some(recorded)) => recorded.taken_back(),
            (Err(error), _) => tracing::warn!("{error}"),
            _ => {}
        }
    }
}
