//! Packets that are led to the delay line by TC programs: those of one interface, or those between two.
//!
//! They are sent into a pair of devices of ours, at whose far end the delay line is, and come back by way of the near end.
//! Or else XDP takes them at the interfaces, and only those come by here that it let pass.

use std::fs;
use std::path::Path;

use shaper_bpf::{Hook, Object};
use shaper_common::layout::Diversion;
use shaper_net::journal::{Entry, Journal, Recorded};
use shaper_net::netns::NetNs;
use shaper_net::offload::{Ethtool, Offload, OffloadGuard};
use shaper_net::pair::{End, Pair};
use shaper_net::rtnl::{Link, LinkStats, Rtnl};

use crate::error::Error;
use crate::spec::{EngineKind, Options, Site};
use crate::xsk::{FRAME, MOST_QUEUES, Memory};

/// Of a frame: XDP's headroom, Ethernet, two tags, and the metadata.
const BESIDE_PAYLOAD: u32 = 256 + 14 + 8 + 32;
/// The largest frame that memory is given in.
const LARGEST_FRAME: u32 = 4096;
/// The largest payload of a packet that a veth takes in front of an XDP program: a page with what the kernel keeps in it.
const LARGEST_MTU: u32 = 3_400;
/// In front of whatever else is attached.
const PRIORITY: u16 = 1;
/// The letters of the directions in the names of their pairs.
const LETTERS: [&str; 2] = ["a", "b"];

/// Where packets of a direction are taken, and where they go on.
#[derive(Clone, Copy, Debug)]
struct Route {
    /// The number of the interface that they are taken from, in the order in which the site names them.
    from: usize,
    /// Whether where they leave, or else where they arrive.
    egress: bool,
    /// The number of the interface that they go on at.
    on: usize,
    /// Whether they would get nowhere without us.
    bridged: bool,
}

/// The interfaces of a site, and what takes packets there.
#[derive(Debug)]
pub(crate) struct Diverted {
    /// Where the interfaces are: filters are found by the thread's own.
    netns: NetNs,
    interfaces: Vec<Link>,
    routes: [Route; 2],
    taken: Taken,
    rtnl: Rtnl,
    engine: EngineKind,
    hook: Option<Hook>,
    /// By direction: whether its packets are led away.
    leads: [bool; 2],
    /// What the journal takes back.
    recorded: Vec<Recorded>,
}

/// Where packets are decided on.
#[derive(Debug)]
enum Taken {
    /// In pairs beside the interfaces, one a direction.
    InPairs(Vec<Pair>),
    /// At the interfaces, which give up what would hand on other packets than came.
    AtPorts { _offloads: Vec<OffloadGuard>, queues: u32 },
}

impl Diverted {
    /// Makes the pairs, or readies the ports.
    pub(crate) fn prepare(netns: &NetNs, journal: &Journal, site: &Site, options: &Options) -> Result<Self, Error> {
        let rtnl = netns.rtnl()?;
        let (names, routes) = match site {
            Site::Interface(name) => {
                (vec![name], [true, false].map(|egress| Route { from: 0, egress, on: 0, bridged: false }))
            }
            Site::Between(one, other) => {
                (vec![one, other], [0, 1].map(|from| Route { from, egress: false, on: 1 - from, bridged: true }))
            }
        };
        let interfaces = names.into_iter().map(|name| rtnl.link(name)).collect::<Result<Vec<_>, _>>()?;
        interfaces.iter().try_for_each(impairable)?;
        if let [one, other] = interfaces.as_slice() {
            check_between(one, other)?;
        }
        let taken = if options.at_ports {
            let queues = queues(netns, &interfaces)?;
            Taken::AtPorts { _offloads: ready_ports(netns, journal, &interfaces, options)?, queues }
        } else {
            let mtu = largest_mtu(&interfaces);
            let pair = |letter| Pair::create(journal, netns, &format!("sh{}{letter}", journal.id()), mtu);
            Taken::InPairs(LETTERS.into_iter().map(pair).collect::<Result<_, _>>()?)
        };
        Ok(Self {
            netns: netns.another()?,
            interfaces,
            routes,
            taken,
            rtnl,
            engine: options.engine,
            hook: None,
            leads: [false; 2],
            recorded: Vec::new(),
        })
    }

    /// The ports that packets come in at to be decided on, by direction.
    pub(crate) fn ports(&self) -> Vec<u32> {
        match &self.taken {
            Taken::InPairs(pairs) => pairs.iter().map(|pair| pair.far.index).collect(),
            Taken::AtPorts { .. } => self.interfaces.iter().map(|link| link.index).collect(),
        }
    }

