//! `shaper profile preview`: the figures are those of the mathematics, and the seed's alone.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The command as it ended: exit code, standard output, standard error.
fn ended(folder: &Path, flags: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
    let output = command.args(["profile", "preview"]).args(flags).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn text(folder: &Path, flags: &[&str]) -> String {
    let (code, stdout, stderr) = ended(folder, flags);
    assert_eq!((code, stderr.as_str()), (0, ""), "{flags:?}");
    stdout
}

fn figures(flags: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    serde_json::from_str(&text(folder.path(), &[flags, &["--json"]].concat())).unwrap()
}

/// The 99.95 % quantile of the standard normal distribution: two-sided 99.9 %.
const Z: f64 = 3.2905;

/// Whether a figure is within 99.9 % of what its standard deviation allows.
fn near(measured: &Value, expected: f64, deviation: f64) {
    let measured = measured.as_f64().unwrap();
    assert!((measured - expected).abs() <= Z * deviation, "{measured} instead of {expected} +-{}", Z * deviation);
}

fn binomial(measured: &Value, ratio: f64) {
    let of = measured["of"].as_f64().unwrap();
    assert!(of > 1_000.0);
    near(&measured["ratio"], ratio, (ratio * (1.0 - ratio) / of).sqrt());
}

#[test]
fn bursts_lose_as_many_and_as_long_as_configured() {
    let figures = figures(&["--loss", "5% burst 3", "--packets", "200000"]);
    // A chain that leaves loss by 1/3 and enters it so that one in twenty is lost: runs are geometric.
    let (leaves, share) = (1.0 / 3.0, 0.05);
    let enters = leaves * share / (1.0 - share);
    let memory: f64 = 1.0 - leaves - enters;
    let inflation = (1.0 + memory) / (1.0 - memory);
    let deviation = (share * (1.0 - share) * inflation / 200_000.0).sqrt();
    near(&figures["delivered"]["ratio"], 1.0 - share, deviation);
    let wide = figures["delivered"]["high"].as_f64().unwrap() - figures["delivered"]["low"].as_f64().unwrap();
    assert!((wide / (2.0 * 1.96 * deviation) - 1.0).abs() < 0.1, "{wide}");
    let runs = &figures["loss_runs"];
    let n = runs["runs"].as_f64().unwrap();
    near(&runs["mean"], 1.0 / leaves, ((1.0 - leaves) / (leaves * leaves) / n).sqrt());
    let by_length: Vec<f64> =
        runs["by_length"].as_array().unwrap().iter().map(|of| of["runs"].as_f64().unwrap()).collect();
    assert_eq!(by_length.iter().sum::<f64>(), n);
    let stays: f64 = 1.0 - leaves;
    let shares = [leaves, leaves * stays, leaves * stays.powi(2), stays.powi(3) - stays.powi(7), stays.powi(7)];
    for (runs, share) in by_length.iter().zip(shares) {
        near(&Value::from(runs / n), share, (share * (1.0 - share) / n).sqrt());
    }
    assert_eq!(figures["dropped_by_cause"]["loss"], figures["delay_ms"]["missing"]);
}

#[test]
fn normal_jitter_has_the_quantiles_of_its_distribution_and_no_memory() {
    let flags = ["--delay", "50ms", "--jitter", "5ms", "--distribution", "normal", "--packets", "100000"];
    let figures = figures(&flags);
    let n = 100_000f64;
    let delay = &figures["delay_ms"];
    near(&delay["mean"], 50.0, 5.0 / n.sqrt());
    for (key, share, z) in [("p50", 0.5, 0.0f64), ("p95", 0.95, 1.644_854), ("p99", 0.99, 2.326_348)] {
        let density = (-z * z / 2.0).exp() / (5.0 * std::f64::consts::TAU.sqrt());
        near(&delay[key], 50.0 + 5.0 * z, (share * (1.0f64 - share) / n).sqrt() / density);
    }
    near(&figures["delay_autocorrelation"], 0.0, 1.0 / n.sqrt());
    assert_eq!(figures["delivered"]["ratio"], 1.0);
    assert!(figures["reordered"]["count"].as_u64().unwrap() > 0);
    assert!(figures["reordering_extent"].as_u64().unwrap() >= 1);
    assert_eq!(figures["queueing_ms"], Value::Null);
}

#[test]
fn jitter_with_a_time_constant_is_correlated_by_it() {
    let flags = ["--delay", "50ms", "--jitter", "5ms", "--distribution", "normal", "--correlation-time", "20ms"];
    let figures = figures(&[&flags[..], &["--interval", "10ms", "--packets", "100000"]].concat());
    let correlation = (-0.5f64).exp();
    // Of a first-order process, Bartlett, 1946.
    near(&figures["delay_autocorrelation"], correlation, ((1.0 - correlation.powi(2)) / 100_000.0).sqrt());
}

#[test]
fn copies_changes_and_marks_are_as_many_as_configured() {
    let figures_of = figures(&["--duplicate", "10% copies 2", "--corrupt", "20%", "--packets", "50000"]);
    binomial(&figures_of["copied"], 0.1);
    binomial(&figures_of["changed"], 0.2);
    assert_eq!(figures_of["copies"].as_u64().unwrap(), 2 * figures_of["copied"]["count"].as_u64().unwrap());
    let marking = ["--loss", "20%", "--ecn", "on", "--packets", "50000"];
    let marked = figures(&[&marking[..], &["--ect"]].concat());
    binomial(&marked["marked"], 0.2);
    assert_eq!(marked["delivered"]["ratio"], 1.0);
    let dropped = figures(&marking);
    binomial(&dropped["delivered"], 0.8);
    assert_eq!(dropped["marked"]["count"], 0);
}

#[test]
fn twice_the_rate_fills_the_queue_and_half_is_dropped() {
    // Of 250 bytes a megabit carries one in 2 ms.
    let flags = ["--rate", "1mbit", "--queue", "100ms", "--size", "250", "--interval", "1ms", "--packets", "10000"];
    let figures = figures(&flags);
    let delivered = figures["delivered"]["count"].as_u64().unwrap();
    // As many as leave within 10 s, and those that wait then.
    assert!((5_045..=5_052).contains(&delivered), "{delivered}");
    assert_eq!(figures["dropped_by_cause"]["queue"].as_u64().unwrap(), 10_000 - delivered);
    let longest = figures["queueing_ms"]["max"].as_f64().unwrap();
    assert!((98.0..=100.0).contains(&longest), "{longest}");
    assert_eq!(figures["reordered"]["count"], 0);
}

#[test]
fn what_a_setting_does_to_itself_and_to_the_stream_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |flags: &[&str], words: &str| {
        let text = text(folder.path(), flags);
        assert!(text.contains(words), "no {words:?} in {text}");
    };
    let cut = ["--delay", "5ms", "--jitter", "10ms"];
    told(&cut, "note: jitter 10 ms is cut at zero");
    binomial(&figures(&cut)["zero_delay"], 0.25);
    let kept = figures(&[&cut[..], &["--order", "keep", "--interval", "1ms"]].concat());
    assert!(kept["warnings"].to_string().contains("order keep holds back"), "{}", kept["warnings"]);
    assert_eq!(kept["reordered"]["count"], 0);
    told(
        &["--delay", "10s", "--packet-rate", "10000/s", "--packets", "10"],
        "a delay line of 32768 frames holds 10000",
    );
    let copied = ["--delay", "500ms", "--duplicate", "100% copies 2", "--packet-rate", "20000/s", "--packets", "10"];
    told(&copied, "and the longest delay, with that of copies added, is 1500.0 ms: it takes 34608 frames");
    told(&["--rate", "10mbit", "--queue", "1p", "--delay", "50ms"], "is smaller than the bandwidth-delay product");
    told(&["wifi"], "wifi, a to b, seed 1");
}

