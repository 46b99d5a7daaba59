//! The comparison of two captures, from files to result.

use std::path::Path;

use super::{
    AnalyzeError, Options, Result,
    clock::{self, Clock, ClockFound, ClockMethod},
    engine::{Engine, Flow, Limits, Outcome},
    feed::{Correction, Feed},
    findings,
    key::Rules,
    point::{Both, Point},
    result::{Analysis, FileFound, FlowFigures, Totals, Way},
    runs::Runs,
    survey,
};
use crate::{
    pcapfile::{Reader, STDIN, Tail},
    stats::Budget,
};

/// Packets of each file that the survey looks at when the clocks need no estimate.
const GLANCE: u64 = 50_000;

/// Compares the captures of two points. Each is read several times, and decompressed each time if it is compressed.
///
/// # Errors
/// [`AnalyzeError`] if a capture cannot be read, is a pipe, or both paths name one file. A cut tail is no
/// error: the analysis goes up to the cut and says so.
pub fn two_points(a: &Path, b: &Path, options: &Options) -> Result<Analysis> {
    within(a, b, options, Limits::default())
}

/// The same within limits.
pub(super) fn within(a: &Path, b: &Path, options: &Options, limits: Limits) -> Result<Analysis> {
    if let (Ok(one), Ok(other)) = (a.canonicalize(), b.canonicalize())
        && one == other
    {
        return Err(AnalyzeError::SameFile(a.to_owned()));
    }
    for path in [a, b] {
        // What cannot be looked at is for the reader to tell.
        let stream = path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        if path == Path::new(STDIN) || stream {
            return Err(AnalyzeError::NotAFile(path.to_owned()));
        }
    }
    let (glance_a, glance_b) = (survey::glance(a, GLANCE)?, survey::glance(b, GLANCE)?);
    let cover = glance_a.cover.min(glance_b.cover);
    let one_run = glance_a.clock.is_some() && glance_a.clock == glance_b.clock;
    let (offset, method) = match options.clock {
        Clock::Same => (Some(0), ClockMethod::SameHost),
        Clock::Known(offset) => (Some(offset), ClockMethod::Given),
        Clock::Estimate if one_run => (Some(0), ClockMethod::SameHostByFiles),
        Clock::Estimate => (None, ClockMethod::NoPairs),
    };
    let (from_a, from_b, limit) = match (offset, glance_a.first, glance_b.first) {
        (Some(offset), Some(first_a), Some(first_b)) => {
            let from = first_a.max(first_b.saturating_sub(offset));
            (from, from.saturating_add(offset), GLANCE)
        }
        _ => (i64::MIN, i64::MIN, u64::MAX),
    };
    let (pairs, rewritten) =
        survey::pair(&survey::survey(a, cover, from_a, limit)?, &survey::survey(b, cover, from_b, limit)?);
    let (correction, found, ways) = match offset {
        Some(offset) => {
            let same = method != ClockMethod::Given;
            let found = ClockFound {
                offset_ns: Some(offset),
                offset_bound_ns: same.then_some(0),
                skew_ppm: same.then_some(0.0),
                method,
            };
            (Correction { offset, ..Correction::default() }, found, None)
        }
        None => clock::estimate(&pairs),
    };
    drop(pairs);
    let rules = Rules { cover, rewritten };
    // Control traffic passes a run's link unimpaired, and its figures leave it out.
    let impaired_only = one_run && glance_a.ids && glance_b.ids;
    let mut feeds = Both {
        a: Feed::new(Reader::open(a)?, rules, Correction::default(), impaired_only),
        b: Feed::new(Reader::open(b)?, rules, correction, impaired_only),
    };
    if impaired_only {
        feeds.a.began = survey::told_start(a)?;
        feeds.b.began = survey::told_start(b)?;
    }
    let outcome = Engine::new(options, limits, ways).run(&mut feeds)?;
    Ok(assemble(outcome, &feeds, found, rules, options))
}