    /// The pairs, by direction; none where there are none.
    pub(crate) fn pairs(&self) -> &[Pair] {
        match &self.taken {
            Taken::InPairs(pairs) => pairs,
            Taken::AtPorts { .. } => &[],
        }
    }

    /// Whether XDP takes packets at the interfaces.
    pub(crate) fn is_at_ports(&self) -> bool {
        matches!(self.taken, Taken::AtPorts { .. })
    }

    /// The names of the devices that packets are led into, by direction; `None` where there are none.
    pub(crate) fn near_ends(&self) -> Option<[String; 2]> {
        match self.pairs() {
            [one, other] => Some([one.near.name.clone(), other.near.name.clone()]),
            _ => None,
        }
    }

    /// The memory that packets are to be held in.
    pub(crate) fn memory(&self, frames: u32) -> Memory {
        let frame = if largest_mtu(&self.interfaces) + BESIDE_PAYLOAD <= FRAME { FRAME } else { LARGEST_FRAME };
        let queues = match self.taken {
            Taken::InPairs(_) => 1,
            Taken::AtPorts { queues, .. } => queues,
        };
        Memory { frame, frames, queues }
    }

    /// How packets are led away; `None` as long as none are.
    pub(crate) fn hook(&self) -> Option<Hook> {
        self.hook
    }

    /// Whether the packets of a direction are led away.
    pub(crate) fn leads(&self, direction: u32) -> bool {
        self.leads.get(direction as usize).copied().unwrap_or(false)
    }

    /// Leads the packets of a direction to what holds them. With `releases` it is written down when `fq` lets them go.
    pub(crate) fn divert(
        &mut self,
        journal: &Journal,
        object: &mut Object,
        direction: u32,
        releases: bool,
    ) -> Result<(), Error> {
        let near = if self.is_at_ports() { None } else { Some(self.near(direction)?.clone()) };
        let Some(route) = self.routes.get(direction as usize).copied() else {
            return Err(Error::NoDirection { direction });
        };
        let (Some(from), Some(on)) = (self.interfaces.get(route.from), self.interfaces.get(route.on)) else {
            return Err(Error::NoDirection { direction });
        };
        // It may have another name by now.
        let from = &self.rtnl.find_index(from.index)?.ok_or_else(|| wrong(format!("{} is gone", from.name)))?;
        let arrive = u32::from(!route.egress && !route.bridged);
        // On a bridge packets come by none of our programs again, and carry nothing away with them.
        let mark = if route.bridged { 0 } else { mark(journal.id()) };
        let (into, bridged) = match &near {
            Some(near) => (near.index, u32::from(route.bridged)),
            None => (on.index, Diversion::BEHIND_PORTS),
        };
        let diversion = Diversion { into, on: on.index, arrive, mark, bridged, releases: u32::from(releases) };
        object.set_diversion(direction, diversion)?;
        let mut recorded = Vec::new();
        if route.bridged && !from.promiscuous {
            let (netns, ifname) = (within(&self.netns), from.name.clone());
            let entry = Entry::Promiscuous { netns, ifname, index: from.index };
            recorded.push(journal.record(entry)?);
            self.rtnl.set_promiscuous(from.index, true)?;
        }
        let netns = &self.netns;
        let held_by_fq = self.engine == EngineKind::Edt;
        let hook = netns.run(|| -> Result<_, Error> {
            // First the way back, then that here.
            let has_tcx = match &near {
                Some(near) => {
                    let attach = |object: &mut Object, hook| object.attach_come_back(&near.name, held_by_fq, hook);
                    let hook = hook_own(object, &near.name, attach)?;
                    if hook == Hook::Tcx {
                        object.attach_diversion(direction, &from.name, route.egress, hook)?;
                    }
                    hook == Hook::Tcx
                }
                None => object.attach_diversion(direction, &from.name, route.egress, Hook::Tcx).is_ok(),
            };
            if has_tcx {
                return Ok(Hook::Tcx);
            }
            recorded.push(filter(netns, journal, from, route.egress)?);
            let hook = Hook::Clsact { priority: PRIORITY };
            object.attach_diversion(direction, &from.name, route.egress, hook)?;
            Ok(hook)
        })??;
        self.hook = Some(hook);
        if let Some(leads) = self.leads.get_mut(direction as usize) {
            *leads = true;
        }
        self.recorded.extend(recorded);
        Ok(())
    }

