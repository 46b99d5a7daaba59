//! Profiles: the presets' figures, files with their errors' places, flags over profiles.
#![expect(clippy::expect_used, clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

use proptest::prelude::*;
use shaper_profile::effect::OutageLength;
use shaper_profile::quantity::{Duration, QueueLimit};
use shaper_profile::{
    Compile, Direction, Distribution, Loss, Order, OverrideError, Overrides, Patch, Profile, ProfileError, list, load,
    presets,
};

fn text(text: &str) -> Profile {
    presets::parse("link.toml", "link", text).unwrap_or_else(|error| panic!("{error}"))
}

fn error(text: &str) -> String {
    presets::parse("link.toml", "link", text).expect_err(text).to_string()
}

#[test]
fn presets_have_the_published_figures() {
    // Loss, jitter, delay in ms, outages %/s, their length in ms.
    for (name, loss, jitter, delay, rate, length) in [
        ("clean", "0%", 0, 0, 0.0, 0),
        ("wifi", "5%", 30, 15, 0.01, 500),
        ("congested", "10%", 100, 25, 0.03, 1_500),
        ("extreme", "20%", 200, 50, 0.05, 2_000),
        ("default", "5%", 50, 10, 0.02, 1_000),
        ("outages", "15%", 75, 10, 0.1, 3_000),
        ("mobile", "8%", 100, 80, 0.0, 0),
        ("stadium", "20%", 0, 0, 0.0, 0),
    ] {
        let link = load(name).expect(name).link;
        let direction = Direction {
            loss: loss.parse().expect(loss),
            jitter: Duration::from_millis(jitter),
            delay: Duration::from_millis(delay),
            distribution: Distribution::Uniform,
            order: Order::Free,
            ..Direction::default()
        };
        assert_eq!((&link.a_to_b, &link.b_to_a), (&direction, &direction), "{name}");
        let length = OutageLength::Fixed(Duration::from_millis(length));
        assert_eq!((link.outages.rate.per_second(), link.outages.length), (rate, length), "{name}");
        assert!(link.outages.scheduled.is_empty());
    }
    let failover = load("failover").expect("failover").link.outages.scheduled;
    assert_eq!((failover.len(), failover[0].length), (1, Duration::from_millis(3_000)));
    let handoff = load("handoff").expect("handoff").link.outages.scheduled;
    assert!(handoff.len() == 1 && handoff[0].every.is_some());
}

#[test]
fn presets_of_published_scenarios_have_their_figures() {
    // Delay, jitter in ms, rate in Mbit/s, loss.
    for (name, delay, jitter, rate, loss) in [
        ("vstack-normal", 20, 5, 50, "0%"),
        ("vstack-high-latency", 150, 50, 50, "5%"),
        ("vstack-low-bandwidth", 20, 5, 10, "0%"),
        ("vstack-packet-loss", 30, 10, 40, "15%"),
        ("vstack-degraded", 100, 30, 20, "10%"),
        ("vstack-recovery", 50, 20, 35, "2%"),
    ] {
        let direction = Direction {
            delay: Duration::from_millis(delay),
            jitter: Duration::from_millis(jitter),
            rate: format!("{rate}mbit").parse().expect(name),
            loss: loss.parse().expect(loss),
            ..Direction::default()
        };
        let link = load(name).expect(name).link;
        assert_eq!((&link.a_to_b, &link.b_to_a), (&direction, &direction), "{name}");
        assert!(link.outages.is_none(), "{name}");
    }
    let failure = load("vstack-node-failure").expect("vstack-node-failure").link;
    let run = Compile { seed: 1, link: 0, horizon: Duration::from_millis(60_000) };
    let windows = failure.compile(&run).expect("compiles").windows;
    assert!(matches!(&windows[..], [all] if all.start.0 == 0 && all.end.0 >= 60_000_000_000), "{windows:?}");

    let megabits = |name: &str| {
        let link = load(name).expect(name).link;
        let changes = link.changes.iter().map(|change| (change.at.as_secs_f64(), change.a_to_b.rate.0.0));
        let start = (0.0, link.a_to_b.rate.0.0);
        assert!(
            link.changes.iter().all(|change| change.b_to_a == link.b_to_a && change.a_to_b.queue == link.a_to_b.queue)
        );
        assert_eq!(link.a_to_b.queue_time().0, 300_000_000, "{name}");
        std::iter::once(start).chain(changes).map(|(at, bits)| (at, bits as f64 / 1e6)).collect::<Vec<_>>()
    };
    assert_eq!(megabits("rfc8867-single"), [(0.0, 1.0), (40.0, 2.5), (60.0, 0.6), (80.0, 1.0)]);
    assert_eq!(megabits("rfc8867-multi"), [(0.0, 4.0), (25.0, 2.0), (50.0, 3.5), (75.0, 1.0), (100.0, 2.0)]);
}

