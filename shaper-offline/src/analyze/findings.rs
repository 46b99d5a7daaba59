//! What matters about an analysis, in sentences.

use super::{
    clock::ClockMethod,
    examples::{Examples, Shown},
    finding::{Finding, FindingKind as Kind, Severity},
    result::{Analysis, Damage, Figures, FileFound, Way},
    text::{duration, percent, place},
};
use crate::pcapfile::Compression;

/// Packets that the findings show: of each direction, and of none.
pub(super) struct Examined<'a> {
    pub(super) a_to_b: &'a Examples,
    pub(super) b_to_a: &'a Examples,
    pub(super) adrift: &'a Examples,
    /// Packets without a direction that were seen at both points at the same time.
    pub(super) at_once: u64,
}

fn note(kind: Kind, text: impl Into<String>) -> Finding {
    Finding::new(kind, Severity::Note, text)
}

fn warning(kind: Kind, text: impl Into<String>) -> Finding {
    Finding::new(kind, Severity::Warning, text)
}

/// The findings, the most important first.
pub(super) fn findings(analysis: &Analysis, examined: &Examined<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &analysis.files {
        if let Some(damage) = &file.damage {
            let text = damaged(&file.name(), damage, file.compression);
            found.push(Finding::new(Kind::Damaged, Severity::Error, text));
        }
    }
    let seen = analysis.files.iter().all(|file| file.packets > 0 && !leaves_none(file));
    if seen && !analysis.has_shared() {
        found.push(Finding::new(
            Kind::NothingShared,
            Severity::Error,
            "No packet was recognised in both captures: check that they are from one path and \
             one time, and that both hold enough of each packet.",
        ));
    }
    let ways = [
        (Way::AToB, "A to B", &analysis.a_to_b, examined.a_to_b),
        (Way::BToA, "B to A", &analysis.b_to_a, examined.b_to_a),
    ];
    for (way, name, figures, examples) in ways {
        if figures.sent > 0 {
            direction(&mut found, (way, name), figures, examples);
            let [at_a, at_b] = &analysis.files;
            let receiver = if way == Way::AToB { at_b } else { at_a };
            perhaps_damaged(&mut found, (way, name), figures, receiver.unplaced);
        }
    }
    if analysis.a_to_b.sent == 0 && analysis.b_to_a.matched > 0 {
        found.push(warning(
            Kind::WrongOrder,
            "All packets go from B to A: the captures may be given in the wrong order. Figures are of that direction \
             all the same.",
        ));
    }
    clocks(&mut found, analysis);
    captures(&mut found, analysis);
    adrift(&mut found, analysis, examined);
    if analysis.total.ambiguous > 0 {
        let [a, b] = [examined.a_to_b, examined.b_to_a].map(|examples| examples.of(Shown::Ambiguous));
        let mut frames = a;
        for (frames, more) in frames.iter_mut().zip(b) {
            frames.extend(more);
            frames.sort_unstable();
            frames.truncate(10);
        }
        let text = format!(
            "{} pairs are ambiguous (packets that look alike, paired in order): their delays are \
             right only if none of them was lost or reordered.",
            analysis.total.ambiguous
        );
        found.push(warning(Kind::Ambiguous, text).of(analysis.total.ambiguous).at(frames));
    }
    if analysis.untracked > 0 {
        let text = format!(
            "{} packets are of flows beyond those that are followed one by one: they are in the totals alone, and \
             without figures of reordering.",
            analysis.untracked
        );
        found.push(warning(Kind::Untracked, text).of(analysis.untracked));
    }
    if analysis.evicted > 0 {
        let text = format!(
            "{} packets were given up before the waiting time of {} because too many were \
             waiting: they are missing without proof of loss. Split the captures with editcap -i.",
            analysis.evicted,
            duration(analysis.waiting_ns)
        );
        found.push(warning(Kind::Evicted, text).of(analysis.evicted));
    }
    found
}

