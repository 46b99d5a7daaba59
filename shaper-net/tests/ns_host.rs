//! Single changes: that each is made, journalled, and taken back.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use shaper_net::Error;
use shaper_net::journal::{Entry, Journal};
use shaper_net::netns::{self, NetNs};
use shaper_net::offload::{Ethtool, Offload, OffloadGuard};
use shaper_net::process::ProcessId;
use shaper_net::role::{Role, RoleSpec};
use shaper_net::rtnl::{MacAddr, Rtnl, VethEnd};
use shaper_net::signals::Signals;
use shaper_net::sysctl::{self, SysctlGuard};
use support::{HELPER, Traces};

fn main() -> ExitCode {
    support::main(
        &[
            ("a_namespace_is_one_that_ip_netns_knows", a_namespace_is_one_that_ip_netns_knows),
            ("a_taken_name_stays_whose_it_is", a_taken_name_stays_whose_it_is),
            ("both_ends_of_a_veth_pair_are_as_asked_for", both_ends_of_a_veth_pair_are_as_asked_for),
            ("offloads_are_put_back_as_they_were", offloads_are_put_back_as_they_were),
            (
                "what_was_changed_of_a_device_is_put_back_under_its_new_name",
                what_was_changed_of_a_device_is_put_back_under_its_new_name,
            ),
            ("a_sysctl_is_put_back_as_it_was", a_sysctl_is_put_back_as_it_was),
            ("undoing_a_journal_takes_back_every_kind_of_change", undoing_a_journal_takes_back_every_kind_of_change),
            ("a_step_that_fails_is_reported_and_kept", a_step_that_fails_is_reported_and_kept),
            ("a_role_runs_in_its_namespace_and_ends_when_told", a_role_runs_in_its_namespace_and_ends_when_told),
            ("a_role_dies_with_the_process_that_started_it", a_role_dies_with_the_process_that_started_it),
            ("a_role_outlives_the_thread_that_asked_for_it", a_role_outlives_the_thread_that_asked_for_it),
            ("signals_ask_to_stop_and_wake_who_waits", signals_ask_to_stop_and_wake_who_waits),
        ],
        &[("parent", parent), ("waits_for_a_signal", waits_for_a_signal), ("reports_devices", reports_devices)],
    )
}

fn journal() -> Journal {
    Journal::create("test").unwrap()
}

fn a_namespace_is_one_that_ip_netns_knows() {
    let before = Traces::now();
    let journal = journal();
    let netns = NetNs::create(&journal, "one").unwrap();
    let out = Command::new("ip").args(["-n", "one", "-o", "link"]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("lo: <LOOPBACK,UP"), "{text}");
    let inside = netns.run(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap();
    let opened = NetNs::open("one").unwrap();
    assert_eq!(opened.run(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap()).unwrap(), inside);
    assert_ne!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), inside, "the caller stays where it was");
    drop(opened);
    assert!(NetNs::open("one").is_ok(), "one that was only opened stays");
    drop(netns);
    assert!(matches!(NetNs::open("one"), Err(Error::Missing { .. })));
    drop(journal);
    assert_eq!(Traces::now(), before);
}

fn a_taken_name_stays_whose_it_is() {
    let first = journal();
    let netns = NetNs::create(&first, "one").unwrap();
    let second = journal();
    assert!(matches!(NetNs::create(&second, "one"), Err(Error::Exists { .. })));
    assert!(matches!(NetNs::create(&second, "../one"), Err(Error::BadName { .. })));
    second.undo().unwrap();
    assert_eq!(netns::list().unwrap(), ["one"]);
    drop(netns);
    assert_eq!(netns::list().unwrap(), [""; 0]);
}

