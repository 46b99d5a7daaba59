//! Runs: what the run wrote of each packet says what is of the link, and what of the run's own machinery.

use std::fs;
use std::path::Path;

use serde_json::Value;
use shaper_offline::pcapfile::Direction;
use shaper_offline::writer::{NewInterface, NewPacket, Section, Writer};

use super::{MS, ended};

/// The captures of a run, of 1,000 datagrams 10 ms apart over a link of 20 ms: each left the link up to 5 ms late, a tenth of
/// them much so, but for those that did not arrive, for which the run wrote a cause.
fn run(folder: &Path, cause: impl Fn(u64) -> Option<&'static str>) {
    fs::create_dir(folder).unwrap();
    for (name, at_b) in [("a.pcapng", false), ("b.pcapng", true)] {
        let file = fs::File::create(folder.join(name)).unwrap();
        let section = Section { comment: Some("shaper clock=1"), ..Section::default() };
        let mut writer = Writer::new(file, &section).unwrap();
        let interface = NewInterface { name, description: None, filter: None, linktype: 1, snaplen: 0 };
        let id = writer.add_interface(&interface).unwrap();
        for number in (0..1_000_u64).filter(|number| !at_b || cause(*number).is_none()) {
            let sent = 1_700_000_000_000_000_000 + number as i64 * 10_000_000;
            let (due, late) =
                (sent + 20_000_000, (number * 7 % 50) as i64 * if number % 10 == 0 { 100_000 } else { 500 });
            let comment = match cause(number) {
                // A packet that was let through has no time of its release either if it was lost behind that.
                Some(cause) => format!("shaper cause={cause} rule=0 id={number} dir=0 seq={number}"),
                None => format!(
                    "shaper cause=none rule=0 id={number} dir=0 seq={number} intended={due} actual={}",
                    due + late
                ),
            };
            let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
            frame.extend([
                0x45, 0, 0, 48, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0x17, 0x70, 0, 28, 0, 0,
            ]);
            frame.extend(number.to_be_bytes());
            frame.resize(14 + 48, 0x33);
            let ts_ns = if at_b { due + late } else { sent };
            let direction = Some(if at_b { Direction::Inbound } else { Direction::Outbound });
            let comments = &[comment];
            let origlen = frame.len() as u32;
            writer
                .packet(id, &NewPacket { ts_ns, origlen, data: &frame, direction, comments, ..NewPacket::default() })
                .unwrap();
        }
        writer.finish().unwrap();
    }
}

#[test]
fn delays_of_a_run_are_until_packets_were_due_and_its_outages_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("run"), |number| (500..530).contains(&number).then_some("outage"));
    let told = |flags: &[&str]| -> Value {
        let (code, stdout, stderr) = ended(folder.path(), &[flags, &["--json"]].concat());
        assert_eq!((code, stderr.as_str()), (0, ""), "{flags:?}: {stdout}");
        serde_json::from_str(&stdout).unwrap()
    };
    let of_run = told(&["run"]);
    let fit = &of_run["a_to_b"];
    assert_eq!((&fit["unknown"], &fit["lost"], &fit["outages"]), (&30.into(), &0.into(), &Value::Null), "{of_run}");
    assert_eq!(fit["delay"]["chosen"]["shape"], "constant");
    assert_eq!(fit["delay"]["chosen"]["delay_ns"].as_f64(), Some(20.0 * MS));
    let notes = of_run["notes"].to_string();
    assert!(notes.contains("no delay of the link") && notes.contains("30 packets met an outage"), "{notes}");
    // By name they are what both captures measured.
    let measured = told(&["run/a.pcapng", "run/b.pcapng"]);
    let fit = &measured["a_to_b"];
    assert_eq!((&fit["lost"], &fit["outages"]["lost"]), (&30.into(), &30.into()), "{measured}");
    assert!(fit["delay"]["mean_ns"].as_f64().unwrap() > 20.1 * MS, "{fit}");
    assert!(!measured["notes"].to_string().contains("no delay of the link"), "{measured}");
}

#[test]
fn a_trace_of_a_run_has_a_row_for_each_packet_whatever_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let traced = |name: &str| {
        let (code, _, stderr) = ended(folder.path(), &[name, "-o", "fit.toml", "--trace", "as-it-was.csv"]);
        assert_eq!((code, stderr.as_str()), (0, ""));
        let csv = fs::read_to_string(folder.path().join("as-it-was.csv")).unwrap();
        csv.lines().skip(1).map(|row| row.ends_with(",1")).collect::<Vec<bool>>()
    };
    let is_down = |number: u64| (500..530).contains(&number);
    run(&folder.path().join("down"), |number| is_down(number).then_some("outage"));
    assert_eq!(traced("down"), (0..1_000).map(is_down).collect::<Vec<_>>());
    // What the machinery lost the link let through; what was sent before and behind all that arrived is of no use.
    let ours = |number: u64| number == 0 || number == 999 || (600..620).contains(&number);
    let cause = |number| if ours(number) { Some("none") } else { is_down(number).then_some("in_flight") };
    run(&folder.path().join("ours"), cause);
    let rows = traced("ours");
    let lost: Vec<usize> = (0..rows.len()).filter(|row| rows[*row]).collect();
    assert_eq!((rows.len(), lost), (998, (499..529).collect()));
    let profile = fs::read_to_string(folder.path().join("fit.toml")).unwrap();
    assert!(profile.contains("20 of unknown fate are taken to have arrived"), "{profile}");
    assert!(profile.contains("2 of unknown fate, before and behind all others, have no row"), "{profile}");
}

