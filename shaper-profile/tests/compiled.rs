//! From presets to integers, and what is said about them beforehand.
#![expect(clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

use shaper_common::delay::Jitter;
use shaper_common::order::Order as CompiledOrder;
use shaper_common::units::{Nanos, Probability};
use shaper_profile::quantity::Duration;
use shaper_profile::shift::Stream;
use shaper_profile::{Compile, CompileError, CompiledLink, Configured, load, presets};

fn run(seconds: u64) -> Compile {
    Compile { seed: 7, link: 0, horizon: Duration::from_millis(seconds * 1_000) }
}

fn compiled(text: &str, run: &Compile) -> CompiledLink {
    let profile = presets::parse("link.toml", "link", text).unwrap_or_else(|error| panic!("{error}"));
    profile.link.compile(run).unwrap_or_else(|error| panic!("{error}"))
}

const DENSE: Stream = Stream { interval: Nanos(1_000_000), len: 200, packets: 2_000 };

#[test]
fn wifi_becomes_the_integers_of_its_figures() {
    let link = load("wifi").expect("wifi").link.compile(&Compile { link: 3, ..run(2_000) }).expect("compiles");
    let params = link.a_to_b.channel.params;
    assert_eq!((params.seed, params.start, params.rule), (7, Nanos::ZERO, 0));
    assert_eq!(params.loss, Probability(214_748_365));
    assert_eq!((params.delay, params.jitter), (Nanos(15_000_000), Nanos(30_000_000)));
    assert_eq!((params.jitter_kind, params.order), (Jitter::Uniform as u32, CompiledOrder::Free as u32));
    assert_eq!((params.rate.0, params.queue, params.overhead), (0, Nanos::ZERO, 0));
    assert_eq!((params.stream, link.b_to_a.channel.params.stream), (6, 7));
    assert_eq!(params.has_outages, 1);
}

#[test]
fn both_directions_go_down_together() {
    let link = load("outages").expect("outages").link.compile(&run(300)).expect("compiles");
    assert!(link.windows.len() > 5);
    assert_eq!(link.a_to_b.channel.schedule, link.b_to_a.channel.schedule);
    for window in &link.windows {
        assert!(
            link.a_to_b.channel.schedule().is_down(window.start, &mut 0)
                && !link.a_to_b.channel.schedule().is_down(window.end, &mut 0)
        );
    }
    let other = load("outages").expect("outages").link.compile(&Compile { link: 1, ..run(300) }).expect("compiles");
    assert_ne!(link.windows, other.windows);
}

#[test]
fn a_clean_link_has_no_outages_and_no_warnings() {
    let link = load("clean").expect("clean").link.compile(&run(20)).expect("compiles");
    assert_eq!(link.a_to_b.channel.params.has_outages, 0);
    assert_eq!(link.a_to_b.channel.params.jitter_kind, Jitter::None as u32);
    assert_eq!(link.a_to_b.expected.warnings_on(DENSE), Vec::<String>::new());
    assert_eq!(link.a_to_b.expected.to_string(), "no delay, no loss, no outages, order free");
}

#[test]
fn a_run_of_no_length_or_too_many_links_or_outages_is_an_error() {
    let link = load("wifi").expect("wifi").link;
    assert_eq!(link.compile(&run(0)).expect_err("no length"), CompileError::NoHorizon);
    assert!(matches!(link.compile(&Compile { link: 64, ..run(1) }), Err(CompileError::TooManyLinks { limit: 64, .. })));
    let error = link.compile(&run(1_000_000)).expect_err("too many").to_string();
    assert!(error.starts_with("outages: the schedule holds 1024 windows, which last for "), "{error}");
}

#[test]
fn wifi_is_described_in_one_line_and_warned_about() {
    let link = load("wifi").expect("wifi").link.compile(&run(20)).expect("compiles");
    let line = link.a_to_b.expected.to_string();
    assert!(
        line.starts_with(
            "delay 15 ms +-30 ms uniform (cut at 0: 25 % at 0, mean 16.9 ms), loss 5 %, outages 1 %/s of 500 ms, order free"
        ),
        "{line}"
    );
    assert_eq!(
        link.a_to_b.expected.warnings()[0],
        "jitter 30 ms is cut at zero: 25 % of packets have no delay, and the mean is 16.9 ms instead of 15 ms"
    );
    assert_eq!((link.a_to_b.expected.largest_delay, link.a_to_b.expected.largest_share), (Nanos(45_000_000), 1.0));
}

