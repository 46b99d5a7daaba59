//! Network devices: listing, settings, counters.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp};

use super::MacAddr;
use super::socket::{Rtnl, What};
use crate::{Error, Result};

/// A network device as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address; `None` where the device has none.
    pub mac: Option<MacAddr>,
    /// What made it: `veth`, `bridge`, `ifb` …; empty for hardware and loopback.
    pub kind: String,
    /// Index of the bridge (or bond) it belongs to.
    pub master: Option<u32>,
    /// Index of the veth's other end; in another namespace when that end is.
    pub peer: Option<u32>,
    /// Largest frame payload, bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Carrier: the other end is up too.
    pub lower_up: bool,
    /// The loopback device.
    pub loopback: bool,
    /// An Ethernet device.
    pub ethernet: bool,
    /// Transmit queue length, packets.
    pub txqueuelen: u32,
    /// Number of transmit and receive queues; 0 where the kernel does not tell.
    pub queues: (u32, u32),
    /// An XDP program is attached.
    pub xdp: bool,
    /// Takes frames for anybody, since somebody said so.
    pub promiscuous: bool,
}

/// Counters of a device since it was made (`struct rtnl_link_stats64`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct LinkStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Bad packets received.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Received but not taken.
    pub rx_dropped: u64,
    /// Dropped on the way out.
    pub tx_dropped: u64,
    /// Multicast packets received.
    pub multicast: u64,
    /// Dropped for want of room in the receive ring.
    pub rx_missed: u64,
}

/// Says whether the kernel would take `name` for a device (`dev_valid_name`, net/core/dev.c).
pub fn check_ifname(name: &str) -> Result<()> {
    let why = if name.is_empty() || name.len() > 15 {
        "it must have 1 to 15 bytes"
    } else if name == "." || name == ".." || name.contains(['/', ':']) || name.contains(char::is_whitespace) {
        "it may hold neither blanks nor '/' nor ':'"
    } else {
        return Ok(());
    };
    Err(Error::BadName { name: name.into(), what: "a network device", why })
}

