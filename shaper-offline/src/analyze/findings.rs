//! What matters about an analysis, in sentences.

use super::{
    clock::ClockMethod,
    result::{Analysis, Figures},
    text::{duration, percent, place},
};

/// The sentences, the most important first.
pub(super) fn findings(analysis: &Analysis) -> Vec<String> {
    let mut found = Vec::new();
    if analysis.total.matched + analysis.total.corrupted + analysis.total.unplaced_pairs == 0 {
        found.push(
            "No packet was recognised in both captures: check that they are from one path and \
             one time, and that both hold enough of each packet."
                .to_owned(),
        );
    }
    for (name, figures) in [("A to B", &analysis.a_to_b), ("B to A", &analysis.b_to_a)] {
        if figures.sent > 0 {
            direction(&mut found, name, figures);
        }
    }
    match analysis.clock.method {
        ClockMethod::OneDirection => found.push(
            "What has a direction went one way only, so the clocks cannot be related: no one-way \
             delay, only its variation. If one host stamped both captures, try --same-clock."
                .to_owned(),
        ),
        ClockMethod::EstimatorsDisagree => found.push(
            "No clock offset and skew explain the packets of both directions (the estimates of skew \
             disagree, or a clock was set): no one-way delay, only its variation. If one host stamped \
             both captures, try --same-clock."
                .to_owned(),
        ),
        ClockMethod::NoDirection => found.push(
            "Nothing tells which way packets went, so neither loss nor delay is known: try --same-clock if one \
             host stamped both captures."
                .to_owned(),
        ),
        ClockMethod::MinimumDelays => {
            if let Some(bound) = analysis.clock.offset_bound_ns {
                found.push(format!(
                    "The clocks were related by the packets themselves: every one-way delay may \
                     be off by up to {}, and a constant asymmetry of the path is not visible.",
                    duration(bound)
                ));
            }
        }
        ClockMethod::SameHost | ClockMethod::SameHostByFiles | ClockMethod::Given | ClockMethod::NoPairs => {}
    }
    captures(&mut found, analysis);
    let (unplaced, pairs) = (analysis.total.unplaced, analysis.total.unplaced_pairs);
    if pairs > 0 && analysis.clock.method != ClockMethod::NoDirection {
        found.push(format!(
            "{pairs} packets seen at both points have no known direction and are in no figure: try --same-clock if \
             one host stamped both captures."
        ));
    }
    if unplaced > pairs {
        found.push(format!(
            "{} packets were seen at one point only and have no known direction: not on this path, or all lost.",
            unplaced - pairs
        ));
    }
    if analysis.total.ambiguous > 0 {
        found.push(format!(
            "{} pairs are ambiguous (packets that look alike, paired in order): their delays are \
             right only if none of them was lost or reordered.",
            analysis.total.ambiguous
        ));
    }
    if analysis.untracked > 0 {
        found.push(format!(
            "{} packets are of flows beyond those that are followed one by one: they are in the totals alone, and \
             without figures of reordering.",
            analysis.untracked
        ));
    }
    if analysis.evicted > 0 {
        found.push(format!(
            "{} packets were given up before the waiting time of {} because too many were \
             waiting: they are missing without proof of loss. Split the captures with editcap -i.",
            analysis.evicted,
            duration(analysis.waiting_ns)
        ));
    }
    found
}

fn direction(found: &mut Vec<String>, name: &str, figures: &Figures) {
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
        found.push(text + ".");
    }
    if let Some(delay) = figures.delay_ns {
        found.push(format!(
            "{name}: one-way delay of delivered packets {} median, {} at 99 %, {} to {}.",
            duration(delay.p50),
            duration(delay.p99),
            duration(delay.min),
            duration(delay.max)
        ));
    } else if let Some(pdv) = figures.pdv_ns {
        found.push(format!(
            "{name}: delay variation {} median and {} at 99 % above the smallest delay.",
            duration(pdv.p50),
            duration(pdv.p99)
        ));
    }
    let mut also = Vec::new();
    for (count, what) in [
        (figures.reordered, "reordered"),
        (figures.duplicated, "duplicated"),
        (figures.corrupted, "corrupted"),
        (figures.resegmented, "cut into other TCP segments on the way"),
        (figures.unmatched, "missing without proof of loss"),
        (figures.edge, "sent while the other capture did not run"),
        (figures.arrivals_only, "arrived without having been seen sent"),
    ] {
        if count > 0 {
            also.push(format!("{count} {what}"));
        }
    }
    if !also.is_empty() {
        found.push(format!("{name}: {}.", also.join(", ")));
    }
}

/// What a capture on all interfaces shows twice.
pub(super) fn seen_again(path: &str, count: u64) -> String {
    format!(
        "{path} was taken on all interfaces and shows {count} packets again on another one: each counts once, where \
         it was seen first."
    )
}

fn captures(found: &mut Vec<String>, analysis: &Analysis) {
    for file in &analysis.files {
        let path = &file.path;
        if file.packets == 0 {
            found.push(format!(
                "{path} holds no packet: check its interface, its filter, and that it ran at that time."
            ));
        }
        if let Some(at) = file.cut_at {
            found.push(format!("{path} is cut off at {}: read up to there.", place(at, file.compression)));
        }
        if file.capture_drops > 0 {
            found.push(format!(
                "The capture {path} itself lost {} packets: what is missing there is not counted \
                 as lost where that may be the reason.",
                file.capture_drops
            ));
        }
        if file.backward > 0 {
            found.push(format!(
                "{path}: {} stamps lie before the one in front of them, by up to {}: reordering \
                 of that size may come from the capture.",
                file.backward,
                duration(file.backward_most_ns)
            ));
        }
        if file.seen_again > 0 {
            found.push(seen_again(path, file.seen_again));
        }
        if file.cut_short > 0 {
            found.push(format!(
                "{path}: {} packets are cut shorter than the capture and its first packets tell: their content is \
                 not compared, and what may be one of them is not counted as lost.",
                file.cut_short
            ));
        }
        if file.untimed + file.unparsed > 0 {
            found.push(format!(
                "{path}: {} packets without a stamp and {} of unknown link types were left out.",
                file.untimed, file.unparsed
            ));
        }
    }
}
