//! Each command with exactly the capabilities that the table gives it, and without each of them.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "support/cable.rs"]
mod cable;
#[path = "support/children.rs"]
mod children;
#[path = "support/command.rs"]
mod command;
#[path = "support/impaired.rs"]
mod impaired;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cable::{Cable, DEVICE};
use caps::{CapSet, CapsHashSet};
use children::child;
use command::{SOON, shaper, signal, stderr};
use impaired::{apply, impaired};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shaper::capabilities::{Capability, Task};
use shaper_net::process::ProcessId;
use support::{Host, SHAPER, Traces, on_own_host, until};

const NOBODY: u32 = 65_534;

/// As root that can get no other capabilities than these.
fn with(capabilities: &[Capability], arguments: &[&str]) -> Output {
    std::thread::scope(|scope| {
        // Of a thread's own, as its namespaces are.
        let thread = scope.spawn(|| {
            for capability in caps::all() {
                if !capabilities.contains(&capability) {
                    caps::drop(None, CapSet::Bounding, capability).unwrap();
                }
            }
            caps::clear(None, CapSet::Inheritable).unwrap();
            Command::new(SHAPER).args(arguments).stdin(Stdio::null()).output().unwrap()
        });
        thread.join().unwrap()
    })
}

/// As somebody who is not root and has these.
fn as_nobody_with(capabilities: &[Capability], program: &str, arguments: &[&str]) -> Output {
    let all: CapsHashSet = capabilities.iter().copied().collect();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            caps::securebits::set_keepcaps(true).unwrap();
            // SAFETY: bare system calls; they change this thread alone, which ends here.
            unsafe {
                assert_eq!(libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY), 0);
                assert_eq!(libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY), 0);
            }
            for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable, CapSet::Ambient] {
                caps::set(None, set, &all).unwrap();
            }
            Command::new(program).args(arguments).current_dir("/").stdin(Stdio::null()).output().unwrap()
        });
        thread.join().unwrap()
    })
}

/// Where nobody listens.
const NO_SERVER: &str = "ws://127.0.0.1:9/ws";

/// Each task with a command for it, in an order in which each finds what it is about.
fn commands<'a>(out: &'a str, log: &'a str) -> Vec<(Task, Vec<&'a str>)> {
    let of = |task: Task, text: &'static str| (task, text.split_whitespace().collect::<Vec<_>>());
    vec![
        of(Task::Apply, "apply eth0 --delay 1ms --for 100ms"),
        of(Task::Apply, "apply eth0 --netns far --delay 1ms --for 100ms"),
        of(Task::Bridge, "bridge eth0 bystander0 --for 100ms"),
        of(Task::Exec, "exec --delay 1ms -- true"),
        (Task::Run, ["run", "probe", "--packets", "50", "--profile", "clean", "--json", "--out", out].to_vec()),
        of(Task::LabUp, "lab up --delay 1ms"),
        of(Task::LabExec, "lab exec a -- true"),
        of(Task::LabDown, "lab down"),
        of(Task::Capture, "capture eth0 -w /dev/null --for 100ms"),
        of(Task::Verifier, "doctor --verifier"),
        of(Task::Apply, "apply eth0 --delay 1ms --detach"),
        of(Task::Change, "apply eth0 --delay 2ms --change"),
        of(Task::Status, "status"),
        of(Task::Clear, "clear eth0"),
        (Task::Workload, ["toast", "peer", "--interface", DEVICE, "--duration", "100ms", "--log", log].to_vec()),
        (
            Task::WorkloadInside,
            ["webrtc", "load", "--netns", "far", "-s", NO_SERVER, "-c", "1", "-d", "100ms", "-r", "0", "--out", out]
                .to_vec(),
        ),
        of(Task::Files, "profile check wifi"),
        of(Task::Files, "lab list"),
    ]
}

#[test]
fn each_command_works_with_what_the_table_says_and_nothing_more() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let [out, log] = ["run", "log"].map(|name| host.folder.path().join(name).to_str().unwrap().to_owned());
        for (task, arguments) in commands(&out, &log) {
            let output = with(task.needs(), &arguments);
            // Nobody sent anything to the peer, and a few packets are too few for a run's judgement.
            let codes: &[i32] =
                if matches!(task, Task::Workload | Task::WorkloadInside | Task::Run) { &[0, 1] } else { &[0] };
            assert!(codes.contains(&output.status.code().unwrap()), "{arguments:?}: {}", stderr(&output));
        }
        assert!(fs::metadata(format!("{out}/summary.json")).is_ok());
        cable.cut();
    });
}