#[test]
fn the_loss_of_a_run_is_what_the_link_lost_packet_by_packet() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder.path().join("run"), |number| match number {
        495..500 => Some("in_flight"),
        500..530 => Some("outage"),
        600..602 => Some("trace"),
        700..720 => Some("none"),
        _ if number % 100 == 55 => Some("loss"),
        _ => None,
    });
    let (code, stdout, stderr) = ended(folder.path(), &["run", "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let fit = &told["a_to_b"];
    assert_eq!((&fit["lost"], &fit["unknown"], &fit["arrived"]), (&10.into(), &57.into(), &933.into()), "{told}");
    assert_eq!((&fit["loss"]["known"], &fit["loss"]["lost"]), (&943.into(), &10.into()), "{fit}");
    let notes = told["notes"].to_string();
    assert!(notes.contains("35 packets met an outage"), "{notes}");
    assert!(notes.contains("22 packets were lost by the run's own machinery"), "{notes}");
}

#[test]
fn the_records_of_a_run_are_fitted_without_its_outages() {
    let folder = tempfile::tempdir().unwrap();
    let mut text =
        "# shaper records 1 start_ns=5\ndirection,rule,sequence,arrival_ns,len,cause,release_ns\n".to_owned();
    for number in 0..3_000u64 {
        let arrival = number * 10_000_000;
        let row = match number {
            995..1_000 => "in_flight,".to_owned(),
            1_000..1_050 => "outage,".to_owned(),
            2_000..2_003 => "trace,".to_owned(),
            2_003 => "none,".to_owned(),
            _ if number % 37 == 0 => "loss,".to_owned(),
            _ => format!("none,{}", arrival + 20_000_000 + number % 7 * 1_000),
        };
        // Before it a link that does nothing, behind it another one.
        text.push_str(&format!("0,0,{number},{arrival},200,none,{arrival}\n"));
        text.push_str(&format!("2,0,{number},{arrival},200,{row}\n"));
        text.push_str(&format!("5,0,{number},{arrival},200,none,{}\n", arrival + 1));
    }
    fs::write(folder.path().join("records.csv"), text).unwrap();
    let (code, stdout, _) = ended(folder.path(), &[".", "--json"]);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &told["a_to_b"]["unknown"], &told["b_to_a"]), (0, &Value::from(59), &Value::Null));
    assert_eq!(told["a_to_b"]["delay"]["chosen"]["shape"], "constant");
    assert_eq!(told["a_to_b"]["loss"]["chosen"]["kind"], "independent");
    let lost = (0..3_000).filter(|number| number % 37 == 0 && !(995..1_050).contains(number)).count();
    assert_eq!((&told["a_to_b"]["lost"], &told["a_to_b"]["loss"]["lost"]), (&lost.into(), &lost.into()));
    let notes = told["notes"].to_string();
    assert!(
        notes.contains("55 packets met an outage") && notes.contains("4 packets were lost by the run's"),
        "{notes}"
    );
    assert!(
        notes.contains("link 1, the first that delays or loses packets") && notes.contains("6000 packets"),
        "{notes}"
    );
}

#[test]
fn a_link_of_outages_alone_is_one_that_loses_packets_and_no_run_has_links_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "direction,arrival_ns,cause,release_ns\n".to_owned();
    for number in 0..600u64 {
        let arrival = number * 10_000_000;
        let second = if number < 30 { "outage,".to_owned() } else { format!("none,{arrival}") };
        text.push_str(&format!("0,{arrival},none,{arrival}\n2,{arrival},{second}\n4,{arrival},none,{}\n", arrival + 9));
    }
    let records = folder.path().join("records.csv");
    fs::write(&records, &text).unwrap();
    let (code, stdout, stderr) = ended(folder.path(), &["."]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(
        stdout.contains("link 1, the first that delays or loses packets, was fitted, and 1200 packets"),
        "{stdout}"
    );
    fs::write(&records, text + "128,0,none,0\n").unwrap();
    let (code, _, stderr) = ended(folder.path(), &["."]);
    assert!(code == 2 && stderr.contains("records.csv:1802: no record: 128,0,none,0"), "{stderr}");
}
