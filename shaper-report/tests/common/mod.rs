//! A run as one would come out: wifi in both directions, 20 s, one scripted outage of 500 ms.

use std::collections::BTreeMap;

use shaper_report::agreement::{
    Agree, AgreementError, Family, LatenessBound, OutageCounts, intended_delays, lateness, loss, outages,
    ratio_tolerance,
};
use shaper_report::html::{CommandPoint, DirectionPlot, Outcome, PacketPoint, Plots};
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{
    CaptureCounts, Clock, CommandCounts, Commands, Configured, Conservation, Convergence, Counts, Direction,
    Expectation, Grade, GradeLevel, GradePart, GradeParts, Join, LatencySplit, Lateness, Measured, Oracle, Run,
    Schedule, Severity, Spread, Stage, Summary, SyncFailures, SyncLevel, Window,
};

const MS: f64 = 1e6;
const OUTAGE: Window = Window { start_ms: 9_750.0, end_ms: 10_250.0 };

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Draws(u64);

impl Draws {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// As late as timers come: some tens of microseconds, now and then much more.
    fn lateness_ns(&mut self) -> i64 {
        let usual = 55_000.0 + 60_000.0 * self.uniform();
        (usual - 40_000.0 * self.uniform().ln() * if self.uniform() < 0.02 { 5.0 } else { 1.0 }) as i64
    }

    fn delay_ns(&mut self) -> u64 {
        ((self.uniform() * 60.0 - 15.0).max(0.0) * MS) as u64
    }
}

/// The distribution function of 15 ms +- 30 ms, cut at zero, in nanoseconds.
fn wifi_cdf(ns: f64) -> f64 {
    ((ns + 15.0 * MS) / (60.0 * MS)).clamp(0.0, 1.0)
}

struct Link {
    direction: Direction,
    plot: DirectionPlot,
    counts: Counts,
}

/// One direction with `packets` evenly spaced over 20 s.
fn link(family: &mut Family, seed: u64, packets: u64) -> Result<Link, AgreementError> {
    let mut draws = Draws(seed);
    let mut plot = DirectionPlot::default();
    plot.configure((0..=90).map(|half| 0.5 * f64::from(half)).map(|ms| (ms, wifi_cdf(ms * MS))).collect());
    let (mut inside, mut lost) = (0, 0);
    let (mut intended, mut late, mut delays) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..packets {
        let at_ns = (index as f64 / packets as f64 * 20_000.0 * MS) as u64;
        let at_ms = at_ns as f64 / MS;
        let outcome = if (OUTAGE.start_ms..OUTAGE.end_ms).contains(&at_ms) {
            inside += 1;
            Outcome::Dropped { cause: "outage".into() }
        } else if draws.uniform() < 0.05 {
            lost += 1;
            Outcome::Dropped { cause: "loss".into() }
        } else {
            let (delay, lateness) = (draws.delay_ns(), draws.lateness_ns());
            intended.push(delay);
            plot.intend(delay);
            late.push(lateness);
            plot.late(lateness);
            let actual = delay + lateness.unsigned_abs() + 20_000;
            delays.push(actual as f64 / MS);
            Outcome::Delivered { delay_ns: actual }
        };
        plot.push(&PacketPoint { at_ns, outcome });
    }
    let forwarded = intended.len() as u64;
    let in_ms = |samples: &[u64]| samples.iter().map(|ns| *ns as f64 / MS).collect::<Vec<_>>();
    let late_us: Vec<f64> = late.iter().map(|ns| *ns as f64 / 1e3).collect();
    let zeros = intended.iter().filter(|ns| **ns == 0).count() as u64;
    let offered = packets - inside;
    let mut checks = vec![
        loss(family.level()?, lost, offered, 0.05, ratio_tolerance(0.05), 1.0),
        outages(&OutageCounts { windows: 1, packets, inside, dropped_inside: inside, dropped_outside: 0 }),
        lateness(&late, &LatenessBound::beside_host(300_000, 3.0, 1_000_000)),
    ];
    checks.extend(intended_delays([family.level()?, family.level()?], &intended, wifi_cdf, 0.25));
    let agree: Agree = family.agree(checks);
    let measured = Measured {
        packets,
        forwarded,
        loss: Proportion::of(lost, offered),
        outage: Proportion::of(inside, packets),
        queue: Proportion::of(0, forwarded),
        intended_delay_ms: Distribution::of(in_ms(&intended)),
        zero_delay: Proportion::of(zeros, forwarded),
        lateness_us: Distribution::of(late_us),
        one_way_delay_ms: Some(Distribution::with_missing(delays, packets - forwarded, Missing::Excluded)),
        reordered: Some(Proportion::of(forwarded / 3, forwarded)),
        shift_ms: None,
        offered_bps: Some(64_000.0),
        loss_burst: Some(1.05),
        rules: Vec::new(),
    };
    let dropped = BTreeMap::from([("loss".to_owned(), lost), ("outage".to_owned(), inside), ("queue".to_owned(), 0)]);
    Ok(Link {
        direction: Direction { configured: wifi(), measured, agree },
        plot,
        counts: Counts::new(packets, 0, forwarded, dropped, 0),
    })
}