#[test]
fn without_one_of_them_it_is_named_and_nothing_is_changed() {
    // The kernel asks for CAP_IPC_LOCK only where this limit is passed.
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
    setrlimit(Resource::RLIMIT_MEMLOCK, hard.min(1 << 20), hard.min(1 << 20)).unwrap();
    on_own_host(|host| {
        let cable = Cable::laid();
        let before = Traces::now();
        let [out, log] = ["run", "log"].map(|name| host.folder.path().join(name).to_str().unwrap().to_owned());
        let mut seen = BTreeSet::new();
        for (task, arguments) in commands(&out, &log) {
            for missing in task.needs() {
                let others: Vec<Capability> = task.needs().iter().copied().filter(|other| other != missing).collect();
                let output = with(&others, &arguments);
                let said = stderr(&output);
                assert_eq!(output.status.code(), Some(2), "{arguments:?} without {missing}: {said}");
                let last = said.lines().last().unwrap_or_default();
                let wanted = format!("shaper: shaper {} needs {missing} (", task.name());
                assert!(last.starts_with(&wanted), "{arguments:?} without {missing}: {said}");
                assert!(!others.iter().any(|other| last.contains(&other.to_string())), "{last}");
                seen.insert(task.name());
            }
        }
        assert_eq!(Traces::now(), before);
        assert!(!fs::exists(&out).unwrap());
        let with_needs: BTreeSet<_> = Task::all().filter(|task| !task.needs().is_empty()).map(Task::name).collect();
        assert_eq!(seen, with_needs, "each command that needs any was tried");
        cable.cut();
    });
}

