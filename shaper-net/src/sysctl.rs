//! Kernel settings under `/proc/sys`, in the calling thread's network namespace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::{self, Entry, Header, Journal, Recorded, Undone};
use crate::netns::NetNs;
use crate::{Error, Result};

/// A setting that is put back when this is dropped.
#[derive(Debug)]
pub struct SysctlGuard {
    netns: Option<String>,
    key: String,
    before: String,
    recorded: Option<Recorded>,
}

impl SysctlGuard {
    /// Writes `value` to `key` (a name with slashes, such as `net/core/rmem_max`), journalled, in the namespace `netns`
    /// or, with `None`, that of the calling thread, which must be the host's.
    pub fn set(journal: &Journal, netns: Option<&NetNs>, key: &str, value: &str) -> Result<Self> {
        let netns_name = netns.map(|n| n.name().to_owned());
        // Where somebody else has set it already, what it was is what it was before that.
        let inode = journal.header().network_namespace;
        let before = match held_beside(journal.path(), netns_name.as_deref(), inode, key) {
            Some(before) => before,
            None => within(netns, || read(key))?,
        };
        let entry = Entry::Sysctl { netns: netns_name.clone(), key: key.into(), before: before.clone() };
        let recorded = journal.record(entry)?;
        within(netns, || write_unjournalled(key, value))?;
        Ok(Self { netns: netns_name, key: key.into(), before, recorded: Some(recorded) })
    }

    /// The value it had before.
    pub fn before(&self) -> &str {
        &self.before
    }
}

/// What a setting was before another journal's owner set it, where one has it set.
fn held_beside(own: &Path, netns: Option<&str>, inode: u64, key: &str) -> Option<String> {
    let others = own.parent().and_then(|dir| journal::standing_in(dir).ok()).unwrap_or_default();
    let same = |(path, header, entry): (PathBuf, Header, Entry)| match entry {
        Entry::Sysctl { netns: other, key: theirs, before } => {
            let same_place = other.as_deref() == netns && (netns.is_some() || header.network_namespace == inode);
            (path != own && theirs == key && same_place).then_some(before)
        }
        _ => None,
    };
    others.into_iter().find_map(same)
}

/// Whether another journal's owner has it set.
pub(crate) fn is_held_beside(own: &Path, netns: Option<&str>, inode: u64, key: &str) -> bool {
    held_beside(own, netns, inode, key).is_some()
}

impl Drop for SysctlGuard {
    fn drop(&mut self) {
        if let Some(recorded) = &self.recorded {
            let journal = recorded.journal();
            let inode = journal.header().network_namespace;
            if is_held_beside(journal.path(), self.netns.as_deref(), inode, &self.key) {
                if let Some(recorded) = self.recorded.take() {
                    recorded.taken_back();
                }
                return;
            }
        }
        let restored = match &self.netns {
            None => restore(&self.key, &self.before),
            Some(name) => match NetNs::open(name) {
                Ok(ns) => within(Some(&ns), || restore(&self.key, &self.before)),
                Err(Error::Missing { .. }) => Ok(Undone::Before),
                Err(e) => Err(e),
            },
        };
        match (restored, self.recorded.take()) {
            (Ok(_), Some(recorded)) => recorded.taken_back(),
            (Err(e), _) => tracing::warn!("{e}"),
            _ => {}
        }
    }
}

fn within<T: Send>(netns: Option<&NetNs>, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    match netns {
        Some(ns) => ns.run(f)?,
        None => f(),
    }
}

/// Reads a setting of the calling thread's namespace, without the newline at its end.
pub fn read(key: &str) -> Result<String> {
    let path = path_of(key)?;
    let value = fs::read_to_string(&path).map_err(|e| Error::os("read the sysctl", key, e))?;
    Ok(value.trim_end().to_owned())
}

/// Writes a setting that goes away with a namespace of our own: nothing is journalled.
pub fn write_unjournalled(key: &str, value: &str) -> Result<()> {
    let path = path_of(key)?;
    fs::write(&path, value).map_err(|e| Error::os(format!("write {value:?} to the sysctl"), key, e))
}

pub(crate) fn restore(key: &str, before: &str) -> Result<Undone> {
    match read(key) {
        Ok(now) if now == before => Ok(Undone::Before),
        Ok(_) => write_unjournalled(key, before).map(|()| Undone::Now),
        // The device it belonged to is gone.
        Err(Error::Os { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Undone::Before),
        Err(e) => Err(e),
    }
}

fn path_of(key: &str) -> Result<PathBuf> {
    if key.is_empty() || key.starts_with('/') || key.split('/').any(|part| part.is_empty() || part == "..") {
        let why = "it is a path below /proc/sys, such as net/ipv4/ip_forward";
        return Err(Error::BadName { name: key.into(), what: "a sysctl", why });
    }
    Ok(Path::new("/proc/sys").join(key))
}