#[test]
fn the_largest_delay_holds_the_queue_and_states_its_share() {
    let link = compiled(
        "delay = \"20ms\"\njitter = \"1ms\"\ndistribution = \"normal\"\nrate = \"10mbit\"\nqueue = \"50ms\"",
        &run(20),
    );
    let expected = &link.a_to_b.expected;
    assert_eq!(expected.largest_share, 0.999_999);
    assert!(expected.largest_delay.0.abs_diff(20_000_000 + 4_753_424 + 50_000_000) < 10);
    assert_eq!(
        expected.to_string(),
        "delay 20 ms +-1 ms normal, no loss, rate 10 Mbit/s, queue 50 ms, no outages, order free"
    );
    assert_eq!(expected.warnings(), Vec::<String>::new());
}

#[test]
fn a_queue_below_the_bandwidth_delay_product_is_warned_about_with_what_comes_out() {
    let link = compiled("delay = \"50ms\"\nrate = \"10mbit\"\nqueue = \"10p\"", &run(20));
    let warnings = link.a_to_b.expected.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("queue 10 packets (12.112 ms) is smaller than the bandwidth-delay product"),
        "{warnings:?}"
    );
    // 9 waiting packets are beta = 0.108 products: (0.3466 + 0.1135) / (0.4461 + 0.1135).
    assert!(warnings[0].contains("gets about 82 % of the rate"), "{warnings:?}");
}

#[test]
fn a_kept_order_is_warned_about_on_a_dense_stream() {
    let link = compiled("delay = \"20ms\"\njitter = \"10ms\"\norder = \"keep\"", &run(20));
    let expected = &link.a_to_b.expected;
    let warning = expected.warnings_on(DENSE).pop().expect("one");
    assert!(warning.starts_with("order keep holds back ") && warning.contains("packets sent every 1 ms"), "{warning}");
    let sparse = Stream { interval: Nanos(30_000_000), ..DENSE };
    assert_eq!(expected.warnings_on(sparse), Vec::<String>::new());
}

#[test]
fn no_outage_in_a_short_run_is_told() {
    let text = "[outages]\nrate = \"0.01%/s\"\nlength = \"1s\"";
    assert_eq!(
        compiled(text, &run(10)).a_to_b.expected.warnings(),
        ["no outage begins within 10 s with this seed (0.00 would in the mean)"]
    );
}

#[test]
fn the_configured_block_keeps_its_names_and_survives_a_round_trip() {
    let link = compiled(
        "delay = \"20ms\"\njitter = \"30ms\"\norder = \"keep\"\nloss = \"0.1%\"\nrate = \"10mbit\"\n\
         [outages]\nscheduled = [{ at = \"10s\", length = \"500ms\" }]",
        &run(20),
    );
    let block = link.a_to_b.expected.configured(Some(DENSE));
    assert_eq!((block.loss, block.delay_ms, block.jitter_ms), (0.001, 20.0, 30.0));
    assert_eq!((block.rate_bps, block.queue_ms), (Some(10_000_000), Some(100.0)));
    assert!((block.delay_mean_ms - 2_500.0 / 120.0).abs() < 1e-5);
    assert!((block.delay_zero_share - 1.0 / 6.0).abs() < 1e-6);
    assert!((block.outages.share - 0.025).abs() < 1e-12);
    assert!(block.order_shift.is_some_and(|shift| shift.low_ms <= shift.mean_ms && shift.mean_ms <= shift.high_ms));
    let text = toml::to_string(&block).expect("serializes");
    for name in [
        "distribution = \"uniform\"",
        "order = \"keep\"",
        "delay_mean_ms",
        "[outages]",
        "[order_shift]",
        "[[outages.windows]]",
    ] {
        assert!(text.contains(name), "{name} in\n{text}");
    }
    assert_eq!(toml::from_str::<Configured>(&text).expect("reads"), block);
}