#[test]
fn every_preset_says_what_it_is_and_where_it_comes_from() {
    let presets = list().expect("presets are valid");
    assert_eq!(presets.len(), 28);
    for preset in presets {
        assert!(!preset.description.is_empty() && !preset.source.is_empty(), "{}", preset.name);
        assert_eq!(load(&preset.name).expect("found by its name"), preset);
    }
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = load("wify").expect_err("unknown");
    assert!(matches!(&error, ProfileError::Unknown { suggestion: Some(near), .. } if near == "wifi"));
    assert_eq!(
        error.to_string(),
        "\"wify\" is no preset and no file (did you mean \"wifi\"?); presets: clean, wifi, congested, extreme, \
            default, \
         outages, mobile, stadium, handoff, failover, 3g, 4g, 5g, dsl, cable, wifi-good, wifi-bad, satellite-geo, \
         satellite-leo, rfc8867-single, rfc8867-multi, vstack-normal, vstack-high-latency, vstack-low-bandwidth, \
         vstack-packet-loss, vstack-degraded, vstack-recovery, vstack-node-failure, custom; or give the path of a \
         TOML file"
    );
    assert!(load("no/such/file.toml").expect_err("missing").to_string().starts_with("no/such/file.toml: cannot read"));
}

#[test]
fn a_profile_differs_by_direction_where_it_says_so() {
    let profile = text(
        r#"
delay = "20ms"
loss = "1%"
rate = "100mbit"
queue = "64kB"
[up]
rate = "10mbit"
queue = "100p"
[down]
delay = "30ms"
rate = "unlimited"
"#,
    );
    let (up, down) = (profile.link.a_to_b, profile.link.b_to_a);
    assert_eq!(profile.name, "link");
    assert_eq!((up.delay, up.queue), (Duration::from_millis(20), Some(QueueLimit::Packets(100))));
    assert_eq!(up.queue_time().0, 100 * 1_514 * 800);
    assert_eq!((down.delay, down.queue, down.rate.is_unlimited()), (Duration::from_millis(30), None, true));
    assert_eq!(up.loss, down.loss);
}

#[test]
fn the_default_queue_is_100_ms_and_no_less_than_ten_packets() {
    assert_eq!(text("rate = \"100mbit\"").link.a_to_b.queue_time().0, 100_000_000);
    assert_eq!(text("rate = \"64kbit\"\noverhead = \"24B\"").link.a_to_b.queue_time().0, 10 * 1_538 * 125_000);
}

