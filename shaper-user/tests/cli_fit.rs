//! `shaper fit`: the profile that made a series comes back within its intervals, and what is no series is refused. Series
//! are made by the same decision as the kernel's, packet by packet.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cli_fit/presets.rs"]
mod of_presets;
#[path = "cli_fit/runs.rs"]
mod of_runs;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression as GzCompression;
use flate2::write::GzEncoder;
use serde_json::Value;
use shaper_channel::Channel;
use shaper_common::fate::Cause;
use shaper_common::pipeline::Packet;
use shaper_common::units::Nanos;
use shaper_offline::writer::{NewInterface, NewPacket, Section, Writer};
use shaper_profile::quantity::Duration;
use shaper_profile::{Compile, CompiledDirection, Distribution, Loss, Order, Profile, presets};

/// When the first packet arrives.
const START: u64 = 1_000_000_000;

fn direction(profile: &Profile, seed: u64) -> CompiledDirection {
    let run = Compile { seed, link: 0, horizon: Duration::from_millis(1_000_000) };
    profile.link.compile(&run).unwrap().a_to_b
}

/// The delay of each packet in nanoseconds, one sent each `step_us`; none for a lost one.
fn through(direction: &CompiledDirection, packets: u64, step_us: u64) -> Vec<Option<u64>> {
    let mut spec = direction.channel.clone();
    spec.begin(Nanos(START));
    let mut channel = Channel::new(spec);
    let packet = |number: u64| Packet {
        now: Nanos(START + number * step_us * 1_000),
        len: 200,
        flow_hash: 1,
        network: 14,
        transport: 34,
        payload: 42,
        ecn: 0,
    };
    let mut decide = |packet: Packet| {
        let fate = channel.decide(&packet);
        (fate.cause == Cause::None).then(|| fate.release.0 - packet.now.0)
    };
    (0..packets).map(|number| decide(packet(number))).collect()
}

/// A series as CSV of what a profile's text makes.
fn series(text: &str, packets: u64, step_us: u64, seed: u64) -> (Vec<Option<u64>>, String) {
    series_of(&presets::parse("test", "test", text).unwrap(), packets, step_us, seed)
}

/// A series as CSV of what a profile makes.
fn series_of(profile: &Profile, packets: u64, step_us: u64, seed: u64) -> (Vec<Option<u64>>, String) {
    let delays = through(&direction(profile, seed), packets, step_us);
    let mut csv = "time_us,delay_ns\n".to_owned();
    for (number, delay) in delays.iter().enumerate() {
        let cell = delay.map_or("lost".to_owned(), |delay| delay.to_string());
        csv.push_str(&format!("{},{cell}\n", number as u64 * step_us));
    }
    (delays, csv)
}