#[test]
fn a_loss_in_bursts_compiles_to_a_chain_and_is_told() {
    let text = "loss = \"5% burst 3\"\n[down]\nloss = \"gemodel 1% 10%\"\n";
    let link = presets::parse("link.toml", "link", text).expect("parses").link.compile(&run(20)).expect("compiles");
    let up = &link.a_to_b;
    assert_eq!((up.channel.params.has_chain, up.channel.params.loss), (1, Probability::NEVER));
    assert_eq!(up.channel.params.chain.lose, [0, 1 << 32, 0, 0].map(Probability));
    assert!((up.channel.params.chain.leave[1][0].0 as f64 / 2f64.powi(32) - 1.0 / 3.0).abs() < 1e-9);
    assert!(up.expected.to_string().contains("loss 5 % in bursts of 3, no outages"), "{}", up.expected);
    let down = link.b_to_a.expected.to_string();
    assert!(down.contains("1-k 0 % (9.1 % lost, 10.0 packets lost in a row)"), "{down}");
    let configured = link.b_to_a.expected.configured(None);
    assert!((configured.loss - 1.0 / 11.0).abs() < 1e-8 && configured.loss_burst.is_some());
    assert_eq!(
        presets::load("wifi").expect("wifi").link.compile(&run(20)).expect("compiles").a_to_b.channel.params.has_chain,
        0
    );
}

/// A profile that follows such a trace.
fn following(trace: &str, also: &str) -> Result<CompiledLink, CompileError> {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let path = folder.path().join("trace.csv");
    std::fs::write(&path, trace).unwrap_or_else(|error| panic!("{error}"));
    let text = format!("trace = \"{}\"\n{also}", path.display());
    presets::parse("link.toml", "link", &text).unwrap_or_else(|error| panic!("{error}")).link.compile(&run(10))
}

#[test]
fn a_trace_is_followed_beside_changes_of_what_it_does_not_say() {
    const TRACE: &str = "time_ms,rate_kbit\n0,8000\n1000,2000\n";
    let link = following(TRACE, "[[change]]\nat = \"1s\"\nloss = \"1%\"\n").expect("compiles");
    let channel = &link.a_to_b.channel;
    assert!(channel.trace.is_some() && channel.varies());
    let flags = |place: usize| channel.changes.as_ref().expect("changes").settings[place].0.flags;
    assert_eq!(flags(0), channel.params.flags);
    let error = following(TRACE, "[[change]]\nat = \"1s\"\nrate = \"1mbit\"\n").expect_err("refused").to_string();
    assert!(error.contains("rate: changes at a set time, and follows the trace"), "{error}");
}

#[test]
fn what_needs_a_rate_takes_it_from_the_trace_or_is_refused() {
    assert!(following("time_ms,rate_kbit\n0,8000\n", "aqm = \"codel\"\nqueue = \"1MB\"\n").is_ok());
    let error = following("time_ms,delay_ms\n0,8\n", "aqm = \"codel\"\n").expect_err("refused").to_string();
    assert!(error.contains("aqm: there is no rate"), "{error}");
}

#[test]
fn jitter_by_a_table_is_around_the_trace_s_delay() {
    let link = following("delay_ms\n80\n", "jitter = \"5ms\"\ndistribution = \"pareto\"\n").expect("compiles");
    let channel = &link.a_to_b.channel;
    let quantiles = channel.tables.delay.as_ref().expect("a table");
    // The median of the standardised Pareto distribution of shape 3 is below its mean.
    let median = quantiles.delay(u32::MAX).0.abs_diff(channel.params.delay.0) as f64;
    assert!((median / 5e6 - (1.5 - 2f64.cbrt()) / 0.75f64.sqrt()).abs() < 1e-4, "{median}");
    assert_eq!(link.a_to_b.expected.direction().delay, Duration::from_millis(80));
    let told = link.a_to_b.expected.to_string();
    assert!(told.starts_with("delay 80 ms +-5 ms") && told.ends_with("hold, of which these are the means"), "{told}");
}

#[test]
fn the_largest_delay_of_a_trace_reaches_over_its_longest_standstill() {
    let link = following("time_ms,rate_kbit,delay_ms\n0,8000,5\n1000,0,40\n3000,8000,10\n", "queue = \"50kB\"\n");
    let largest = link.expect("compiles").a_to_b.expected.largest_delay.0;
    // 50 kB take 50 ms, the standstill is 2 s, the longest delay 40 ms.
    assert!(largest.abs_diff(2_090_000_000) < 100_000, "{largest}");
}

#[test]
fn more_rules_that_follow_traces_than_there_are_rings_for_are_refused() {
    let rule = "[[rule]]\nmatch = \"udp\"\ntrace = \"a.csv\"\n";
    let profile = presets::parse("link.toml", "link", &rule.repeat(65)).expect("a profile");
    let error = profile.link.compile(&run(10)).expect_err("refused").to_string();
    assert!(error.contains("65 rules follow a trace, and 64 of a direction can"), "{error}");
}