impl Rtnl {
    /// All devices of the namespace.
    pub fn links(&self) -> Result<Vec<Link>> {
        let what = What { tried: "list the devices", on: "rtnetlink" };
        let answers = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), &what)?;
        Ok(answers.into_iter().filter_map(as_link).map(|m| Link::from(&m)).collect())
    }

    /// The device called `name`, if there is one.
    pub fn find(&self, name: &str) -> Result<Option<Link>> {
        check_ifname(name)?;
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.into()));
        match self.get(message, name) {
            Ok(found) => Ok(Some(Link::from(&found))),
            Err(e) if e.errno() == Some(libc::ENODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The device called `name`.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    pub fn link(&self, name: &str) -> Result<Link> {
        self.find(name)?.ok_or_else(|| Error::Missing {
            what: "network device",
            name: name.into(),
            within: String::new(),
        })
    }

    /// The device with this index, if there is one.
    pub fn find_index(&self, index: u32) -> Result<Option<Link>> {
        match self.get(of(index), &on(index)) {
            Ok(found) => Ok(Some(Link::from(&found))),
            Err(e) if e.errno() == Some(libc::ENODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The counters of a device.
    pub fn stats(&self, index: u32) -> Result<LinkStats> {
        let found = self.get(of(index), &on(index))?;
        let stats = found.attributes.iter().find_map(|a| match a {
            LinkAttribute::Stats64(s) => Some(LinkStats {
                rx_packets: s.rx_packets,
                tx_packets: s.tx_packets,
                rx_bytes: s.rx_bytes,
                tx_bytes: s.tx_bytes,
                rx_errors: s.rx_errors,
                tx_errors: s.tx_errors,
                rx_dropped: s.rx_dropped,
                tx_dropped: s.tx_dropped,
                multicast: s.multicast,
                rx_missed: s.rx_missed_errors,
            }),
            _ => None,
        });
        let what = What { tried: "read the counters", on: &on(index) };
        stats.ok_or_else(|| what.unclear("it holds no 64-bit counters".into()))
    }

    /// Switches a device up or down.
    pub fn set_up(&self, index: u32, up: bool) -> Result<()> {
        let mut message = of(index);
        message.header.change_mask = LinkFlags::Up;
        if up {
            message.header.flags = LinkFlags::Up;
        }
        self.set(message, if up { "switch it up" } else { "switch it down" })
    }

    /// Lets a device take frames for anybody, or for itself alone.
    pub fn set_promiscuous(&self, index: u32, promiscuous: bool) -> Result<()> {
        let mut message = of(index);
        message.header.change_mask = LinkFlags::Promisc;
        if promiscuous {
            message.header.flags = LinkFlags::Promisc;
        }
        let tried = if promiscuous { "let it take frames for anybody" } else { "let it take its own frames alone" };
        self.set(message, tried)
    }

    /// Sets the largest frame payload, bytes.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<()> {
        self.set_attribute(index, LinkAttribute::Mtu(mtu), &format!("set an MTU of {mtu}"))
    }

    /// Sets the Ethernet address.
    pub fn set_mac(&self, index: u32, mac: MacAddr) -> Result<()> {
        self.set_attribute(index, LinkAttribute::Address(mac.0.to_vec()), &format!("set the address {mac}"))
    }

    /// Sets the transmit queue length, packets.
    pub fn set_txqueuelen(&self, index: u32, packets: u32) -> Result<()> {
        self.set_attribute(index, LinkAttribute::TxQueueLen(packets), &format!("set a txqueuelen of {packets}"))
    }

    /// Gives a device another name.
    pub fn rename(&self, index: u32, name: &str) -> Result<()> {
        check_ifname(name)?;
        self.set_attribute(index, LinkAttribute::IfName(name.into()), &format!("rename it to {name}"))
    }

    /// Makes a device a port of a bridge, or with `None` no port any more.
    pub fn set_master(&self, index: u32, master: Option<u32>) -> Result<()> {
        let tried = if master.is_some() { "make it a bridge port" } else { "take it off its bridge" };
        self.set_attribute(index, LinkAttribute::Controller(master.unwrap_or(0)), tried)
    }

    /// Deletes a device (both ends of a veth pair).
    pub fn delete(&self, index: u32) -> Result<()> {
        let what = What { tried: "delete it", on: &on(index) };
        self.request(RouteNetlinkMessage::DelLink(of(index)), 0, &what).map(drop)
    }

    fn get(&self, message: LinkMessage, on: &str) -> Result<LinkMessage> {
        let what = What { tried: "look it up", on };
        let answers = self.request(RouteNetlinkMessage::GetLink(message), 0, &what)?;
        answers.into_iter().find_map(as_link).ok_or_else(|| what.unclear("it holds no device".into()))
    }

    fn set_attribute(&self, index: u32, attribute: LinkAttribute, tried: &str) -> Result<()> {
        let mut message = of(index);
        message.attributes.push(attribute);
        self.set(message, tried)
    }

    pub(super) fn set(&self, message: LinkMessage, tried: &str) -> Result<()> {
        let on = on(message.header.index);
        self.request(RouteNetlinkMessage::SetLink(message), 0, &What { tried, on: &on }).map(drop)
    }
}

pub(super) fn of(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

pub(super) fn on(index: u32) -> String {
    format!("device {index}")
}

fn as_link(message: RouteNetlinkMessage) -> Option<LinkMessage> {
    match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    }
}

impl From<&LinkMessage> for Link {
    fn from(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            mac: None,
            kind: String::new(),
            master: None,
            peer: None,
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            lower_up: flags.contains(LinkFlags::LowerUp),
            loopback: flags.contains(LinkFlags::Loopback),
            ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            txqueuelen: 0,
            queues: (0, 0),
            xdp: false,
            promiscuous: flags.contains(LinkFlags::Promisc),
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().ok().map(MacAddr),
                LinkAttribute::Controller(index) => link.master = Some(*index),
                LinkAttribute::Link(index) => link.peer = Some(*index),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::TxQueueLen(n) => link.txqueuelen = *n,
                LinkAttribute::NumTxQueues(n) => link.queues.0 = *n,
                LinkAttribute::NumRxQueues(n) => link.queues.1 = *n,
                LinkAttribute::Xdp(xdp) => {
                    link.xdp = xdp.iter().any(|x| matches!(x, LinkXdp::ProgId(id) if *id != 0));
                }
                LinkAttribute::LinkInfo(infos) => {
                    for info in infos {
                        if let LinkInfo::Kind(kind) = info {
                            link.kind = kind.to_string();
                        }
                    }
                }
                _ => {}
            }
        }
        link
    }
}

#[cfg(test)]
mod tests {
    use super::check_ifname;

    #[test]
    fn only_names_that_the_kernel_takes_pass() {
        for good in ["eth0", "a-to-br", "fifteen-bytes-x"] {
            assert!(check_ifname(good).is_ok(), "{good}");
        }
        for bad in ["", "sixteen-bytes-xx", "a b", "a/b", "..", "a:1"] {
            assert!(check_ifname(bad).is_err(), "{bad}");
        }
    }
}
