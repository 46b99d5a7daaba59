//! Requests and answers over one netlink socket.

use std::sync::{Mutex, PoisonError};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use crate::{Error, Result};

/// Room for one datagram; the kernel's dumps come in pieces of at most 32 KiB.
const RECEIVE: usize = 64 * 1024;

/// A handle on the links, addresses and routes of the namespace it was opened in.
///
/// It stays bound to that namespace, whatever thread uses it later.
pub struct Rtnl {
    inner: Mutex<Inner>,
}

struct Inner {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Rtnl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rtnl")
    }
}

impl Rtnl {
    /// Opens a handle on the calling thread's namespace.
    pub fn open() -> Result<Self> {
        let on = "rtnetlink";
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(|e| Error::os("open a socket", on, e))?;
        socket.bind_auto().map_err(|e| Error::os("bind the socket", on, e))?;
        // Both only better error messages.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        let inner = Inner { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE) };
        Ok(Self { inner: Mutex::new(inner) })
    }

    /// A request that is answered with an acknowledgement, and perhaps with messages before it.
    pub(super) fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        what: &What<'_>,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.talk(message, NLM_F_REQUEST | NLM_F_ACK | flags, what)
    }

    /// A request for a whole table.
    pub(super) fn dump(&self, message: RouteNetlinkMessage, what: &What<'_>) -> Result<Vec<RouteNetlinkMessage>> {
        self.talk(message, NLM_F_REQUEST | NLM_F_DUMP, what)
    }

    fn talk(&self, message: RouteNetlinkMessage, flags: u16, what: &What<'_>) -> Result<Vec<RouteNetlinkMessage>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.sequence = inner.sequence.wrapping_add(1);
        let sequence = inner.sequence;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        inner.socket.send(&bytes, 0).map_err(|e| what.failed(e))?;
        let Inner { socket, buffer, .. } = &mut *inner;
        let mut answers = Vec::new();
        loop {
            buffer.clear();
            match socket.recv(buffer, 0) {
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(what.failed(e)),
            }
            if collect(buffer, sequence, &mut answers, what)? {
                return Ok(answers);
            }
        }
    }
}

/// Takes the messages of one datagram; true when the last one has come.
fn collect(mut bytes: &[u8], sequence: u32, answers: &mut Vec<RouteNetlinkMessage>, what: &What<'_>) -> Result<bool> {
    while !bytes.is_empty() {
        let message =
            NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(|e| what.unclear(e.to_string()))?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        let current = message.header.sequence_number == sequence;
        match message.payload {
            // Left over from a request whose answer could not be read to its end.
            _ if !current => {}
            NetlinkPayload::InnerMessage(inner) => answers.push(inner),
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => {
                if error.code.is_none() {
                    return Ok(true);
                }
                let tail = bytes.get(..length).unwrap_or(bytes);
                return Err(what.refused(error.to_io(), extended_ack(tail)));
            }
            NetlinkPayload::Overrun(_) => return Err(what.unclear("messages were lost".into())),
            _ => {}
        }
        // Messages are padded to 4 bytes; the last one may come without its padding.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The kernel's own words in an error message: `NLMSGERR_ATTR_MSG` behind the capped request
/// (Documentation/userspace-api/netlink/intro.rst, "Ext ACK").
fn extended_ack(message: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    // Header, error number, and the header of the request that failed.
    let mut attributes = message.get(16 + 4 + 16..)?;
    while let Some((&[l0, l1, k0, k1], rest)) = attributes.split_first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(..length.checked_sub(4)?)?;
        if u16::from_ne_bytes([k0, k1]) & 0x3fff == NLMSGERR_ATTR_MSG {
            let text = value.split(|b| *b == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// What is being done, for errors.
pub(super) struct What<'a> {
    pub(super) tried: &'a str,
    pub(super) on: &'a str,
}

impl What<'_> {
    fn failed(&self, source: std::io::Error) -> Error {
        Error::os(self.tried, self.on, source)
    }

    fn refused(&self, source: std::io::Error, said: Option<String>) -> Error {
        let why = match said.filter(|s| !s.is_empty()) {
            Some(said) => format!("{source} ({said})"),
            None => source.to_string(),
        };
        Error::Os { tried: self.tried.into(), on: self.on.into(), why, source }
    }

    pub(super) fn unclear(&self, why: String) -> Error {
        Error::Protocol { tried: self.tried.into(), on: self.on.into(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::extended_ack;

    #[test]
    fn the_kernels_own_words_are_found_behind_the_capped_request() {
        let mut message = vec![0; 36];
        message.extend_from_slice(&[8, 0, 2, 0, 9, 9, 9, 9]);
        message.extend_from_slice(&[9, 0, 1, 0]);
        message.extend_from_slice(b"busy\0\0\0\0");
        assert_eq!(extended_ack(&message).as_deref(), Some("busy"));
        assert_eq!(extended_ack(&message[..36]), None);
        assert_eq!(extended_ack(&message[..50]), None);
    }
}