fn both_ends_of_a_veth_pair_are_as_asked_for() {
    let journal = journal();
    let (one, two) = (NetNs::create(&journal, "one").unwrap(), NetNs::create(&journal, "two").unwrap());
    let mut left = VethEnd::new(Some(&one), "left");
    left.mac = Some(MacAddr([2, 0, 0, 0, 0, 1]));
    left.mtu = 1400;
    left.txqueuelen = Some(77);
    left.up = true;
    let right = VethEnd::new(Some(&two), "right");
    let rtnl = one.rtnl().unwrap();
    rtnl.create_veth(&left, &right).unwrap();
    let found = rtnl.link("left").unwrap();
    assert_eq!((found.mac, found.mtu, found.txqueuelen, found.up), (left.mac, 1400, 77, true));
    assert_eq!(found.kind, "veth");
    assert!(!found.lower_up);
    let there = two.rtnl().unwrap();
    let other = there.link("right").unwrap();
    assert_eq!((other.mtu, other.up), (1500, false));
    assert!(matches!(rtnl.create_veth(&left, &right), Err(Error::Exists { .. })));
    there.rename(other.index, "renamed").unwrap();
    there.set_mtu(other.index, 1400).unwrap();
    there.set_up(other.index, true).unwrap();
    assert_eq!(there.find_index(other.index).unwrap().unwrap().name, "renamed");
    assert!(rtnl.link("left").unwrap().lower_up);
    rtnl.delete(found.index).unwrap();
    assert!(there.find("renamed").unwrap().is_none());
    let error = rtnl.set_mtu(found.index, 1400).unwrap_err().to_string();
    assert!(error.contains("set an MTU of 1400") && error.contains("No such device"), "{error}");
}

/// A veth pair on the test's host itself.
fn pair_on_the_host() -> Rtnl {
    let rtnl = Rtnl::open().unwrap();
    rtnl.create_veth(&VethEnd::new(None, "v0"), &VethEnd::new(None, "v1")).unwrap();
    rtnl
}

fn offloads_are_put_back_as_they_were() {
    let journal = journal();
    let _rtnl = pair_on_the_host();
    let ethtool = Ethtool::open().unwrap();
    // One that a person had switched off stays off.
    ethtool.set("v0", &[("tx-tcp6-segmentation".into(), false)]).unwrap();
    let before = ethtool.features("v0").unwrap();
    let active = || {
        let on = |f: &shaper_net::offload::Feature| f.active && Offload::ALL.iter().any(|o| o.includes(&f.name));
        ethtool.features("v0").unwrap().into_iter().filter(|f| f.changeable && on(f)).count()
    };
    assert!(active() > 3);
    let guard = OffloadGuard::switch_off(&journal, None, "v0", &Offload::ALL).unwrap();
    assert_eq!(active(), 0);
    drop(guard);
    assert_eq!(ethtool.features("v0").unwrap(), before);
    let guard = OffloadGuard::switch_off(&journal, None, "v0", &[Offload::TxChecksum]).unwrap();
    std::mem::forget(guard);
    assert_ne!(ethtool.features("v0").unwrap(), before);
    journal.undo().unwrap();
    assert_eq!(ethtool.features("v0").unwrap(), before);
}

fn what_was_changed_of_a_device_is_put_back_under_its_new_name() {
    let first = journal();
    let rtnl = pair_on_the_host();
    let ethtool = Ethtool::open().unwrap();
    ethtool.set("v0", &[("rx-gro".into(), true)]).unwrap();
    let before = ethtool.features("v0").unwrap();
    let index = rtnl.link("v0").unwrap().index;
    let guard = OffloadGuard::switch_off(&first, None, "v0", &[Offload::Gro]).unwrap();
    rtnl.rename(index, "renamed").unwrap();
    assert_ne!(ethtool.features("renamed").unwrap(), before);
    drop(guard);
    assert_eq!(ethtool.features("renamed").unwrap(), before);
    assert!(first.standing().unwrap().is_empty());
    first.undo().unwrap();

    // By the journal alone, as after SIGKILL; another device may have the old name by then.
    let second = journal();
    rtnl.rename(index, "v0").unwrap();
    std::mem::forget(OffloadGuard::switch_off(&second, None, "v0", &[Offload::Gro]).unwrap());
    let qdisc = |index| Entry::Qdisc { netns: None, ifname: "v0".into(), index, kind: "clsact".into() };
    let _ = second.record(qdisc(index)).unwrap();
    assert!(Command::new("tc").args(["qdisc", "add", "dev", "v0", "clsact"]).status().unwrap().success());
    rtnl.rename(index, "renamed").unwrap();
    rtnl.rename(rtnl.link("v1").unwrap().index, "v0").unwrap();
    let other = ethtool.features("v0").unwrap();
    let report = second.undo().unwrap();
    assert_eq!((report.undone.len(), report.failures.len()), (2, 0), "{report:?}");
    assert_eq!(ethtool.features("renamed").unwrap(), before);
    assert_eq!(ethtool.features("v0").unwrap(), other);
    assert!(rtnl.qdiscs(index).unwrap().iter().all(|qdisc| qdisc.kind != "clsact"));
}