/// The command as it ended: exit code, standard output, standard error.
fn ended(folder: &Path, flags: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
    let output = command.arg("fit").args(flags).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A fitted series: what was told, and the profile that was written.
fn fitted(folder: &Path, csv: &str, flags: &[&str]) -> (Value, Profile) {
    fs::write(folder.join("delays.csv"), csv).unwrap();
    let (code, stdout, stderr) = ended(folder, &[&["delays.csv", "-o", "fit.toml", "--json"], flags].concat());
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let path = folder.join("fit.toml");
    (serde_json::from_str(&stdout).unwrap(), shaper_profile::load(path.to_str().unwrap()).unwrap())
}

/// Whether each parameter lies in its interval, which is made half as wide again: 99.7 %.
fn hold(parameters: &Value, truth: &[(&str, f64)]) {
    hold_to(parameters, truth, 0.0, "it");
}

/// The same, with what is left to rounding, and a name.
fn hold_to(parameters: &Value, truth: &[(&str, f64)], rounding: f64, of: &str) {
    let parameters = parameters.as_array().unwrap();
    assert_eq!(parameters.len(), truth.len(), "{of}: {parameters:?}");
    for (parameter, (name, value)) in parameters.iter().zip(truth) {
        assert_eq!(parameter["name"], *name, "{of}");
        let [low, high] = ["low", "high"].map(|end| parameter["interval"][end].as_f64().unwrap());
        let wider = (high - low) / 4.0 + rounding;
        assert!((low - wider..=high + wider).contains(value), "{of}: {value}: {parameter}");
    }
}

const MS: f64 = 1e6;

#[test]
fn bursts_and_normal_jitter_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let text = "delay = \"40ms\"\njitter = \"5ms\"\ndistribution = \"normal\"\nloss = \"5% burst 3\"\n";
    let (told, profile) = fitted(folder.path(), &series(text, 40_000, 5_000, 11).1, &[]);
    let direction = &profile.link.a_to_b;
    assert!(matches!(direction.loss, Loss::Bursts { .. }), "{:?}", direction.loss);
    assert_eq!((&direction.distribution, direction.order), (&Distribution::Normal, Order::Free));
    assert!(direction.correlation_time.is_zero());
    let fit = &told["a_to_b"];
    hold(&fit["loss"]["chosen"]["parameters"], &[("ratio", 0.05), ("burst", 3.0)]);
    hold(&fit["delay"]["parameters"], &[("delay_ns", 40.0 * MS), ("jitter_ns", 5.0 * MS)]);
    assert_eq!((&fit["loss"]["accepted"], &fit["delay"]["accepted"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(profile.link.b_to_a, presets::parse("clean", "clean", "").unwrap().link.b_to_a);
}

#[test]
fn gilbert_elliott_and_uniform_jitter_in_a_kept_order_come_back() {
    let folder = tempfile::tempdir().unwrap();
    // 10 ms apart a jitter of 6 ms leaves a kept order little to do.
    let text = "delay = \"30ms\"\njitter = \"6ms\"\norder = \"keep\"\nloss = \"gemodel 0.5% 8% 40% 0.4%\"\n";
    let (told, profile) = fitted(folder.path(), &series(text, 60_000, 10_000, 5).1, &[]);
    let direction = &profile.link.a_to_b;
    assert_eq!((&direction.distribution, direction.order), (&Distribution::Uniform, Order::Keep));
    let truth = [("p", 0.005), ("r", 0.08), ("1-h", 0.4), ("1-k", 0.004)];
    hold(&told["a_to_b"]["loss"]["chosen"]["parameters"], &truth);
    assert!(matches!(direction.loss, Loss::GilbertElliott { .. }), "{:?}", direction.loss);
    let jitter = direction.jitter.as_millis_f64();
    assert!((jitter - 6.0).abs() < 0.1 && (direction.delay.as_millis_f64() - 30.0).abs() < 0.1, "{direction:?}");
}

#[test]
fn correlated_pareto_jitter_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "delay = \"40ms\"\njitter = \"4ms\"\ndistribution = \"pareto\"\ncorrelation_time = \"100ms\"\nloss = \"2%\"\n";
    let (told, profile) = fitted(folder.path(), &series(text, 60_000, 20_000, 3).1, &[]);
    let direction = &profile.link.a_to_b;
    assert_eq!(direction.distribution, Distribution::Pareto);
    assert!(matches!(direction.loss, Loss::Independent(_)), "{:?}", direction.loss);
    hold(&told["a_to_b"]["loss"]["chosen"]["parameters"], &[("ratio", 0.02)]);
    hold(&told["a_to_b"]["delay"]["parameters"], &[("delay_ns", 40.0 * MS), ("jitter_ns", 4.0 * MS)]);
    let correlation = &told["a_to_b"]["delay"]["correlation"];
    let [low, high] = ["low", "high"].map(|end| correlation["interval_ns"][end].as_f64().unwrap());
    let wider = (high - low) / 4.0;
    assert!((low - wider..=high + wider).contains(&(100.0 * MS)), "{correlation}");
    assert!((low..=high).contains(&(direction.correlation_time.as_millis_f64() * MS)));
}

#[test]
fn a_distribution_without_a_name_is_written_as_its_table() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("two.txt"), "0 0ms\n0.7 1ms\n0.7001 15ms\n1 16ms\n").unwrap();
    let text = "delay = \"10ms\"\ndistribution = \"table two.txt\"\n";
    let truth = presets::parse_in(folder.path(), "test", "test", text).unwrap();
    let made = through(&direction(&truth, 1), 30_000, 50_000);
    let csv: String = made.iter().map(|delay| format!("{}\n", delay.unwrap() as f64 / MS)).collect();
    let (told, profile) = fitted(folder.path(), &csv, &["--interval", "50ms"]);
    assert_eq!(told["files"], serde_json::json!(["fit.toml", "fit-a_to_b.txt"]));
    assert!(profile.link.a_to_b.distribution.is_table());
    // What comes out of it is what went in, at quantiles that one sample in a thousand would not have.
    let mut again: Vec<u64> = through(&direction(&profile, 2), 30_000, 50_000).into_iter().flatten().collect();
    let mut made: Vec<u64> = made.into_iter().flatten().collect();
    made.sort_unstable();
    again.sort_unstable();
    let split = |delays: &[u64]| delays.partition_point(|delay| *delay < 20_000_000) as f64 / 30_000.0;
    assert!((split(&made) - split(&again)).abs() < 3.3 * (2.0 * 0.21f64 / 30_000.0).sqrt() + 1.0 / 128.0);
    assert!(again[0].abs_diff(made[0]) < 10_000 && again[29_999].abs_diff(made[29_999]) < 10_000);
    assert!(again[10_000].abs_diff(made[10_000]) < 50_000);
}