#[test]
fn a_rule_decides_for_the_packets_that_match_it() {
    let folder = tempfile::tempdir().unwrap();
    let profile = "loss = \"100%\"\n[[rule]]\nname = \"voice\"\nmatch = \"udp dst port 5000\"\ndelay = \"7ms\"\n";
    fs::write(folder.path().join("rules.toml"), profile).unwrap();
    let of = |flags: &[&str]| -> Value {
        serde_json::from_str(&text(folder.path(), &[&["rules.toml", "--json"], flags].concat())).unwrap()
    };
    for way in ["a_to_b", "b_to_a"] {
        let matched = of(&["--direction", way]);
        assert_eq!((&matched["rule"], &matched["direction"]), (&Value::from("voice"), &Value::from(way)));
        assert_eq!((&matched["delivered"]["ratio"], &matched["delay_ms"]["max"]), (&1.0.into(), &7.0.into()));
    }
    let other = of(&["--dst-port", "5001"]);
    assert_eq!((&other["rule"], &other["delivered"]["ratio"]), (&Value::Null, &0.0.into()));
    let hint = "no rule matches: --rule \"voice\" shows what that one does";
    assert!(text(folder.path(), &["rules.toml", "--dst-port", "5001"]).contains(hint));
}

#[test]
fn a_rule_is_shown_by_its_name_whatever_it_matches_and_with_its_own_outages() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "name = \"bulk\"\nmatch = \"tcp\"\ndelay = \"7ms\"\n";
    let outages = "outages = { scheduled = [{ at = \"2s\", length = \"500ms\" }] }\n";
    let voice = "[[rule]]\nname = \"voice\"\nmatch = \"udp\"\nloss = \"100%\"\n";
    fs::write(folder.path().join("rules.toml"), format!("{voice}[[rule]]\n{rule}{outages}")).unwrap();
    let flags = ["rules.toml", "--rule", "bulk", "--packets", "1000", "--flows", "3"];
    let bulk: Value = serde_json::from_str(&text(folder.path(), &[&flags[..], &["--json"]].concat())).unwrap();
    assert_eq!(
        (&bulk["rule"], &bulk["delay_ms"]["min"], &bulk["delay_ms"]["max"]),
        (&"bulk".into(), &7.0.into(), &7.0.into())
    );
    // A packet every 10 ms for half a second.
    assert_eq!(bulk["dropped_by_cause"], serde_json::json!({ "outage": 50 }));
    let configured = bulk["configured"].as_str().unwrap();
    assert!(configured.contains("outages 500 ms at 2 s") && configured.contains("(down 5 % of 10 s)"), "{configured}");
    text(folder.path(), &[&flags[..], &["--svg", "bulk.svg"]].concat());
    let drawing = fs::read_to_string(folder.path().join("bulk.svg")).unwrap();
    assert!(drawing.contains("opacity=\"0.3\" fill=\"#8A8F98\""), "the outage is not shaded");
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let of = |seed| text(folder.path(), &["congested", "--seed", seed, "--packet-rate", "50/s", "--flows", "3"]);
    assert_eq!(of("7"), of("7"));
    assert_ne!(of("7"), of("8"));
}

