//! A host of the test's own: private `/run` and mounts, and a network namespace with a pair of
//! bystanding devices, so that what a run leaves behind can be seen exactly, whatever else goes on on the machine.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests panic with their context")]

mod programs;
mod traces;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use shaper_net::rtnl::{Rtnl, VethEnd};
use tempfile::TempDir;

use programs::Programs;
pub(crate) use traces::Traces;

/// The command under test.
pub(crate) const SHAPER: &str = env!("CARGO_BIN_EXE_shaper");

/// A host of its own.
pub(crate) struct Host {
    /// A folder that goes with the test.
    pub(crate) folder: TempDir,
    before: Traces,
    programs: Programs,
}

impl Host {
    /// Sees that no program of this test's is in the kernel that no process holds.
    pub(crate) fn assert_no_program_left(&self) {
        self.programs.assert_none_left();
    }
}

/// Runs a test on a host of its own, one at a time, and sees that nothing is left behind there.
pub(crate) fn on_own_host(test: impl FnOnce(&Host) + Send) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A thread of its own, for a thread that has left its namespaces is of no use to another test.
    let ended = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            leave_the_real_host();
            let folder = tempfile::tempdir().unwrap();
            // Other programs that look at what was written do so without root.
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let host = Host { folder, before: Traces::now(), programs: Programs::now() };
            test(&host);
            assert_eq!(Traces::now(), host.before, "left behind");
            host.assert_no_program_left();
            host.folder.close().unwrap();
        });
        inside.join()
    });
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

/// Moves the calling thread, and all that it starts.
fn leave_the_real_host() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).expect("this test needs root");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    // Our copies of the real host's mounts there would come into the count, and go whenever theirs go.
    for place in traces::mounts().iter().filter(|place| place.starts_with("/run/")) {
        let _ = umount2(place.as_str(), MntFlags::MNT_DETACH);
    }
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    // What others pin meanwhile is in theirs.
    if fs::exists("/sys/fs/bpf").unwrap() {
        mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), None::<&str>).unwrap();
    }
    let rtnl = Rtnl::open().unwrap();
    rtnl.create_veth(&VethEnd::new(None, "bystander0"), &VethEnd::new(None, "bystander1")).unwrap();
    for end in rtnl.links().unwrap() {
        rtnl.set_up(end.index, true).unwrap();
    }
}

/// Waits until `holds`; false when it does not within `limit`.
pub(crate) fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