#[test]
fn a_trace_replays_every_packet_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let text = "delay = \"20ms\"\njitter = \"5ms\"\nloss = \"5% burst 3\"\n";
    let (made, csv) = series(text, 2_000, 5_000, 7);
    let (told, profile) = fitted(folder.path(), &csv, &["--trace", "as-it-was.csv"]);
    assert_eq!(told["files"], serde_json::json!(["fit.toml", "as-it-was.csv"]));
    assert_eq!(through(&direction(&profile, 99), 2_000, 5_000), made);
}

#[test]
fn only_a_profile_whose_loss_is_without_what_met_a_full_queue_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // Bursts of 3 to 15 packets 30 ms apart, before a bottleneck that takes 1 ms for each.
    let profile = |is_lost: fn(usize, usize) -> bool| {
        let mut csv = "time_us,delay_us,bytes\n".to_owned();
        let bursts = (0..400).flat_map(|burst| (0..3 + burst * 7 % 13).map(move |place| (burst, place)));
        for (number, (burst, place)) in bursts.enumerate() {
            let delay = if is_lost(number, place) { "lost".to_owned() } else { (21_000 + place * 990).to_string() };
            csv.push_str(&format!("{},{delay},300\n", burst * 30_000 + place * 10));
        }
        let (told, _) = fitted(folder.path(), &csv, &[]);
        (told["a_to_b"].clone(), fs::read_to_string(folder.path().join("fit.toml")).unwrap())
    };
    let (fit, text) = profile(|_, place| place > 8);
    assert!(!fit["bottleneck"]["queue_ns"].is_null() && text.contains("kbit\", queue = "), "{text}");
    assert!(text.contains("what met a full queue is not in the loss"), "{text}");
    let known = fit["loss"]["known"].as_u64().unwrap();
    assert!(text.contains(&format!("of {known} packets, 0 of them lost")), "{text}");
    assert!(known < fit["packets"].as_u64().unwrap() - fit["lost"].as_u64().unwrap(), "{fit}");
    // Losses anywhere say nothing of the queue, and are all in the loss.
    let (fit, text) = profile(|number, _| number % 9 == 4);
    assert!(fit["bottleneck"]["queue_ns"].is_null() && text.contains("kbit\" would say so"), "{text}");
    assert!(!text.contains("full queue") && fit["loss"]["lost"] == fit["lost"], "{text}");
}

