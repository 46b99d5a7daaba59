//! BPF programs in the kernel, of whatever process: they are numbered for the whole machine.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::libc;

use super::until;

// include/uapi/linux/bpf.h
const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
const BPF_PROG_GET_FD_BY_ID: libc::c_long = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// Of `struct bpf_prog_info`, up to and with the name.
const INFO: usize = 80;

/// The programs of the kinds that shape traffic, by number, with their names.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<u32, String>);

impl Programs {
    pub(crate) fn now() -> Self {
        let mut found = BTreeMap::new();
        let mut id = 0;
        while let Some(next) = next(id) {
            id = next;
            // One that has gone meanwhile has no information.
            if let Some((BPF_PROG_TYPE_SCHED_CLS | BPF_PROG_TYPE_XDP, name)) = info(id) {
                found.insert(id, name);
            }
        }
        Self(found)
    }

    /// Sees that all newer programs belong to processes: what a dead one leaves is attached to nothing that is held.
    pub(crate) fn assert_none_left(&self) {
        let mut left = BTreeMap::new();
        // The kernel frees programs and devices a moment after the last who held them has ended.
        let none = until(Duration::from_secs(10), || {
            left = Self::now().0;
            left.retain(|id, _| !self.0.contains_key(id));
            if !left.is_empty() {
                let held = held();
                left.retain(|id, _| !held.contains(id));
            }
            left.is_empty()
        });
        assert!(none, "programs are left in the kernel that no process holds: {left:?}");
    }
}

/// The numbers of programs that processes hold by descriptors, of their own or of what attaches them.
fn held() -> Vec<u32> {
    let folders = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("fdinfo"));
    let files = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let mut all = Vec::new();
    for text in texts {
        let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse::<u32>().ok());
        all.extend(ids);
    }
    all
}

fn next(id: u32) -> Option<u32> {
    // start_id, next_id, open_flags
    let mut attributes = [id, 0, 0];
    bpf(BPF_PROG_GET_NEXT_ID, &mut attributes).then_some(attributes[1])
}

fn info(id: u32) -> Option<(u32, String)> {
    // prog_id, next_id, open_flags
    let mut attributes = [id, 0, 0];
    let fd = bpf_fd(BPF_PROG_GET_FD_BY_ID, &mut attributes)?;
    let mut info = [0u8; INFO];
    let [low, high] = split(info.as_mut_ptr() as u64);
    // bpf_fd, info_len, and the address of info
    let mut attributes = [fd.as_raw_fd().cast_unsigned(), INFO as u32, low, high];
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes).then(|| {
        let kind = u32::from_ne_bytes(*info.first_chunk().unwrap());
        let name = info[64..].split(|byte| *byte == 0).next().unwrap_or_default();
        (kind, String::from_utf8_lossy(name).into_owned())
    })
}

/// An address as two words in the order of this machine.
fn split(address: u64) -> [u32; 2] {
    let bytes = address.to_ne_bytes();
    [0, 4].map(|at| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap()))
}

fn bpf(command: libc::c_long, attributes: &mut [u32]) -> bool {
    call(command, attributes) == 0
}

fn bpf_fd(command: libc::c_long, attributes: &mut [u32]) -> Option<OwnedFd> {
    let fd = RawFd::try_from(call(command, attributes)).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call(command: libc::c_long, attributes: &mut [u32]) -> libc::c_long {
    // SAFETY: the kernel reads and writes no more than the length given, and what `info` points to lives over the call
    // and is as long as it is said to be.
    unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) }
}