fn assemble(
    mut outcome: Outcome,
    feeds: &Both<Feed>,
    mut clock: ClockFound,
    rules: Rules,
    options: &Options,
) -> Analysis {
    for (sender, receiver) in [(Point::A, &feeds.b), (Point::B, &feeds.a)] {
        if receiver.drops_in_statistics() > receiver.told.drops_at_packets {
            distrust(&mut outcome, sender);
        }
    }
    let shift = refine(&mut clock, &outcome);
    let absolute = clock.is_absolute();
    let mut figures = |point: Point| {
        let shift = if point == Point::A { -shift } else { shift };
        let direction = outcome.directions.at(point);
        direction.tally.figures(&mut direction.reorder, shift, absolute)
    };
    let (a_to_b, b_to_a) = (figures(Point::A), figures(Point::B));
    let mut flows: Vec<FlowFigures> = Vec::new();
    for (mut flow, way) in outcome.flows {
        let shift = if way == Some(Point::B) { shift } else { -shift };
        let figures = flow.tally.figures(&mut flow.tracker.tally, shift, absolute);
        if figures.sent + figures.arrivals_only > 0 {
            let way = way.map(|point| if point == Point::A { Way::AToB } else { Way::BToA });
            flows.push(FlowFigures { flow: flow.key, way, figures });
        }
    }
    flows.sort_by(|x, y| (y.figures.sent, x.flow).cmp(&(x.figures.sent, y.flow)));
    let left_out = flows.len().saturating_sub(options.flows) as u64;
    let list = |flows: &[FlowFigures]| flows.to_vec();
    let listed = list(flows.get(..options.flows).unwrap_or(&flows));
    let total = totals(&a_to_b, &b_to_a, [outcome.unplaced, outcome.unplaced_pairs]);
    let overlap = match (feeds.a.told.first, feeds.b.told.first) {
        (Some(a), Some(b)) => Some((a.max(b), feeds.a.end().min(feeds.b.end()))).filter(|(from, to)| from <= to),
        _ => None,
    };
    let mut analysis = Analysis {
        findings: Vec::new(),
        files: [file(&feeds.a), file(&feeds.b)],
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
    analysis.findings = findings::findings(&analysis);
    analysis
}

/// The receiver's capture lost packets nobody knows where: what is missing there proves nothing.
fn distrust(outcome: &mut Outcome, sender: Point) {
    let flows = outcome.flows.iter_mut().filter(|(_, way)| *way == Some(sender));
    let of_flows = flows.map(|(Flow { tally, .. }, _)| tally);
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
        *clock = ClockFound {
            offset_ns: None,
            offset_bound_ns: None,
            skew_ppm: None,
            method: ClockMethod::EstimatorsDisagree,
        };
        return 0;
    }
    let shift = forward.saturating_sub(backward) / 2;
    clock.offset_ns = clock.offset_ns.map(|offset| offset.saturating_add(shift));
    clock.offset_bound_ns = Some(bound);
    shift
}

fn totals(a: &super::Figures, b: &super::Figures, [unplaced, unplaced_pairs]: [u64; 2]) -> Totals {
    Totals {
        sent: a.sent + b.sent + unplaced,
        matched: a.matched + b.matched,
        lost: a.lost + b.lost,
        unmatched: a.unmatched + b.unmatched + unplaced,
        duplicated: a.duplicated + b.duplicated,
        corrupted: a.corrupted + b.corrupted,
        reordered: a.reordered + b.reordered,
        edge: a.edge + b.edge,
        ambiguous: a.ambiguous + b.ambiguous,
        arrivals_only: a.arrivals_only + b.arrivals_only,
        unplaced,
        unplaced_pairs,
    }
}

fn file(feed: &Feed) -> FileFound {
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
            Tail::Unread | Tail::Complete => None,
        },
        bypassed: told.bypassed,
        untimed: told.untimed,
        unparsed: told.unparsed,
        seen_again: told.seen_again,
        cut_short: told.cut_short,
        backward: told.backward,
        backward_most_ns: told.backward_most,
    }
}