#[test]
fn errors_name_file_line_column_key_and_what_is_right() {
    assert_eq!(
        error("delay = \"20ms\"\nloss = \"-5%\"\n"),
        "link.toml:2:8: loss: \"-5%\" is no percentage: it is negative; write for example \"0.5%\""
    );
    assert_eq!(
        error("[up]\n  loss = \"101%\"\n"),
        "link.toml:2:10: up.loss: \"101%\" is no percentage: it is larger than 100%; write for example \"0.5%\""
    );
    assert_eq!(
        error("delay = 20"),
        "link.toml:1:9: delay: \"20\" is no duration: the unit is missing; write for example \"20ms\""
    );
    assert_eq!(error("jiter = \"5ms\""), "link.toml:1:1: jiter: unknown key; did you mean jitter?");
    assert_eq!(error("latency = \"5ms\""), "link.toml:1:1: latency: unknown key; did you mean delay?");
    assert_eq!(
        error("[down]\nchecksum = \"1%\""),
        "link.toml:2:1: down.checksum: unknown key; known here: delay, jitter, distribution, correlation_time, \
            order, loss, \
         loss_position, ecn, duplicate, corrupt, reorder, slot, rate, overhead, cell, queue, aqm, policer, scope, trace"
    );
    assert_eq!(
        error("order = \"kept\""),
        "link.toml:1:9: order: \"kept\" is not known (did you mean \"keep\"?); write \"keep\" or \"free\""
    );
    assert!(error("distribution = \"cauchy\"").contains("known: \"uniform\", \"normal\", \"pareto\""));
    assert!(error("delay = [1]").starts_with("link.toml:1:9: delay: must be a string"));
    assert!(error("delay = \"5ms\nloss = \"1%\"").starts_with("link.toml:1:13: no TOML: "));
    assert!(error("delay \"5ms\"").contains("no TOML"));
    assert!(error("a = 1\nname = 5").contains("unknown key"));
    assert!(error("name = 5").starts_with("link.toml:1:8: name: must be a string"));
}

#[test]
fn a_queue_that_lets_no_packet_pass_is_refused_where_it_stands() {
    assert_eq!(
        error("rate = \"10mbit\"\nqueue = \"1000B\""),
        "link.toml:2:9: queue: 1 kB is smaller than one packet (1514 bytes, 1.2112 ms at 10 Mbit/s): none would pass; \
         write for example queue = \"100p\" or queue = \"64kB\""
    );
    assert!(error("rate = \"10mbit\"\noverhead = \"24B\"\nqueue = \"1514B\"").contains("1538 bytes"));
    assert!(error("rate = \"10mbit\"\nqueue = \"1ms\"\n[up]\nloss = \"1%\"").starts_with("link.toml:2:9: up.queue"));
    assert!(error("queue = \"64kB\"").contains("there is no rate"));
    text("rate = \"10mbit\"\nqueue = \"1514B\"");
    text("rate = \"10mbit\"\nqueue = \"1p\"");
    text("rate = \"7mbit\"\nqueue = \"1p\"\noverhead = \"1B\"");
}

#[test]
fn outages_belong_to_the_link_and_last_some_time() {
    let profile =
        text("[outages]\nrate = \"1%\"\nlength = \"500ms\"\nscheduled = [{ at = \"10s\", length = \"500ms\" }]");
    assert_eq!(profile.link.outages.scheduled.len(), 1);
    let profile = text(
        "[[outages.scheduled]]\nat = \"1s\"\nlength = \"1s\"\n[[outages.scheduled]]\nat = \"5s\"\nlength = \"1s\"",
    );
    assert_eq!(profile.link.outages.scheduled.len(), 2);
    assert!(error("[up]\n[up.outages]\nrate = \"1%\"").contains("down both ways"));
    assert!(
        error("[outages]\nrate = \"1%\"")
            .starts_with("link.toml:2:8: outages.length: outages come at 1 %/s and last no time")
    );
    assert!(error("[outages]\nscheduled = [{ at = \"10s\" }]").contains("outages.scheduled[0].length: is missing"));
    assert!(error("[outages]\nscheduled = [{ at = \"10s\", length = \"0s\" }]").contains("lasts no time"));
    assert!(
        error("[outages]\nscheduled = [{ at = \"1s\", length = \"2s\", every = \"1s\" }]")
            .contains("every longer than length")
    );
    assert!(error("[outages]\nscheduled = \"10s\"").contains("must be a list of tables"));
    assert!(error("outages = \"1%\"").contains("must be a table"));
}

#[test]
fn one_direction_has_one_name() {
    assert!(error("[up]\nloss = \"1%\"\n[a_to_b]\nloss = \"1%\"").contains("[a_to_b] and [up] are the same direction"));
}

