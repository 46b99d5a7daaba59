//! What the link does is what was asked of it, on probe streams of at least 10,000 packets.

#![cfg(feature = "live")]
#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

#[path = "support/outcome.rs"]
mod outcome;
#[path = "support/runs.rs"]
mod runs;
mod support;

use std::collections::BTreeMap;

use outcome::held;
use runs::Ended;
use shaper_common::units::Nanos;
use shaper_offline::pcapfile::Reader;
use shaper_offline::writer::Comment;
use shaper_profile::Compile;
use shaper_profile::presets;
use shaper_profile::quantity::Duration;
use shaper_report::agreement::Agreement;
use shaper_report::summary::{Direction, Summary, Window};
use support::on_own_host;

/// A preset and a stream that tells about it: where outages are drawn, the seed is one that draws one into the stream,
/// and where they are scheduled, the stream is long enough to meet one.
struct Stream {
    preset: &'static str,
    seed: u64,
    packets: u64,
    interval_us: u64,
    outages: usize,
}

const STREAMS: [Stream; 16] = [
    Stream { preset: "clean", seed: 1, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "wifi", seed: 845, packets: 12_500, interval_us: 250, outages: 1 },
    Stream { preset: "congested", seed: 159, packets: 16_000, interval_us: 250, outages: 1 },
    Stream { preset: "extreme", seed: 214, packets: 20_000, interval_us: 250, outages: 1 },
    Stream { preset: "default", seed: 159, packets: 14_000, interval_us: 250, outages: 1 },
    Stream { preset: "outages", seed: 1, packets: 24_000, interval_us: 250, outages: 1 },
    Stream { preset: "mobile", seed: 2, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "stadium", seed: 3, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "handoff", seed: 4, packets: 20_000, interval_us: 300, outages: 1 },
    Stream { preset: "failover", seed: 5, packets: 20_000, interval_us: 450, outages: 1 },
    Stream { preset: "vstack-normal", seed: 6, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "vstack-high-latency", seed: 7, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "vstack-low-bandwidth", seed: 8, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "vstack-packet-loss", seed: 9, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "vstack-degraded", seed: 10, packets: 10_000, interval_us: 250, outages: 0 },
    Stream { preset: "vstack-recovery", seed: 11, packets: 10_000, interval_us: 250, outages: 0 },
];

/// Presets of which such a stream does not tell enough: some carry less than it sends, one carries nothing, in others
/// packets keep their order, wait for each other, or are treated otherwise from a time on.
const OTHERS: [&str; 12] = [
    "3g",
    "4g",
    "5g",
    "dsl",
    "cable",
    "wifi-good",
    "wifi-bad",
    "satellite-geo",
    "satellite-leo",
    "rfc8867-single",
    "rfc8867-multi",
    "vstack-node-failure",
];

/// Those that differ from one beside them by figures alone: they have their turn in the long form.
const ALIKE: [&str; 7] = [
    "default",
    "stadium",
    "vstack-normal",
    "vstack-high-latency",
    "vstack-low-bandwidth",
    "vstack-packet-loss",
    "vstack-degraded",
];