    /// Leads no further packet away. What brings those back that were stays.
    pub(crate) fn end(&self, object: &mut Object) -> Result<(), Error> {
        Ok(self.netns.run(|| object.detach_diversions())??)
    }

    /// Brings none back either.
    pub(crate) fn end_all(&self, object: &mut Object) -> Result<(), Error> {
        Ok(self.netns.run(|| object.detach_all_diversions())??)
    }

    /// Packets that the pair of a direction had no room for; `None` where there is no pair.
    pub(crate) fn lost(&self, direction: u32) -> Result<Option<u64>, Error> {
        if self.is_at_ports() {
            return Ok(None);
        }
        let LinkStats { tx_dropped, .. } = self.rtnl.stats(self.near(direction)?.index)?;
        Ok(Some(tx_dropped))
    }

    fn near(&self, direction: u32) -> Result<&End, Error> {
        self.pairs().get(direction as usize).map(|pair| &pair.near).ok_or(Error::NoDirection { direction })
    }
}

/// How many queues two ports have, each.
fn queues(netns: &NetNs, interfaces: &[Link]) -> Result<u32, Error> {
    let count = |link: &Link| -> Result<u32, Error> {
        let told = netns.run(|| Ethtool::open()?.receive_queues(&link.name))??;
        // Where nobody tells, all that the device has room for are taken to be in use.
        Ok(told.or_else(|| listed_queues(link)).unwrap_or(link.queues.1).max(1))
    };
    let counts = interfaces.iter().map(|link| Ok((link.name.as_str(), count(link)?)));
    queues_of_each(&counts.collect::<Result<Vec<_>, Error>>()?)
}

/// How many queues of a device are in use, where the sysfs at hand is of its namespace: a driver need not tell.
fn listed_queues(link: &Link) -> Option<u32> {
    let folder = Path::new("/sys/class/net").join(&link.name);
    let index = fs::read_to_string(folder.join("ifindex")).ok()?;
    if index.trim() != link.index.to_string() {
        return None;
    }
    let is_received_by = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("rx-");
    u32::try_from(fs::read_dir(folder.join("queues")).ok()?.flatten().filter(is_received_by).count()).ok()
}

/// How many queues ports have that have so many, if all have the same and not too many.
fn queues_of_each(counts: &[(&str, u32)]) -> Result<u32, Error> {
    let (least, most) = (counts.iter().min_by_key(|(_, count)| count), counts.iter().max_by_key(|(_, count)| count));
    let (Some((one, least)), Some((other, most))) = (least, most) else { return Ok(1) };
    if least != most {
        return Err(wrong(format!(
            "{one} has {least} queues and {other} {most}: give both the same (ethtool -L {other} combined {least})"
        )));
    }
    if *most > MOST_QUEUES {
        return Err(wrong(format!(
            "{other} has {most} queues, and XDP takes packets of {MOST_QUEUES} of each port at most: give both fewer \
             (ethtool -L {other} combined {MOST_QUEUES}), or use --hook tc"
        )));
    }
    Ok(*most)
}

/// Switches off at the ports what joins packets or takes their tags away before XDP sees them.
fn ready_ports(
    netns: &NetNs,
    journal: &Journal,
    interfaces: &[Link],
    options: &Options,
) -> Result<Vec<OffloadGuard>, Error> {
    if options.engine == EngineKind::Edt || interfaces.len() != 2 {
        return Err(wrong("XDP takes packets at the ports of a bridge only, and for engine xsk"));
    }
    if let Some(Link { name, .. }) = interfaces.iter().find(|link| link.xdp) {
        return Err(wrong(format!(
            "{name} has an XDP program already: take it off first (ip link set {name} xdp off)"
        )));
    }
    let named = (!netns.name().is_empty()).then_some(netns);
    let guard = |link: &Link| -> Result<_, Error> {
        let guard = OffloadGuard::switch_off(journal, named, &link.name, &[Offload::Gro, Offload::RxVlan])?;
        let features = netns.run(|| Ethtool::open()?.features(&link.name))??;
        match features.iter().find(|feature| feature.active && Offload::RxVlan.includes(&feature.name)) {
            Some(feature) => Err(wrong(format!(
                "{} takes VLAN tags away from XDP and cannot be told not to ({}): use --hook tc",
                link.name, feature.name
            ))),
            None => Ok(guard),
        }
    };
    interfaces.iter().map(guard).collect()
}

