//! The first process of a guest: mounts, inserts modules, runs one command,
//! says how it ended, powers off.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{self, Command},
};

use anyhow::{Context as _, Result};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        termios::tcdrain,
    },
    unistd::sync,
};

/// Where the kernel looks for it.
pub(crate) const PATH: &str = "/init";
/// The modules' paths, one a line, in the order of insertion.
pub(crate) const MODULES: &str = "/modules/order";
/// The command's words, separated by NUL.
pub(crate) const COMMAND: &str = "/etc/vm-command";
/// The line that says that the kernel came up: what comes after it is ours.
pub(crate) const UP: &str = "SHAPER-VM up";
/// What the line begins with that says how the command ended.
pub(crate) const EXIT: &str = "SHAPER-VM exit=";

const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("bpf", "/sys/fs/bpf"),
    ("debugfs", "/sys/kernel/debug"),
];

/// True when the kernel of a guest started this process. In a container this
/// program may be process 1 as well, but not under this name.
pub(crate) fn started_by_kernel() -> bool {
    process::id() == 1 && env::args_os().next().as_deref() == Some(OsStr::new(PATH))
}

/// Does its work and powers off; comes back only when that fails.
pub(crate) fn run() -> anyhow::Error {
    println!("\n{UP}");
    match work() {
        Ok(code) => println!("\n{EXIT}{code}"),
        Err(error) => println!("\nSHAPER-VM init: {error:#}"),
    }
    // The console is slow, and powering off does not wait for it.
    let _ = tcdrain(io::stdout());
    sync();
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(error) => anyhow::Error::new(error).context("cannot power off"),
    }
}

fn work() -> Result<i32> {
    for (kind, place) in MOUNTS {
        mount(Some(*kind), *place, Some(*kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    let order = fs::read_to_string(MODULES).with_context(|| format!("cannot read {MODULES}"))?;
    for module in order.lines() {
        insert(Path::new(module)).with_context(|| format!("cannot insert {module}"))?;
    }
    let command = fs::read(COMMAND).with_context(|| format!("cannot read {COMMAND}"))?;
    let mut words = command.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let program = words.next().with_context(|| format!("{COMMAND}: no command in it"))?;
    let status = Command::new(program)
        .args(words)
        .env("PATH", "/bin")
        .env("HOME", "/root")
        .env("NO_COLOR", "1")
        // What the modules bring must be there.
        .env("SHAPER_TEST_FQ", "1")
        .current_dir("/root")
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    // As a shell counts: a signal is 128 and its number.
    Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1))
}

fn insert(module: &Path) -> Result<()> {
    let file = File::open(module)?;
    finit_module(&file, c"", ModuleInitFlags::empty())?;
    Ok(())
}