#[test]
fn two_captures_are_fitted_in_both_directions_as_they_are_analysed() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let (code, stdout, stderr) = ended(&captures, &["kept-order-a.pcapng", "kept-order-b.pcapng", "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let analysed: Value = serde_json::from_str(&fs::read_to_string(captures.join("kept-order.json")).unwrap()).unwrap();
    assert_eq!((&told["schema_version"], &told["version"]), (&Value::from(1), &Value::Null));
    let mut fitted = 0;
    for way in ["a_to_b", "b_to_a"] {
        let (fit, figures) = (&told[way], &analysed[way]);
        if fit.is_null() {
            assert!(figures["sent"].as_u64().unwrap() < 400, "{way}: {figures}");
            continue;
        }
        fitted += 1;
        assert_eq!((&fit["lost"], &fit["packets"]), (&figures["lost"], &figures["sent"]), "{way}");
        assert_eq!(fit["delay"]["base_ns"], figures["delay_ns"]["min"], "{way}");
    }
    assert!(fitted > 0);
}

/// A copy of a sample capture under this name, without so many bytes at its end.
fn part(folder: &Path, sample: &str, name: &str, without: usize) {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let bytes = fs::read(samples.join(sample)).unwrap();
    let part = bytes.get(..bytes.len() - without).unwrap();
    fs::write(folder.join(name), part).unwrap();
}

#[test]
fn captures_that_are_cut_off_are_fitted_up_to_there_and_are_an_error_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    part(folder.path(), "kept-order-a.pcapng", "a.pcapng", 0);
    part(folder.path(), "kept-order-b.pcapng", "b.pcapng", 10);
    for json in [&[][..], &["--json"]] {
        let (code, stdout, stderr) =
            ended(folder.path(), &[&["a.pcapng", "b.pcapng", "-o", "fit.toml"], json].concat());
        assert_eq!(code, 2, "{stderr}");
        assert!(
            stderr.contains("b.pcapng: cut off at byte") && stderr.contains("what was fitted ends there"),
            "{stderr}"
        );
        assert!(stdout.contains("b.pcapng: cut off at byte"), "{stdout}");
        assert!(folder.path().join("fit.toml").is_file());
    }
}

