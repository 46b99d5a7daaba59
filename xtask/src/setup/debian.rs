//! Debian packages, looked for by what they bring, so that a host where it
//! came from elsewhere is left alone.

use std::{ffi::OsString, path::Path, process::Command};

use anyhow::{Result, bail};

use super::{Done, For, announce, root};
use crate::process;

/// Something of the host's that building or testing needs.
pub(crate) struct Need {
    package: &'static str,
    what: &'static str,
    /// The package's name on Fedora and on Arch, for hosts without apt.
    elsewhere: (&'static str, &'static str),
    present: fn() -> bool,
}

const DEMO: &[Need] = &[
    Need {
        package: "gcc",
        what: "a C compiler driver, to link with",
        elsewhere: ("gcc", "gcc"),
        present: || process::find("cc").is_some(),
    },
    Need {
        package: "libc6-dev",
        what: "the C library's start-up files, to link with",
        elsewhere: ("glibc-devel", "glibc"),
        present: || linker_finds("crt1.o"),
    },
    Need {
        package: "pkg-config",
        what: "pkg-config, to find libpcap with",
        elsewhere: ("pkgconf-pkg-config", "pkgconf"),
        present: || process::find("pkg-config").is_some(),
    },
    Need {
        package: "libpcap-dev",
        what: "libpcap, for captures",
        elsewhere: ("libpcap-devel", "libpcap"),
        present: || {
            linker_finds("libpcap.so") || process::succeeds(Command::new("pkg-config").args(["--exists", "libpcap"]))
        },
    },
];

/// What reads captures too: tests open what we write with it, benchmarks read beside it.
const READERS: &[Need] = &[
    Need {
        package: "tshark",
        what: "tshark, to open what we write and to be compared with",
        elsewhere: ("wireshark-cli", "wireshark-cli"),
        present: || process::find("tshark").is_some(),
    },
    Need {
        package: "wireshark-common",
        what: "capinfos, for the same",
        elsewhere: ("wireshark-cli", "wireshark-cli"),
        present: || process::find("capinfos").is_some(),
    },
];

const BENCH: &[Need] = &[Need {
    package: "tcpdump",
    what: "tcpdump, to be compared with",
    elsewhere: ("tcpdump", "tcpdump"),
    present: || process::find("tcpdump").is_some(),
}];

const TEST: &[Need] = &[
    Need {
        package: "g++",
        what: "a C++ compiler, for libFuzzer",
        elsewhere: ("gcc-c++", "gcc"),
        present: || process::find("c++").is_some(),
    },
    Need {
        package: "iproute2",
        what: "ip and tc, to check what we made with other eyes",
        elsewhere: ("iproute", "iproute2"),
        present: || process::find("ip").is_some() && process::find("tc").is_some(),
    },
    Need {
        package: "ethtool",
        what: "ethtool, to switch offloads in tests",
        elsewhere: ("ethtool", "ethtool"),
        present: || process::find("ethtool").is_some(),
    },
    Need {
        package: "iperf3",
        what: "iperf3, to send through impaired links",
        elsewhere: ("iperf3", "iperf3"),
        present: || process::find("iperf3").is_some(),
    },
    Need {
        package: "chromium",
        what: "chromium, to look at pages, and as a client of the WebRTC server",
        elsewhere: ("chromium", "chromium"),
        present: || process::find("chromium").is_some(),
    },
    Need {
        package: "python3-venv",
        what: "Python with venv, to read our tables with DuckDB",
        elsewhere: ("python3", "python"),
        present: || process::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])),
    },
    Need {
        package: "qemu-system-x86",
        what: "qemu, to load our programs into other kernels",
        elsewhere: ("qemu-system-x86-core", "qemu-system-x86"),
        present: || process::find("qemu-system-x86_64").is_some(),
    },
    Need {
        package: "xz-utils",
        what: "xz, to unpack kernel modules",
        elsewhere: ("xz", "xz"),
        present: || process::find("xz").is_some(),
    },
];

/// What `purpose` needs.
pub(crate) fn needs(purpose: For) -> Vec<&'static Need> {
    match purpose {
        For::Demo => DEMO.iter().collect(),
        For::Bench => DEMO.iter().chain(READERS).chain(BENCH).collect(),
        For::Test => DEMO.iter().chain(READERS).chain(TEST).collect(),
    }
}

/// Installs the packages whose content is missing.
pub(crate) fn install(needs: &[&Need]) -> Result<Done> {
    let missing: Vec<&Need> = needs.iter().copied().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(Done::AlreadyThere);
    }
    if process::find("apt-get").is_none() {
        bail!("{}", instructions(&missing));
    }
    update_package_lists()?;
    let packages = missing.iter().map(|need| need.package);
    announce(&format!("installing {}", packages.clone().collect::<Vec<_>>().join(", ")));
    process::run(apt_get()?.args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    let still_missing: Vec<&Need> = missing.into_iter().filter(|need| !(need.present)()).collect();
    if let Some(need) = still_missing.first() {
        bail!("apt-get installed {} and {} is still not found", need.package, need.what);
    }
    Ok(Done::Installed)
}

/// Fetches apt's package lists. A source that cannot be reached is reported by
/// apt and is no reason to stop: the others may have what is needed.
pub(crate) fn update_package_lists() -> Result<()> {
    announce("fetching package lists");
    if let Err(error) = process::run(apt_get()?.arg("update")) {
        announce(&format!("{error}; going on with the lists there are"));
    }
    Ok(())
}

fn apt_get() -> Result<Command> {
    let env = [("DEBIAN_FRONTEND", OsString::from("noninteractive"))];
    let mut command = root()?.command("apt-get", &env);
    command.args(["-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"]);
    Ok(command)
}

/// What is missing and how to get it, for a host without apt.
fn instructions(missing: &[&Need]) -> String {
    let mut text = String::from("this host has no apt-get; what is missing:\n");
    for need in missing {
        text.push_str(&format!(
            "  {} (Debian: {}, Fedora: {}, Arch: {})\n",
            need.what, need.package, need.elsewhere.0, need.elsewhere.1
        ));
    }
    text.push_str("install that with this host's package manager and start again");
    text
}

/// True when the C compiler driver finds this file in its library folders: it
/// answers with a whole path then, and with the bare name otherwise.
fn linker_finds(file: &str) -> bool {
    process::stdout(Command::new("cc").arg(format!("-print-file-name={file}")))
        .is_ok_and(|answer| Path::new(answer.trim()).is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_asks_for_nothing_that_only_tests_need() {
        let demo: Vec<_> = needs(For::Demo).iter().map(|need| need.package).collect();
        assert!(demo.contains(&"libpcap-dev"));
        assert!(!demo.contains(&"tshark") && !demo.contains(&"qemu-system-x86"));
    }

    #[test]
    fn benchmarks_ask_for_all_that_captures_are_read_with_and_for_nothing_of_the_tests() {
        let bench: Vec<_> = needs(For::Bench).iter().map(|need| need.package).collect();
        assert!(["gcc", "tshark", "wireshark-common", "tcpdump"].iter().all(|package| bench.contains(package)));
        assert!(!bench.contains(&"chromium"));
    }

    #[test]
    fn without_apt_every_missing_thing_is_named() {
        let text = instructions(&needs(For::Test));
        for need in needs(For::Test) {
            assert!(text.contains(need.package) && text.contains(need.what));
        }
    }
}