fn a_sysctl_is_put_back_as_it_was() {
    let journal = journal();
    let netns = NetNs::create(&journal, "one").unwrap();
    let key = "net/ipv4/ip_forward";
    let now = || netns.run(|| sysctl::read(key).unwrap()).unwrap();
    let outside = sysctl::read(key).unwrap();
    let before = now();
    let other = if before == "0" { "1" } else { "0" };
    let guard = SysctlGuard::set(&journal, Some(&netns), key, other).unwrap();
    assert_eq!(guard.before(), before);
    assert_eq!(now(), other);
    assert_eq!(sysctl::read(key).unwrap(), outside);
    drop(guard);
    assert_eq!(now(), before);
    assert!(SysctlGuard::set(&journal, None, "../etc/passwd", "x").is_err());
}

fn undoing_a_journal_takes_back_every_kind_of_change() {
    std::fs::create_dir_all("/run/shaper").unwrap();
    let before = Traces::now();
    let journal = journal();
    let rtnl = Rtnl::open().unwrap();
    let record = |entry| journal.record(entry).unwrap();
    let _ = record(Entry::Link { netns: None, ifname: "v0".into() });
    pair_on_the_host();
    let _ = record(Entry::Qdisc { netns: None, ifname: "v0".into(), index: 0, kind: "clsact".into() });
    let added = Command::new("tc").args(["qdisc", "add", "dev", "v0", "clsact"]).status().unwrap();
    assert!(added.success());
    let v0 = rtnl.link("v0").unwrap().index;
    let clsact = |rtnl: &Rtnl| rtnl.qdiscs(v0).unwrap().iter().any(|q| q.kind == "clsact");
    assert!(clsact(&rtnl));
    let filter = |priority: &str| {
        // One instruction of classic BPF: return 0, no match.
        let program = ["bpf", "bytecode", "1,6 0 0 0", "flowid", "1:1"];
        let args = ["filter", "add", "dev", "v0", "egress", "prio", priority].into_iter().chain(program);
        assert!(Command::new("tc").args(args).status().unwrap().success());
    };
    filter("7");
    filter("8");
    assert!(!rtnl.delete_filter(v0, false, 7).unwrap() && !rtnl.delete_filter(v0, true, 9).unwrap());
    assert!(rtnl.delete_filter(v0, true, 7).unwrap() && !rtnl.delete_filter(v0, true, 7).unwrap());
    let left = Command::new("tc").args(["filter", "show", "dev", "v0", "egress"]).output().unwrap();
    let left = String::from_utf8(left.stdout).unwrap();
    assert!(left.contains("pref 8") && !left.contains("pref 7"), "{left}");
    assert!(!rtnl.delete_qdisc(v0, "ingress").unwrap(), "one of another kind is left alone");
    assert!(rtnl.delete_qdisc(v0, "clsact").unwrap() && !clsact(&rtnl));
    let dir = Path::new("/run/shaper/folder");
    let _ = record(Entry::Dir { path: dir.into() });
    std::fs::create_dir(dir).unwrap();
    let _ = record(Entry::Mount { path: dir.into() });
    nix::mount::mount(Some("tmpfs"), dir, Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>).unwrap();
    let file = Path::new("/run/shaper/file");
    let _ = record(Entry::File { path: file.into() });
    std::fs::write(file, "x").unwrap();
    let _ = record(Entry::NetNs { name: "never-made".into() });
    std::mem::forget(NetNs::create(&journal, "one").unwrap());
    let report = journal.undo().unwrap();
    assert_eq!((report.undone.len(), report.gone.len()), (5, 2), "{report:?}");
    assert_eq!(Traces::now(), before);
    assert!(matches!(journal.record(Entry::Dir { path: dir.into() }), Err(Error::JournalClosed { .. })));
}

fn a_step_that_fails_is_reported_and_kept() {
    let journal = journal();
    let dir = Path::new("/run/shaper/folder");
    let _ = journal.record(Entry::Dir { path: dir.into() }).unwrap();
    std::fs::create_dir(dir).unwrap();
    std::fs::write(dir.join("in-the-way"), "x").unwrap();
    std::mem::forget(NetNs::create(&journal, "one").unwrap());
    let Err(Error::Undo(report)) = journal.undo() else { panic!("the folder is not empty") };
    assert_eq!((report.undone.len(), report.failures.len()), (1, 1), "{report}");
    assert!(journal.path().exists());
    assert_eq!(netns::list().unwrap(), [""; 0], "one failure does not keep the rest from being undone");
    std::fs::remove_file(dir.join("in-the-way")).unwrap();
    assert_eq!(journal.undo().unwrap().undone, [Entry::Dir { path: dir.into() }]);
    assert!(!journal.path().exists());
}

