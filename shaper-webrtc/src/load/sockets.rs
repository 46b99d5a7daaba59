//! Who makes the sockets of clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// The size of each buffer that is asked for, in bytes: a key frame of each track that a client
/// receives must fit.
const BUFFER: usize = 1 << 20;

/// Makes sockets for clients: on the host, or each client's in a network namespace of its own. The
/// calls come from several threads, and may block.
pub trait Sockets: Send + Sync {
    /// A connection of a client to a server.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn tcp(&self, client: usize, server: SocketAddr, timeout: Duration) -> io::Result<TcpStream>;

    /// A socket of a client by which it reaches a server, bound to the address that it has there.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    fn udp(&self, client: usize, server: IpAddr) -> io::Result<UdpSocket>;
}

/// Those of the host, or of whatever namespace the calling thread is in.
#[derive(Clone, Copy, Debug)]
pub struct HostSockets;

impl Sockets for HostSockets {
    fn tcp(&self, _client: usize, server: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(&server, timeout)
    }

    fn udp(&self, _client: usize, server: IpAddr) -> io::Result<UdpSocket> {
        // A datagram socket that is connected sends nothing, and knows the address of this host.
        let unspecified = match server {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let route = UdpSocket::bind((unspecified, 0))?;
        route.connect((server, 9))?;
        let local = SocketAddr::new(route.local_addr()?.ip(), 0);
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        // Without the right to more the system gives what it allows.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.bind(&local.into())?;
        Ok(socket.into())
    }
}
