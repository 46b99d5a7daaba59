//! What the driver of a device can do: timestamps, and XDP, as far as the kernel tells.

use netlink_packet_core::{NlaBuffer, NlasIterator};
use netlink_sys::{Socket, protocols::NETLINK_GENERIC};

use crate::offload::Ethtool;
use crate::rtnl::encoded;
use crate::{Error, Result};

// include/uapi/linux/netlink.h
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
/// `struct nlmsghdr` and `struct genlmsghdr`.
const HEADERS: usize = 16 + 4;
// include/uapi/linux/genetlink.h
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
// include/uapi/linux/netdev.h
const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

/// What stamps packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamping {
    /// The device, when it receives them.
    pub hardware_receive: bool,
    /// The device, when it sends them.
    pub hardware_transmit: bool,
}

impl Timestamping {
    /// From the `SOF_TIMESTAMPING_…` bits of include/uapi/linux/net_tstamp.h.
    pub(crate) fn of(bits: u32) -> Self {
        Self { hardware_receive: bits & (1 << 2) != 0, hardware_transmit: bits & 1 != 0 }
    }
}

/// What XDP can do in a driver (`enum netdev_xdp_act`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpFeatures(u64);

impl XdpFeatures {
    /// Programs run in the driver.
    #[must_use]
    pub fn native(self) -> bool {
        self.0 & 1 != 0
    }

    /// They can redirect, as AF_XDP needs.
    #[must_use]
    pub fn redirect(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// AF_XDP without copies.
    #[must_use]
    pub fn zero_copy(self) -> bool {
        self.0 & 1 << 3 != 0
    }
}

/// What is known of a device's driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// Its name; `None` where the device has none that tells.
    pub name: Option<String>,
    /// What stamps packets; `None` where it is not told.
    pub timestamping: Option<Timestamping>,
    /// Its XDP; `None` before Linux 6.3.
    pub xdp: Option<XdpFeatures>,
}

impl Driver {
    /// That of a device of the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub fn of(ifname: &str, index: u32) -> Result<Self> {
        let ethtool = Ethtool::open()?;
        Ok(Self {
            name: ethtool.driver(ifname).ok().filter(|name| !name.is_empty()),
            timestamping: ethtool.timestamping(ifname).ok(),
            xdp: xdp_features(index)?,
        })
    }
}

fn xdp_features(index: u32) -> Result<Option<XdpFeatures>> {
    let mut socket = Socket::new(NETLINK_GENERIC).map_err(failed)?;
    socket.bind_auto().map_err(failed)?;
    let name = encoded(CTRL_ATTR_FAMILY_NAME, b"netdev\0");
    let family = ask(&socket, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, &name, CTRL_ATTR_FAMILY_ID)?;
    let Some(family) = family.and_then(|id| Some(u16::from_ne_bytes(id.try_into().ok()?))) else { return Ok(None) };
    let device = encoded(NETDEV_A_DEV_IFINDEX, &index.to_ne_bytes());
    let features = ask(&socket, family, NETDEV_CMD_DEV_GET, &device, NETDEV_A_DEV_XDP_FEATURES)?;
    Ok(features.and_then(|bits| Some(XdpFeatures(u64::from_ne_bytes(bits.try_into().ok()?)))))
}

/// One attribute of the answer to a request; `None` where there is no such family, device or attribute.
fn ask(socket: &Socket, kind: u16, command: u8, attributes: &[u8], wanted: u16) -> Result<Option<Vec<u8>>> {
    let length = u32::try_from(HEADERS + attributes.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(HEADERS + attributes.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    socket.send(&message, 0).map_err(failed)?;
    let mut answer = Vec::with_capacity(16 * 1024);
    socket.recv(&mut answer, 0).map_err(failed)?;
    if answer.get(4..6) == Some(&NLMSG_ERROR.to_ne_bytes()) {
        return Ok(None);
    }
    Ok(find(answer.get(HEADERS..).unwrap_or_default(), wanted))
}

fn find(attributes: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let mut all = NlasIterator::new(attributes).map_while(std::result::Result::ok);
    all.find(|nla: &NlaBuffer<&[u8]>| nla.kind() == wanted).map(|nla| nla.value().to_vec())
}

fn failed(error: std::io::Error) -> Error {
    Error::os("ask what its driver can", "generic netlink", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_found_among_others() {
        let all = [encoded(3, b"abc"), encoded(7, &9u64.to_ne_bytes())].concat();
        assert_eq!(all.len(), 8 + 12);
        assert_eq!(
            (find(&all, 3), find(&all, 7), find(&all, 1)),
            (Some(b"abc".into()), Some(9u64.to_ne_bytes().into()), None)
        );
        assert_eq!(find(&all[..9], 7), None);
    }

    #[test]
    fn the_bits_are_those_of_the_kernel() {
        let veth = XdpFeatures(0b10_0011);
        assert!(veth.native() && veth.redirect() && !veth.zero_copy() && XdpFeatures(8).zero_copy());
        assert_eq!(
            Timestamping::of(1 << 4 | 1 << 3),
            Timestamping { hardware_receive: false, hardware_transmit: false }
        );
        assert!(Timestamping::of(1 << 2).hardware_receive && Timestamping::of(1).hardware_transmit);
    }
}