/// Attaches to a device of our own, in the calling thread's network namespace: by TCX, or else at a qdisc that goes with it.
pub(crate) fn hook_own(
    object: &mut Object,
    device: &str,
    attach: impl Fn(&mut Object, Hook) -> Result<(), shaper_bpf::Error>,
) -> Result<Hook, Error> {
    if attach(object, Hook::Tcx).is_ok() {
        return Ok(Hook::Tcx);
    }
    shaper_bpf::add_clsact(device)?;
    let hook = Hook::Clsact { priority: PRIORITY };
    attach(object, hook)?;
    Ok(hook)
}

/// Of 16 bits, and not zero: two attachments on the way of one packet have the same once in 65,535 times.
fn mark(id: &str) -> u32 {
    u32::from_str_radix(id, 16).unwrap_or(0) % 0xffff + 1
}

fn largest_mtu(interfaces: &[Link]) -> u32 {
    interfaces.iter().map(|link| link.mtu).max().unwrap_or(0)
}

fn within(netns: &NetNs) -> Option<String> {
    (!netns.name().is_empty()).then(|| netns.name().to_owned())
}

/// Journals a filter, and the qdisc for it where it has to be made.
fn filter(netns: &NetNs, journal: &Journal, link: &Link, egress: bool) -> Result<Recorded, Error> {
    let (netns, ifname) = (within(netns), link.name.clone());
    let has_clsact = Rtnl::open()?.qdiscs(link.index)?.iter().any(|qdisc| qdisc.kind == "clsact");
    if has_clsact {
        if Rtnl::open()?.filter_priorities(link.index, egress)?.contains(&PRIORITY) {
            return Err(wrong(format!(
                "{} has a filter of priority {PRIORITY} already, and ours must come first: give it another one (tc filter)",
                link.name
            )));
        }
        return Ok(journal.record(Entry::Filter { netns, ifname, index: link.index, egress, priority: PRIORITY })?);
    }
    let recorded = journal.record(Entry::Qdisc { netns, ifname, index: link.index, kind: "clsact".into() })?;
    shaper_bpf::add_clsact(&link.name)?;
    Ok(recorded)
}

/// Whether packets of an interface can be led to the delay line.
///
/// # Errors
/// Why not, and what to do.
pub fn impairable(link: &Link) -> Result<(), Error> {
    let Link { name, mtu, .. } = link;
    if link.loopback {
        return Err(wrong("the loopback device leads to nobody: impair an end of a veth pair instead"));
    }
    if !link.ethernet {
        return Err(wrong(format!("{name} is no Ethernet device: impair the one that its packets leave at")));
    }
    if !link.up {
        return Err(wrong(format!("{name} is down: switch it up first (ip link set {name} up)")));
    }
    if *mtu > LARGEST_MTU {
        return Err(wrong(format!(
            "the MTU of {name}, {mtu}, is more than the {LARGEST_MTU} bytes that a veth hands to XDP: set a smaller one (ip \
             link set {name} mtu 1500)"
        )));
    }
    Ok(())
}

fn check_between(one: &Link, other: &Link) -> Result<(), Error> {
    if one.index == other.index {
        return Err(wrong(format!("a bridge has two ends: {} is named twice", one.name)));
    }
    if one.mtu != other.mtu {
        return Err(wrong(format!(
            "{} has an MTU of {} and {} of {}: what one takes the other might not; give both the same",
            one.name, one.mtu, other.name, other.mtu
        )));
    }
    match [one, other].into_iter().find(|link| link.master.is_some()) {
        Some(link) => {
            let name = &link.name;
            Err(wrong(format!(
                "{name} belongs to a bridge or bond already: take it out first (ip link set {name} nomaster)"
            )))
        }
        None => Ok(()),
    }
}

fn wrong(problem: impl Into<String>) -> Error {
    Error::Site { problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_with_unlike_or_too_many_queues_are_named() {
        assert_eq!(queues_of_each(&[("a0", 64), ("b0", 64)]).unwrap(), 64);
        let refused = |counts: &[(&str, u32)]| queues_of_each(counts).unwrap_err().to_string();
        let unlike = refused(&[("a0", 4), ("b0", 2)]);
        assert!(unlike.starts_with("b0 has 2 queues and a0 4: ") && unlike.contains("-L a0 combined 2"), "{unlike}");
        let many = refused(&[("a0", 65), ("b0", 65)]);
        assert!(many.contains("65 queues") && many.contains("64") && many.contains("--hook tc"), "{many}");
    }
}
