//! What only root meets: each hindrance is one clear message and exit code 2, and leaves nothing behind.

#![cfg(feature = "live")]

#[path = "support/runs.rs"]
mod runs;
mod support;

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use runs::Ended;
use support::{Host, on_own_host};

const RUN: &str = "toast --profile clean --duration 1s";

/// Ended with 2 and one message, the last line, that has all of these words.
fn could_not_run(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let message = ended.stderr.lines().last().unwrap_or_default();
    assert!(message.starts_with("shaper: "), "{}", ended.stderr);
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

fn run_into(host: &Host, out: &Path, how: impl FnOnce(&mut Command)) -> Ended {
    host.start_with(RUN, out, how).end()
}

#[test]
fn an_empty_run_directory_is_taken_and_any_other_is_not() {
    on_own_host(|host| {
        let out = host.folder.path().join("mine");
        fs::create_dir(&out).unwrap();
        assert_eq!(run_into(host, &out, |_| {}).summary().run.workload, "toast");
        let before: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(before.len() >= 5, "{before:?}");
        could_not_run(&run_into(host, &out, |_| {}), &[out.to_str().unwrap(), "holds something", "--out"]);
        let after: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(before, after);

        let file = host.folder.path().join("file");
        fs::write(&file, "mine").unwrap();
        could_not_run(&run_into(host, &file, |_| {}), &[file.to_str().unwrap(), "--out"]);
        assert_eq!(fs::read(&file).unwrap(), b"mine");
        assert_eq!(fs::read_dir("/run/shaper").unwrap().count(), 0);
    });
}

#[test]
fn a_disk_that_is_full_is_told_with_its_path_and_nothing_stays() {
    on_own_host(|host| {
        let disk = host.folder.path().join("disk");
        fs::create_dir(&disk).unwrap();
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();

        // Full before the first file.
        let mut filler = fs::File::create(disk.join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        let full = disk.join("full");
        could_not_run(&run_into(host, &full, |_| {}), &[full.to_str().unwrap(), "No space left", "--out"]);
        assert!(!full.exists(), "{:?}", fs::read_dir(&full).unwrap().collect::<Vec<_>>());

        // Full in the middle: manifest and the beginnings of logs and captures find room.
        drop(filler);
        fs::remove_file(disk.join("filler")).unwrap();
        let filled = disk.join("filled");
        could_not_run(&run_into(host, &filled, |_| {}), &[filled.to_str().unwrap(), "No space left", "--out"]);
        assert!(!filled.exists(), "{:?}", fs::read_dir(&filled).unwrap().collect::<Vec<_>>());
        umount2(&disk, MntFlags::MNT_DETACH).unwrap();
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_told_with_its_path() {
    on_own_host(|host| {
        let disk = host.folder.path().join("disk");
        fs::create_dir(&disk).unwrap();
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>).unwrap();
        let out = disk.join("out");
        could_not_run(&run_into(host, &out, |_| {}), &[out.to_str().unwrap(), "Read-only", "--out"]);
        umount2(&disk, MntFlags::MNT_DETACH).unwrap();
    });
}

#[test]
fn a_kernel_without_af_xdp_is_told() {
    on_own_host(|host| {
        // With it, the same run works.
        assert_eq!(host.run(RUN).summary().run.engine, "xsk");
        let out = host.folder.path().join("out");
        let ended = run_into(host, &out, |command| {
            // SAFETY: between fork and exec two bare system calls are made, on memory that lives over them.
            unsafe {
                command.pre_exec(refuse_af_xdp);
            }
        });
        could_not_run(&ended, &["AF_XDP"]);
        assert!(!out.exists(), "{:?}", fs::read_dir(&out).unwrap().collect::<Vec<_>>());
    });
}

/// Makes `socket(AF_XDP, …)` fail as on a kernel without it.
fn refuse_af_xdp() -> std::io::Result<()> {
    const fn op(code: u32, yes: u8, no: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: yes, jf: no, k }
    }
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // Offsets in struct seccomp_data: nr, and the low half of args[0] on a little-endian machine.
    let mut filter = [
        op(LOAD, 0, 0, 0),
        op(EQUAL, 0, 3, libc::SYS_socket as u32),
        op(LOAD, 0, 0, 16),
        op(EQUAL, 0, 1, libc::AF_XDP as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32),
        op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: `program` and the filter it points to live over the call.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
