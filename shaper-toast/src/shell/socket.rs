//! The two sockets of a role: one bound to the group for what arrives, one with a port of its own
//! for what leaves. The own port tells senders of one host apart, and a sender from itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use crate::config::NodeConfig;
use crate::sys;
use crate::units::Nanos;

/// Asked for; the kernel grants at most net.core.rmem_max.
const RECEIVE_BUFFER: usize = 4 << 20;

/// An interface or socket that does not serve.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No such interface here.
    #[error("{interface}: no such interface in this network namespace: {source}")]
    NoInterface {
        /// Its name.
        interface: String,
        /// What if_nametoindex said.
        source: io::Error,
    },
    /// An interface without IPv4.
    #[error("{interface}: has no IPv4 address: give it one (any will do) before TOAST runs on it")]
    NoAddress {
        /// Its name.
        interface: String,
    },
    /// A call that failed.
    #[error("{interface}: {call} for {group}: {source}")]
    Call {
        /// The interface's name.
        interface: String,
        /// The group and port.
        group: SocketAddrV4,
        /// Which call.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

#[derive(Debug)]
pub(super) struct Sockets {
    interface: String,
    index: u32,
    group: SocketAddrV4,
    receiver: UdpSocket,
    sender: UdpSocket,
    source: SocketAddrV4,
}

impl Sockets {
    /// Opens both without joining the group yet.
    pub(super) fn open(node: &NodeConfig) -> Result<Sockets, SocketError> {
        let interface = node.interface.clone();
        let index = nix::net::if_::if_nametoindex(interface.as_str())
            .map_err(|e| SocketError::NoInterface { interface: interface.clone(), source: e.into() })?;
        let address = address_of(&interface)?;
        let group = node.group;
        let failed = |call: &'static str| {
            let interface = interface.clone();
            move |source| SocketError::Call { interface, group, call, source }
        };
        let udp = || Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP));

        let receiver = udp().map_err(failed("socket"))?;
        receiver.set_reuse_address(true).map_err(failed("SO_REUSEADDR"))?;
        // Only the groups this socket joined itself, whatever else this host listens to.
        receiver.set_multicast_all_v4(false).map_err(failed("IP_MULTICAST_ALL"))?;
        receiver.set_recv_buffer_size(RECEIVE_BUFFER).map_err(failed("SO_RCVBUF"))?;
        receiver.set_nonblocking(true).map_err(failed("O_NONBLOCK"))?;
        receiver.bind(&group.into()).map_err(failed("bind"))?;

        let sender = udp().map_err(failed("socket"))?;
        sys::set_multicast_interface(sender.as_fd(), index).map_err(failed("IP_MULTICAST_IF"))?;
        sender.set_multicast_ttl_v4(u32::from(node.ttl)).map_err(failed("IP_MULTICAST_TTL"))?;
        sender.set_multicast_loop_v4(node.multicast_loop).map_err(failed("IP_MULTICAST_LOOP"))?;
        sender.bind(&SocketAddrV4::new(address, 0).into()).map_err(failed("bind"))?;
        let sender: UdpSocket = sender.into();
        let source = match sender.local_addr().map_err(failed("getsockname"))? {
            SocketAddr::V4(source) => source,
            SocketAddr::V6(_) => return Err(SocketError::NoAddress { interface }),
        };
        Ok(Sockets { interface, index, group, receiver: receiver.into(), sender, source })
    }

    /// The address and port that datagrams leave from.
    pub(super) fn source(&self) -> SocketAddrV4 {
        self.source
    }

    fn failed(&self, call: &'static str) -> impl FnOnce(io::Error) -> SocketError {
        let (interface, group) = (self.interface.clone(), self.group);
        move |source| SocketError::Call { interface, group, call, source }
    }

    pub(super) fn join(&self) -> Result<(), SocketError> {
        SockRef::from(&self.receiver)
            .join_multicast_v4_n(self.group.ip(), &InterfaceIndexOrAddress::Index(self.index))
            .map_err(self.failed("IP_ADD_MEMBERSHIP"))
    }

    pub(super) fn leave(&self) -> Result<(), SocketError> {
        SockRef::from(&self.receiver)
            .leave_multicast_v4_n(self.group.ip(), &InterfaceIndexOrAddress::Index(self.index))
            .map_err(self.failed("IP_DROP_MEMBERSHIP"))
    }

    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), SocketError> {
        self.sender.send_to(datagram, self.group).map(drop).map_err(self.failed("sendto"))
    }

    /// The next datagram, if one waits.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddrV4)>, SocketError> {
        match self.receiver.recv_from(buffer) {
            Ok((len, SocketAddr::V4(from))) => Ok(Some((len, from))),
            Ok((_, SocketAddr::V6(_))) => Ok(None),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(source) => Err(self.failed("recvfrom")(source)),
        }
    }

    /// Sleeps until a datagram waits or `longest` is over; a signal ends it early.
    pub(super) fn wait(&self, longest: Nanos) -> Result<(), SocketError> {
        let mut polled = [PollFd::new(self.receiver.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut polled, Some(TimeSpec::from_duration(longest.into())), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(e) => Err(self.failed("ppoll")(e.into())),
        }
    }

    /// Datagrams the kernel dropped at the receiving socket; 0 where it does not tell.
    pub(super) fn drops(&self) -> u64 {
        sys::socket_drops(self.receiver.as_fd()).unwrap_or(0)
    }
}

fn address_of(interface: &str) -> Result<Ipv4Addr, SocketError> {
    let none = || SocketError::NoAddress { interface: interface.to_owned() };
    nix::ifaddrs::getifaddrs()
        .map_err(|e| SocketError::NoInterface { interface: interface.to_owned(), source: e.into() })?
        .filter(|a| a.interface_name == interface)
        .find_map(|a| a.address.as_ref()?.as_sockaddr_in().map(|s| s.ip()))
        .ok_or_else(none)
}
