//! One interface: its packets are led into a pair of devices of ours, at whose far end the delay line is, and come back by
//! way of the near end.

use shaper_bpf::{Hook, Object};
use shaper_common::layout::{Diversion, EGRESS};
use shaper_net::journal::{Entry, Journal, Recorded};
use shaper_net::netns::NetNs;
use shaper_net::pair::Pair;
use shaper_net::rtnl::{Link, LinkStats, Rtnl};

use crate::error::Error;
use crate::xsk::FRAME;

/// Of a frame: XDP's headroom, Ethernet, two tags, and the metadata.
const BESIDE_PAYLOAD: u32 = 256 + 14 + 8 + 32;
/// The largest frame that memory is given in.
const LARGEST_FRAME: u32 = 4096;
/// The largest payload of a packet that a veth takes in front of an XDP program: a page with what the kernel keeps in it.
const LARGEST_MTU: u32 = 3_400;

/// An interface and the pairs beside it, one a direction.
#[derive(Debug)]
pub(crate) struct Interface {
    link: Link,
    pairs: [Pair; 2],
    rtnl: Rtnl,
    hook: Option<Hook>,
    /// What the journal takes back of its qdisc and filters, where it has no TCX.
    recorded: Vec<Recorded>,
}

impl Interface {
    /// Makes the pairs.
    pub(crate) fn prepare(netns: &NetNs, journal: &Journal, name: &str) -> Result<Self, Error> {
        let rtnl = netns.rtnl()?;
        let link = rtnl.link(name)?;
        check(&link)?;
        let pair = |way| Pair::create(journal, netns, &format!("sh{}{way}", journal.id()), link.mtu);
        let pairs = [pair("e")?, pair("i")?];
        Ok(Self { pairs, link, rtnl, hook: None, recorded: Vec::new() })
    }

    /// The ports of the delay line, by direction.
    pub(crate) fn ports(&self) -> [u32; 2] {
        self.pairs.each_ref().map(|pair| pair.far.index)
    }

    /// Bytes of a frame that holds any packet of it.
    pub(crate) fn frame(&self) -> u32 {
        if self.link.mtu + BESIDE_PAYLOAD <= FRAME { FRAME } else { LARGEST_FRAME }
    }

    /// How its packets are led away; `None` as long as none are.
    pub(crate) fn hook(&self) -> Option<Hook> {
        self.hook
    }

    /// Leads the packets of a direction to the delay line.
    pub(crate) fn divert(
        &mut self,
        netns: &NetNs,
        journal: &Journal,
        object: &mut Object,
        direction: u32,
    ) -> Result<(), Error> {
        let near = self.near(direction)?.clone();
        object.set_diversion(direction, Diversion { into: near.index, interface: self.link.index })?;
        let link = &self.link;
        let (hook, recorded) = netns.run(|| -> Result<_, Error> {
            // First the way back, then that here.
            if object.attach_come_back(&near.name, Hook::Tcx).is_ok() {
                object.attach_diversion(direction, &link.name, Hook::Tcx)?;
                return Ok((Hook::Tcx, None));
            }
            shaper_bpf::add_clsact(&near.name)?;
            object.attach_come_back(&near.name, Hook::Clsact { priority: 1 })?;
            let recorded = filter(netns, journal, link, direction)?;
            let hook = Hook::Clsact { priority: PRIORITY };
            object.attach_diversion(direction, &link.name, hook)?;
            Ok((hook, Some(recorded)))
        })??;
        self.hook = Some(hook);
        self.recorded.extend(recorded);
        Ok(())
    }

    /// Packets that the pair of a direction had no room for.
    pub(crate) fn lost(&self, direction: u32) -> Result<u64, Error> {
        let LinkStats { tx_dropped, .. } = self.rtnl.stats(self.near(direction)?.index)?;
        Ok(tx_dropped)
    }

    fn near(&self, direction: u32) -> Result<&shaper_net::pair::End, Error> {
        let pair = self.pairs.get(direction as usize);
        pair.map(|pair| &pair.near).ok_or_else(|| wrong(format!("an interface has no direction {direction}")))
    }
}

/// In front of whatever else is attached.
const PRIORITY: u16 = 1;

/// Journals a filter, and the qdisc for it where it has to be made.
fn filter(netns: &NetNs, journal: &Journal, link: &Link, direction: u32) -> Result<Recorded, Error> {
    let within = (!netns.name().is_empty()).then(|| netns.name().to_owned());
    let ifname = link.name.clone();
    let has_clsact = Rtnl::open()?.qdiscs(link.index)?.iter().any(|qdisc| qdisc.kind == "clsact");
    if has_clsact {
        let egress = direction == EGRESS;
        return Ok(journal.record(Entry::Filter { netns: within, ifname, egress, priority: PRIORITY })?);
    }
    let recorded = journal.record(Entry::Qdisc { netns: within, ifname, kind: "clsact".into() })?;
    shaper_bpf::add_clsact(&link.name)?;
    Ok(recorded)
}

fn check(link: &Link) -> Result<(), Error> {
    if link.loopback {
        return Err(wrong("the loopback device leads to nobody: impair an end of a veth pair instead"));
    }
    if !link.ethernet {
        return Err(wrong("it is no Ethernet device: impair the one that its packets leave at"));
    }
    if !link.up {
        return Err(wrong(format!("it is down: switch it up first (ip link set {} up)", link.name)));
    }
    if link.mtu > LARGEST_MTU {
        let (mtu, name) = (link.mtu, &link.name);
        return Err(wrong(format!(
            "an MTU of {mtu} is more than the {LARGEST_MTU} bytes that a veth hands to XDP: set a smaller one (ip link set \
             {name} mtu 1500)"
        )));
    }
    Ok(())
}

fn wrong(problem: impl Into<String>) -> Error {
    Error::Interface { problem: problem.into() }
}
