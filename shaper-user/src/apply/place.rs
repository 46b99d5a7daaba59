//! The interfaces: where they are, whether they may be impaired, and that nobody else does.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use shaper_net::journal::{Entry, Journal, RUN_DIR, Recorded};
use shaper_net::netns::NetNs;
use shaper_net::rtnl::{Link, Rtnl};

use super::request::Target;

/// Interfaces as one asks for them.
pub(crate) struct Wanted<'w> {
    /// Where they are.
    pub(crate) target: Target,
    /// Their names.
    pub(crate) interfaces: Vec<&'w str>,
    /// Whether the caller's own connection may hang on one.
    pub(crate) allow_default_route: bool,
    /// How that is said where it may not, and when it is undone then.
    pub(crate) how_to_allow: String,
    /// What is told to others who want them.
    pub(crate) command: String,
}

/// A namespace, and the interfaces there.
pub(crate) struct Place {
    pub(crate) netns: NetNs,
    pub(crate) rtnl: Rtnl,
    pub(crate) links: Vec<Link>,
    /// Held for as long as they are impaired.
    _locks: Vec<Lock>,
}

impl Place {
    /// Finds the interfaces, and makes sure that they may be impaired by us and are by nobody else.
    pub(crate) fn find(wanted: &Wanted<'_>, journal: &Journal) -> anyhow::Result<Self> {
        let netns = match &wanted.target {
            Target::Own => NetNs::current()?,
            Target::Named(name) => NetNs::open(name)?,
            Target::Process(pid) => NetNs::of_process(journal, *pid, &format!("shaper-{}", journal.id()))?,
        };
        let rtnl = netns.rtnl()?;
        let mut links = Vec::new();
        let mut locks = Vec::new();
        for name in &wanted.interfaces {
            let Some(link) = rtnl.find(name)? else { bail!(unknown(name, &rtnl)?) };
            if !wanted.allow_default_route
                && netns.is_current()?
                && let Some(reason) = hangs_on(&link, &rtnl)?
            {
                bail!("{name} {reason}: what goes wrong with it may lock you out; {}", wanted.how_to_allow);
            }
            // What is named twice is no second one to lock.
            if !links.contains(&link) {
                locks.push(lock(&netns, &link, &wanted.command, journal)?);
            }
            links.push(link);
        }
        Ok(Self { netns, rtnl, links, _locks: locks })
    }

    /// What the sides of the link are called: those of one interface, or the two.
    pub(super) fn sides(&self) -> [String; 2] {
        match self.links.as_slice() {
            [one, other] if one != other => [one.name.clone(), other.name.clone()],
            links => {
                let name = links.first().map_or("", |link| link.name.as_str());
                [format!("{name}:host"), format!("{name}:network")]
            }
        }
    }
}

/// That there is no such interface, and which ones there are.
fn unknown(name: &str, rtnl: &Rtnl) -> anyhow::Result<String> {
    let names: Vec<String> = rtnl.links()?.into_iter().filter(|link| !link.loopback).map(|link| link.name).collect();
    let there = if names.is_empty() { "none but the loopback device".to_owned() } else { names.join(", ") };
    Ok(format!("there is no interface {name} here; there is {there}"))
}

/// What of the caller's hangs on an interface of its own namespace.
fn hangs_on(link: &Link, rtnl: &Rtnl) -> anyhow::Result<Option<String>> {
    let all = rtnl.links()?;
    let above = above(link, &all);
    if rtnl.default_route_devices()?.iter().any(|device| above.contains(device)) {
        return Ok(Some("has the default route, or what has it stands on it".to_owned()));
    }
    let mut addresses = Vec::new();
    for device in above {
        addresses.extend(rtnl.addresses(device)?);
    }
    let session = ssh_addresses().into_iter().find(|server| addresses.iter().any(|(address, _)| address == server));
    Ok(session.map(|server| format!("carries an ssh session of yours (to {server})")))
}

/// The indices of a device and of all that stand on it: bridges and bonds that it is a port of, and VLANs and the like that
/// it is the lower device of.
fn above(link: &Link, all: &[Link]) -> Vec<u32> {
    let mut above = vec![link.index];
    let mut at = 0;
    while let Some(below) = above.get(at).copied() {
        at += 1;
        let master = all.iter().find(|link| link.index == below).and_then(|link| link.master);
        // A veth's other end stands on nothing.
        let uppers = all.iter().filter(|upper| upper.peer == Some(below) && upper.kind != "veth");
        for index in master.into_iter().chain(uppers.map(|upper| upper.index)) {
            if !above.contains(&index) {
                above.push(index);
            }
        }
    }
    above
}

