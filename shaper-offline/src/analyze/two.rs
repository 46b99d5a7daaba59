//! The comparison of two captures, from files to result.

use std::path::Path;

use super::{
    AnalyzeError, Options, Result,
    capture::{Capture, Chosen, Predicate},
    clock::{self, Clock, ClockFound, ClockMethod},
    engine::{EXACT, Engine, Flow, Limits, Outcome},
    examples::Shown,
    feed::{Correction, Feed},
    findings::{self, Examined},
    key::Rules,
    point::{Both, Point},
    result::{Analysis, Damage, Figures, FileFound, FlowFigures, Totals, Way},
    runs::Runs,
    sink::{Ending, Sink},
    survey,
    watch::{Unwatched, Watch, Watched},
};
use crate::{
    anonymize::{Anonymizer, Anonymous, NAMES},
    pcapfile::{STDIN, Tail},
    stats::{Budget, Distribution, Summary, SummaryWithLost},
};

/// Packets of each file that the survey looks at when the clocks need no estimate.
const GLANCE: u64 = 50_000;

/// A comparison of two points in full: which packets stand for each, and which the figures are of.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// The first point.
    pub a: Capture<'a>,
    /// The second one.
    pub b: Capture<'a>,
    /// Packets that the figures are about, where not all. Clocks and directions are found from all
    /// packets even so.
    pub only: Option<&'a Predicate<'a>>,
    /// What to assume.
    pub options: Options,
}

impl Comparison<'_> {
    /// Compares.
    ///
    /// # Errors
    /// [`AnalyzeError`] if a capture cannot be read, has no such interface, is a pipe, or both are the same
    /// packets of one file. A cut tail is no error, nor is damage behind a packet: the analysis goes up to there and
    /// says so.
    pub fn run(&self) -> Result<Analysis> {
        Ok(self.watched(Limits::default(), Unwatched)?.0)
    }

    /// Compares, and tells a sink of every packet.
    ///
    /// # Errors
    /// As [`run`](Self::run); the sink may then have heard of packets already.
    pub fn run_into<S: Sink>(&self, sink: &mut S) -> Result<Analysis> {
        let (analysis, ending) = match &self.options.anonymize {
            None => self.watched(Limits::default(), Watched(sink))?,
            Some(key) => self.watched(Limits::default(), Watched(&mut Anonymous::new(sink, key)))?,
        };
        sink.finish(&analysis, &ending);
        Ok(analysis)
    }

    pub(super) fn watched<W: Watch>(&self, limits: Limits, watch: W) -> Result<(Analysis, Ending)> {
        for path in [self.a.path, self.b.path] {
            // What cannot be looked at is for the reader to tell.
            let stream = path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
            if path == Path::new(STDIN) || stream {
                return Err(AnalyzeError::NotAFile(path.to_owned()));
            }
        }
        let both = Both { a: Chosen::of(&self.a)?, b: Chosen::of(&self.b)? };
        let told_apart = self.a.point.is_some() || self.b.point.is_some();
        if !told_apart && self.a.is_of_one_file(&self.b) && both.a.is_same(&both.b) {
            return Err(AnalyzeError::SameFile(self.a.path.to_owned()));
        }
        compare(&both, self, limits, watch)
    }
}

/// Compares the captures of two points. Each is read several times, and decompressed each time if it is compressed.
///
/// # Errors
/// As [`Comparison::run`].
pub fn two_points(a: &Path, b: &Path, options: &Options) -> Result<Analysis> {
    whole(a, b, options).run()
}

/// The same, and tells a sink of every packet.
///
/// # Errors
/// As [`Comparison::run_into`].
pub fn two_points_into<S: Sink>(a: &Path, b: &Path, options: &Options, sink: &mut S) -> Result<Analysis> {
    whole(a, b, options).run_into(sink)
}

fn whole<'a>(a: &'a Path, b: &'a Path, options: &Options) -> Comparison<'a> {
    Comparison { a: Capture::whole(a), b: Capture::whole(b), only: None, options: *options }
}

/// The comparison within limits.
#[cfg(test)]
pub(super) fn within(a: &Path, b: &Path, options: &Options, limits: Limits) -> Result<Analysis> {
    Ok(whole(a, b, options).watched(limits, Unwatched)?.0)
}

