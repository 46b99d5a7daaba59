//! One point within a tunnel, the other outside.

use shaper_offline::analyze::{Clock, Options, one_point};

use super::{
    analyze, conserved,
    path::{MS, Points, backward, forward, udp},
};

/// The frame in VXLAN between two hosts of the network below.
fn vxlan(vni: u8, frame: &[u8]) -> Vec<u8> {
    udp([192, 0, 2, 1], [192, 0, 2, 2], (50_000, 4789), &[&[8, 0, 0, 0, 0, 0, vni, 0], frame].concat())
}

#[test]
fn packets_are_matched_with_themselves_in_a_tunnel() {
    for snaplen in [None, Some(114)] {
        let mut points = Points { snaplen: [snaplen; 2], ..Points::default() };
        for number in 0..200_u64 {
            let sent = number as i64 * 10 * MS;
            points.a.push((sent, forward(number)));
            if number % 20 != 7 {
                points.b.push((sent + 4 * MS, vxlan(42, &forward(number))));
            }
            points.b.push((sent, vxlan(42, &backward(number))));
            points.a.push((sent + 3 * MS, backward(number)));
        }
        let analysis = analyze(points, Clock::Same);
        let (there, back) = (&analysis.a_to_b, &analysis.b_to_a);
        conserved(there);
        conserved(back);
        assert_eq!((there.matched, there.lost, there.delay_ns.unwrap().p50), (190, 10, 4 * MS), "{snaplen:?}");
        assert_eq!((back.matched, back.lost, back.delay_ns.unwrap().p50), (200, 0, 3 * MS));
        assert_eq!(analysis.total.unplaced, 0);
        assert!(!analysis.addresses_rewritten);
        // As the sender saw them.
        let mut flows: Vec<_> = analysis.flows.iter().map(|flow| flow.flow.to_string()).collect();
        flows.sort();
        assert_eq!(flows.len(), 2, "{flows:?}");
        assert!(flows[0].contains("10.0.0.1") && !flows[0].contains("VXLAN"), "{flows:?}");
        assert!(flows[1].contains(" in VXLAN 42 (path "), "{flows:?}");
    }
}

#[test]
fn equal_flows_in_different_tunnels_are_different_flows() {
    let mut points = Points::default();
    for number in 0..30_u64 {
        let sent = number as i64 * MS;
        points.a.push((sent, forward(number)));
        for vni in 1..=2 {
            points.a.push((sent, vxlan(vni, &forward(number))));
        }
    }
    points.b.push((0, forward(0)));
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = points.write(folder.path());
    let found = one_point(&a, &Options::default()).unwrap();
    let flows: Vec<_> =
        found.flows.iter().map(|flow| (flow.packets, flow.flow.tunnel.and_then(|tunnel| tunnel.id()))).collect();
    assert_eq!(flows, [(30, None), (30, Some(1)), (30, Some(2))]);
}