fn reports_devices() {
    for link in Rtnl::open().unwrap().links().unwrap() {
        println!("{}", link.name);
    }
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn a_role_runs_in_its_namespace_and_ends_when_told() {
    let journal = journal();
    let netns = NetNs::create(&journal, "one").unwrap();
    let rtnl = netns.rtnl().unwrap();
    rtnl.create_veth(&VethEnd::new(None, "only-here"), &VethEnd::new(None, "and-here")).unwrap();
    let mut spec = RoleSpec::new("reporter", [HELPER, "reports_devices"]);
    spec.stdin = Stdio::piped();
    spec.stdout = Stdio::piped();
    let mut role = Role::spawn(&journal, &netns, spec).unwrap();
    let stdin = role.stdin().unwrap();
    let mut lines = BufReader::new(role.stdout().unwrap()).lines();
    let seen: Vec<_> = lines.by_ref().take(3).map(Result::unwrap).collect();
    assert!(seen.contains(&"only-here".to_owned()), "{seen:?}");
    assert!(role.try_wait().unwrap().is_none());
    assert_eq!(netns.processes().unwrap(), [role.pid()]);
    drop(stdin);
    assert!(role.wait().unwrap().success());
    // One that does not heed SIGTERM is killed.
    let mut spec = RoleSpec::new("deaf", ["-c", "trap '' TERM; echo deaf; exec sleep 1000"]).program("sh");
    spec.stdout = Stdio::piped();
    let mut role = Role::spawn(&journal, &netns, spec).unwrap();
    let mut said = String::new();
    BufReader::new(role.stdout().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "deaf\n");
    let status = role.terminate(Duration::from_millis(50)).unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    let role = Role::spawn(&journal, &netns, RoleSpec::new("dropped", ["1000"]).program("sleep")).unwrap();
    let id = ProcessId::of(role.pid()).unwrap();
    drop(role);
    assert!(!id.is_running().unwrap());
    assert!(Role::spawn(&journal, &netns, RoleSpec::new("none", [""; 0]).program("/nowhere")).is_err());
}

/// Starts a role, says its pid, and waits to be killed.
fn parent() {
    let journal = journal();
    let here = NetNs::current().unwrap();
    let role = Role::spawn(&journal, &here, RoleSpec::new("child", ["1000"]).program("sleep")).unwrap();
    println!("{}", role.pid());
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn a_role_dies_with_the_process_that_started_it() {
    let mut parent = Command::new("/proc/self/exe")
        .args([HELPER, "parent"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let role = ProcessId::of(line.trim().parse().unwrap()).unwrap().open().unwrap().unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert!(role.ended(Duration::from_secs(10)).unwrap());
}

fn a_role_outlives_the_thread_that_asked_for_it() {
    let journal = journal();
    let here = NetNs::current().unwrap();
    let spawn = || Role::spawn(&journal, &here, RoleSpec::new("sleeper", ["1000"]).program("sleep")).unwrap();
    let role = std::thread::scope(|scope| scope.spawn(spawn).join().unwrap());
    let running = ProcessId::of(role.pid()).unwrap().open().unwrap().unwrap();
    // A death signal of the ended thread would have been sent by its end; give it the time of a second process's life.
    assert!(Command::new("true").status().unwrap().success());
    assert!(!running.ended(Duration::from_millis(100)).unwrap());
}

fn waits_for_a_signal() {
    let signals = Signals::install().unwrap();
    assert_eq!(signals.requested(), None);
    assert!(!signals.wait(Some(Duration::ZERO)).unwrap());
    println!("ready");
    std::io::stdout().flush().unwrap();
    assert!(signals.wait(None).unwrap());
    println!("{}", signals.requested().unwrap());
}

fn signals_ask_to_stop_and_wake_who_waits() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut child =
            Command::new("/proc/self/exe").args([HELPER, "waits_for_a_signal"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        ProcessId::of(child.id()).unwrap().open().unwrap().unwrap().signal(signal).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), signal.to_string());
        assert!(child.wait().unwrap().success());
    }
}