#[test]
fn compressed_captures_are_captures_and_other_compressed_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let gzip = |name: &str, bytes: &[u8]| {
        let mut encoder = GzEncoder::new(fs::File::create(folder.path().join(name)).unwrap(), GzCompression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap();
    };
    for point in ["a", "b"] {
        part(folder.path(), &format!("kept-order-{point}.pcapng"), &format!("{point}.pcapng"), 0);
        gzip(&format!("{point}.pcapng.gz"), &fs::read(folder.path().join(format!("{point}.pcapng"))).unwrap());
    }
    let told = |names: [&str; 2]| {
        let (code, stdout, stderr) = ended(folder.path(), &[names[0], names[1], "--json"]);
        assert_eq!((code, stderr.as_str()), (0, ""), "{names:?}: {stdout}");
        let told: Value = serde_json::from_str(&stdout).unwrap();
        (told["a_to_b"].clone(), told["b_to_a"].clone())
    };
    assert_eq!(told(["a.pcapng.gz", "b.pcapng.gz"]), told(["a.pcapng", "b.pcapng"]));
    gzip("irtt.json.gz", b"{\"round_trips\": []}");
    gzip(
        "wrong.pcap.gz",
        b"\xd4\xc3\xb2\xa1\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    );
    for (name, problem) in [
        ("irtt.json.gz", "irtt.json.gz: compressed, and no capture: unpack it first"),
        ("wrong.pcap.gz", "format version 7.0 is unknown"),
        ("/dev/null", "/dev/null: is no file, and cannot be read twice"),
    ] {
        let (code, _, stderr) = ended(folder.path(), &[name]);
        assert!(code == 2 && stderr.contains(problem), "{name}: {stderr}");
    }
}

#[test]
fn what_the_analysis_warns_of_stands_in_the_notes() {
    let folder = tempfile::tempdir().unwrap();
    // Datagrams that all look alike, 10 ms apart, and 20 ms on their way; A's capture told of 5 that it lost.
    for (name, after, dropped) in [("a.pcapng", 0, 5), ("b.pcapng", 20_000_000, 0)] {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        let mut writer = Writer::new(file, &Section::default()).unwrap();
        let interface = NewInterface { name, description: None, filter: None, linktype: 1, snaplen: 0 };
        let id = writer.add_interface(&interface).unwrap();
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
        frame.extend([
            0x45, 0, 0, 48, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0x17, 0x70, 0, 28,
        ]);
        frame.resize(14 + 48, 0x33);
        for number in 0..600 {
            let ts_ns = 1_700_000_000_000_000_000 + number * 10_000_000 + after;
            let dropcount = (number == 300 && dropped > 0).then_some(dropped);
            let origlen = frame.len() as u32;
            writer.packet(id, &NewPacket { ts_ns, origlen, data: &frame, dropcount, ..NewPacket::default() }).unwrap();
        }
        writer.finish().unwrap();
    }
    let (code, stdout, stderr) = ended(folder.path(), &["a.pcapng", "b.pcapng", "--same-clock", "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let notes = told["notes"].as_array().unwrap();
    for word in ["ambiguous", "5 packets"] {
        assert!(notes.iter().any(|note| note.as_str().unwrap().contains(word)), "{word}: {notes:?}");
    }
}

#[test]
fn what_cannot_be_fitted_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("short.csv", &series("delay = \"20ms\"\n", 399, 5_000, 1).1);
    write("lost.csv", &"lost\n".repeat(500));
    write("early.csv", &"-5\n".repeat(500));
    write("other.csv", "a,b\n1,2\n");
    write("capture.pcap", "\u{a}\r\r\n");
    write("irtt.json", "{\"round_trips\": 3}");
    fs::create_dir(folder.path().join("empty")).unwrap();
    write("short.txt", "1\n2\n");
    part(folder.path(), "kept-order-a.pcapng", "a.pcapng", 0);
    part(folder.path(), "kept-order-b.pcapng", "b.pcapng", 0);
    fs::create_dir(folder.path().join("run")).unwrap();
    write("run/records.csv", "direction,arrival_ns,cause,release_ns\n");
    let cases: [(&[&str], &str); 17] = [
        (
            &["a.pcapng", "b.pcapng", "--interval", "20ms"],
            "--interval is for delays without times, and a capture has them",
        ),
        (&["irtt.json", "--interval", "20ms"], "and irtt's output has them"),
        (&["short.csv", "--interval", "20ms"], "this table has a column of them"),
        (&["short.txt", "--same-clock"], "--same-clock is for captures and for irtt's output"),
        (&["run", "--same-clock"], "delays of a run's records are taken as they are"),
        (&["run", "--interval", "20ms"], "and a run has them"),
        (&["short.csv"], "399 packets whose fate is known: a fit takes 400 or more"),
        (&["lost.csv"], "all 500 packets whose fate is known were lost"),
        (&["early.csv"], "the smallest delay is -5000000 ns, below zero"),
        (&["other.csv"], "other.csv:1: \"a,b\" names no column of delays"),
        (&["other.csv", "short.csv"], "other.csv is no capture, and is fitted alone"),
        (&["capture.pcap"], "a capture of one point says nothing of the link"),
        (&["irtt.json"], "irtt.json: no output of irtt's"),
        (&["empty"], "name the directory of a run, or two captures"),
        (&["empty", "short.csv"], "is a run's directory, and has both ends"),
        (&["nowhere.csv"], "nowhere.csv: cannot be read"),
        (&["short.csv", "--trace", "t.csv"], "--output"),
    ];
    for (flags, problem) in cases {
        let (code, stdout, stderr) = ended(folder.path(), flags);
        assert_eq!((code, stdout.as_str()), (2, ""), "{flags:?}");
        assert!(stderr.contains(problem), "{flags:?}: {stderr}");
    }
}