#[test]
fn the_drawing_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    text(folder.path(), &["wifi", "--packets", "2000", "--svg", "wifi.svg"]);
    let drawing = fs::read_to_string(folder.path().join("wifi.svg")).unwrap();
    assert!(drawing.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    for words in ["Delay over time", "Fates over time", "Intended delay", "configured"] {
        assert!(drawing.contains(words), "no {words:?}");
    }
    assert_eq!(drawing.matches("<svg").count(), drawing.matches("</svg>").count());
    assert!(!drawing.contains("<figure") && drawing.matches("http").count() == 1);
}

#[test]
fn the_drawing_shows_each_copy_change_and_mark_and_names_only_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let drawn = |flags: &[&str]| {
        let all = [&["custom", "--latency", "20ms", "--packets", "1000", "--svg", "it.svg", "--json"], flags].concat();
        let figures: Value = serde_json::from_str(&text(folder.path(), &all)).unwrap();
        (figures, fs::read_to_string(folder.path().join("it.svg")).unwrap())
    };
    let names =
        |drawing: &str| ["copy", "changed", "marked CE", "lost"].map(|name| drawing.contains(&format!(">{name}<")));
    let dots = |drawing: &str| drawing.matches("r=\"5\"").count() as u64;
    let (_, plain) = drawn(&[]);
    assert_eq!((names(&plain), dots(&plain)), ([false; 4], 0));
    // Two dots for two copies of each packet, 25 and 30 ms after its arrival, which the axis has room for.
    let (figures, copied) = drawn(&["--duplicate", "5% copies 2 delay 5ms"]);
    assert_eq!((names(&copied), dots(&copied)), ([true, false, false, false], figures["copies"].as_u64().unwrap()));
    // A queue and slots are in no configured distribution.
    for (flags, beside) in [(&[][..], true), (&["--slot", "40ms"], false), (&["--rate", "1mbit"], false)] {
        assert_eq!(drawn(flags).1.contains(">configured<"), beside, "{flags:?}");
    }
    let (figures, changed) = drawn(&["--corrupt", "5%"]);
    assert_eq!(names(&changed), [false, true, false, false]);
    assert_eq!(dots(&changed), figures["changed"]["count"].as_u64().unwrap());
    let (figures, marked) = drawn(&["--loss", "5%", "--ecn", "on", "--ect"]);
    assert_eq!(names(&marked), [false, false, true, false]);
    assert_eq!(dots(&marked), figures["marked"]["count"].as_u64().unwrap());
    assert!([&copied, &changed, &marked].iter().all(|drawing| dots(drawing) > 20));
}