#[test]
fn each_preset_is_what_was_asked_for() {
    let mut named: Vec<_> = STREAMS.iter().map(|stream| stream.preset).chain(OTHERS).collect();
    let mut all: Vec<_> = presets::names().collect();
    named.sort_unstable();
    all.sort_unstable();
    assert_eq!(named, all);
    on_own_host(|host| {
        let mut wrong = Vec::new();
        let whole = std::env::var_os("SHAPER_TEST_FULL").is_some();
        for stream in STREAMS.iter().filter(|stream| whole || !ALIKE.contains(&stream.preset)) {
            let Stream { preset, seed, packets, interval_us, .. } = stream;
            let probe =
                format!("probe --profile {preset} --seed {seed} --packets {packets} --interval {interval_us}us");
            let summary = host.run(&probe).summary();
            let mut holds = |what: &str, held: bool, found: String| {
                if !held {
                    wrong.push(format!("{preset}: {what}: {found}"));
                }
            };
            holds("it holds", held(&summary).is_ok(), format!("{:?}", held(&summary)));
            accounts_close(&summary, *packets, &mut holds);
            agrees(&summary, &mut holds);
            loses_as_asked(&summary, &mut holds);
            is_down_as_scheduled(stream, &summary, &mut holds);
            is_not_late_by_itself(preset, &summary, &mut holds);
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// Takes what must hold, whether it does, and what was found instead.
type Holds<'a> = dyn FnMut(&str, bool, String) + 'a;

fn forward(summary: &Summary) -> &Direction {
    &summary.directions["a_to_b"]
}

/// All packets were recorded, replayed alike, and ended somewhere.
fn accounts_close(summary: &Summary, packets: u64, holds: &mut Holds) {
    let oracle = &summary.oracle;
    holds("the oracle checks all", oracle.checked == summary.conservation.total.arrived, format!("{oracle:?}"));
    holds("the oracle misses none", oracle.unchecked == 0 && oracle.mismatches == 0, format!("{oracle:?}"));
    holds("all was sent", forward(summary).measured.packets == packets, format!("{:?}", forward(summary).measured));
    for (name, counts) in &summary.conservation.by_direction {
        holds("nothing is held", counts.held == 0, format!("{name} {counts:?}"));
        holds("the account closes", counts.difference == 0, format!("{name} {counts:?}"));
    }
}

/// Every check of the direction that carried the stream says yes. How late the delay line is depends on who else
/// wants this machine's CPUs: there a no is an honest answer too, when it is given and its figures are.
fn agrees(summary: &Summary, holds: &mut Holds) {
    let Direction { configured, measured, agree } = forward(summary);
    let result = |name: &str| agree.checks.iter().find(|check| check.name == name).map(|check| check.result);
    let mut named = vec!["loss", "outage", "intended delay", "lateness"];
    if configured.jitter_ms > 0.0 {
        named.push("zero delay");
    }
    for name in named {
        holds("it is checked", result(name).is_some(), name.to_owned());
    }
    // A stream that a bottleneck has room for queues only where its sender was late: who never was shows no rate.
    let room = |name: &str, n: u64| name == "rate" && n == 0;
    for check in agree.checks.iter().filter(|check| check.name != "lateness") {
        let due = if room(&check.name, check.n) { Agreement::TooFew } else { Agreement::Yes };
        holds("it agrees", check.result == due, format!("{check:?}"));
    }
    // The run's own checks share their error: each alone is held to more here. Seeds are fixed, and so is what is drawn.
    for check in agree.checks.iter().filter(|check| ["intended delay", "zero delay"].contains(&&*check.name)) {
        holds("it is likely", check.p.is_none_or(|p| p >= 0.001), format!("{check:?}"));
    }
    let late = &measured.lateness_us;
    let stated = late.p50.is_some() && late.p99.is_some() && late.max.is_some();
    holds("lateness is stated", stated && late.n == measured.forwarded, format!("{late:?}"));
    match result("lateness") {
        Some(Agreement::No) => {
            let told = summary.findings.iter().any(|finding| finding.text.contains("lateness"));
            holds("late is no agreement", agree.result == Agreement::No, format!("{agree:?}"));
            holds("late is told", told, format!("{:?}", summary.findings));
        }
        Some(Agreement::Yes) => {
            let all = if agree.checks.iter().any(|check| room(&check.name, check.n)) {
                Agreement::TooFew
            } else {
                Agreement::Yes
            };
            holds("all agree", agree.result == all, format!("{agree:?}"));
        }
        other => holds("lateness is judged", false, format!("{other:?}")),
    }
}

/// The loss among what met a link that was up, at 99.9 %, by the normal approximation of the binomial distribution.
fn loses_as_asked(summary: &Summary, holds: &mut Holds) {
    /// The 99.95 % quantile of the standard normal distribution.
    const Z: f64 = 3.290_53;
    let Direction { configured, measured, .. } = forward(summary);
    let (of, p) = (measured.loss.of as f64, configured.loss_ratio);
    let off = (measured.loss.count as f64 - of * p).abs();
    let most = Z * (of * p * (1.0 - p)).sqrt() + if p > 0.0 { 0.5 } else { 0.0 };
    holds("it loses as asked", off <= most && of > 0.0, format!("{:?}, {most} off at most", measured.loss));
}

/// The link was down in the seed's windows, and for the packets that were due then.
fn is_down_as_scheduled(stream: &Stream, summary: &Summary, holds: &mut Holds) {
    let Direction { configured, measured, .. } = forward(summary);
    let windows = windows(stream);
    holds("the windows are the seed's", configured.outage_windows == windows, format!("{configured:?}, {windows:?}"));
    holds("the stream meets an outage", windows.len() == stream.outages, format!("{windows:?}"));
    let interval_ms = stream.interval_us as f64 / 1e3;
    let due: f64 = windows.iter().map(|w| (w.end_ms - w.start_ms) / interval_ms).sum();
    // A late sender moves packets over a window's edges: not so many that a window of another length would do as well.
    let slip = summary.schedule.as_ref().and_then(|schedule| schedule.slip_ms.max).unwrap();
    let edges = windows.len() as f64;
    let most = (edges * 2.0 * slip / interval_ms).min(0.1 * due) + 2.0 * edges;
    let off = (measured.outage.count as f64 - due).abs();
    holds("packets due in an outage are dropped", off <= most, format!("{:?}, {due} due", measured.outage));
}

/// No packet leaves before its time, and what a link that delays nothing adds of its own is no delay.
fn is_not_late_by_itself(preset: &str, summary: &Summary, holds: &mut Holds) {
    /// Twenty times what sleeping threads are late by here, and far from any delay of a preset.
    const MEDIAN_MOST_US: f64 = 2_000.0;
    for (name, direction) in &summary.directions {
        let late = &direction.measured.lateness_us;
        holds("none is early", late.min.is_none_or(|us| us >= 0.0), format!("{name}: {late:?}"));
        if preset == "clean" && name == "a_to_b" {
            holds("it is clean", late.p50.is_some_and(|us| us <= MEDIAN_MOST_US), format!("{late:?}"));
        }
    }
}

/// The outages that a stream's seed draws, by the profile alone.
fn windows(stream: &Stream) -> Vec<Window> {
    let profile = shaper_profile::load(stream.preset).unwrap();
    let horizon = Duration(Nanos(stream.packets * stream.interval_us * 1_000));
    let link = profile.link.compile(&Compile { seed: stream.seed, link: 0, horizon }).unwrap();
    let ms = |at: Nanos| at.0 as f64 / 1e6;
    link.windows.iter().map(|w| Window { start_ms: ms(w.start), end_ms: ms(w.end) }).collect()
}

#[test]
fn kept_order_shifts_dense_traffic_by_what_was_stated_beforehand() {
    on_own_host(|host| {
        let dense = "probe --profile custom --latency 5ms --jitter 4ms --order keep --seed 11";
        let run = host.run(&format!("{dense} --packets 10000 --interval 250us"));
        let summary = run.summary();
        let Direction { configured, measured, agree } = forward(&summary);
        let stated = configured.expected_shift_ms.expect("a shift is expected");
        // Jitter of +-4 ms on a packet every 250 us: each waits for the latest of the 32 before it.
        assert!(stated.low > 1.0 && stated.high < 4.0, "{stated:?}");
        let manifest = std::fs::read_to_string(run.out.join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        let beforehand = &manifest["links"][0]["a_to_b"]["order_shift"];
        assert_eq!(beforehand["low_ms"].as_f64(), Some(stated.low), "{manifest}");
        assert_eq!(beforehand["high_ms"].as_f64(), Some(stated.high), "{manifest}");
        let shift = agree.checks.iter().find(|check| check.name == "shift").expect("the shift is checked");
        assert_eq!(shift.result, Agreement::Yes, "{shift:?}");
        assert!(shift.interval.unwrap().contains(measured.shift_ms.unwrap()), "{shift:?}");
        let reordered = measured.reordered.unwrap();
        assert_eq!((reordered.count, reordered.of), (0, measured.forwarded));
        held(&summary).unwrap();
        let mut wrong = Vec::new();
        accounts_close(&summary, 10_000, &mut |what, held, found| {
            if !held {
                wrong.push(format!("{what}: {found}"));
            }
        });
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn a_bottleneck_passes_its_rate_and_drops_what_its_queue_cannot_hold() {
    const RATE: f64 = 10e6;
    const QUEUE_MS: f64 = 20.0;
    // With its headers; at 100 us that is 17 Mbit/s.
    const FRAME_BITS: f64 = 214.0 * 8.0;
    on_own_host(|host| {
        let run =
            host.run("probe --profile custom --rate 10mbit --queue 20ms --packets 10000 --interval 100us --seed 12");
        let summary = run.summary();
        let measured = &forward(&summary).measured;
        let dropped = &summary.conservation.by_direction["a_to_b"].dropped_by_cause;
        assert!(measured.queue.count > 0, "{measured:?}");
        assert_eq!(dropped.get("queue"), Some(&measured.queue.count), "{dropped:?}");
        assert_eq!((measured.loss.count, measured.outage.count), (0, 0));
        let rate =
            forward(&summary).agree.checks.iter().find(|check| check.name == "rate").expect("the rate is checked");
        assert_eq!(rate.result, Agreement::Yes, "{rate:?}");
        // What has left the bottleneck, and what the full queue still holds when the last packet has arrived.
        let span_s = measured.packets as f64 * FRAME_BITS / measured.offered_bps.unwrap();
        let most = (RATE * (span_s + QUEUE_MS / 1e3) / FRAME_BITS).ceil() + 1.0;
        assert!(measured.forwarded as f64 <= most, "{} of at most {most}: {measured:?}", measured.forwarded);
        let longest = measured.intended_delay_ms.max.unwrap();
        assert!(longest <= QUEUE_MS + FRAME_BITS / RATE * 1e3 + 1e-3, "{measured:?}");
        // More arrives than leaves nearly all the time: half of the packets that pass find the queue all but full.
        assert!(measured.intended_delay_ms.p50.unwrap() > QUEUE_MS * 0.9, "{measured:?}");
        held(&summary).unwrap();
        let mut wrong = Vec::new();
        accounts_close(&summary, 10_000, &mut |what, held, found| {
            if !held {
                wrong.push(format!("{what}: {found}"));
            }
        });
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

#[test]
fn a_seed_is_a_fate() {
    let probe = |seed: u64| {
        let link = "--profile wifi --outages 100%/s --outage-duration 100ms";
        format!("probe {link} --packets 6000 --interval 250us --seed {seed}")
    };
    on_own_host(|host| {
        let [one, same, other] = [31, 31, 32].map(|seed| {
            let run = host.run(&probe(seed));
            let windows = forward(&run.summary()).configured.outage_windows.clone();
            (windows, causes(&run))
        });
        assert!(!one.0.is_empty());
        assert_eq!(one.0, same.0);
        assert_ne!(one.0, other.0);
        assert_eq!((one.1.len(), same.1.len(), other.1.len()), (6_000, 6_000, 6_000));
        assert!(differ(&one.1, &same.1).is_empty(), "{:?}", differ(&one.1, &same.1));
        // Independent losses of 5 % differ for 9.5 % of the packets.
        let others = differ(&one.1, &other.1).len();
        assert!(others > 300, "{others}");
    });
}

/// The cause of each packet's fate by its index, as the capture at the sender tells it.
fn causes(run: &Ended) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    let mut reader = Reader::open(run.out.join("a.pcapng")).unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        for text in packet.comments() {
            if let Some(Comment { dir: Some(0), seq: Some(seq), cause: Some(cause), .. }) =
                Comment::parse(text).unwrap()
            {
                assert!(found.insert(seq, cause).is_none(), "packet {seq} stands twice");
            }
        }
    }
    found
}

/// Indices whose draws differ; outages, which depend on time, tell nothing of a draw.
fn differ(one: &BTreeMap<u64, String>, other: &BTreeMap<u64, String>) -> Vec<u64> {
    let drawn = |cause: &String| cause != "outage";
    let pairs = one.iter().filter_map(|(index, cause)| Some((index, cause, other.get(index)?)));
    pairs.filter(|(_, a, b)| drawn(a) && drawn(b) && a != b).map(|(index, ..)| *index).collect()
}

/// Two-sided 99.9 % quantile of the standard normal distribution.
const Z_999: f64 = 3.290_527;

/// Ratio and length of bursts on real packets, decided in the kernel; the references are the models' own formulas.
#[test]
fn losses_come_in_bursts_as_asked() {
    const PACKETS: f64 = 40_000.0;
    on_own_host(|host| {
        // The mean length of a burst, and the standard deviation of one: geometric, ended by 1/3 and by r.
        for (loss, ratio, burst, deviation) in
            [("5% burst 3", 0.05, 3.0, 6f64.sqrt()), ("gemodel 2% 25%", 2.0 / 27.0, 4.0, 12f64.sqrt())]
        {
            let profile = host.folder.path().join("bursts.toml");
            std::fs::write(&profile, format!("loss = \"{loss}\"\n")).unwrap();
            let probe = format!("probe --profile {} --seed 7 --packets {PACKETS} --interval 100us", profile.display());
            let summary = host.run(&probe).summary();
            held(&summary).unwrap();
            let Direction { configured, measured, agree } = forward(&summary);
            assert!((configured.loss_ratio - ratio).abs() < 1e-6, "{configured:?}");
            assert!((configured.loss_burst.unwrap() - burst).abs() < 1e-6, "{configured:?}");
            let check = agree.checks.iter().find(|check| check.name == "loss").unwrap();
            assert_eq!(check.result, Agreement::Yes, "{loss}: {check:?}");
            let bursts = measured.loss.count as f64 / burst;
            let off = (measured.loss_burst.unwrap() - burst).abs();
            let allowed = Z_999 * deviation / bursts.sqrt();
            assert!(off <= allowed, "{loss}: {:?}, off by {off}, {allowed} allowed", measured.loss_burst);
            assert_eq!((summary.oracle.mismatches, summary.oracle.unchecked), (0, 0));
        }
    });
}
