//! Parts of captures: points within one file, filters, and what does not fit.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use shaper_offline::{
    analyze::{
        AnalyzeError, Capture, Clock, ClockMethod, Comparison, FindingKind, FlowKey, FlowPattern, Options, Severity,
        one_point_of,
    },
    packet::Layers,
    pcapfile::Packet,
    writer::{NewInterface, NewPacket, Section, Writer},
};

use super::{
    analyze,
    path::{EPOCH, HOST_A, HOST_B, MS, Points, backward, forward, udp},
};

/// One file with packets of several interfaces.
fn one_file(folder: &Path, interfaces: &[&str], mut packets: Vec<(i64, usize, Vec<u8>)>) -> PathBuf {
    let path = folder.join("run.pcapng");
    let mut writer = Writer::new(File::create(&path).unwrap(), &Section::default()).unwrap();
    let ids: Vec<_> = interfaces
        .iter()
        .map(|name| {
            let interface = NewInterface { name, description: None, filter: None, linktype: 1, snaplen: 0 };
            writer.add_interface(&interface).unwrap()
        })
        .collect();
    packets.sort_by_key(|packet| packet.0);
    for (ts, interface, data) in packets {
        let packet = NewPacket { ts_ns: EPOCH + ts, origlen: data.len() as u32, data: &data, ..NewPacket::default() };
        writer.packet(ids[interface], &packet).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Packets through a box: in at interface 0, out at 2 after 3 ms; every tenth is lost.
fn through_a_box() -> Vec<(i64, usize, Vec<u8>)> {
    let mut packets = Vec::new();
    for number in 0..100_i64 {
        packets.push((number * MS, 0, forward(number as u64)));
        packets.push((number * MS, 1, udp([10, 9, 9, 9], HOST_B, (1, 2), &number.to_be_bytes())));
        if number % 10 != 5 {
            packets.push((number * MS + 3 * MS, 2, forward(number as u64)));
        }
    }
    packets
}

#[test]
fn names_of_interfaces_do_nothing_to_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = one_file(folder.path(), &["\u{1b}[31mé"], Vec::new());
    let lacking = Capture { interface: Some("eth7"), ..Capture::whole(&path) };
    let comparison = Comparison { a: Capture::whole(&path), b: lacking, only: None, options: Options::default() };
    let told = comparison.run().unwrap_err().to_string();
    assert!(told.ends_with(r"it has 0 \u{1b}[31mé"), "{told:?}");
}

#[test]
fn two_interfaces_of_one_file_are_two_points() {
    let folder = tempfile::tempdir().unwrap();
    let path = one_file(folder.path(), &["eth0", "eth1", "eth2"], through_a_box());
    for [a, b] in [["eth0", "eth2"], ["0", "2"]] {
        let at = |interface| Capture { interface: Some(interface), ..Capture::whole(&path) };
        let comparison = Comparison { a: at(a), b: at(b), only: None, options: Options::default() };
        let analysis = comparison.run().unwrap();
        assert_eq!(analysis.clock.method, ClockMethod::OneFile);
        let figures = &analysis.a_to_b;
        assert_eq!((figures.sent, figures.lost, figures.matched), (100, 10, 90));
        assert_eq!(figures.delay_ns.unwrap().max, 3 * MS);
        assert_eq!((analysis.files[0].packets, analysis.files[1].packets), (100, 90));
        assert!(analysis.to_string().contains(&format!("run.pcapng {a} (100 packets")), "{analysis}");
    }
    let lacking = Capture { interface: Some("eth7"), ..Capture::whole(&path) };
    let comparison = Comparison { a: Capture::whole(&path), b: lacking, only: None, options: Options::default() };
    let error = comparison.run().unwrap_err();
    assert!(matches!(error, AnalyzeError::NoInterface { .. }));
    assert!(error.to_string().contains("has no interface eth7: it has 0 eth0, 1 eth1, 2 eth2"), "{error}");
    // One interface by name and by number, and all of a file's by name, are no two points.
    for (interfaces, a, b) in
        [(&["eth0", "eth1", "eth2"][..], Some("eth0"), Some("0")), (&["eth0"; 3], Some("eth0"), None)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = one_file(folder.path(), interfaces, through_a_box());
        let at = |interface| Capture { interface, ..Capture::whole(&path) };
        let comparison = Comparison { a: at(a), b: at(b), only: None, options: Options::default() };
        assert!(matches!(comparison.run(), Err(AnalyzeError::SameFile(_))), "{a:?} {b:?}");
    }
    let found = one_point_of(&Capture { interface: Some("eth1"), ..Capture::whole(&path) }, &Options::default());
    assert_eq!(found.unwrap().packets, 100);
}

#[test]
fn a_predicate_for_each_makes_two_points_of_one_interface() {
    // A router on a stick: the same packets twice, told apart by their TTL.
    let folder = tempfile::tempdir().unwrap();
    let mut packets = Vec::new();
    for number in 0..50_i64 {
        let mut passed_on = forward(number as u64);
        passed_on[22] = 63;
        packets.push((number * MS, 0, forward(number as u64)));
        if number != 20 {
            packets.push((number * MS + MS / 2, 0, passed_on));
        }
    }
    let path = one_file(folder.path(), &["eth0"], packets);
    let ttl = |ttl: u8| move |_: &Packet<'_>, layers: &Layers<'_>| layers.ip.is_some_and(|ip| ip.ttl == ttl);
    let (came, went) = (ttl(64), ttl(63));
    let a = Capture { point: Some(&came), ..Capture::whole(&path) };
    let b = Capture { point: Some(&went), ..Capture::whole(&path) };
    let analysis = Comparison { a, b, only: None, options: Options::default() }.run().unwrap();
    assert_eq!((analysis.a_to_b.sent, analysis.a_to_b.lost), (50, 1));
    assert_eq!(analysis.findings[0].frames_a, [41]);
    // Without them it is one point twice.
    let whole = Capture::whole(&path);
    let comparison = Comparison { a: whole, b: whole, only: None, options: Options::default() };
    assert!(matches!(comparison.run(), Err(AnalyzeError::SameFile(_))));
}

#[test]
fn a_filter_chooses_figures_and_not_what_clocks_are_found_from() {
    let mut points = Points::default();
    for number in 0..200_i64 {
        let (sent, ahead) = (number * 5 * MS, 5_000 * MS);
        points.a.push((sent, forward(number as u64)));
        points.b.push((sent + ahead + 8 * MS, forward(number as u64)));
        points.b.push((sent + ahead, backward(number as u64)));
        points.a.push((sent + 8 * MS, backward(number as u64)));
    }
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = points.write(folder.path());
    let run = |text: &str| {
        let pattern: FlowPattern = text.parse().unwrap();
        let only = |_: &Packet<'_>, layers: &Layers<'_>| pattern.matches(&FlowKey::of(layers));
        let (a, b) = (Capture::whole(&a), Capture::whole(&b));
        Comparison { a, b, only: Some(&only), options: Options::default() }.run().unwrap()
    };
    let analysis = run("UDP 10.0.0.1:50001 > 10.0.0.2:50002");
    assert_eq!(analysis.clock.method, ClockMethod::MinimumDelays);
    assert_eq!((analysis.a_to_b.matched, analysis.b_to_a.sent, analysis.flows.len()), (200, 0, 1));
    assert_eq!(analysis.a_to_b.delay_ns.unwrap().p50, 8 * MS);
    assert_eq!((analysis.files[0].packets, analysis.files[0].filtered), (400, 200));
    let nothing = run(":9");
    let kinds: Vec<_> = nothing.findings.iter().map(|finding| (finding.kind, finding.severity)).collect();
    assert!(kinds.contains(&(FindingKind::NothingChosen, Severity::Error)), "{kinds:?}");
    assert!(!nothing.has_shared());
}

#[test]
fn captures_in_the_wrong_order_are_noticed() {
    let build = || {
        let mut points = Points::default();
        for number in 0..50_i64 {
            points.b.push((number * MS, forward(number as u64)));
            points.a.push((number * MS + MS, forward(number as u64)));
        }
        points
    };
    let analysis = analyze(build(), Clock::Same);
    assert!(analysis.findings.iter().any(|finding| finding.kind == FindingKind::WrongOrder), "{analysis}");
    assert_eq!((analysis.b_to_a.matched, analysis.a_to_b.sent), (50, 0));
    let mut both_ways = build();
    both_ways.a.push((0, udp(HOST_B, HOST_A, (7, 8), b"back")));
    both_ways.b.push((MS, udp(HOST_B, HOST_A, (7, 8), b"back")));
    let analysis = analyze(both_ways, Clock::Same);
    assert!(analysis.findings.iter().all(|finding| finding.kind != FindingKind::WrongOrder), "{analysis}");
}

#[test]
fn an_empty_capture_says_so_and_nothing_else() {
    let mut points = Points::default();
    points.a.push((0, forward(1)));
    let analysis = analyze(points, Clock::Estimate);
    let grave: Vec<_> = analysis.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(grave.len(), 1);
    assert_eq!(grave[0].kind, FindingKind::EmptyCapture);
    assert!(grave[0].text.contains("b.pcapng holds no packet"), "{}", grave[0].text);
}
