//! `cargo xtask vm`: a command of this host's on another kernel, in qemu.
//!
//! Emulated in software: virtual machines in which this runs do not always
//! offer more, and what is tested is what a kernel accepts, not how fast it is.

mod cpio;
pub(crate) mod init;
mod initramfs;
mod kernel;
mod modules;
mod nic;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::{
    kernel::{Kernel, SERIES, get, series},
    nic::Nic,
};
use crate::{
    Repo, process,
    stream::{self, End},
};

/// What links, qdiscs and filters of the tests need, where a kernel has it as
/// modules.
const MODULES: &[&str] = &[
    "veth",
    "bridge",
    "dummy",
    "ifb",
    "tun",
    "8021q",
    "sch_fq",
    "sch_fq_codel",
    "sch_netem",
    "sch_prio",
    "sch_tbf",
    "sch_ingress",
    "cls_bpf",
    "cls_flower",
    "cls_u32",
    // What nf_tables depends on asks for it by another name.
    "crc32c_generic",
    "nft_chain_nat",
    "nft_masq",
];

/// What an instruction takes where a guest's clock goes by them, a power of two.
pub(crate) const NANOS: u32 = 2;

/// What runs in a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: &'a [OsString],
    /// More programs, which it finds where it lies itself, and where they lie here.
    pub(crate) beside: &'a [PathBuf],
    pub(crate) nics: &'a [Nic],
    /// MiB.
    pub(crate) memory: u32,
    /// It has one processor, and its clock goes by the instructions of that: [`NANOS`] each, and waiting takes no time. So
    /// what else this machine does lengthens nothing there.
    pub(crate) counted: bool,
    /// When the guest is stopped.
    pub(crate) limit: Duration,
}

impl<'a> Guest<'a> {
    /// A program by itself.
    pub(crate) fn new(program: &'a Path, arguments: &'a [OsString], limit: Duration) -> Self {
        Self { program, arguments, beside: &[], nics: &[], memory: 2048, counted: false, limit }
    }
}

/// What a caller may ask for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The kernel's series: 6.1, 6.12, or all of these.
    #[arg(long, default_value = "6.1")]
    kernel: String,
    /// A network device of the guest, at a tap of its own; may be given again. The host's end has the address
    /// 10.78.0.1/24, that of the second 10.78.1.1/24.
    #[arg(long, value_enum)]
    nic: Vec<Nic>,
    /// A program that the one under test starts; may be given again.
    #[arg(long, value_name = "PROGRAM")]
    beside: Vec<PathBuf>,
    /// Seconds until the guest is stopped.
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// Run what docs/kernel-matrix.md is made of, on the kernels and on this host, and write it.
    #[arg(long, conflicts_with_all = ["nic", "beside", "command"])]
    matrix: bool,
    /// The program and its arguments; it runs as root, with the libraries
    /// it is linked with, what is `--beside` it, and nothing else.
    #[arg(last = true, required_unless_present = "matrix")]
    command: Vec<OsString>,
}

/// Runs one command in a guest, or in one for each kernel; the exit code is the
/// command's own, the first that is not 0.
pub(crate) fn run(repo: &Repo, arguments: &Arguments) -> Result<ExitCode> {
    let all = series(&arguments.kernel);
    if arguments.matrix {
        return crate::matrix::run(repo, &all);
    }
    let Some((program, words)) = arguments.command.split_first() else {
        bail!("no command to run in the guest");
    };
    let program = found(Path::new(program))?;
    let beside: Vec<PathBuf> = arguments.beside.iter().map(|program| found(program)).collect::<Result<_>>()?;
    let limit = Duration::from_secs(arguments.limit);
    let guest = Guest { beside: &beside, nics: &arguments.nic, ..Guest::new(&program, words, limit) };
    let mut first = None;
    let mut ran = false;
    for series in &all {
        let kernel = match get(repo, series) {
            Ok(kernel) => kernel,
            // Of several kernels those run that there are.
            Err(error) if all.len() > 1 => {
                println!("vm: Linux {series} is skipped: {error:#}");
                continue;
            }
            Err(error) => return Err(error),
        };
        ran = true;
        let code = boot(repo, &kernel, &guest, |line| println!("{line}"))?;
        first = first.or((code != 0).then_some(code));
    }
    if !ran {
        bail!("none of the kernels {} is to be had", all.join(", "));
    }
    Ok(ExitCode::from(u8::try_from(first.unwrap_or(0)).unwrap_or(u8::MAX)))
}

