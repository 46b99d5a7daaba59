//! Taking changes back, one step a kind. Every step may find its work done already.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, umount2};

use super::entry::{Entry, boot_id};
use super::file::Locked;
use super::report::{UndoFailure, UndoReport};
use crate::netns::{self, NetNs};
use crate::nft;
use crate::offload;
use crate::rtnl::{Link, Rtnl};
use crate::sysctl;
use crate::{Error, Result};

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// The change stood, and is taken back.
    Now,
    /// It was gone, or never made.
    Before,
}

/// Undoes the journal at `path` under its lock; `None` when there is none any more.
pub(crate) fn undo_path(path: &Path) -> Result<Option<UndoReport>> {
    let Some(mut journal) = Locked::open(path)? else { return Ok(None) };
    let contents = journal.read(path)?;
    let same_boot = contents.header.boot_id == boot_id()?;
    let home = Home { inode: contents.header.network_namespace, journal: path };
    let mut report = UndoReport::nothing(path);
    report.command = contents.header.command;
    report.failures = contents.unreadable.iter().map(|e| UndoFailure { entry: None, why: e.to_string() }).collect();
    let mut unwritten = None;
    for (number, entry) in contents.standing.into_iter().rev() {
        let step = if same_boot || entry.survives_reboot() { undo(&entry, &home) } else { Ok(Undone::Before) };
        match step {
            Ok(step) => {
                // A step done is not done again should a later attempt be needed: what was restored now may rightly
                // have been changed by then. Where that cannot be written (a full disk), the other steps come first.
                if let Err(e) = journal.done(path, number) {
                    unwritten = Some(e);
                }
                match step {
                    Undone::Now => report.undone.push(entry),
                    Undone::Before => report.gone.push(entry),
                }
            }
            Err(e) => report.failures.push(UndoFailure { entry: Some(entry), why: e.to_string() }),
        }
    }
    if report.failures.is_empty() {
        journal.remove(path)?;
    } else if let Some(e) = unwritten {
        report.failures.push(UndoFailure { entry: None, why: e.to_string() });
    }
    Ok(Some(report))
}

fn undo(entry: &Entry, home: &Home<'_>) -> Result<Undone> {
    match entry {
        Entry::NetNs { name } => netns::remove(name),
        Entry::Process { id, .. } => match id.open()? {
            Some(process) => process.terminate(Duration::ZERO).map(|()| Undone::Now),
            None => Ok(Undone::Before),
        },
        Entry::Offload { netns, ifname, index, before } => {
            within(netns.as_deref(), home, || match device(&Rtnl::open()?, *index, ifname)? {
                Some(link) => offload::restore(&link.name, before),
                None => Ok(Undone::Before),
            })
        }
        Entry::Link { netns, ifname } => within(netns.as_deref(), home, || {
            let rtnl = Rtnl::open()?;
            match rtnl.find(ifname)? {
                Some(link) => rtnl.delete(link.index).map(|()| Undone::Now),
                None => Ok(Undone::Before),
            }
        }),
        Entry::Promiscuous { netns, index, .. } => within(netns.as_deref(), home, || {
            let rtnl = Rtnl::open()?;
            match rtnl.find_index(*index)?.filter(|link| link.promiscuous) {
                Some(link) => rtnl.set_promiscuous(link.index, false).map(|()| Undone::Now),
                None => Ok(Undone::Before),
            }
        }),
        Entry::Qdisc { netns, ifname, index, kind } => within(netns.as_deref(), home, || {
            let rtnl = Rtnl::open()?;
            match device(&rtnl, *index, ifname)? {
                Some(link) => rtnl.delete_qdisc(link.index, kind).map(step),
                None => Ok(Undone::Before),
            }
        }),
        Entry::Filter { netns, ifname, index, egress, priority } => within(netns.as_deref(), home, || {
            let rtnl = Rtnl::open()?;
            match device(&rtnl, *index, ifname)? {
                Some(link) => rtnl.delete_filter(link.index, *egress, *priority).map(step),
                None => Ok(Undone::Before),
            }
        }),
        Entry::NftTable { table } => within(None, home, || nft::remove(table)),
        Entry::Sysctl { netns, key, before } => {
            // Who else has it set restores it later, to what it was before us.
            if sysctl::is_held_beside(home.journal, netns.as_deref(), home.inode, key) {
                return Ok(Undone::Before);
            }
            within(netns.as_deref(), home, || sysctl::restore(key, before))
        }
        Entry::Mount { path } => match umount2(path, MntFlags::MNT_DETACH) {
            Ok(()) => Ok(Undone::Now),
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => Ok(Undone::Before),
            Err(e) => Err(Error::os("unmount", path.display().to_string(), e)),
        },
        Entry::Lock { path } => unlock(path),
        Entry::File { path } => removed(path, fs::remove_file(path)),
        Entry::Dir { path } => removed(path, fs::remove_dir(path)),
        Entry::Handover { path, to } => to.perform(path),
    }
}

/// A device as it is called now; `None` where it is gone.
fn device(rtnl: &Rtnl, index: u32, ifname: &str) -> Result<Option<Link>> {
    if index == 0 { rtnl.find(ifname) } else { rtnl.find_index(index) }
}

fn step(did: bool) -> Undone {
    if did { Undone::Now } else { Undone::Before }
}

fn removed(path: &Path, result: io::Result<()>) -> Result<Undone> {
    match result {
        Ok(()) => Ok(Undone::Now),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Undone::Before),
        Err(e) => Err(Error::os("remove", path.display().to_string(), e)),
    }
}

/// Removes a file that was there to be locked, unless somebody has locked it.
fn unlock(path: &Path) -> Result<Undone> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Undone::Before),
        Err(e) => return Err(Error::os("open the lock", path.display().to_string(), e)),
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        // Whoever locked it meanwhile and finds it gone makes another.
        Ok(_locked) => removed(path, fs::remove_file(path)),
        Err(_) => Ok(Undone::Before),
    }
}

/// Where a journal's owner was at home.
struct Home<'a> {
    /// The inode of its network namespace; zero where that was not written down.
    inode: u64,
    journal: &'a Path,
}

/// Runs a step in a namespace; one that is gone took its devices and settings with it.
fn within(netns: Option<&str>, home: &Home<'_>, f: impl FnOnce() -> Result<Undone> + Send) -> Result<Undone> {
    let found = match netns {
        Some(name) => NetNs::open(name),
        None if home.inode == 0 || NetNs::current()?.inode()? == home.inode => return f(),
        None => NetNs::by_inode(home.inode),
    };
    match found {
        Ok(ns) => ns.run(f)?,
        Err(Error::Missing { .. }) => Ok(Undone::Before),
        Err(e) => Err(e),
    }
}
