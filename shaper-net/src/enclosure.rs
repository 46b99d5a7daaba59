//! A namespace for one command: a cable leads from it to this host, and through that on to wherever the host gets.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::journal::{Entry, Journal, RUN_DIR, Recorded};
use crate::netns::NetNs;
use crate::nft::Masquerade;
use crate::rtnl::{Route, Rtnl, VethEnd};
use crate::sysctl::SysctlGuard;
use crate::{Error, Result, whole_file};

/// The cable's end inside.
pub const INSIDE: &str = "eth0";
/// Networks of four addresses are taken from here, 10.201.0.0/16.
const POOL: Ipv4Addr = Ipv4Addr::new(10, 201, 0, 0);
/// Their prefix length.
const PREFIX: u8 = 30;

/// Such a namespace. Dropped, it is gone, and with it all that leads to it.
#[derive(Debug)]
pub struct Enclosure {
    cable: Cable,
    netns: NetNs,
    addresses: [Ipv4Addr; 2],
    resolver: Option<PathBuf>,
    _masquerade: Option<Masquerade>,
    _forwarding: Option<SysctlGuard>,
}

impl Enclosure {
    /// Makes one. Where this host has a way out, it is one for the namespace too: by the host's own addresses, IPv4 alone.
    pub fn create(journal: &Journal) -> Result<Self> {
        let id = journal.id();
        let rtnl = Rtnl::open()?;
        let [host, inside] = free_addresses(&rtnl)?;
        let netns = NetNs::create(journal, &format!("shaper-{id}"))?;
        let host_end = format!("sh{id}x");
        // The other end goes with the namespace, and this one with it: but not as long as a process is left inside.
        let cable = Cable {
            name: host_end.clone(),
            recorded: Some(journal.record(Entry::Link { netns: None, ifname: host_end.clone() })?),
        };
        rtnl.create_veth(&VethEnd::new(None, &host_end), &VethEnd::new(Some(&netns), INSIDE))?;
        let device = rtnl.link(&host_end)?.index;
        rtnl.set_up(device, true)?;
        rtnl.add_address(device, IpAddr::V4(host), PREFIX)?;
        let within = netns.rtnl()?;
        let device = within.link(INSIDE)?.index;
        within.set_up(device, true)?;
        within.add_address(device, IpAddr::V4(inside), PREFIX)?;
        let default = Route {
            destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            prefix: 0,
            device,
            gateway: Some(IpAddr::V4(host)),
        };
        within.add_route(&default)?;
        let has_way_out = rtnl.links()?.iter().any(|link| link.up && !link.loopback && link.name != host_end);
        let (masquerade, forwarding) = if has_way_out {
            let masquerade = Masquerade::of(journal, &format!("shaper-{id}"), inside)?;
            (Some(masquerade), Some(SysctlGuard::set(journal, None, "net/ipv4/ip_forward", "1")?))
        } else {
            (None, None)
        };
        let resolver = resolver(journal)?;
        Ok(Self { cable, netns, addresses: [host, inside], resolver, _masquerade: masquerade, _forwarding: forwarding })
    }

    /// The namespace.
    pub fn netns(&self) -> &NetNs {
        &self.netns
    }

    /// The name of the cable's end at this host.
    pub fn host_end(&self) -> &str {
        &self.cable.name
    }

    /// The processes inside.
    pub fn processes(&self) -> Result<Vec<u32>> {
        self.netns.processes()
    }

    /// The addresses of its ends: this host's, and that inside.
    pub fn addresses(&self) -> [Ipv4Addr; 2] {
        self.addresses
    }

    /// Whether this host's way out is one for the namespace too.
    pub fn has_way_out(&self) -> bool {
        self._masquerade.is_some()
    }

    /// What is to stand in the place of `/etc/resolv.conf` inside; `None` where the host's own is as good, or no better one
    /// is known.
    pub fn resolver(&self) -> Option<&Path> {
        self.resolver.as_deref()
    }
}

/// The end of a veth pair at this host; dropped, both are gone.
#[derive(Debug)]
struct Cable {
    name: String,
    recorded: Option<Recorded>,
}

impl Drop for Cable {
    fn drop(&mut self) {
        let deleted = Rtnl::open().and_then(|rtnl| match rtnl.find(&self.name)? {
            Some(link) => rtnl.delete(link.index),
            None => Ok(()),
        });
        match (deleted, self.recorded.take()) {
            (Ok(()), Some(recorded)) => recorded.taken_back(),
            (Err(error), _) => tracing::warn!("{error}"),
            _ => {}
        }
    }
}

/// Two addresses of a network of which this host knows nothing yet.
fn free_addresses(rtnl: &Rtnl) -> Result<[Ipv4Addr; 2]> {
    let mut taken = Vec::new();
    for link in rtnl.links()? {
        taken.extend(rtnl.addresses(link.index)?);
    }
    let overlaps = |network: u32| {
        taken.iter().any(|(address, prefix)| match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from((*prefix).min(PREFIX))).unwrap_or(0);
                address.to_bits() & mask == network & mask
            }
            IpAddr::V6(_) => false,
        })
    };
    let networks = (0..1 << 14).map(|number| POOL.to_bits() + (number << 2));
    let free = networks.into_iter().find(|network| !overlaps(*network));
    let network = free.ok_or(Error::OutOfRange {
        what: "the number of networks in 10.201.0.0/16 that are free",
        got: "0".into(),
        why: "end some of what uses them",
    })?;
    Ok([1, 2].map(|host| Ipv4Addr::from_bits(network + host)))
}

/// Where names are asked for: a resolver of this host that listens on the loopback device cannot be reached from inside.
fn resolver(journal: &Journal) -> Result<Option<PathBuf>> {
    let servers = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")?.trim().parse().ok());
        servers.collect::<Vec<IpAddr>>()
    };
    let reachable = |servers: Vec<IpAddr>| {
        let mut servers = servers;
        servers.retain(|server| server.is_ipv4() && !server.is_loopback());
        servers
    };
    let own = servers("/etc/resolv.conf");
    if own.is_empty() || !reachable(own).is_empty() {
        return Ok(None);
    }
    // Those that systemd-resolved asks itself.
    let beyond = reachable(servers("/run/systemd/resolve/resolv.conf"));
    if beyond.is_empty() {
        return Ok(None);
    }
    let path = Path::new(RUN_DIR).join(format!("{}.resolv.conf", journal.id()));
    // It goes with the journal: nobody but the namespace looks at it.
    let _recorded = journal.record(Entry::File { path: path.clone() })?;
    let text: String = beyond.iter().map(|server| format!("nameserver {server}\n")).collect();
    whole_file::create(&path, text.as_bytes(), 0o644)
        .map_err(|e| Error::os("write the resolver's file", path.display().to_string(), e))?;
    Ok(Some(path))
}
