//! Another name for an interface that is up.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use nix::libc;
use shaper_net::rtnl::Rtnl;

/// Gives a device another name; false on a kernel that wants it down for that, which is any before Linux 6.2.
pub(crate) fn renamed(index: u32, name: &str) -> bool {
    match Rtnl::open().unwrap().rename(index, name) {
        Err(error) if error.errno() == Some(libc::EBUSY) => {
            println!("this kernel renames no interface that is up");
            false
        }
        renamed => {
            renamed.unwrap();
            true
        }
    }
}