#[test]
fn what_is_wrong_is_refused_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.toml"), "[[rule]]\nmatch = \"tcp\"\n").unwrap();
    for (flags, words) in [
        (&["no-such"][..], "no-such"),
        (&["wifi", "--profile", "clean"], "cannot be used with"),
        (&["--packet-rate", "100"], "100/s"),
        (&["--packet-rate", "0/s"], "100/s"),
        (&["--packet-rate", "5/s", "--interval", "1ms"], "cannot be used with"),
        (&["--interval", "0"], "20ms"),
        (&["--packets", "0"], "1..=5000000"),
        (&["--size", "20"], "42..=9014"),
        (&["--direction", "up"], "a_to_b"),
        (&["--loss", "5"], "5%"),
        (&["--packets", "5000000", "--interval", "8760h"], "--interval 10ms"),
        (&["--svg", "no/such/folder.svg"], "--svg preview.svg"),
        (&["--rule", "voice"], "has no rules"),
        (&["rules.toml", "--rule", "voice"], "has no such rule; it has: tcp"),
        (&["--from", "."], "--from runs/mine"),
        (&["wifi", "--from", "."], "--from runs/mine"),
        (&["--from", ".", "--packets", "5"], "cannot be used with"),
        (&["--link", "1"], "--from <RUN>"),
        (&["--ect", "2"], "0, 1"),
    ] {
        let (code, stdout, stderr) = ended(folder.path(), flags);
        assert_eq!((code, stdout.as_str()), (2, ""), "{flags:?}: {stderr}");
        assert!(stderr.contains(words), "{flags:?}: no {words:?} in {stderr}");
    }
}

/// A command's words; those in quotes are one.
fn words(command: &str) -> Vec<String> {
    let quoted = command.split('"').enumerate();
    let parts = quoted.flat_map(|(number, part)| match number % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    parts.collect()
}

#[test]
fn every_picture_of_an_effect_is_what_its_command_draws() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = fs::read_to_string(docs.join("impairments.md")).unwrap();
    let (_, flags) = text.split_once("`shaper profile preview PROFILE FLAGS ").unwrap();
    let flags = flags.split_once(" --svg FILE`").unwrap().0;
    let folder = tempfile::tempdir().unwrap();
    let pictures: Vec<&str> = text.split("](images/effects/").skip(1).collect();
    for picture in &pictures {
        let (name, below) = picture.split_once(")\n\n`").unwrap();
        let (command, beside) = below.split_once('`').unwrap();
        // A file that the command needs stands in a block of its own.
        let file = beside.lines().next().unwrap();
        if file.starts_with(", w") {
            let named = file.split('`').nth(1).unwrap_or(command);
            let block = beside.split("```").nth(1).unwrap();
            let named = words(named).into_iter().find(|word| word.contains('.')).unwrap();
            fs::write(folder.path().join(named), block.split_once('\n').unwrap().1).unwrap();
        }
        let drawn = folder.path().join(name);
        let output = Command::new(env!("CARGO_BIN_EXE_shaper"))
            .args(["profile", "preview"])
            .args(words(command))
            .args(words(flags))
            .arg("--svg")
            .arg(&drawn)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let [kept, drawn] =
            [docs.join("images/effects").join(name), drawn].map(|path| fs::read_to_string(path).unwrap());
        assert!(kept == drawn, "{name} is not what `{command}` draws");
    }
    let kept = fs::read_dir(docs.join("images/effects")).unwrap().count();
    assert_eq!(pictures.len(), kept, "pictures in the text, and in their folder");
}
