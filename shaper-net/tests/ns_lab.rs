//! Labs: what stands in one, that packets go the way they should, and that nothing of it stays.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use shaper_net::journal::Journal;
use shaper_net::lab::{self, Lab, LabSpec};
use shaper_net::netns::NetNs;
use shaper_net::offload::{Ethtool, Offload};
use shaper_net::rtnl::{BridgeSpec, Rtnl};
use support::Traces;

fn main() -> ExitCode {
    support::main(
        &[
            ("a_pair_carries_ipv4_and_ipv6_through_the_middle", a_pair_carries_ipv4_and_ipv6_through_the_middle),
            ("nothing_crosses_a_link_that_nobody_forwards", nothing_crosses_a_link_that_nobody_forwards),
            ("hosts_of_a_star_reach_each_other", hosts_of_a_star_reach_each_other),
            ("the_switch_sends_multicast_to_members_only", the_switch_sends_multicast_to_members_only),
            ("every_device_of_a_lab_is_plain_and_up", every_device_of_a_lab_is_plain_and_up),
            ("an_idle_lab_sends_nothing_through_its_links", an_idle_lab_sends_nothing_through_its_links),
            ("nothing_of_a_lab_stays_when_it_is_dropped", nothing_of_a_lab_stays_when_it_is_dropped),
            ("two_labs_side_by_side_do_not_clash", two_labs_side_by_side_do_not_clash),
            ("a_saved_lab_is_found_until_it_is_down", a_saved_lab_is_found_until_it_is_down),
            ("hosts_by_the_dozen_stand_within_seconds", hosts_by_the_dozen_stand_within_seconds),
        ],
        &[],
    )
}

fn journal() -> Journal {
    Journal::create("test").unwrap()
}

/// Stands in for an engine: a bridge joins the two ports of each link.
fn forward(lab: &Lab) {
    let rtnl = lab.middle().rtnl().unwrap();
    for (i, link) in lab.links().iter().enumerate() {
        let name = format!("wire{i}");
        let spec = BridgeSpec { snooping: false, ..BridgeSpec::new(&name) };
        let bridge = rtnl.create_bridge(&spec).unwrap();
        rtnl.set_master(link.port_host.ifindex, Some(bridge)).unwrap();
        rtnl.set_master(link.port_far.ifindex, Some(bridge)).unwrap();
        rtnl.set_up(bridge, true).unwrap();
    }
}

fn socket(netns: &NetNs, address: SocketAddr) -> UdpSocket {
    let socket = netns.run(|| UdpSocket::bind(address)).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket
}

/// Sends until an answer comes: the first packets may wait for neighbour discovery.
fn reaches(from: &UdpSocket, to: &UdpSocket, address: SocketAddr) -> bool {
    let mut buffer = [0; 16];
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        from.send_to(b"there", address).unwrap();
        if to.recv_from(&mut buffer).is_ok_and(|(n, _)| &buffer[..n] == b"there") {
            return true;
        }
    }
    false
}

fn a_pair_carries_ipv4_and_ipv6_through_the_middle() {
    let journal = journal();
    let lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
    forward(&lab);
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    for (source, target) in [(IpAddr::V4(a.ipv4), IpAddr::V4(b.ipv4)), (a.ipv6.into(), b.ipv6.into())] {
        let at_a = socket(lab.netns("a").unwrap(), (source, 0).into());
        let at_b = socket(lab.netns("b").unwrap(), (target, 7000).into());
        assert!(reaches(&at_a, &at_b, (target, 7000).into()), "{source} to {target}");
        assert!(reaches(&at_b, &at_a, at_a.local_addr().unwrap()), "{target} to {source}");
    }
    let link = &lab.links()[0];
    assert_eq!((link.forward.as_str(), link.backward.as_str()), ("a_to_b", "b_to_a"));
    let rtnl = lab.middle().rtnl().unwrap();
    // A veth with XDP counts what it received once it has handed on all that came with it.
    for port in [&link.port_host, &link.port_far] {
        let until = Instant::now() + Duration::from_secs(10);
        while rtnl.stats(port.ifindex).unwrap().rx_packets < 4 {
            assert!(Instant::now() < until, "{} has received next to nothing", port.ifname);
            std::thread::yield_now();
        }
    }
}

