//! Runs each test in a process with a host of its own: a private `/run`, processes and mounts, and an empty network
//! namespace, so that what is left behind can be seen exactly, whatever else goes on on the machine.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use shaper_net::{guard, netns, rtnl::Rtnl};

/// A test, or something that a test starts as another process.
pub(crate) type Entry = (&'static str, fn());

const TEST: &str = "__test";
const INSIDE: &str = "__inside";
/// With a name behind it, makes this binary run that helper.
pub(crate) const HELPER: &str = "__helper";

/// What the test binary's main does. `helpers` run when it is started with [`HELPER`].
pub(crate) fn main(tests: &[Entry], helpers: &[Entry]) -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    match first.as_ref().and_then(|a| a.to_str()) {
        Some(guard::ARGUMENT) => guard::main(args),
        Some(TEST) => own_host(args.next().expect("a name")),
        Some(INSIDE) => {
            assert_eq!(std::process::id(), 1, "{INSIDE} is for a process of a namespace of its own");
            // Shows the processes of this host, which are ours to count.
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>).unwrap();
            call(tests, args.next())
        }
        Some(HELPER) => call(helpers, args.next()),
        _ => run_all(tests, first.into_iter().chain(args).collect()),
    }
}

fn call(entries: &[Entry], name: Option<OsString>) -> ExitCode {
    let name = name.expect("a name");
    let (_, f) = entries.iter().find(|(n, _)| name == *n).expect("a known name");
    f();
    ExitCode::SUCCESS
}

/// Runs one test with a host of its own. It is the first process of its pid namespace, so that with its end, however it
/// comes, all that it started ends too.
fn own_host(name: OsString) -> ExitCode {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)
        .expect("this test needs root");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    // Our copies of the real host's mounts there would come into the count, and go whenever theirs go.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for place in mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(|p| p.starts_with("/run/")) {
        let _ = umount2(place, MntFlags::MNT_DETACH);
    }
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let status = Command::new("/proc/self/exe").arg(INSIDE).arg(name).status().unwrap();
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(tests: &[Entry], args: Vec<OsString>) -> ExitCode {
    let filters: Vec<_> = args.iter().filter_map(|a| a.to_str()).filter(|a| !a.starts_with('-')).collect();
    if args.iter().any(|a| a == "--list") {
        for (name, _) in tests {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<_> =
        tests.iter().filter(|(name, _)| filters.is_empty() || filters.iter().any(|f| name.contains(f))).collect();
    let started = Instant::now();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = Vec::new();
    for (name, _) in &chosen {
        print!("test {name} ... ");
        std::io::stdout().flush().unwrap();
        let out = Command::new("/proc/self/exe").args([TEST, name]).stdin(Stdio::null()).output().unwrap();
        if out.status.success() {
            println!("ok");
        } else {
            println!("FAILED");
            failed.push((name, out));
        }
    }
    for (name, out) in &failed {
        println!("\n---- {name} ({}) ----", out.status);
        println!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    }
    println!(
        "\ntest result: {}. {} passed; {} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed.is_empty() { "ok" } else { "FAILED" },
        chosen.len() - failed.len(),
        failed.len(),
        tests.len() - chosen.len(),
        started.elapsed().as_secs_f64()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// All that this crate could leave behind on the test's host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces {
    pub(crate) namespaces: Vec<String>,
    pub(crate) devices: Vec<String>,
    pub(crate) mounts: Vec<String>,
    pub(crate) processes: Vec<String>,
    pub(crate) files: Vec<String>,
}

impl Traces {
    pub(crate) fn now() -> Self {
        let mut devices: Vec<_> = Rtnl::open().unwrap().links().unwrap().into_iter().map(|l| l.name).collect();
        devices.sort();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        // Ours are below /run (elsewhere, mounts of the real host may go while we look); the shared folder of all
        // namespaces stays, as with `ip netns`.
        let ours = |place: &&str| place.starts_with("/run/") && *place != netns::NETNS_DIR;
        let mut mounts: Vec<_> =
            mounts.lines().filter_map(|l| l.split(' ').nth(4)).filter(ours).map(String::from).collect();
        mounts.sort();
        let mut files: Vec<_> = std::fs::read_dir("/run/shaper")
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        Self { namespaces: netns::list().unwrap(), devices, mounts, processes: processes(), files }
    }
}

/// The running processes on the test's host, which are those that share its mount table, but for the test itself.
fn processes() -> Vec<String> {
    let here = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    let me = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().into_string().unwrap();
        let alive = |p: &Path| std::fs::read_link(p.join("ns/mnt")).is_ok_and(|ns| ns == here);
        if pid.bytes().all(|b| b.is_ascii_digit()) && pid != me && alive(&entry.path()) {
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push(format!("{pid} {}", String::from_utf8_lossy(&command).replace('\0', " ")));
        }
    }
    found
}
