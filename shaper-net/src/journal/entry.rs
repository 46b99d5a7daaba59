//! What a journal holds.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::handover::Handover;
use crate::netns::NetNs;
use crate::process::ProcessId;
use crate::{Error, Result};

/// Version of the file's layout.
pub(super) const FORMAT: u32 = 1;

/// The first line: who owns the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the file's layout.
    pub journal: u32,
    /// Identifier, also in the file's name.
    pub id: String,
    /// The process that makes the changes.
    #[serde(flatten)]
    pub owner: ProcessId,
    /// The boot it runs in: after a reboot pids and start times mean nothing, and most changes are gone.
    pub boot_id: String,
    /// The pid namespace in which the owner has its pid.
    pub pid_namespace: u64,
    /// The network namespace in which the owner runs, by its inode: that of changes without a name of another.
    #[serde(default)]
    pub network_namespace: u64,
    /// Version of this crate.
    pub version: String,
    /// What the owner does, for people.
    pub command: String,
}

impl Header {
    pub(super) fn new(id: String, owner: ProcessId, command: &str) -> Result<Self> {
        Ok(Self {
            journal: FORMAT,
            id,
            owner,
            boot_id: boot_id()?,
            pid_namespace: pid_namespace()?,
            network_namespace: NetNs::current()?.inode()?,
            version: env!("CARGO_PKG_VERSION").into(),
            command: command.into(),
        })
    }

    /// Whether the owner still runs. One in another pid namespace (a container that shares `/run`) cannot be seen from
    /// here, and is taken to run.
    pub fn owner_runs(&self) -> Result<bool> {
        if self.boot_id != boot_id()? {
            return Ok(false);
        }
        Ok(self.pid_namespace != pid_namespace()? || self.owner.is_running()?)
    }
}

/// The identifier of this boot (random(4), `/proc/sys/kernel/random/boot_id`).
pub(super) fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).map_err(|e| Error::os("read the boot id", path, e))?;
    Ok(id.trim_end().to_owned())
}

fn pid_namespace() -> Result<u64> {
    let path = "/proc/self/ns/pid";
    let found = fs::metadata(path).map_err(|e| Error::os("find the pid namespace", path, e))?;
    Ok(found.ino())
}

/// A change on the host. `netns` is a name in `/run/netns`; `None` is the namespace of the journal's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Entry {
    /// A named network namespace was created. Everything in it goes with it.
    NetNs {
        /// Its name in `/run/netns`.
        name: String,
    },
    /// A process was started; undone by SIGKILL, if pid and start time are still its own.
    Process {
        /// Which one.
        #[serde(flatten)]
        id: ProcessId,
        /// What it is, for people.
        name: String,
    },
    /// Device features were switched.
    Offload {
        /// Namespace of the device.
        netns: Option<String>,
        /// The device.
        ifname: String,
        /// Its index, by which it is found: names change. 0 in journals of versions that found it by its name.
        #[serde(default)]
        index: u32,
        /// The features touched, with what was wanted of each before.
        before: Vec<(String, bool)>,
    },
    /// A device was created outside of a namespace of our own; undone by deleting it.
    Link {
        /// Namespace of the device.
        netns: Option<String>,
        /// The device.
        ifname: String,
    },
    /// A device was made to take frames for anybody; undone by letting it take its own alone.
    Promiscuous {
        /// Namespace of the device.
        netns: Option<String>,
        /// The device.
        ifname: String,
        /// Its index, by which it is found: names change.
        index: u32,
    },
    /// A qdisc was added (`clsact`, `ingress`, or a root qdisc); undone by deleting it, filters with it.
    Qdisc {
        /// Namespace of the device.
        netns: Option<String>,
        /// The device.
        ifname: String,
        /// Its index, as with features.
        #[serde(default)]
        index: u32,
        /// Its kind, such as `clsact` or `fq`: one of another kind is left alone.
        kind: String,
    },
    /// A filter was added to a `clsact` qdisc that was there before; undone by deleting it.
    Filter {
        /// Namespace of the device.
        netns: Option<String>,
        /// The device.
        ifname: String,
        /// Its index, as with features.
        #[serde(default)]
        index: u32,
        /// On the way out, rather than in.
        egress: bool,
        /// Its priority: all filters of this priority are deleted.
        priority: u16,
    },
    /// An nf_tables table of ours was made, for IPv4; undone by deleting it with all that is in it.
    NftTable {
        /// Its name.
        table: String,
    },
    /// A sysctl was written.
    Sysctl {
        /// Namespace it was written in.
        netns: Option<String>,
        /// Its name with slashes, such as `net/ipv4/ip_forward`.
        key: String,
        /// The value to put back.
        before: String,
    },
    /// A file system was mounted.
    Mount {
        /// Where.
        path: PathBuf,
    },
    /// A file was created, to be locked; undone by removing it, unless somebody else has locked it since.
    Lock {
        /// Where.
        path: PathBuf,
    },
    /// A file was created.
    File {
        /// Where.
        path: PathBuf,
    },
    /// A folder was created; removed only when empty.
    Dir {
        /// Where.
        path: PathBuf,
    },
    /// A directory was made root's alone; undone by giving it, and the plain files in it, to whom they belong.
    Handover {
        /// Where it was.
        path: PathBuf,
        /// Which one, and whose.
        #[serde(flatten)]
        to: Handover,
    },
}

impl Entry {
    /// Whether the change outlives a reboot when `/run` does.
    pub(super) fn survives_reboot(&self) -> bool {
        matches!(self, Self::NetNs { .. } | Self::File { .. } | Self::Dir { .. } | Self::Handover { .. })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetNs { name } => write!(f, "network namespace {name}"),
            Self::Process { id, name } => write!(f, "process {} ({name})", id.pid),
            Self::Offload { netns, ifname, before, .. } => {
                let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, "features {} of {}", names.join(", "), Device(netns.as_deref(), ifname))
            }
            Self::Link { netns, ifname } => write!(f, "device {}", Device(netns.as_deref(), ifname)),
            Self::Promiscuous { netns, ifname, .. } => {
                write!(f, "promiscuity of {}", Device(netns.as_deref(), ifname))
            }
            Self::Qdisc { netns, ifname, kind, .. } => {
                write!(f, "qdisc {kind} of {}", Device(netns.as_deref(), ifname))
            }
            Self::Filter { netns, ifname, egress, priority, .. } => {
                let way = if *egress { "egress" } else { "ingress" };
                write!(f, "{way} filter {priority} of {}", Device(netns.as_deref(), ifname))
            }
            Self::NftTable { table } => write!(f, "nf_tables table {table}"),
            Self::Sysctl { netns: Some(netns), key, .. } => write!(f, "sysctl {key} in {netns}"),
            Self::Sysctl { netns: None, key, .. } => write!(f, "sysctl {key}"),
            Self::Mount { path } => write!(f, "mount {}", path.display()),
            Self::Lock { path } => write!(f, "lock {}", path.display()),
            Self::File { path } => write!(f, "file {}", path.display()),
            Self::Dir { path } => write!(f, "folder {}", path.display()),
            Self::Handover { path, .. } => write!(f, "owner of {}", path.display()),
        }
    }
}

struct Device<'a>(Option<&'a str>, &'a str);

impl fmt::Display for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(netns) => write!(f, "{} in {netns}", self.1),
            None => f.write_str(self.1),
        }
    }
}