fn nothing_crosses_a_link_that_nobody_forwards() {
    let journal = journal();
    let lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
    let b = lab.host("b").unwrap().ipv4;
    let at_a = socket(lab.netns("a").unwrap(), (lab.host("a").unwrap().ipv4, 0).into());
    let at_b = socket(lab.netns("b").unwrap(), (b, 7000).into());
    at_a.send_to(b"there", (b, 7000)).unwrap();
    let error = at_b.recv_from(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

fn hosts_of_a_star_reach_each_other() {
    let journal = journal();
    let mut lab = Lab::up(&journal, &LabSpec::star(3)).unwrap();
    forward(&lab);
    lab.query_members().unwrap();
    let sockets: Vec<_> = lab
        .hosts()
        .iter()
        .flat_map(|h| [(h, IpAddr::V4(h.ipv4)), (h, IpAddr::V6(h.ipv6))])
        .map(|(h, ip)| socket(lab.netns(&h.name).unwrap(), (ip, 7000).into()))
        .collect();
    for from in &sockets {
        for to in &sockets {
            let (source, target) = (from.local_addr().unwrap(), to.local_addr().unwrap());
            if source != target && source.is_ipv4() == target.is_ipv4() {
                assert!(reaches(from, to, target), "{source} to {target}");
            }
        }
    }
}

fn the_switch_sends_multicast_to_members_only() {
    let journal = journal();
    let mut lab = Lab::up(&journal, &LabSpec::star(3)).unwrap();
    forward(&lab);
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let member = lab.host("b").unwrap().clone();
    let at_b = socket(lab.netns("b").unwrap(), (Ipv4Addr::UNSPECIFIED, 7000).into());
    at_b.join_multicast_v4(&group, &member.ipv4).unwrap();
    lab.query_members().unwrap();
    // Snooping floods until the members have had their time to answer: that time is what is waited for.
    let from = lab.snooping_from().unwrap();
    std::thread::sleep(from.saturating_duration_since(Instant::now()));
    let counts = || {
        let rtnl = lab.switch().unwrap().rtnl().unwrap();
        let sent = |name: &str| rtnl.stats(rtnl.link(name).unwrap().index).unwrap().tx_packets;
        (sent("b"), sent("c"))
    };
    let before = counts();
    // No interface is named: the multicast route leads to eth0.
    let at_a = socket(lab.netns("a").unwrap(), (Ipv4Addr::UNSPECIFIED, 0).into());
    for _ in 0..100 {
        at_a.send_to(b"there", (group, 7000)).unwrap();
    }
    let mut buffer = [0; 16];
    for n in 0..100 {
        assert!(at_b.recv_from(&mut buffer).is_ok(), "datagram {n} of 100 did not come");
    }
    let after = counts();
    assert!(after.0 - before.0 >= 100, "{before:?} {after:?}");
    // Queries and neighbour discovery go everywhere, but not a hundred of them.
    assert!(after.1 - before.1 < 20, "{before:?} {after:?}");
}

fn every_device_of_a_lab_is_plain_and_up() {
    let journal = journal();
    let lab = Lab::up(&journal, &LabSpec::star(2)).unwrap();
    let mut seen = 0;
    let sites = lab.hosts().iter().map(|h| lab.netns(&h.name).unwrap()).chain([lab.middle(), lab.switch().unwrap()]);
    for site in sites {
        let (rtnl, ethtool) = site.run(|| (Rtnl::open().unwrap(), Ethtool::open().unwrap())).unwrap();
        for link in rtnl.links().unwrap() {
            assert!(link.up, "{} in {}", link.name, site.name());
            if link.kind != "veth" {
                continue;
            }
            seen += 1;
            assert!(link.lower_up && link.mtu == 1500, "{link:?}");
            for feature in ethtool.features(&link.name).unwrap() {
                let impairs = Offload::ALL.iter().any(|o| o.includes(&feature.name));
                assert!(!(impairs && feature.active && feature.changeable), "{} of {}", feature.name, link.name);
            }
        }
    }
    assert_eq!(seen, 2 * 4);
    for host in lab.hosts() {
        let rtnl = lab.netns(&host.name).unwrap().rtnl().unwrap();
        let eth0 = rtnl.link("eth0").unwrap();
        assert_eq!((eth0.index, eth0.mac), (host.ifindex, Some(host.mac)));
        let addresses = rtnl.addresses(eth0.index).unwrap();
        assert!(addresses.contains(&(host.ipv4.into(), 16)) && addresses.contains(&(host.ipv6.into(), 64)));
    }
    for link in lab.links() {
        let rtnl = lab.middle().rtnl().unwrap();
        for port in [&link.port_host, &link.port_far] {
            let found = rtnl.link(&port.ifname).unwrap();
            assert_eq!((found.index, found.mac), (port.ifindex, Some(port.mac)));
            assert_eq!(rtnl.addresses(found.index).unwrap(), []);
        }
    }
}

fn an_idle_lab_sends_nothing_through_its_links() {
    let journal = journal();
    let lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
    let rtnl = lab.middle().rtnl().unwrap();
    let link = &lab.links()[0];
    // What the ports send themselves would be traffic that no host sent.
    for port in [&link.port_host, &link.port_far] {
        assert_eq!(rtnl.stats(port.ifindex).unwrap().tx_packets, 0, "{}", port.ifname);
    }
}

fn nothing_of_a_lab_stays_when_it_is_dropped() {
    let before = Traces::now();
    for spec in [LabSpec::pair(), LabSpec::star(3)] {
        let journal = journal();
        let lab = Lab::up(&journal, &spec).unwrap();
        let while_up = Traces::now();
        assert_eq!(while_up.devices, before.devices, "no device is ever on the host itself");
        assert_eq!(while_up.namespaces.len(), spec.hosts.len() + if spec.hosts.len() == 2 { 1 } else { 2 });
        drop(lab);
        assert_eq!(std::fs::read_to_string(journal.path()).unwrap().matches("done").count(), while_up.namespaces.len());
        drop(journal);
        assert_eq!(Traces::now(), before);
    }
    let journal = journal();
    Lab::up(&journal, &LabSpec::star(2)).unwrap().down().unwrap();
    drop(journal);
    assert_eq!(Traces::now(), before);
}

fn two_labs_side_by_side_do_not_clash() {
    let before = Traces::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let journal = journal();
                let lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
                forward(&lab);
                let b = lab.host("b").unwrap().ipv4;
                let at_a = socket(lab.netns("a").unwrap(), (lab.host("a").unwrap().ipv4, 0).into());
                let at_b = socket(lab.netns("b").unwrap(), (b, 7000).into());
                assert!(reaches(&at_a, &at_b, (b, 7000).into()));
            });
        }
    });
    assert_eq!(Traces::now(), before);
}

fn a_saved_lab_is_found_until_it_is_down() {
    let journal = journal();
    let mut lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
    lab.save(&journal).unwrap();
    let found = lab::list().unwrap();
    assert_eq!(found, [lab.state().clone()]);
    assert_eq!(lab::LabState::load(&found[0].id).unwrap(), found[0]);
    assert!(NetNs::open(&found[0].host("b").unwrap().netns).is_ok());
    lab.fail("its engine ended").unwrap();
    assert_eq!(lab::list().unwrap()[0].failed.as_deref(), Some("its engine ended"));
    lab.down().unwrap();
    assert_eq!(lab::list().unwrap(), []);
}

fn hosts_by_the_dozen_stand_within_seconds() {
    let journal = journal();
    let started = Instant::now();
    let lab = Lab::up(&journal, &LabSpec::star(20)).unwrap();
    let up = started.elapsed();
    assert_eq!(lab.links().len(), 20);
    assert!(up < Duration::from_secs(10), "{up:?}");
}