fn direction(found: &mut Vec<Finding>, (way, name): (Way, &str), figures: &Figures, examples: &Examples) {
    let counted = figures.matched + figures.corrupted + figures.lost;
    if let (Some(ratio), Some(interval)) = (figures.loss_ratio, figures.loss_interval) {
        let mut text = format!(
            "{name}: {} of {counted} packets lost ({}, 95 % interval {} to {})",
            figures.lost,
            percent(ratio),
            percent(interval.low),
            percent(interval.high)
        );
        if let Some(length) = figures.loss_runs.length.filter(|length| length.max > 1) {
            text.push_str(&format!(", in {} runs, the longest of {}", figures.loss_runs.count, length.max));
        }
        found.push(note(Kind::Loss, text + ".").going(way).of(figures.lost).at(examples.of(Shown::Lost)));
    }
    if let Some(delay) = figures.delay_ns {
        let text = format!(
            "{name}: one-way delay of delivered packets {} median, {} at 99 %, {} to {}.",
            duration(delay.p50),
            duration(delay.p99),
            duration(delay.min),
            duration(delay.max)
        );
        found.push(note(Kind::Delay, text).going(way));
    } else if let Some(pdv) = figures.pdv_ns {
        let text = format!(
            "{name}: delay variation {} median and {} at 99 % above the smallest delay.",
            duration(pdv.p50),
            duration(pdv.p99)
        );
        found.push(note(Kind::DelayVariation, text).going(way));
    }
    for (count, kind, shown, what) in [
        (figures.reordered, Kind::Reordered, Shown::Reordered, "reordered"),
        (figures.duplicated, Kind::Duplicated, Shown::Duplicated, "duplicated"),
        (figures.corrupted, Kind::Corrupted, Shown::Corrupted, "corrupted"),
        (figures.resegmented, Kind::Resegmented, Shown::Resegmented, "cut into other TCP segments on the way"),
        (figures.unmatched, Kind::Unmatched, Shown::Unmatched, "missing without proof of loss"),
        (figures.edge, Kind::Edge, Shown::Edge, "sent while the other capture did not run"),
        (figures.arrivals_only, Kind::ArrivalsOnly, Shown::ArrivalsOnly, "arrived without having been seen sent"),
    ] {
        if count > 0 {
            let text = format!("{name}: {count} {what}.");
            found.push(note(kind, text).going(way).of(count).at(examples.of(shown)));
        }
    }
}

/// Damage to addresses, ports or length leaves nothing to find a packet by.
fn perhaps_damaged(found: &mut Vec<Finding>, (way, name): (Way, &str), figures: &Figures, unknown: u64) {
    let arrived = figures.arrivals_only + unknown;
    let count = figures.lost.min(arrived);
    if count > 0 {
        let text = format!(
            "{name}: {arrived} packets arrived that nobody was seen to send: up to {count} of those that count as lost \
             may be among them, damaged in their addresses, ports or length.",
        );
        let severity = if figures.arrivals_only > 0 { Severity::Warning } else { Severity::Note };
        found.push(Finding::new(Kind::PerhapsDamaged, severity, text).going(way).of(count));
    }
}

fn clocks(found: &mut Vec<Finding>, analysis: &Analysis) {
    match analysis.clock.method {
        ClockMethod::OneDirection => found.push(warning(
            Kind::ClockOneDirection,
            "What has a direction went one way only, so the clocks cannot be related: no one-way \
             delay, only its variation. If one host stamped both captures, try --same-clock.",
        )),
        ClockMethod::EstimatorsDisagree => found.push(warning(
            Kind::ClockDisagrees,
            "No clock offset and skew explain the packets of both directions (the estimates of skew \
             disagree, or a clock was set): no one-way delay, only its variation. If one host stamped \
             both captures, try --same-clock.",
        )),
        ClockMethod::NoDirection => found.push(warning(
            Kind::NoDirection,
            "Nothing tells which way packets went, so neither loss nor delay is known: try --same-clock if one \
             host stamped both captures.",
        )),
        ClockMethod::MinimumDelays => {
            for step in &analysis.clock.steps {
                let first = analysis.files.iter().filter_map(|file| file.first_ns).min().unwrap_or(0);
                let text = format!(
                    "A clock was set while the captures ran: after {} that of B leaps by {} against that of A. It is \
                     taken out.",
                    duration(step.at_ns.saturating_sub(first)),
                    duration(step.by_ns)
                );
                found.push(warning(Kind::ClockStepped, text));
            }
            if let Some(bound) = analysis.clock.offset_bound_ns {
                let text = format!(
                    "The clocks were related by the packets themselves: every one-way delay may \
                     be off by up to {}, and a constant asymmetry of the path is not visible.",
                    duration(bound)
                );
                found.push(note(Kind::ClockBound, text));
            }
        }
        ClockMethod::SameHost
        | ClockMethod::SameHostByFiles
        | ClockMethod::OneFile
        | ClockMethod::Given
        | ClockMethod::NoPairs => {}
    }
}

