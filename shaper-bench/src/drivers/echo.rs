//! Echo requests (RFC 792), one after another, and how long each answer took.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::Device;
use crate::frame::{checksum, words};

/// How long an answer may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one answer to the next request.
const GAP: Duration = Duration::from_millis(5);
const ECHO: u8 = 8;
const ECHO_REPLY: u8 = 0;

/// How long each of so many took; none for those that no answer came to.
pub(super) fn run(device: &Device, count: u16) -> Result<Vec<Option<Duration>>> {
    device.netns.run(|| ask(device.peer, count))?
}

fn ask(peer: Ipv4Addr, count: u16) -> Result<Vec<Option<Duration>>> {
    let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)
        .context("cannot open a socket for echo requests")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 50_000))?;
    let to = SockaddrIn::from(std::net::SocketAddrV4::new(peer, 0));
    let id = (std::process::id() & 0xffff) as u16;
    let mut took = Vec::new();
    for number in 0..count {
        let asked = Instant::now();
        match sendto(socket.as_raw_fd(), &message(ECHO, id, number), &to, MsgFlags::empty()) {
            Ok(_) => {}
            // The device is about to come up; the answer will not come.
            Err(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN) => {}
            Err(error) => return Err(error).context("cannot send an echo request"),
        }
        let answer = message(ECHO_REPLY, id, number);
        let mut buffer = [0u8; 256];
        let came = loop {
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // Behind an IPv4 header without options.
                Ok(length) if buffer.get(20..length) == Some(&answer[..]) => break Some(asked.elapsed()),
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) if asked.elapsed() < PATIENCE => {}
                Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => break None,
                Err(error) => return Err(error).context("cannot receive an answer"),
            }
        };
        took.push(came);
        std::thread::sleep(GAP);
    }
    Ok(took)
}

fn message(kind: u8, id: u16, number: u16) -> Vec<u8> {
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(id.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend([0x5a; 32]);
    let sum = checksum(words(&bytes));
    bytes.splice(2..4, sum.to_be_bytes());
    bytes
}
