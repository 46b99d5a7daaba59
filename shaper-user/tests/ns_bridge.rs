//! Two interfaces, joined by an impaired link: what gets through, and that both are as they were, however it ends.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/command.rs"]
mod command;
#[path = "support/passes.rs"]
mod passes;
#[path = "support/renamed.rs"]
mod renamed;
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Child;
use std::time::{Duration, Instant};

use command::{SOON, shaper, signal, start, stderr};
use nix::libc;
use passes::{group_passes, stream_passes, tagged_frame_passes};
use renamed::renamed;
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::offload::{Ethtool, Offload};
use shaper_net::process::ProcessId;
use shaper_net::rtnl::{Rtnl, VethEnd};
use support::{Traces, on_own_host, until};

const LEFT: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const RIGHT: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
const LEFT6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 1);
const RIGHT6: Ipv6Addr = Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2);
const PORT: u16 = 7008;

/// Two hosts, each at an interface of the test's own: `to-left` and `to-right`. Nothing joins these.
struct Ends {
    left: NetNs,
    right: NetNs,
    journal: Journal,
}

impl Ends {
    fn new() -> Self {
        Self::with_queues(1)
    }

    /// The same with so many queues at each interface.
    fn with_queues(queues: u32) -> Self {
        let journal = Journal::create("test").unwrap();
        let host = |name: &str, v4: Ipv4Addr, v6: Ipv6Addr| {
            let host = NetNs::create(&journal, name).unwrap();
            let near = format!("to-{name}");
            let rtnl = Rtnl::open().unwrap();
            let far = VethEnd::new(Some(&host), "eth0");
            rtnl.create_veth(&VethEnd { queues, ..VethEnd::new(None, &near) }, &VethEnd { queues, ..far }).unwrap();
            rtnl.set_up(rtnl.link(&near).unwrap().index, true).unwrap();
            let inside = host.rtnl().unwrap();
            let device = inside.link("eth0").unwrap().index;
            inside.set_up(device, true).unwrap();
            inside.add_address(device, IpAddr::V4(v4), 24).unwrap();
            inside.add_address(device, IpAddr::V6(v6), 64).unwrap();
            inside.add_route(&shaper_net::rtnl::Route::ipv4_multicast(device)).unwrap();
            host
        };
        let (left, right) = (host("left", LEFT, LEFT6), host("right", RIGHT, RIGHT6));
        Self { left, right, journal }
    }

    /// How long a datagram takes from left to right and back; none when it is lost.
    fn echo(&self, from: IpAddr, to: IpAddr) -> Option<Duration> {
        let right = self.right.run(|| UdpSocket::bind((to, PORT)).unwrap()).unwrap();
        let left = self.left.run(|| UdpSocket::bind((from, 0)).unwrap()).unwrap();
        right.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        left.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let sent = Instant::now();
        left.send_to(b"there", SocketAddr::new(to, PORT)).unwrap();
        let mut buffer = [0; 16];
        let (length, peer) = right.recv_from(&mut buffer).ok()?;
        right.send_to(&buffer[..length], peer).unwrap();
        left.recv(&mut buffer).ok()?;
        Some(sent.elapsed())
    }

    fn gone(self) {
        let rtnl = Rtnl::open().unwrap();
        for name in ["to-left", "to-right"] {
            rtnl.delete(rtnl.link(name).unwrap().index).unwrap();
        }
        drop((self.left, self.right));
        self.journal.undo().unwrap();
    }
}

fn bridge(arguments: &[&str]) -> Child {
    start(&[&["bridge", "to-left", "to-right", "--json"], arguments].concat())
}

/// Waits until the bridge stands.
fn stands() -> bool {
    until(SOON, || {
        let output = shaper(&["status", "--json"]);
        String::from_utf8_lossy(&output.stdout).contains("to-left and to-right")
    })
}