/// The addresses at this host's end of the ssh sessions that this process runs in: what sshd tells its children, as far
/// as the environments of those above us can be read, for `sudo` hides ours.
fn ssh_addresses() -> Vec<IpAddr> {
    /// More than there are processes above any command.
    const MOST: usize = 64;
    let mut found = Vec::new();
    let mut pid = std::process::id();
    for _ in 0..MOST {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        found.extend(environment.split(|byte| *byte == 0).filter_map(server_address));
        match parent(pid) {
            Some(above) if above > 0 => pid = above,
            _ => break,
        }
    }
    found
}

/// Of "SSH_CONNECTION=client port server port" the server.
fn server_address(variable: &[u8]) -> Option<IpAddr> {
    let value = std::str::from_utf8(variable).ok()?.strip_prefix("SSH_CONNECTION=")?;
    let address: IpAddr = value.split(' ').nth(2)?.parse().ok()?;
    Some(address.to_canonical())
}

/// The process that started this one.
fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

/// A file that is locked while an interface is impaired, says by whom, and is gone with that.
struct Lock {
    path: PathBuf,
    recorded: Option<Recorded>,
    file: Flock<File>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked: whoever opened it meanwhile finds that it is no file any more, and makes another.
        if fs::remove_file(&self.path).is_ok()
            && let Some(recorded) = self.recorded.take()
        {
            recorded.taken_back();
        }
    }
}

/// Makes sure that no other process of ours impairs the interface; `command` is what others are told of this one.
fn lock(netns: &NetNs, link: &Link, command: &str, journal: &Journal) -> anyhow::Result<Lock> {
    let path = PathBuf::from(RUN_DIR).join(format!("{}-{}.lock", netns.inode()?, link.index));
    loop {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot open {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) if file.metadata()?.nlink() > 0 => {
                // Ours from here on, and so ours to take away.
                let recorded = Some(journal.record(Entry::Lock { path: path.clone() })?);
                // One that died without taking it away may have said who it was.
                let lock = Lock { path, recorded, file };
                lock.file.set_len(0)?;
                (&*lock.file).write_all(format!("{} {command}", std::process::id()).as_bytes())?;
                return Ok(lock);
            }
            Ok(_) => {}
            Err((_, Errno::EWOULDBLOCK)) => {
                let by = fs::read_to_string(&path).unwrap_or_default();
                bail!("{}", taken(&link.name, &by));
            }
            Err((_, error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// That an interface has a shaper already, by what its lock says.
fn taken(name: &str, by: &str) -> String {
    let taken = format!("{name} is impaired by another shaper already");
    // It has begun this instant, or ended.
    let Some((pid, command)) = by.split_once(' ') else { return format!("{taken}: try again") };
    format!("{taken}, process {pid} ({command}): wait for its end, or let it end with kill {pid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_impairs_an_interface_is_told() {
        let told = taken("eth1", "4711 run a b");
        assert!(told.contains("process 4711 (run a b): ") && told.ends_with("kill 4711"), "{told}");
        assert!(taken("eth1", "").ends_with("already: try again"));
    }

    #[test]
    fn the_servers_end_of_an_ssh_session_is_found() {
        for (variable, address) in [
            ("SSH_CONNECTION=192.0.2.7 50000 198.51.100.1 22", Some("198.51.100.1")),
            ("SSH_CONNECTION=2001:db8::7 50000 2001:db8::1 22", Some("2001:db8::1")),
            ("SSH_CONNECTION=::ffff:192.0.2.7 50000 ::ffff:198.51.100.1 22", Some("198.51.100.1")),
            ("SSH_CONNECTION=UNKNOWN 65535 UNKNOWN 65535", None),
            ("SSH_CONNECTION=", None),
            ("SSH_CLIENT=192.0.2.7 50000 22", None),
        ] {
            let wanted: Option<IpAddr> = address.map(|address| address.parse().unwrap());
            assert_eq!(server_address(variable.as_bytes()), wanted, "{variable}");
        }
    }

    #[test]
    fn what_stands_on_a_device_is_found() {
        let link = |index: u32, kind: &str, master: Option<u32>, peer: Option<u32>| {
            let (name, kind) = (format!("dev{index}"), kind.to_owned());
            Link { index, name, kind, master, peer, ..Link::default() }
        };
        let all = [
            link(1, "", Some(2), None),
            link(2, "bond", Some(3), None),
            link(3, "bridge", None, None),
            link(4, "vlan", None, Some(3)),
            link(5, "veth", None, Some(1)),
            link(6, "", None, None),
        ];
        assert_eq!(above(&all[0], &all), [1, 2, 3, 4]);
        assert_eq!(above(&all[5], &all), [6]);
    }

    #[test]
    fn the_process_above_is_found() {
        let above = parent(std::process::id()).unwrap();
        assert_eq!(above, std::os::unix::process::parent_id());
        assert_eq!(parent(u32::MAX), None);
    }
}