#[test]
fn slots_by_a_table_are_apart_by_its_distribution() {
    const SLOTS: u32 = 200_000;
    let n = f64::from(SLOTS);
    for shape in ["pareto", "paretonormal"] {
        let channel = compiled(&format!("slot = \"10ms +-2ms {shape} packets 1\""), &run(1)).a_to_b.channel;
        let mut channel = shaper_channel::Channel::new(channel);
        let packet = shaper_common::pipeline::Packet { now: Nanos(1), len: 200, ..Default::default() };
        let opens: Vec<u64> = (0..=SLOTS).map(|_| channel.decide(&packet).release.0).collect();
        let gaps = || opens.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 2e6 - 5.0);
        // Of mean 0 and deviation 1, within 99.9 %.
        let mean = gaps().sum::<f64>() / n;
        assert!(mean.abs() < 3.29 / n.sqrt(), "{shape}: {mean}");
        let is_pareto = |p: f64| {
            let below = ((1.0 - p).powf(-1.0 / 3.0) - 1.5) / 0.75f64.sqrt();
            let count = gaps().filter(|gap| *gap <= below).count() as f64;
            (count - n * p).abs() < 3.29 * (n * p * (1.0 - p)).sqrt()
        };
        assert_eq!([0.1, 0.5, 0.9, 0.99].into_iter().all(is_pareto), shape == "pareto", "{shape}");
    }
}

/// How many of a thousand full packets a channel's queue management drops, 23.9 ms apart.
fn dropped_by_management(link: CompiledLink) -> usize {
    let mut channel = shaper_channel::Channel::new(link.a_to_b.channel);
    let packet = |number: u64| shaper_common::pipeline::Packet {
        now: Nanos(1 + number * 23_900_000),
        len: 1_514,
        ..Default::default()
    };
    (0..1_000).filter(|number| channel.decide(&packet(*number)).cause == shaper_common::fate::Cause::Aqm).count()
}

#[test]
fn management_of_a_queue_spares_a_full_packet_at_whatever_rate_the_trace_has() {
    // Fast for a millisecond, so that its mean is a hundred times the rate that it then has.
    const TRACE: &str = "time_ms,rate_kbit\n0,60000000\n1,500\n1000,500\n";
    for aqm in ["codel", "pie", "pi2"] {
        let also = format!("aqm = \"{aqm}\"\nqueue = \"100kB\"\n");
        let constant = dropped_by_management(compiled(&format!("rate = \"500kbit\"\n{also}"), &run(30)));
        let traced = dropped_by_management(following(TRACE, &also).expect("compiles"));
        assert!(constant > 5 && traced.abs_diff(constant) <= 2, "{aqm}: {traced} instead of {constant}");
    }
}

#[test]
fn a_trace_that_does_not_reach_to_the_end_of_a_full_queue_is_refused() {
    // 16 us a row: a ring is one second; and nothing for two.
    let rows: String = (0..400_000)
        .map(|row| format!("{},{}\n", row * 16, if row / 125_000 == 1 { row % 2 } else { 8_000 + row % 2 }))
        .collect();
    let trace = format!("time_us,rate_kbit\n{rows}");
    let error = following(&trace, "queue = \"100kB\"\n").expect_err("refused").to_string();
    assert!(error.contains("a full queue is through in 2") && error.contains("are at hand at a time"), "{error}");
    // Equal rows are one.
    let rows: String = (0..400_000)
        .map(|row| format!("{},{}\n", row * 16, if row / 125_000 == 1 { 0 } else { 8_000 + row % 2 }))
        .collect();
    assert!(following(&format!("time_us,rate_kbit\n{rows}"), "queue = \"1kB\"\n").is_err());
    let even: String =
        (0..400_000).map(|row| format!("{},{}\n", row * 16, if row / 125_000 == 1 { 0 } else { 8_000 })).collect();
    let link = following(&format!("time_us,rate_kbit\n{even}"), "queue = \"100kB\"\n").expect("compiles");
    let Some(shaper_channel::Trace::Steps(steps)) = &link.a_to_b.channel.trace else { panic!("a trace") };
    assert_eq!(steps.steps().len(), 3);
}