#[test]
fn the_doctor_says_what_is_missing_for_which_command() {
    on_own_host(|_| {
        let others: Vec<Capability> =
            Task::Run.needs().iter().copied().filter(|other| *other != Capability::CAP_NET_RAW).collect();
        let output = with(&others, &["doctor", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = told["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["item"] == "capabilities").unwrap();
        let text = found["found"].as_str().unwrap();
        assert_eq!(found["has"], "no", "{text}");
        assert!(text.contains("CAP_NET_RAW (for apply, bridge, exec, run, lab up, capture)"), "{text}");
        assert!(!text.contains("CAP_NET_ADMIN"), "{text}");
        assert_eq!(output.status.code(), Some(1));
    });
}

/// The sets of a process, by their names in its status.
fn sets(pid: u32) -> Vec<(String, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    parsed(&status)
}

fn parsed(status: &str) -> Vec<(String, u64)> {
    let lines = status.lines().filter_map(|line| line.strip_prefix("Cap")?.split_once(":\t"));
    lines.map(|(set, bits)| (set.to_owned(), u64::from_str_radix(bits, 16).unwrap())).collect()
}

fn bits<'a>(capabilities: impl IntoIterator<Item = &'a Capability>) -> u64 {
    capabilities.into_iter().fold(0, |bits, capability| bits | capability.bitmask())
}

#[test]
fn what_is_not_needed_is_given_up_also_by_the_guard() {
    on_own_host(|_| {
        let cable = Cable::laid();
        let mut running = apply(&[DEVICE, "--delay", "20ms"]);
        impaired(&mut running);
        let guard = child(running.id(), "__guard").unwrap();
        let of = |task: Task| bits(task.needs().iter().chain(task.uses()));
        for (pid, task) in [(running.id(), Task::Apply), (guard.pid, Task::Guard)] {
            for (set, has) in sets(pid) {
                // A guard is started by who cannot cut down this set any more.
                let most = if set == "Bnd" { of(Task::Apply) } else { of(task) };
                assert_eq!(has & !most, 0, "{} has more in Cap{set}", task.name());
            }
        }
        assert!(cable.takes(|took| took >= Duration::from_millis(40)));
        signal(ProcessId::of(running.id()).unwrap(), libc::SIGTERM);
        assert!(running.wait().unwrap().success());
        assert!(until(SOON, || !guard.is_running().unwrap()));
        cable.cut();
    });
}

#[test]
fn a_command_has_what_its_caller_had() {
    on_own_host(|_| {
        assert!(shaper(&["lab", "up", "--delay", "1ms"]).status.success());
        let own = Command::new("cat").arg("/proc/self/status").output().unwrap();
        let own = parsed(&String::from_utf8(own.stdout).unwrap());
        for arguments in ["exec --quiet --delay 1ms -- cat /proc/self/status", "lab exec a -- cat /proc/self/status"] {
            let output = shaper(&arguments.split_whitespace().collect::<Vec<_>>());
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(parsed(&String::from_utf8(output.stdout).unwrap()), own, "{arguments}");
        }
        assert!(shaper(&["lab", "down"]).status.success());
    });
}

#[test]
fn a_command_dies_with_who_started_it_though_it_may_do_more() {
    on_own_host(|_| {
        let mut running = Command::new(SHAPER)
            .args(["exec", "--quiet", "--delay", "1ms", "--", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // Before it is the command it is a copy of who starts it.
        let comm = |process: ProcessId| fs::read_to_string(format!("/proc/{}/comm", process.pid)).unwrap_or_default();
        let mut command = None;
        assert!(until(SOON, || {
            command = child(running.id(), "1000").filter(|process| comm(*process) == "sleep\n");
            command.is_some()
        }));
        let command = command.unwrap();
        // Nobody else is there to end it.
        let guard = child(running.id(), "__guard").unwrap();
        signal(guard, libc::SIGKILL);
        assert!(until(SOON, || !guard.is_running().unwrap()));
        running.kill().unwrap();
        running.wait().unwrap();
        assert!(until(SOON, || !command.is_running().unwrap()));
        assert!(shaper(&["clear"]).status.success());
    });
}

/// A copy of the command where anybody can run it.
fn copy(host: &Host) -> String {
    let copy = host.folder.path().join("shaper");
    // By another process: a descriptor of ours would keep it from being run by what another test starts meanwhile.
    assert!(Command::new("cp").arg(SHAPER).arg(&copy).status().unwrap().success());
    copy.to_str().unwrap().to_owned()
}

#[test]
fn whoever_is_not_root_needs_the_files_of_root_too_and_hands_on_what_he_has() {
    on_own_host(|host| {
        let program = copy(host);
        let command = ["exec", "--quiet", "--delay", "1ms", "--", "cat", "/proc/self/status"];
        let mut has = Task::Exec.needs().to_vec();
        let refused = stderr(&as_nobody_with(&has, &program, &command));
        assert!(refused.contains("needs CAP_DAC_OVERRIDE (") && refused.contains("setcap"), "{refused}");
        has.push(Capability::CAP_DAC_OVERRIDE);
        // Of no use to us, but the caller's.
        has.push(Capability::CAP_SYS_NICE);
        let output = as_nobody_with(&has, &program, &command);
        assert!(output.status.success(), "{}", stderr(&output));
        let inside = parsed(&String::from_utf8(output.stdout).unwrap());
        let of = |wanted: &str| inside.iter().find(|(set, _)| set == wanted).unwrap().1;
        assert_eq!((of("Prm"), of("Amb")), (bits(&has), bits(&has)));
    });
}

#[test]
fn whoever_may_not_ask_how_interfaces_stand_is_told_so_and_root_is_not_demanded() {
    on_own_host(|host| {
        let cable = Cable::laid();
        let program = copy(host);
        let asks = |capabilities: &[Capability], arguments: &[&str]| as_nobody_with(capabilities, &program, arguments);
        let (status, change) = (["status"], ["apply", DEVICE, "--change", "--delay", "2ms"]);
        let nothing = asks(&[], &status);
        assert!(nothing.status.success(), "{}", stderr(&nothing));
        assert!(shaper(&["apply", DEVICE, "--delay", "1ms", "--detach"]).status.success());
        for arguments in [&status[..], &change] {
            let refused = asks(&[], arguments);
            let said = stderr(&refused);
            assert_eq!(refused.status.code(), Some(2), "{said}");
            assert!(said.contains("/run/shaper/") && said.contains("CAP_DAC_OVERRIDE"), "{said}");
            let told = asks(&[Capability::CAP_DAC_OVERRIDE], arguments);
            assert!(told.status.success(), "{arguments:?}: {}", stderr(&told));
            assert!(String::from_utf8_lossy(&told.stdout).contains("egress"), "{told:?}");
        }
        assert!(shaper(&["clear", DEVICE]).status.success());
        cable.cut();
    });
}
