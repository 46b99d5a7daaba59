//! What a lab consists of, in memory and on disk.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Shape;
use crate::journal::RUN_DIR;
use crate::process::ProcessId;
use crate::rtnl::MacAddr;
use crate::{Error, Result, whole_file};

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Its name in the lab.
    pub name: String,
    /// Its namespace.
    pub netns: String,
    /// Its device, `eth0`.
    pub ifname: String,
    /// Index of that device in its namespace.
    pub ifindex: u32,
    /// Its Ethernet address.
    pub mac: MacAddr,
    /// Its IPv4 address, in 10.77.0.0/16.
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address, in fd73:6861:7065:7200::/64.
    pub ipv6: Ipv6Addr,
}

/// A device in the middle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub ifname: String,
    /// Its index.
    pub ifindex: u32,
    /// Its own Ethernet address (frames that cross it carry the hosts').
    pub mac: MacAddr,
}

/// A link's two ports in the middle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEnds {
    /// `a-b` in a pair; the host's name in a star.
    pub name: String,
    /// The namespace of both ports.
    pub netns: String,
    /// The port towards the host; in a pair, host `a`.
    pub port_host: Port,
    /// The port towards the switch; in a pair, host `b`.
    pub port_far: Port,
    /// Name of the direction in at `port_host` and out at `port_far`: `a_to_b` in a pair, `<host>_up` in a star.
    pub forward: String,
    /// Name of the other direction: `b_to_a`, or `<host>_down`.
    pub backward: String,
}

/// The switch of a star.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Its namespace.
    pub netns: String,
    /// The bridge device.
    pub ifname: String,
    /// Its index.
    pub ifindex: u32,
}

/// All of a lab; what `/run/shaper/<id>.lab.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabState {
    /// Six hexadecimal digits.
    pub id: String,
    /// `shaper-<id>`, with which the names of its namespaces start.
    pub prefix: String,
    /// The process that keeps it.
    pub owner: ProcessId,
    /// The journal it stands in.
    pub journal: PathBuf,
    /// How its hosts are joined.
    pub shape: Shape,
    /// Its hosts.
    pub hosts: Vec<Host>,
    /// Its links.
    pub links: Vec<LinkEnds>,
    /// Its switch.
    pub switch: Option<Switch>,
    /// Why its links carry nothing any more, though it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl LabState {
    /// The host called `name`.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|h| h.name == name).ok_or_else(|| Error::Missing {
            what: "host",
            name: name.into(),
            within: format!("lab {}", self.id),
        })
    }

    /// Where the state of this lab is kept in `dir`.
    pub fn path_in(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.lab.json", self.id))
    }

    /// Reads the state of the lab `id` from [`RUN_DIR`].
    pub fn load(id: &str) -> Result<Self> {
        let all = list()?;
        all.into_iter().find(|s| s.id == id).ok_or_else(|| Error::Missing {
            what: "lab",
            name: id.into(),
            within: RUN_DIR.into(),
        })
    }

    /// Reads a state from a file.
    pub fn read(path: &Path) -> Result<Self> {
        let on = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|e| Error::os("read the lab's state", &on, e))?;
        serde_json::from_str(&text).map_err(|e| Error::Malformed { path: on, line: e.line(), why: e.to_string() })
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let failed = |e: io::Error| Error::os("write the lab's state", path.display().to_string(), e);
        let mut text = serde_json::to_string_pretty(self).map_err(|e| failed(e.into()))?;
        text.push('\n');
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        whole_file::create(path, text.as_bytes(), 0o644).map(drop).map_err(failed)
    }
}

/// The labs whose state is in [`RUN_DIR`].
pub fn list() -> Result<Vec<LabState>> {
    list_in(Path::new(RUN_DIR))
}

/// The labs whose state is in `dir`; files that hold none are left out.
pub fn list_in(dir: &Path) -> Result<Vec<LabState>> {
    let failed = |e| Error::os("list the labs", dir.display().to_string(), e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.to_string_lossy().ends_with(".lab.json") {
            all.extend(LabState::read(&path).ok());
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(all)
}