/// What has no direction.
fn adrift(found: &mut Vec<Finding>, analysis: &Analysis, examined: &Examined<'_>) {
    let Examined { adrift: examples, at_once, .. } = *examined;
    let (unplaced, pairs) = (analysis.total.unplaced, analysis.total.unplaced_pairs);
    if at_once > 0 {
        let text = format!(
            "{at_once} packets were seen at both points at the same time: nothing tells which way they went, so they \
             are in no figure, and what is missing about them is not counted as lost. Captures with finer stamps \
             may tell (tcpdump --time-stamp-precision=nano)."
        );
        found.push(warning(Kind::UnplacedPairs, text).of(at_once).at(examples.of(Shown::UnplacedPairs)));
    } else if pairs > 0 && analysis.clock.method != ClockMethod::NoDirection {
        let text = format!(
            "{pairs} packets seen at both points have no known direction and are in no figure: try --same-clock if \
             one host stamped both captures."
        );
        found.push(warning(Kind::UnplacedPairs, text).of(pairs).at(examples.of(Shown::UnplacedPairs)));
    }
    if unplaced > pairs {
        let count = unplaced - pairs;
        let text = format!(
            "{count} packets were seen at one point only and have no known direction: not on this path, or all lost."
        );
        found.push(note(Kind::Unplaced, text).of(count).at(examples.of(Shown::Unplaced)));
    }
}

/// A capture whose rest cannot be read.
pub(super) fn damaged(name: &str, damage: &Damage, compression: Option<Compression>) -> String {
    let Damage { at, fault } = damage;
    format!(
        "{name} cannot be read beyond {} ({fault}): all figures are of what stands before.",
        place(*at, compression)
    )
}

/// What a capture on all interfaces shows twice.
pub(super) fn seen_again(path: &str, count: u64) -> String {
    format!(
        "{path} was taken on all interfaces and shows {count} packets again on another one: each counts once, where \
         it was seen first."
    )
}

/// Whether the filter left out all that could be compared.
fn leaves_none(file: &FileFound) -> bool {
    file.filtered > 0 && file.filtered == file.packets - file.bypassed - file.untimed - file.leapt - file.unparsed
}

fn captures(found: &mut Vec<Finding>, analysis: &Analysis) {
    for file in &analysis.files {
        let path = &file.name();
        if leaves_none(file) {
            let text = format!(
                "The filter leaves none of the {} packets of {path}: try it with fewer conditions, and look at the \
                 flows that `shaper analyze {}` lists.",
                file.packets, file.path
            );
            found.push(Finding::new(Kind::NothingChosen, Severity::Error, text).of(file.filtered));
        }
        if file.leapt > 0 {
            let text = format!(
                "{path}: {} packets are stamped more than 60 s away from those around them, as a damaged record is: \
                 left out.",
                file.leapt
            );
            found.push(warning(Kind::LeapingStamps, text).of(file.leapt));
        }
        if file.packets == 0 {
            let text =
                format!("{path} holds no packet: check its interface, its filter, and that it ran at that time.");
            found.push(Finding::new(Kind::EmptyCapture, Severity::Error, text));
        }
        if let Some(at) = file.cut_at {
            found.push(warning(
                Kind::CutOff,
                format!("{path} is cut off at {}: read up to there.", place(at, file.compression)),
            ));
        }
        if file.capture_drops > 0 {
            let text = format!(
                "The capture {path} itself lost {} packets: what is missing there is not counted \
                 as lost where that may be the reason.",
                file.capture_drops
            );
            found.push(warning(Kind::CaptureDrops, text).of(file.capture_drops));
        }
        if file.backward > 0 {
            let text = format!(
                "{path}: {} stamps lie before the one in front of them, by up to {}: reordering \
                 of that size may come from the capture.",
                file.backward,
                duration(file.backward_most_ns)
            );
            found.push(warning(Kind::BackwardStamps, text).of(file.backward));
        }
        if file.seen_again > 0 {
            found.push(note(Kind::SeenAgain, seen_again(path, file.seen_again)).of(file.seen_again));
        }
        if file.cut_short > 0 {
            let text = format!(
                "{path}: {} packets are cut shorter than the capture and its first packets tell: their content is \
                 not compared, and what may be one of them is not counted as lost.",
                file.cut_short
            );
            found.push(warning(Kind::CutShort, text).of(file.cut_short));
        }
        if file.untimed + file.unparsed > 0 {
            let text = format!(
                "{path}: {} packets without a stamp and {} of unknown link types were left out.",
                file.untimed, file.unparsed
            );
            found.push(warning(Kind::LeftOut, text).of(file.untimed + file.unparsed));
        }
    }
}
