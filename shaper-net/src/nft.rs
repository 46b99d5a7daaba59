//! One nf_tables table of ours: it hides an address behind those of this host (masquerade).
//!
//! Typed messages over netlink, as include/uapi/linux/netfilter/nf_tables.h has them; no program is called. A table is
//! ours as a whole, and goes with all that is in it. Needs Linux 3.18 with nf_tables and its NAT.

use std::net::Ipv4Addr;

use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

use crate::journal::{Entry, Journal, Recorded, Undone};
use crate::rtnl::encoded;
use crate::{Error, Result};

// include/uapi/linux/netfilter/nfnetlink.h
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
// include/uapi/linux/netlink.h
const F_REQUEST: u16 = 1;
const F_ACK: u16 = 4;
const F_CREATE: u16 = 0x400;
const F_EXCL: u16 = 0x200;
const F_APPEND: u16 = 0x800;
const F_NESTED: u16 = 0x8000;
const NLMSG_ERROR: u16 = 2;
// include/uapi/linux/netfilter/nf_tables.h
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
/// `NFPROTO_IPV4`.
const IPV4: u8 = 2;
/// `NF_INET_POST_ROUTING`.
const POST_ROUTING: u32 = 4;
/// `NF_IP_PRI_NAT_SRC`.
const SOURCE_NAT: u32 = 100;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// The name of the chain; there is one.
const CHAIN: &str = "out";

/// A table that stands until this is dropped.
#[derive(Debug)]
pub struct Masquerade {
    table: String,
    recorded: Option<Recorded>,
}

impl Masquerade {
    /// Lets what comes from `source` leave this host by the addresses of its own, in a table of this name in the calling
    /// thread's namespace, which must be the host's.
    ///
    /// # Errors
    /// When the kernel has no nf_tables, or the name is taken.
    pub fn of(journal: &Journal, table: &str, source: Ipv4Addr) -> Result<Self> {
        let recorded = journal.record(Entry::NftTable { table: table.into() })?;
        let masquerade = Self { table: table.into(), recorded: Some(recorded) };
        let mut batch = Batch::new();
        batch.add(NEW_TABLE, F_CREATE | F_EXCL, |out| out.text(1, table));
        batch.add(NEW_CHAIN, F_CREATE | F_EXCL, |out| {
            out.text(1, table);
            out.text(3, CHAIN);
            out.nest(4, |out| {
                out.number(1, POST_ROUTING);
                out.number(2, SOURCE_NAT);
            });
            out.text(7, "nat");
        });
        batch.add(NEW_RULE, F_CREATE | F_APPEND, |out| {
            out.text(1, table);
            out.text(2, CHAIN);
            out.nest(4, |out| {
                // The IPv4 header's source address, four bytes from its twelfth on.
                out.expression("payload", |out| {
                    for (kind, value) in [(1, REGISTER), (2, 1), (3, 12), (4, 4)] {
                        out.number(kind, value);
                    }
                });
                out.expression("cmp", |out| {
                    out.number(1, REGISTER);
                    out.number(2, 0);
                    out.nest(3, |out| out.attribute(1, &source.octets()));
                });
                out.expression("masq", |_| {});
            });
        });
        batch.send("hide a namespace behind this host's addresses (nf_tables)", table)?;
        Ok(masquerade)
    }
}

impl Drop for Masquerade {
    fn drop(&mut self) {
        match remove(&self.table) {
            Ok(_) => {
                if let Some(recorded) = self.recorded.take() {
                    recorded.taken_back();
                }
            }
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

/// Deletes a table of the calling thread's namespace.
pub(crate) fn remove(table: &str) -> Result<Undone> {
    let mut batch = Batch::new();
    batch.add(DELETE_TABLE, 0, |out| out.text(1, table));
    match batch.send("delete the table", table) {
        Ok(()) => Ok(Undone::Now),
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(Undone::Before),
        Err(error) => Err(error),
    }
}

/// Netlink attributes, one behind another.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(encoded(kind, value));
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// Numbers of nf_tables are big-endian.
    fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.attribute(kind | F_NESTED, &inner.0);
    }

    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.nest(1, |out| {
            out.text(1, name);
            out.nest(2, fill);
        });
    }
}

/// Messages that take effect together or not at all.
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn new() -> Self {
        let mut batch = Self { bytes: Vec::new(), sequence: 0 };
        batch.message(BATCH_BEGIN, F_REQUEST, 0, SUBSYSTEM, &[]);
        batch
    }

    fn add(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Attributes)) {
        let mut attributes = Attributes::default();
        fill(&mut attributes);
        self.message(SUBSYSTEM << 8 | kind, F_REQUEST | F_ACK | flags, IPV4, 0, &attributes.0);
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        /// `struct nlmsghdr` and `struct nfgenmsg`.
        const HEADERS: usize = 16 + 4;
        self.sequence += 1;
        let length = u32::try_from(HEADERS + attributes.len()).unwrap_or(u32::MAX);
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
    }

    /// Sends all of it, and waits for an answer to each message that asks for one.
    fn send(mut self, tried: &str, on: &str) -> Result<()> {
        let failed = |error| Error::os(tried, on, error);
        let mut wanted = self.sequence - 1;
        self.message(BATCH_END, F_REQUEST, 0, SUBSYSTEM, &[]);
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed)?;
        socket.bind_auto().map_err(failed)?;
        socket.send(&self.bytes, 0).map_err(failed)?;
        let mut buffer = Vec::with_capacity(16 * 1024);
        while wanted > 0 {
            buffer.clear();
            socket.recv(&mut buffer, 0).map_err(failed)?;
            let mut rest = buffer.as_slice();
            while let Some((&[l0, l1, l2, l3, k0, k1, ..], _)) = rest.split_first_chunk::<20>() {
                let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
                if u16::from_ne_bytes([k0, k1]) == NLMSG_ERROR {
                    let code = rest.get(16..20).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
                    if code != 0 {
                        return Err(failed(std::io::Error::from_raw_os_error(-code)));
                    }
                    wanted = wanted.saturating_sub(1);
                }
                rest = rest.get(length.next_multiple_of(4).max(20)..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let mut out = Attributes::default();
        out.text(1, "ab");
        out.nest(4, |out| out.number(2, 100));
        let nested = (4u16 | F_NESTED).to_ne_bytes();
        let expected = [
            &7u16.to_ne_bytes()[..],
            &1u16.to_ne_bytes(),
            b"ab\0\0",
            &12u16.to_ne_bytes(),
            &nested,
            &8u16.to_ne_bytes(),
            &2u16.to_ne_bytes(),
            &[0, 0, 0, 100],
        ];
        assert_eq!(out.0, expected.concat());
    }
}