#[test]
fn a_file_is_found_by_its_path_and_named_after_it() {
    let path = std::env::temp_dir().join(format!("shaper-profile-test-{}.toml", std::process::id()));
    std::fs::write(&path, "delay = \"7ms\"").expect("temporary file");
    let loaded = load(path.to_str().expect("a plain path"));
    std::fs::remove_file(&path).expect("own file");
    let profile = loaded.expect("a valid profile");
    assert!(profile.name.starts_with("shaper-profile-test-"));
    assert_eq!(profile.link.b_to_a.delay, Duration::from_millis(7));
}

#[test]
fn flags_change_both_directions_and_the_name() {
    let wifi = load("wifi").expect("wifi");
    assert_eq!(Overrides::default().apply(&wifi).expect("unchanged"), wifi);
    let flags = Overrides {
        direction: Patch { loss: Some("7%".parse().expect("7%")), order: Some(Order::Keep), ..Patch::default() },
        outage_at: vec![Duration::from_millis(10_000)],
        outage_length: Some(Duration::from_millis(500)),
        ..Overrides::default()
    };
    let changed = flags.apply(&wifi).expect("valid");
    assert_eq!(changed.name, "wifi+custom");
    for direction in [changed.link.a_to_b, changed.link.b_to_a] {
        assert_eq!((direction.loss.to_string().as_str(), direction.order), ("7%", Order::Keep));
        assert_eq!(direction.delay, wifi.link.a_to_b.delay);
    }
    assert_eq!(changed.link.outages.rate, wifi.link.outages.rate);
    assert_eq!(changed.link.outages.scheduled.len(), 1);
    let direction = Patch { loss: Some(Loss::default()), ..Patch::default() };
    let custom = Overrides { direction, ..Overrides::default() };
    assert_eq!(custom.apply(&load("custom").expect("custom")).expect("valid").name, "custom");
}

#[test]
fn flags_that_do_not_go_together_name_themselves() {
    let clean = load("clean").expect("clean");
    let alone = Overrides { outage_at: vec![Duration::ZERO], ..Overrides::default() };
    assert!(matches!(alone.apply(&clean), Err(OverrideError::Alone { given: "--outage-at", .. })));
    let no_length = Overrides { outages: Some("1%".parse().expect("1%")), ..Overrides::default() };
    let message = no_length.apply(&clean).expect_err("no length").to_string();
    assert!(message.contains("--outage-duration: outages come at 1 %/s and last no time"), "{message}");
    let direction = Patch {
        rate: Some("10mbit".parse().expect("10mbit")),
        queue: Some("100B".parse().expect("100B")),
        ..Patch::default()
    };
    let small = Overrides { direction, ..Overrides::default() };
    let message = small.apply(&clean).expect_err("small").to_string();
    assert!(
        message.starts_with("profile clean with the flags given: --queue: 100 B is smaller than one packet"),
        "{message}"
    );
}

#[test]
fn a_profile_written_out_reads_back_the_same() {
    let mut profiles = list().expect("presets are valid");
    profiles.push(text(
        "delay = \"20ms\"\n[up]\nrate = \"9999kbit\"\nqueue = \"100p\"\n[outages]\nscheduled = [{ at = \"1s\", \
            length = \"1ms\", every = \"1min\" }]",
    ));
    for profile in profiles {
        assert_eq!(text(&toml::to_string(&profile).expect("serializes")), profile);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_reading_a_profile_panic(
        noise in "\\PC{0,60}",
        key in "(delay|loss|rate|queue|outages|up|down|order|outages.scheduled|up.loss)",
        value in "(\"[0-9.]{0,6}(ms|%|kB|p|mbit)?\"|[0-9.]{0,4}|\\[.{0,9}\\]|\\{.{0,9}\\}|true)",
        line in "(delay = \"5ms\"|rate = \"1mbit\"|\\[up\\]|\\[\\[outages.scheduled\\]\\]|at = \"5s\")",
    ) {
        for text in [noise.clone(), format!("{key} = {value}\n{line}"), format!("{line}\n{key} = {value}\n{noise}")] {
            if let Err(error) = presets::parse("x.toml", "x", &text) {
                prop_assert!(error.to_string().starts_with("x.toml:"));
            }
        }
    }
}