fn compare<W: Watch>(
    chosen: &Both<Chosen<'_>>,
    comparison: &Comparison<'_>,
    limits: Limits,
    watch: W,
) -> Result<(Analysis, Ending)> {
    let Comparison { only, options, .. } = comparison;
    let (a, b) = (&chosen.a, &chosen.b);
    let one_file = comparison.a.is_of_one_file(&comparison.b);
    let (glance_a, glance_b) = (survey::glance(a, GLANCE)?, survey::glance(b, GLANCE)?);
    let cover = glance_a.cover.min(glance_b.cover);
    let one_run = glance_a.clock.is_some() && glance_a.clock == glance_b.clock;
    let (offset, method) = match options.clock {
        Clock::Same => (Some(0), ClockMethod::SameHost),
        Clock::Known(offset) => (Some(offset), ClockMethod::Given),
        Clock::Estimate if one_run => (Some(0), ClockMethod::SameHostByFiles),
        Clock::Estimate if one_file => (Some(0), ClockMethod::OneFile),
        Clock::Estimate => (None, ClockMethod::NoPairs),
    };
    let (from_a, from_b, limit) = match (offset, glance_a.first, glance_b.first) {
        (Some(offset), Some(first_a), Some(first_b)) => {
            let from = first_a.max(first_b.saturating_sub(offset));
            (from, from.saturating_add(offset), GLANCE)
        }
        _ => (i64::MIN, i64::MIN, u64::MAX),
    };
    let surveyed = (survey::survey(a, cover, from_a, limit)?, survey::survey(b, cover, from_b, limit)?);
    let (pairs, rewritten) = survey::pair(&surveyed.0, &surveyed.1, offset.is_none());
    drop(surveyed);
    let same = offset.is_some() && method != ClockMethod::Given;
    let (correction, found, ways) = match offset {
        Some(offset) => {
            let found = ClockFound {
                offset_ns: Some(offset),
                offset_bound_ns: same.then_some(0),
                skew_ppm: same.then_some(0.0),
                method,
                steps: Vec::new(),
            };
            (Correction { offset, ..Correction::default() }, found, None)
        }
        None => clock::estimate(&pairs),
    };
    let marked = clock::marked(&pairs);
    drop(pairs);
    let rules = Rules { cover, rewritten };
    // Control traffic passes a run's link unimpaired, and its figures leave it out.
    let impaired_only = one_run && glance_a.ids && glance_b.ids;
    let mut feeds = Both {
        a: Feed::new(a, *only, rules, Correction::default(), impaired_only)?,
        b: Feed::new(b, *only, rules, correction, impaired_only)?,
    };
    if impaired_only {
        feeds.a.began = survey::told_start(a)?;
        feeds.b.began = survey::told_start(b)?;
    }
    let outcome = Engine::new(options, limits, ways, marked, same, watch).run(&mut feeds)?;
    Ok(assemble(outcome, &feeds, found, rules, options))
}

