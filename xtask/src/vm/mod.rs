//! `cargo xtask vm`: a command of this host's on another kernel, in qemu.
//!
//! Emulated in software: virtual machines in which this runs do not always
//! offer more, and what is tested is what a kernel accepts, not how fast it is.

mod cpio;
pub(crate) mod init;
mod initramfs;
mod kernel;
mod modules;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::kernel::{Kernel, get};
use crate::{
    Repo, process,
    stream::{self, End},
};

/// What links, qdiscs and filters of the tests need, where a kernel has it as
/// modules.
const MODULES: &[&str] =
    &["veth", "bridge", "dummy", "ifb", "tun", "8021q", "sch_fq", "sch_netem", "sch_ingress", "cls_bpf"];

/// Runs one command in a guest; the exit code is the command's own.
pub(crate) fn run(repo: &Repo, series: &str, limit: Duration, command: &[OsString]) -> Result<ExitCode> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("no command to run in the guest");
    };
    let program = if Path::new(program).components().count() > 1 {
        PathBuf::from(program)
    } else {
        process::find(program).with_context(|| format!("{}: not found in PATH", Path::new(program).display()))?
    };
    let kernel = get(repo, series)?;
    let code = boot(repo, &kernel, &program, arguments, limit, |line| {
        println!("{line}");
    })?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// Boots `kernel`, runs `program` there, hands on what the console shows, and
/// gives the exit code.
pub(crate) fn boot(
    repo: &Repo,
    kernel: &Kernel,
    program: &Path,
    arguments: &[OsString],
    limit: Duration,
    mut line: impl FnMut(&str),
) -> Result<i32> {
    let start = Instant::now();
    let modules = modules::load(&kernel.modules, MODULES)?;
    let folder = repo.target.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let initrd = folder.join(format!("initramfs-{}.cpio", std::process::id()));
    let written = initramfs::write(&initrd, &modules, program, arguments);
    let mut code = None;
    let end = written.and_then(|()| {
        let mut qemu = qemu(kernel, &initrd);
        stream::run(&mut qemu, limit, |text| {
            if let Some(rest) = text.trim().strip_prefix(init::EXIT) {
                code = rest.parse().ok();
            }
            line(text);
        })
    });
    let removed = fs::remove_file(&initrd);
    let end = end?;
    removed.with_context(|| format!("cannot remove {}", initrd.display()))?;
    println!("vm: Linux {} in qemu ({:.1} s)", kernel.release, start.elapsed().as_secs_f64());
    match (end, code) {
        (_, Some(code)) => Ok(code),
        (End::TimedOut, None) => {
            bail!("the guest with Linux {} did not finish within {} s", kernel.release, limit.as_secs())
        }
        (End::Exited(status), None) => {
            bail!("the guest with Linux {} ended ({status}) before its command did", kernel.release)
        }
    }
}

fn qemu(kernel: &Kernel, initrd: &Path) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "2"])
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args(["-display", "none", "-vga", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd)
        // What a kernel says at this level it says when it dies.
        .args(["-append", "console=ttyS0 quiet loglevel=1 panic=-1 mitigations=off"]);
    qemu
}
