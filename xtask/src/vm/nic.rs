//! Network devices of a guest, each at a tap of its own.
//!
//! qemu runs in a network namespace without a name, with the taps in it: when qemu ends, however it does, both are gone.

use std::{fmt::Write as _, process::Command};

use anyhow::{Context as _, Result};

use crate::{process::find, root::Root};

/// A device that qemu emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Nic {
    /// virtio-net, on PCI.
    Virtio,
    /// Intel's 82574L.
    E1000e,
}

impl Nic {
    pub(crate) const ALL: [Self; 2] = [Self::Virtio, Self::E1000e];

    fn device(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            Self::E1000e => "e1000e",
        }
    }

    /// The modules of its driver.
    pub(crate) fn modules(self) -> &'static [&'static str] {
        match self {
            Self::Virtio => &["virtio_pci", "virtio_net"],
            Self::E1000e => &["e1000e"],
        }
    }
}

/// The guest with these devices: the host's end of the first has the address 10.78.0.1/24, that of the second
/// 10.78.1.1/24, and so on; the kernel answers echo requests there.
pub(crate) fn attached(qemu: Command, nics: &[Nic]) -> Result<Command> {
    if nics.is_empty() {
        return Ok(qemu);
    }
    let ip = find("ip").context("ip is not found: it comes with iproute2, and makes the taps of a guest's devices")?;
    let root = Root::find().context("a guest with network devices")?;
    let mut command = root.command("unshare", &[]);
    command.args(["--net", "sh", "-ec"]).arg(script(nics.len())).arg("sh").arg(ip);
    command.arg(qemu.get_program()).args(qemu.get_args());
    for (number, nic) in nics.iter().enumerate() {
        command.arg("-netdev").arg(format!("tap,id=net{number},ifname=tap{number},script=no,downscript=no"));
        // Without a ROM, which would be there to boot from it.
        let device = nic.device();
        command.arg("-device").arg(format!("{device},netdev=net{number},mac=02:73:68:00:00:{number:02x},romfile="));
    }
    Ok(command)
}

/// Makes the taps with the `ip` that it is given first, then becomes what it is given next.
fn script(taps: usize) -> String {
    let mut script = String::from("ip=$1; shift; ");
    for tap in 0..taps {
        let _ = write!(
            script,
            "\"$ip\" tuntap add dev tap{tap} mode tap; \"$ip\" address add 10.78.{tap}.1/24 dev tap{tap}; \
             \"$ip\" link set dev tap{tap} up; "
        );
    }
    script + "exec \"$@\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_devices_nothing_is_changed() {
        let mut qemu = Command::new("qemu");
        qemu.arg("-nodefaults");
        let same = attached(qemu, &[]).unwrap();
        assert_eq!(crate::process::show(&same), "qemu -nodefaults");
    }

    #[test]
    fn each_device_has_a_tap_with_an_address_of_its_own() {
        let script = script(2);
        for word in ["add dev tap0 mode tap", "10.78.0.1/24 dev tap0", "10.78.1.1/24 dev tap1", "link set dev tap1 up"]
        {
            assert!(script.contains(word), "{script}");
        }
        assert!(script.ends_with("exec \"$@\""));
    }
}