fn assemble(
    mut outcome: Outcome,
    feeds: &Both<Feed<'_>>,
    mut clock: ClockFound,
    rules: Rules,
    options: &Options,
) -> (Analysis, Ending) {
    let unproven = |receiver: &Feed<'_>| receiver.drops_in_statistics() > receiver.told.drops_at_packets;
    let mut ending = Ending { shift_ns: 0, a_to_b_unproven: unproven(&feeds.b), b_to_a_unproven: unproven(&feeds.a) };
    for (sender, unproven) in [(Point::A, ending.a_to_b_unproven), (Point::B, ending.b_to_a_unproven)] {
        if unproven {
            distrust(&mut outcome, sender);
        }
    }
    let shift = refine(&mut clock, &outcome);
    ending.shift_ns = shift;
    let absolute = clock.is_absolute();
    for (flow, way) in &mut outcome.flows {
        flow.tracker.finish(way.map(|way| &mut outcome.directions.at(way).reorder));
    }
    let merged = merged(&mut outcome, shift, absolute);
    let mut figures = |point: Point| {
        let shift = if point == Point::A { -shift } else { shift };
        let direction = outcome.directions.at(point);
        direction.tally.figures(&mut direction.reorder, shift, absolute)
    };
    let (a_to_b, b_to_a) = (figures(Point::A), figures(Point::B));
    let mut anonymizer = options.anonymize.as_ref().map(Anonymizer::new);
    let mut flows: Vec<FlowFigures> = Vec::new();
    for (mut flow, way) in outcome.flows {
        let shift = if way == Some(Point::B) { shift } else { -shift };
        let figures = flow.tally.figures(&mut flow.tracker.tally, shift, absolute);
        if figures.sent + figures.arrivals_only > 0 {
            let way = way.map(|point| if point == Point::A { Way::AToB } else { Way::BToA });
            let flow = anonymizer.as_mut().map_or(flow.key, |by| by.flow(&flow.key));
            flows.push(FlowFigures { flow, way, figures });
        }
    }
    flows.sort_by(|x, y| (y.figures.sent, x.flow).cmp(&(x.figures.sent, y.flow)));
    let left_out = flows.len().saturating_sub(options.flows) as u64;
    let list = |flows: &[FlowFigures]| flows.to_vec();
    let listed = list(flows.get(..options.flows).unwrap_or(&flows));
    let total = totals(&a_to_b, &b_to_a, [outcome.unplaced, outcome.unplaced_pairs], merged);
    let overlap = match (feeds.a.told.first, feeds.b.told.first) {
        (Some(a), Some(b)) => Some((a.max(b), feeds.a.end().min(feeds.b.end()))).filter(|(from, to)| from <= to),
        _ => None,
    };
    let mut analysis = Analysis {
        schema_version: Analysis::SCHEMA_VERSION,
        findings: Vec::new(),
        files: [file(&feeds.a, outcome.alone.a), file(&feeds.b, outcome.alone.b)],
        overlap_ns: overlap,
        clock,
        waiting_ns: i64::try_from(options.waiting.as_nanos()).unwrap_or(i64::MAX),
        addresses_rewritten: rules.rewritten,
        compared_bytes: (feeds.a.told.cuts || feeds.b.told.cuts).then_some(rules.cover),
        total,
        a_to_b,
        b_to_a,
        flows: listed,
        flows_left_out: left_out,
        untracked: outcome.untracked,
        evicted: outcome.evicted,
    };
    if anonymizer.is_some() {
        for ((file, feed), name) in analysis.files.iter_mut().zip([&feeds.a, &feeds.b]).zip(NAMES) {
            name.clone_into(&mut file.path);
            file.interface = feed.number().map(|number| number.to_string());
        }
    }
    let examined = Examined {
        a_to_b: &outcome.directions.a.examples,
        b_to_a: &outcome.directions.b.examples,
        adrift: &outcome.adrift,
        at_once: outcome.at_once,
    };
    analysis.findings = findings::findings(&analysis, &examined);
    (analysis, ending)
}

/// The receiver's capture lost packets nobody knows where: what is missing there proves nothing.
fn distrust(outcome: &mut Outcome, sender: Point) {
    let flows = outcome.flows.iter_mut().filter(|(_, way)| *way == Some(sender));
    let of_flows = flows.map(|(Flow { tally, .. }, _)| tally);
    outcome.directions.at(sender).examples.turn(Shown::Lost, Shown::Unmatched);
    for tally in of_flows.chain([&mut outcome.directions.at(sender).tally]) {
        tally.unmatched += std::mem::take(&mut tally.lost);
        tally.runs = Runs::new(0, &Budget::unlimited());
    }
}

/// Moves an estimated offset to what all pairs say, not only the sample; returns how far. Where
/// they say that the offset is not constant, there is none.
fn refine(clock: &mut ClockFound, outcome: &Outcome) -> i64 {
    let least = (outcome.directions.a.tally.delay.min(), outcome.directions.b.tally.delay.min());
    let (ClockMethod::MinimumDelays, (Some(forward), Some(backward))) = (clock.method, least) else {
        return 0;
    };
    let bound = forward.saturating_add(backward).div_euclid(2);
    if bound < 0 {
        *clock = ClockFound::without_offset(ClockMethod::EstimatorsDisagree);
        return 0;
    }
    // Each piece between two steps has a bound of its own.
    if !clock.steps.is_empty() {
        return 0;
    }
    let shift = forward.saturating_sub(backward) / 2;
    clock.offset_ns = clock.offset_ns.map(|offset| offset.saturating_add(shift));
    clock.offset_bound_ns =
        clock.offset_bound_ns.map(|stated| stated.saturating_add(shift.saturating_abs()).max(bound));
    shift
}

