//! One command behind a link, as root: what reaches it, how it ends, and that nothing is left.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[expect(dead_code, reason = "what runs inside asks by itself")]
#[path = "support/cable.rs"]
mod cable;
#[path = "support/command.rs"]
mod command;
mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cable::{Cable, FAR, NEAR};
use command::{SOON, shaper, signal, start, stderr};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use shaper_net::process::ProcessId;
use support::{SHAPER, Traces, on_own_host, until};

const PORT: u16 = 7009;

/// A host that answers every datagram, and where those came from. It knows the way to this host alone.
fn with_far_host(test: impl FnOnce()) {
    let cable = Cable::laid();
    let server = cable.far.run(|| UdpSocket::bind((FAR, PORT)).unwrap()).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 64];
            while !done.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = server.recv_from(&mut buffer) {
                    assert_eq!(peer.ip(), NEAR, "what comes from inside comes by this host's address");
                    server.send_to(&buffer[..length], peer).unwrap();
                }
            }
        });
        let ended = catch_unwind(AssertUnwindSafe(test));
        // Also when the test failed: else nobody tells the server.
        done.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| resume_unwind(panic));
    });
    cable.cut();
}

/// What a command inside does: it asks the far host over and over, by bash alone, and says how many milliseconds each
/// answer took.
fn asking(times: u32) -> String {
    format!(
        "exec 3<>/dev/udp/{FAR}/{PORT}; for i in $(seq {times}); do s=$(date +%s%N); echo -n x >&3; \
         read -r -t 2 -n 1 -u 3 || exit 9; e=$(date +%s%N); echo $(( (e - s) / 1000000 )); done"
    )
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(output))
}

/// The milliseconds of each answer.
fn took(output: &Output) -> Vec<u64> {
    assert_eq!(output.status.code(), Some(0), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.parse().unwrap()).collect()
}

fn in_background(arguments: &[&str]) -> Child {
    start(&[&["exec"], arguments].concat())
}

fn is_up() -> bool {
    String::from_utf8_lossy(&shaper(&["status", "--json"]).stdout).contains("the link of sleep")
}

#[test]
fn a_command_reaches_out_through_the_link_and_its_code_is_returned() {
    on_own_host(|_| {
        with_far_host(|| {
            let before = Traces::now();
            let output =
                shaper(&["exec", "--up", "--delay 20ms", "--down", "--delay 10ms", "--", "bash", "-c", &asking(5)]);
            let times = took(&output);
            assert!(times.len() == 5 && times.iter().all(|millis| *millis >= 30), "{times:?}");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.starts_with("up: delay 20 ms") && said.contains("down: delay 10 ms"), "{said}");
            assert!(said.contains("  up       in 5  out 5") && said.contains("the link of bash is gone"), "{said}");
            assert_eq!(Traces::now(), before);

            for (script, code) in [("exit 7", 7), ("kill -TERM $$", 128 + 15)] {
                let output = shaper(&["exec", "--delay", "1ms", "-q", "--", "sh", "-c", script]);
                assert_eq!((output.status.code(), told(&output)), (Some(code), String::new()));
            }
            let script = asking(3);
            for (expectation, code, words) in [
                ("arrived.up == 3", 0, "held, measured 3"),
                ("loss.up < 1%", 0, "held, measured 0.000 % (0 of 3)"),
                ("out.down > 3", 1, "FAILED, measured 3"),
            ] {
                let output = shaper(&["exec", "--delay", "1ms", "--expect", expectation, "--", "bash", "-c", &script]);
                assert_eq!(output.status.code(), Some(code), "{expectation}: {}", told(&output));
                assert!(told(&output).contains(words), "{expectation}: {}", told(&output));
            }
            let inside = shaper(&["exec", "--delay", "1ms", "-q", "--", "cat", "/etc/resolv.conf"]);
            assert_eq!(inside.status.code(), Some(0), "{}", told(&inside));
            assert_eq!(Traces::now(), before);
        });
    });
}

/// The answer to a question for an address (RFC 1035, section 4): this one.
fn named(question: &[u8], address: Ipv4Addr) -> Vec<u8> {
    let mut answer = question.to_vec();
    // An answer without an error; one question and one record, which is of the name that the question begins with; an
    // address of the internet, for a minute. What is beside the question, such as the size that the asker takes, is not
    // answered.
    answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
    answer.truncate(12 + name + 1 + 4);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
    answer.extend(address.octets());
    answer
}