/// The file of a program: that of a path, or the one that a name has in PATH.
fn found(program: &Path) -> Result<PathBuf> {
    if program.components().count() > 1 {
        return std::path::absolute(program).with_context(|| format!("{}: no such path", program.display()));
    }
    process::find(program).with_context(|| format!("{}: not found in PATH", program.display()))
}

/// Boots `kernel`, runs the guest's program there, hands on what the console
/// shows, and gives the exit code.
pub(crate) fn boot(repo: &Repo, kernel: &Kernel, guest: &Guest<'_>, mut line: impl FnMut(&str)) -> Result<i32> {
    const MOST_BOOTS: u32 = 3;
    let mut boots = 1;
    let start = Instant::now();
    let names: Vec<&str> = MODULES.iter().chain(guest.nics.iter().flat_map(|nic| nic.modules())).copied().collect();
    let modules = modules::load(&kernel.modules, &names)?;
    let folder = repo.target.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Guests may run beside each other.
    static GUESTS: AtomicU64 = AtomicU64::new(0);
    let number = GUESTS.fetch_add(1, Ordering::Relaxed);
    let initrd = folder.join(format!("initramfs-{}-{number}.cpio", std::process::id()));
    let written = initramfs::write(&initrd, &modules, guest);
    let end = written.and_then(|()| {
        loop {
            let (mut is_up, mut code) = (false, None);
            let mut qemu = nic::attached(qemu(kernel, &initrd, guest), guest.nics)?;
            let end = stream::run(&mut qemu, guest.limit, |text| {
                is_up |= text.trim() == init::UP;
                if let Some(rest) = text.trim().strip_prefix(init::EXIT) {
                    code = rest.parse().ok();
                }
                line(text);
            })?;
            // Emulated kernels die now and then before they start anything of ours.
            if is_up || boots == MOST_BOOTS || matches!(end, End::TimedOut) {
                return Ok((end, code));
            }
            boots += 1;
            println!("vm: the kernel died before it started anything: boot {boots} of {MOST_BOOTS}");
        }
    });
    let removed = fs::remove_file(&initrd);
    let (end, code) = end?;
    removed.with_context(|| format!("cannot remove {}", initrd.display()))?;
    println!("vm: Linux {} in qemu ({:.1} s)", kernel.release, start.elapsed().as_secs_f64());
    match (end, code) {
        (_, Some(code)) => Ok(code),
        (End::TimedOut, None) => {
            bail!("the guest with Linux {} did not finish within {} s", kernel.release, guest.limit.as_secs())
        }
        (End::Exited(status), None) => {
            bail!("the guest with Linux {} ended ({status}) before its command did", kernel.release)
        }
    }
}

fn qemu(kernel: &Kernel, initrd: &Path, guest: &Guest<'_>) -> Command {
    // It ends with who waits for it, however that ends: nobody else would stop it.
    let mut qemu = Command::new("setpriv");
    qemu.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    // One thread for both processors: with one each, a processor runs now and then into the breakpoint by which the other
    // changed the kernel's code, when nobody waits for it there any more (`Oops: int3`).
    qemu.args(["-accel", "tcg,thread=single", "-cpu", "max", "-smp", if guest.counted { "1" } else { "2" }]);
    if guest.counted {
        qemu.arg("-icount").arg(format!("shift={},sleep=off", NANOS.ilog2()));
    }
    qemu.arg("-m")
        .arg(guest.memory.to_string())
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