/// Samples of both directions together.
struct Merged {
    delay: Option<Summary>,
    delay_all: Option<SummaryWithLost>,
    ipdv: Option<Summary>,
}

fn merged(outcome: &mut Outcome, shift: i64, absolute: bool) -> Merged {
    let Both { a, b } = &mut outcome.directions;
    let lost = a.tally.lost + b.tally.lost;
    let (delay, delay_all) = together([&mut a.tally.delay, &mut b.tally.delay], [shift.saturating_neg(), shift], lost);
    let (ipdv, _) = together([&mut a.tally.ipdv, &mut b.tally.ipdv], [0, 0], 0);
    Merged { delay: delay.filter(|_| absolute), delay_all: delay_all.filter(|_| absolute), ipdv }
}

/// Figures of two samples together, each moved by a constant.
fn together(
    [a, b]: [&mut Distribution; 2],
    [by_a, by_b]: [i64; 2],
    lost: u64,
) -> (Option<Summary>, Option<SummaryWithLost>) {
    let of_one = |one: &mut Distribution, by: i64| {
        let all = one.summary_with_lost(lost);
        (one.summary().map(|summary| summary.shifted(by)), all.map(|summary| summary.shifted(by)))
    };
    match (a.count(), b.count()) {
        (_, 0) => of_one(a, by_a),
        (0, _) => of_one(b, by_b),
        _ => {
            let mut both = Distribution::with_capacity(2 * EXACT);
            both.absorb(a, by_a);
            both.absorb(b, by_b);
            of_one(&mut both, 0)
        }
    }
}

fn totals(a: &Figures, b: &Figures, [unplaced, unplaced_pairs]: [u64; 2], merged: Merged) -> Totals {
    let lost = a.lost + b.lost;
    let counted = a.matched + b.matched + a.corrupted + b.corrupted + lost;
    Totals {
        sent: a.sent + b.sent + unplaced,
        matched: a.matched + b.matched,
        lost,
        unmatched: a.unmatched + b.unmatched + unplaced,
        duplicated: a.duplicated + b.duplicated,
        corrupted: a.corrupted + b.corrupted,
        reordered: a.reordered + b.reordered,
        edge: a.edge + b.edge,
        ambiguous: a.ambiguous + b.ambiguous,
        arrivals_only: a.arrivals_only + b.arrivals_only,
        unplaced,
        unplaced_pairs,
        loss_ratio: (counted > 0).then(|| lost as f64 / counted as f64),
        delay_ns: merged.delay,
        delay_all_ns: merged.delay_all,
        ipdv_ns: merged.ipdv,
    }
}

fn file(feed: &Feed<'_>, unplaced: u64) -> FileFound {
    let told = &feed.told;
    FileFound {
        path: feed.reader().path().display().to_string(),
        compression: feed.reader().compression(),
        packets: told.packets,
        bytes: told.bytes,
        first_ns: told.first,
        last_ns: told.last,
        capture_drops: feed.drops_in_statistics().max(told.drops_at_packets),
        cut_at: match feed.reader().tail() {
            Tail::Cut { offset, .. } => Some(offset),
            Tail::Unread | Tail::Complete | Tail::Damaged { .. } => None,
        },
        damage: Damage::met(feed.reader()),
        interface: feed.named().map(str::to_owned),
        bypassed: told.bypassed,
        filtered: told.filtered,
        leapt: told.leapt,
        unplaced,
        untimed: told.untimed,
        unparsed: told.unparsed,
        seen_again: told.seen_again,
        cut_short: told.cut_short,
        backward: told.backward,
        backward_most_ns: told.backward_most,
    }
}
