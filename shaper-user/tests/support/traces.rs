//! All that a run could leave behind on its host, but for BPF programs.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::{fmt, fs};

use nix::libc;
use shaper_net::netns;
use shaper_net::offload::Ethtool;
use shaper_net::rtnl::Rtnl;

/// What stands on the calling thread's host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    /// Named namespaces, and whatever else lies beside them.
    pub(crate) namespaces: Vec<String>,
    /// Devices with their settings, qdiscs, filters and the offloads that are on.
    pub(crate) devices: Vec<String>,
    /// Whether addresses are forwarded, and each device's settings of both families.
    pub(crate) sysctls: Settings,
    /// What is pinned in the BPF file system.
    pub(crate) pins: Vec<String>,
    /// Mounts below `/run`, and BPF file systems.
    pub(crate) mounts: Vec<String>,
    /// Journals and states of labs.
    pub(crate) files: Vec<String>,
    /// Processes that share our mounts.
    pub(crate) processes: Vec<String>,
}

/// Some hundreds of them: shown by a number for all of a device, which differs where one of them does.
#[derive(PartialEq, Eq)]
pub(crate) struct Settings(Vec<String>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut devices = BTreeMap::new();
        for setting in &self.0 {
            let device = setting.rsplit_once('.').map_or(setting.as_str(), |(device, _)| device);
            let mut hasher = DefaultHasher::new();
            setting.hash(&mut hasher);
            *devices.entry(device).or_insert(0_u64) ^= hasher.finish() & 0xffff;
        }
        devices.fmt(f)
    }
}

impl Traces {
    pub(crate) fn now() -> Self {
        Self {
            namespaces: entries(Path::new(netns::NETNS_DIR)),
            devices: devices(),
            sysctls: sysctls(),
            pins: entries(Path::new("/sys/fs/bpf")),
            mounts: mounts(),
            files: entries(Path::new("/run/shaper")),
            processes: processes(),
        }
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn devices() -> Vec<String> {
    let rtnl = Rtnl::open().unwrap();
    let ethtool = Ethtool::open().unwrap();
    let described = rtnl.links().unwrap().into_iter().filter_map(|link| {
        let qdiscs = rtnl.qdiscs(link.index).unwrap();
        // Also what a dead process left is one filter too many.
        let mut filters = Vec::new();
        for egress in [true, false] {
            match rtnl.filter_priorities(link.index, egress) {
                Err(error) if error.errno() == Some(libc::ENODEV) => return None,
                of_one_side => filters.push(of_one_side.unwrap()),
            }
        }
        let mut on = match ethtool.features(&link.name) {
            // It is being taken away just now.
            Err(error) if error.errno() == Some(libc::ENODEV) => return None,
            features => features.unwrap(),
        };
        on.retain(|feature| feature.active);
        let on: Vec<_> = on.into_iter().map(|feature| feature.name).collect();
        Some(format!("{link:?} {qdiscs:?} {filters:?} {on:?}"))
    });
    described.collect()
}

/// What `/proc/sys/net` has of this host's own devices and of all of them.
fn sysctls() -> Settings {
    let mut found = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let folder = Path::new("/proc/sys/net").join(family).join("conf");
        for device in entries(&folder) {
            // Some, such as a secret, cannot be read; and a device may go away just now.
            let values = entries(&folder.join(&device)).into_iter().filter_map(|name| {
                let value = fs::read_to_string(folder.join(&device).join(&name)).ok()?;
                Some(format!("{family}.{device}.{name}={}", value.trim()))
            });
            found.extend(values);
        }
    }
    found.push(format!("forwards={}", fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim()));
    Settings(found)
}

/// Where something is mounted that a run could have mounted. The shared folder of all namespaces stays, as with
/// `ip netns`.
pub(crate) fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let place = |line: &str| line.split(' ').nth(4).unwrap().to_owned();
    let ours = |line: &&str| {
        let bpf = line.split_once(" - ").is_some_and(|(_, source)| source.starts_with("bpf "));
        let place = place(line);
        bpf || (place.starts_with("/run/") && place != netns::NETNS_DIR)
    };
    text.lines().filter(ours).map(place).collect()
}

/// The processes on the test's host: those that have its mounts. The test's own is not one, its main thread is outside.
fn processes() -> Vec<String> {
    let here = fs::read_link("/proc/thread-self/ns/mnt").unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let is_process = entry.file_name().to_str().unwrap().bytes().all(|b| b.is_ascii_digit());
        // One that has ended and was not waited for has no namespaces any more.
        if is_process && fs::read_link(entry.path().join("ns/mnt")).is_ok_and(|ns| ns == here) {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(format!("{} {command}", entry.file_name().to_str().unwrap()));
        }
    }
    found
}