fn wifi() -> Configured {
    Configured {
        delay_ms: 15.0,
        jitter_ms: 30.0,
        distribution: "uniform".to_owned(),
        delay_mean_ms: 16.875,
        delay_p50_ms: 15.0,
        delay_p95_ms: 42.0,
        delay_p99_ms: 44.4,
        delay_zero_ratio: 0.25,
        order: "free".to_owned(),
        expected_shift_ms: None,
        loss_ratio: 0.05,
        loss_burst: None,
        rate_bps: None,
        queue_ms: None,
        outages_per_s: 0.01,
        outage_ms: 500.0,
        outage_windows: vec![OUTAGE],
    }
}

/// The summary and what its page plots; `packets` offered in each direction.
pub(crate) fn sample(packets: u64) -> Result<(Summary, Plots), AgreementError> {
    let mut family = Family::declare(6);
    let there = link(&mut family, 7, packets)?;
    let back = link(&mut family, 8, packets - packets / 8)?;
    let mut draws = Draws(11);
    let commands: Vec<CommandPoint> = (0..108)
        .filter(|command| ![12, 53, 54].contains(command))
        .map(|command| CommandPoint {
            at_ns: 200_000_000 + command * 182_000_000,
            time_to_state_ns: draws.delay_ns() / 2 + 400_000 + draws.lateness_ns().unsigned_abs(),
        })
        .collect();
    let to_state: Vec<f64> = commands.iter().map(|command| command.time_to_state_ns as f64 / MS).collect();
    let response = to_state.iter().map(|ms| ms + 0.3 + draws.delay_ns() as f64 / MS).collect();

    let mut summary = Summary::new(Run {
        name: "20260301T120000Z-toast-wifi".to_owned(),
        workload: "toast".to_owned(),
        profile: "wifi".to_owned(),
        seed: 7,
        duration_s: 20.0,
        started: "2026-03-01T12:00:00Z".to_owned(),
        kernel: "6.18.5".to_owned(),
        engine: "xsk".to_owned(),
        xdp_mode: Some("driver".to_owned()),
        version: "0.1.0".to_owned(),
    });
    summary.exit_code = 0;
    summary.find(Severity::Note, "jitter 30 ms is larger than the base delay 15 ms: cut at zero, mean 16.9 ms");
    summary.find(
        Severity::Warning,
        "too few packets to show that loss, zero delay and intended delay agree: run longer, or `shaper run probe`",
    );
    summary.expectations =
        vec![Expectation { text: "delivered >= 85 %".to_owned(), held: true, measured: "97.2 %".to_owned() }];
    let part = |result, why: &str| GradePart { result: Some(result), why: why.to_owned() };
    summary.grade = Some(Grade {
        result: Some(GradeLevel::Good),
        why: "the worst of delivery, spread and re-convergence".to_owned(),
        parts: GradeParts {
            delivery: part(GradeLevel::Excellent, "97.2 % of 108"),
            spread: GradePart { result: None, why: "one peer".to_owned() },
            reconvergence: part(GradeLevel::Good, "212 ms, within a beat"),
            sync: GradePart { result: Some(SyncLevel::High), why: "0 failures".to_owned() },
        },
    });
    let checked = there.counts.arrived + back.counts.arrived;
    summary.oracle = Oracle { checked, first_mismatch: None, ..Oracle::default() };
    summary.lateness = Lateness::new(
        BTreeMap::from([
            ("a_to_b".to_owned(), there.direction.measured.lateness_us.clone()),
            ("b_to_a".to_owned(), back.direction.measured.lateness_us.clone()),
        ]),
        Some(Distribution {
            p50: Some(98.0),
            p99: Some(300.0),
            p999: Some(1_200.0),
            n: 2_000,
            ..Distribution::default()
        }),
    );
    summary.join = Some(Join { joined: checked, ..Join::default() });
    summary.captures =
        BTreeMap::from(["a", "b"].map(|host| {
            (host.to_owned(), CaptureCounts { received: checked - 40, dropped: 0, written: checked - 40 })
        }));
    summary.conservation =
        Conservation::new(BTreeMap::from([("a_to_b".to_owned(), there.counts), ("b_to_a".to_owned(), back.counts)]));
    summary.bypassed = 14;
    summary.directions =
        BTreeMap::from([("a_to_b".to_owned(), there.direction), ("b_to_a".to_owned(), back.direction)]);
    let peer = CommandCounts {
        intended: 108,
        delivered: 105,
        applied_once: 104,
        superseded: 1,
        missed: 3,
        ..CommandCounts::default()
    };
    summary.commands = Some(Commands::new(BTreeMap::from([("b".to_owned(), peer.with_ratio())])));
    summary.response_time_ms = Some(Distribution::with_missing(response, 5, Missing::Excluded));
    summary.time_to_state_ms = Some(Distribution::with_missing(to_state, 3, Missing::Infinite));
    summary.spread_ms = None::<Spread>;
    summary.convergence = vec![Convergence {
        direction: "both".to_owned(),
        outage: OUTAGE,
        peers_ms: BTreeMap::from([("b".to_owned(), Some(212.0))]),
        tested: true,
        within_beat: true,
    }];
    summary.sync_failures = Some(SyncFailures { total: 0, judged: 120, peers: BTreeMap::from([("b".to_owned(), 0)]) });
    summary.clock = BTreeMap::from([(
        "b".to_owned(),
        Clock {
            offset_estimated_us: Some(2_480.0),
            offset_injected_us: Some(2_500.0),
            offset_error_us: Some(-20.0),
            asymmetry_error_us: None,
            offset_bound_us: Some(410.0),
            skew_estimated_ppm: Some(19.1),
            skew_injected_ppm: Some(20.0),
            exchanges: 39,
        },
    )]);
    summary.position_drift_ppm = BTreeMap::from([("b".to_owned(), Some(18.7))]);
    let stage = |stage: &str, p50, p99| Stage {
        stage: stage.to_owned(),
        n: 103,
        min_ms: Some(0.0),
        p50_ms: Some(p50),
        p99_ms: Some(p99),
    };
    summary.latency_split = Some(LatencySplit {
        stages: vec![
            stage("burst", 0.0, 0.72),
            stage("sender_stack", 0.06, 0.31),
            stage("link", 6.9, 23.1),
            stage("receiver_stack", 0.05, 0.22),
            stage("application", 0.18, 0.71),
            stage("answer_sender_stack", 0.05, 0.2),
            stage("answer_link", 15.4, 44.7),
            stage("answer_receiver_stack", 0.05, 0.24),
        ],
        total: stage("total", 23.2, 58.8),
        unjoined: 2,
        unanswered: 1,
    });
    summary.schedule = Some(Schedule {
        slip_ms: Distribution::of((0..108).map(|index| 0.08 + 0.003 * f64::from(index)).collect()),
        late_count: 0,
        bound_ms: 10.0,
        kept: true,
    });
    Ok((
        summary,
        Plots {
            directions: BTreeMap::from([("a_to_b".to_owned(), there.plot), ("b_to_a".to_owned(), back.plot)]),
            commands,
            notes: Vec::new(),
        },
    ))
}