/// Tells it to end, and reads how it went.
fn end(child: Child) -> (Option<i32>, serde_json::Value) {
    signal(ProcessId::of(child.id()).unwrap(), libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Sees that nothing went wrong and every packet is accounted for.
fn is_sound((code, told): &(Option<i32>, serde_json::Value)) {
    assert_eq!((*code, told["findings"].as_array().unwrap().len()), (Some(0), 0), "{told}");
    for direction in told["directions"].as_array().unwrap() {
        assert_eq!(direction["held"], 0, "{direction}");
        assert!(direction["arrived"].as_u64().unwrap() > 0, "{direction}");
    }
}

#[test]
fn both_families_and_their_neighbour_discovery_pass_delayed() {
    on_own_host(|_| {
        let ends = Ends::new();
        let before = Traces::now();
        assert_eq!(ends.echo(LEFT.into(), RIGHT.into()), None, "nothing joins the two");
        let running = bridge(&["--delay", "10ms", "--down", "--delay 5ms"]);
        assert!(stands());
        for (from, to) in [(IpAddr::V4(LEFT), IpAddr::V4(RIGHT)), (IpAddr::V6(LEFT6), IpAddr::V6(RIGHT6))] {
            // The first waits for the neighbour to be found.
            assert!(until(SOON, || ends.echo(from, to).is_some()), "{from} does not find {to}");
            let took = ends.echo(from, to).unwrap();
            assert!(took >= Duration::from_millis(15), "{took:?}");
        }
        let shown = shaper(&["status", "to-right"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains("to-left to to-right  delay 10 ms") && shown.contains("promiscuity of to-left"),
            "{shown}"
        );
        is_sound(&end(running));
        assert_eq!(Traces::now(), before);
        assert_eq!(ends.echo(LEFT.into(), RIGHT.into()), None, "nothing joins the two any more");
        ends.gone();
    });
}

#[test]
fn tcp_with_all_offloads_multicast_and_tagged_frames_pass_whole() {
    on_own_host(|_| {
        let ends = Ends::new();
        let before = Traces::now();
        let running = bridge(&["--delay", "1ms"]);
        assert!(stands());

        stream_passes(Some(&ends.left), &ends.right, RIGHT, 20 << 20);
        group_passes((Some(&ends.left), LEFT), (&ends.right, RIGHT));
        tagged_frame_passes(Some(&ends.left), &ends.right, "eth0");
        is_sound(&end(running));
        assert_eq!(Traces::now(), before);
        ends.gone();
    });
}

#[test]
fn by_xdp_at_the_interfaces_each_queue_is_served_and_all_is_as_before() {
    const QUEUES: u32 = 2;
    on_own_host(|_| {
        let ends = Ends::with_queues(QUEUES);
        // What a veth leaves to a device that comes behind it has no place in a frame.
        for host in [&ends.left, &ends.right] {
            host.run(|| Ethtool::open().unwrap().switch_off("eth0", &Offload::ALL).unwrap()).unwrap();
        }
        let before = Traces::now();
        let mut running = bridge(&["--delay", "5ms", "--hook", "xdp"]);
        assert!(stands());
        let status: serde_json::Value = serde_json::from_slice(&shaper(&["status", "--json"]).stdout).unwrap();
        assert_eq!((&status[0]["hook"], &status[0]["xdp_mode"]), (&"xdp".into(), &"driver".into()), "{status}");
        assert_eq!(status[0]["queues"], QUEUES, "{status}");
        let passes = |within: fn(Duration) -> bool| ends.echo(LEFT.into(), RIGHT.into()).is_some_and(within);
        assert!(until(SOON, || passes(|took| took >= Duration::from_millis(10))));

        // Flows fall to queues by their ports.
        for _ in 0..2 * QUEUES {
            stream_passes(Some(&ends.left), &ends.right, RIGHT, 4 << 20);
        }
        is_sound(&end(running));
        assert_eq!(Traces::now(), before);

        running = bridge(&["--delay", "5ms", "--hook", "xdp"]);
        assert!(stands());
        signal(ProcessId::of(running.id()).unwrap(), libc::SIGSTOP);
        assert!(until(SOON, || passes(|took| took < Duration::from_millis(5))), "it fails closed");
        signal(ProcessId::of(running.id()).unwrap(), libc::SIGKILL);
        running.wait().unwrap();
        assert!(until(SOON, || Traces::now() == before), "{:?}", Traces::now());
        ends.gone();
    });
}

#[test]
fn a_bridge_whose_process_stands_still_goes_on_without_impairment_and_ends_with_it() {
    on_own_host(|_| {
        let ends = Ends::new();
        let before = Traces::now();
        let mut running = bridge(&["--delay", "20ms", "--engine", "xsk"]);
        assert!(stands());
        let passes = |within: fn(Duration) -> bool| ends.echo(LEFT.into(), RIGHT.into()).is_some_and(within);
        assert!(until(SOON, || passes(|took| took >= Duration::from_millis(40))));
        signal(ProcessId::of(running.id()).unwrap(), libc::SIGSTOP);
        assert!(until(SOON, || passes(|took| took < Duration::from_millis(20))), "it fails closed");
        signal(ProcessId::of(running.id()).unwrap(), libc::SIGKILL);
        running.wait().unwrap();
        assert!(until(SOON, || Traces::now() == before), "{:?}", Traces::now());
        ends.gone();
    });
}

#[test]
fn what_has_been_through_one_is_impaired_by_the_next_too() {
    on_own_host(|_| {
        let ends = Ends::new();
        let before = Traces::now();
        let running = bridge(&["--delay", "10ms"]);
        assert!(stands());
        let arguments = ["apply", "eth0", "--netns", "right", "--ingress", "--delay 30ms", "--detach"];
        assert!(shaper(&arguments).status.success());
        let echo = || ends.echo(LEFT.into(), RIGHT.into());
        assert!(until(SOON, || echo().is_some()));
        let took = echo().unwrap();
        assert!(took >= Duration::from_millis(50), "{took:?}");
        assert!(shaper(&["clear", "eth0", "--netns", "right"]).status.success());
        is_sound(&end(running));
        assert_eq!(Traces::now(), before);
        ends.gone();
    });
}

/// Gives one of two bridged interfaces another name before the bridge ends, and sees that all is as before.
fn is_put_back_under_another_name(arguments: &[&str]) {
    let before = Traces::now();
    let running = bridge(arguments);
    assert!(stands());
    let left = Rtnl::open().unwrap().link("to-left").unwrap().index;
    let renames = renamed(left, "renamed0");
    signal(ProcessId::of(running.id()).unwrap(), libc::SIGTERM);
    assert_eq!(running.wait_with_output().unwrap().status.code(), Some(0));
    assert!(!renames || renamed(left, "to-left"));
    assert_eq!(Traces::now(), before);
}

#[test]
fn a_bridged_interface_with_another_name_is_put_back_too() {
    on_own_host(|_| {
        let ends = Ends::new();
        is_put_back_under_another_name(&["--delay", "1ms"]);
        ends.gone();
    });
}

#[test]
fn what_cannot_be_bridged_is_refused() {
    on_own_host(|_| {
        let ends = Ends::new();
        let rtnl = Rtnl::open().unwrap();
        let before = Traces::now();
        let refused = |arguments: [&str; 2], words: &str| {
            let output = shaper(&[&["bridge"], &arguments[..]].concat());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
            assert!(said.contains(words), "{arguments:?}: {said}");
        };
        refused(["to-left", "to-left"], "named twice");
        refused(["to-left", "nosuch"], "there is no interface nosuch");
        let right = rtnl.link("to-right").unwrap();
        rtnl.set_mtu(right.index, 1400).unwrap();
        refused(["to-left", "to-right"], "an MTU of 1500 and to-right of 1400");
        rtnl.set_mtu(right.index, right.mtu).unwrap();
        assert_eq!(Traces::now(), before);
        ends.gone();
    });
}

#[test]
fn offloads_at_a_bridged_interface_with_another_name_are_put_back_too() {
    on_own_host(|_| {
        let ends = Ends::new();
        Ethtool::open().unwrap().set("to-left", &[("rx-gro".into(), true)]).unwrap();
        is_put_back_under_another_name(&["--delay", "1ms", "--hook", "xdp"]);
        ends.gone();
    });
}
