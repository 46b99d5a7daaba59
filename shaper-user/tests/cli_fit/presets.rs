//! Presets, and models of loss that none of them has: what a fit knows of them comes back within its intervals, and of what
//! it does not know it says so.

use shaper_profile::Outages;

use super::*;

/// Parameters of a model, by the names of the report.
type Parameters = Vec<(&'static str, f64)>;

/// What a fit is to say of a direction: the loss's parameters, and the delay's.
fn known(truth: &shaper_profile::Direction) -> (Parameters, Parameters) {
    let loss = match truth.loss {
        Loss::Independent(ratio) if ratio.is_zero() => vec![],
        Loss::Independent(ratio) => vec![("ratio", ratio.fraction())],
        Loss::Bursts { ratio, burst, max: None } => vec![("ratio", ratio.fraction()), ("burst", burst.packets())],
        ref other => panic!("no preset had {other:?}"),
    };
    // Packets of 200 bytes that nothing is before take as long as these at the bottleneck.
    let service = (truth.rate.0.0 > 0).then(|| 200.0 * 8.0 * 1e9 / truth.rate.0.0 as f64);
    let mut delay = vec![("delay_ns", truth.delay.as_millis_f64() * MS + service.unwrap_or(0.0))];
    if !truth.jitter.is_zero() {
        delay.push(("jitter_ns", truth.jitter.as_millis_f64() * MS));
    }
    (loss, delay)
}

#[test]
fn presets_come_back_within_their_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for preset in presets::list().unwrap() {
        let truth = &preset.link.a_to_b;
        if preset.link.outages != Outages::default() || !preset.link.changes.is_empty() {
            continue;
        }
        // 200 ms apart packets seldom meet at the bottleneck, or because the order is kept.
        // Bursts are fitted where there are enough of them.
        let packets = if matches!(truth.loss, Loss::Bursts { .. }) { 40_000 } else { 8_000 };
        let (_, csv) = series_of(&preset, packets, 200_000, 4);
        let (told, profile) = fitted(folder.path(), &csv, &[]);
        let (fit, name) = (&told["a_to_b"], &preset.name);
        let (loss, delay) = known(truth);
        hold_to(&fit["loss"]["chosen"]["parameters"], &loss, 0.0, name);
        let found = &profile.link.a_to_b;
        // A tenth of its packets would be faster than nothing.
        if name == "wifi-bad" {
            assert!(!fit["delay"]["cut_share"].is_null(), "{fit}");
        }
        hold_to(&fit["delay"]["parameters"], &delay, 1_000.0, name);
        if !truth.jitter.is_zero() {
            assert_eq!(found.distribution, truth.distribution, "{name}: {fit}");
        }
        assert_eq!((&fit["outages"], &fit["bottleneck"]), (&Value::Null, &Value::Null), "{name}");
        compared += 1;
    }
    assert!(compared >= 15, "{compared}");
}

#[test]
fn the_four_states_and_correlated_losses_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let chain = [("p13", 0.02), ("p31", 0.3), ("p32", 0.3), ("p23", 0.2), ("p14", 0.01)];
    let state = "delay = \"20ms\"\nloss = \"state 2% 30% 30% 20% 1%\"\n";
    let (told, _) = fitted(folder.path(), &series(state, 60_000, 10_000, 2).1, &[]);
    let loss = &told["a_to_b"]["loss"]["chosen"];
    assert!(loss["kind"].as_str().unwrap().starts_with("four_state"), "{loss}");
    hold_to(&loss["parameters"], &chain, 0.0, state);
    // Stays lost with 0.05 + 0.3 * 0.95, so a burst is of 1 / 0.665 packets.
    let correlated = "delay = \"20ms\"\nloss = \"5% correlation 30%\"\n";
    let (told, _) = fitted(folder.path(), &series(correlated, 40_000, 10_000, 2).1, &[]);
    hold_to(
        &told["a_to_b"]["loss"]["chosen"]["parameters"],
        &[("ratio", 0.05), ("burst", 1.0 / 0.665)],
        0.0,
        correlated,
    );
}

#[test]
fn outages_of_presets_are_told_with_their_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let lengths = [
        ("default", 1.0, None),
        ("wifi", 0.5, None),
        ("congested", 1.5, None),
        ("handoff", 0.3, Some(10.0)),
        ("failover", 3.0, None),
    ];
    for (name, length, every) in lengths {
        let preset = presets::load(name).unwrap();
        let (_, csv) = series_of(&preset, 15_000, 20_000, 6);
        let (told, _) = fitted(folder.path(), &csv, &[]);
        let outages = &told["a_to_b"]["outages"];
        // A packet or two that were lost by chance, or sent just before, lie beside.
        let seconds = |key: &str| outages[key].as_f64().map(|ns| ns / 1e9);
        let mean = seconds("mean_ns").unwrap_or_else(|| panic!("{name}: none"));
        assert!((length - 0.03..length + 0.06).contains(&mean), "{name}: {outages}");
        assert_eq!(seconds("every_ns").map(f64::round), every, "{name}: {outages}");
        let profile = fs::read_to_string(folder.path().join("fit.toml")).unwrap();
        assert!(
            profile.contains("looks like outages, not fitted as such") && profile.contains("#   [outages] "),
            "{profile}"
        );
        // What is lost beside them comes back.
        hold_to(&told["a_to_b"]["loss"]["chosen"]["parameters"], &known(&preset.link.a_to_b).0, 0.0, name);
    }
}

#[test]
fn a_bottleneck_is_told_from_the_captures_of_a_run() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let (code, stdout, _) = ended(&captures, &["queue-a.pcapng", "queue-b.pcapng", "--json"]);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    let found = &told["a_to_b"]["bottleneck"];
    // The run's link had 700 kbit/s, and 3 kB before it: 34 ms.
    let rate = found["rate_bps"].as_f64().unwrap_or_else(|| panic!("{code}: {stdout}"));
    assert!((rate / 7e5 - 1.0).abs() < 0.05, "{found}");
    assert!((found["queue_ns"].as_f64().unwrap() / 34.3e6 - 1.0).abs() < 0.1, "{found}");
    let (_, stdout, _) = ended(&captures, &["queue-a.pcapng", "queue-b.pcapng"]);
    assert!(stdout.contains("looks like a bottleneck of about"), "{stdout}");
}