#[test]
fn names_are_found_from_inside_also_where_the_hosts_own_resolver_cannot_be_reached() {
    // A guest has nobody who asks.
    if std::process::Command::new("getent").arg("--version").output().is_err() {
        println!("skipped: there is no getent, which is of every host's C library");
        return;
    }
    let at = std::fs::canonicalize("/etc/resolv.conf").unwrap();
    on_own_host(|host| {
        let cable = Cable::laid();
        let before = Traces::now();
        // As with systemd-resolved: the host's own resolver listens on its loopback device, which is another inside.
        let shown = host.folder.path().join("resolv.conf");
        // What it is a link to may have lain below /run, of which this host has its own.
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        if !at.exists() {
            std::fs::write(&at, "").unwrap();
        }
        std::fs::write(&shown, "nameserver 127.0.0.53\n").unwrap();
        mount(Some(&shown), &at, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        let inside = |command: &[&str]| shaper(&[&["exec", "--delay", "5ms", "-q", "--"], command].concat());
        let file = || String::from_utf8(inside(&["cat", "/etc/resolv.conf"]).stdout).unwrap();
        assert_eq!(file(), "nameserver 127.0.0.53\n", "nobody knows a better one");
        std::fs::create_dir_all("/run/systemd/resolve").unwrap();
        let beyond = format!("# theirs\nnameserver ::1\nnameserver {FAR}\n");
        std::fs::write("/run/systemd/resolve/resolv.conf", beyond).unwrap();
        assert_eq!(file(), format!("nameserver {FAR}\n"));

        let server = cable.far.run(|| UdpSocket::bind((FAR, 53)).unwrap()).unwrap();
        server.set_read_timeout(Some(SOON)).unwrap();
        let found = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 512];
                let (length, peer) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&named(&buffer[..length], Ipv4Addr::new(192, 0, 2, 7)), peer).unwrap();
            });
            inside(&["getent", "ahostsv4", "somewhere.test"])
        });
        assert!(told(&found).starts_with("192.0.2.7 "), "{}", told(&found));
        // The host's own file stays as it is.
        assert_eq!(std::fs::read_to_string(&at).unwrap(), "nameserver 127.0.0.53\n");
        umount2(&at, MntFlags::MNT_DETACH).unwrap();
        assert_eq!(Traces::now(), before);
        cable.cut();
    });
}

#[test]
fn one_within_another_adds_up() {
    on_own_host(|_| {
        with_far_host(|| {
            let before = Traces::now();
            let script = asking(3);
            let inner = [SHAPER, "exec", "-q", "--delay", "10ms", "--", "bash", "-c", &script];
            let times = took(&shaper(&[&["exec", "-q", "--delay", "15ms", "--"], &inner[..]].concat()));
            assert!(times.len() == 3 && times.iter().all(|millis| *millis >= 50), "{times:?}");
            assert_eq!(Traces::now(), before);
        });
    });
}

#[test]
fn one_that_ends_takes_no_other_ones_way_out() {
    on_own_host(|_| {
        with_far_host(|| {
            let before = Traces::now();
            let forwards = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap().trim().to_owned();
            assert_eq!(forwards(), "0");
            let mut first = in_background(&["--delay", "1ms", "--", "sleep", "2"]);
            assert!(until(SOON, is_up), "it does not come up");
            let script = format!("sleep 3; {}", asking(3));
            let output = shaper(&["exec", "-q", "--delay", "5ms", "--", "bash", "-c", &script]);
            assert_eq!(took(&output).len(), 3);
            assert_eq!(first.wait().unwrap().code(), Some(0));
            assert_eq!(forwards(), "0");
            assert_eq!(Traces::now(), before);
        });
    });
}

#[test]
fn what_a_command_leaves_behind_is_cut_off_and_told() {
    on_own_host(|_| {
        with_far_host(|| {
            let before = Traces::now();
            let output =
                shaper(&["exec", "-q", "--delay", "1ms", "--", "sh", "-c", "sleep 600 >&- 2>&- <&- & echo $!"]);
            assert_eq!(output.status.code(), Some(0), "{}", told(&output));
            assert!(told(&output).contains("1 processes that sh left behind"), "{}", told(&output));
            assert_eq!(Traces::now().devices, before.devices);
            let pid: u32 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
            signal(ProcessId::of(pid).unwrap(), libc::SIGKILL);
            assert!(until(SOON, || Traces::now() == before));
        });
    });
}

#[test]
fn each_signal_reaches_the_command() {
    on_own_host(|_| {
        with_far_host(|| {
            let before = Traces::now();
            let mut running = in_background(&["--delay", "5ms", "--", "sleep", "1000"]);
            assert!(until(SOON, is_up), "it does not come up");
            let process = ProcessId::of(running.id()).unwrap();
            // That of a terminal that is interrupted: it would have reached the command by itself.
            signal(process, libc::SIGINT);
            std::thread::sleep(Duration::from_millis(300));
            signal(process, libc::SIGTERM);
            assert_eq!(running.wait().unwrap().code(), Some(128 + 15));
            assert_eq!(Traces::now(), before);
        });
    });
}

#[test]
fn told_to_end_or_killed_the_command_ends_too_and_nothing_is_left() {
    on_own_host(|_| {
        with_far_host(|| {
            let before = Traces::now();
            for number in [libc::SIGTERM, libc::SIGKILL] {
                let mut running = in_background(&["--delay", "5ms", "--", "sleep", "1000"]);
                assert!(until(SOON, is_up), "it does not come up");
                signal(ProcessId::of(running.id()).unwrap(), number);
                let status = running.wait().unwrap();
                if number == libc::SIGTERM {
                    assert_eq!(status.code(), Some(128 + 15), "that of the command");
                }
                assert!(until(SOON, || Traces::now() == before), "{number}: {:?}", Traces::now());
                let forwards = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
                assert_eq!(forwards.trim(), "0", "{number}");
            }
        });
    });
}

#[test]
fn what_cannot_be_run_is_refused_and_nothing_is_left() {
    on_own_host(|_| {
        let before = Traces::now();
        for (arguments, words) in [
            (&["--delay", "1ms", "--", "nosuchcommand"][..], "nosuchcommand"),
            (&["--", "true"], "nothing is asked for"),
            (&["--up", "--delay 1", "--", "true"], "--up"),
            (&["--delay", "1ms"], "CMD"),
        ] {
            let output = shaper(&[&["exec"], arguments].concat());
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", told(&output));
            assert!(told(&output).contains(words), "{arguments:?}: {}", told(&output));
            assert_eq!(Traces::now(), before, "{arguments:?}");
        }
    });
}
