//! What a join of captures and records comes to: counts, what contradicts, and figures that only captures have.

use shaper_common::fate::Cause;
use shaper_engine::{DirectionOutcome, Recording};
use shaper_offline::join::{ClockMap, EngineLog, EngineRecord, Joined};
use shaper_report::stats::{Distribution, Missing, Proportion};
use shaper_report::summary::{Join, Severity, Summary};

use crate::run::execute::Evidence;

/// Adds the join of one link to that of the run, of which these ends are captured: in a star only the host's is.
pub(super) fn add_link(counted: &mut Join, joined: &Joined, [a, b]: [bool; 2]) {
    counted.unrecorded += joined.a.without_record + joined.b.without_record;
    for (direction, counts) in joined.directions.iter().enumerate() {
        let (seen_entering, seen_leaving) = if direction == 0 { (a, b) } else { (b, a) };
        counted.ambiguous += counts.ambiguous;
        counted.contradictions += counts.dropped_but_seen;
        if seen_entering {
            counted.not_in_a += counts.without_entry;
        }
        if seen_leaving {
            counted.not_in_b += counts.passed_not_seen + counts.copies_not_seen;
        }
        counted.joined += match (seen_entering, seen_leaving) {
            (true, true) => counts.joined,
            (true, false) => counts.records - counts.without_entry,
            (false, true) => counts.passed - counts.passed_not_seen,
            (false, false) => 0,
        };
    }
}

/// Packets and copies of a direction captured behind the link before they were to leave it, whatever the two clocks may
/// be off by.
pub(super) fn early(direction: u16, log: &EngineLog<'_>, joined: &Joined, clock: &ClockMap) -> u64 {
    let of_it = log.records.iter().zip(&joined.records).filter(|(record, _)| record.direction == direction);
    let packets = of_it.filter(|(_, found)| !found.ambiguous).filter_map(|(record, found)| {
        let left = if direction == 0 { found.b_ts_ns } else { found.a_ts_ns };
        left.zip(record.intended_ns)
    });
    let copies = log.copies.iter().zip(&joined.copies).filter_map(|(copy, found)| {
        let record = log.records.get(copy.record as usize)?;
        let ambiguous = joined.records.get(copy.record as usize)?.ambiguous;
        let left = found.ts_ns.filter(|_| record.direction == direction && !ambiguous)?;
        Some((left, copy.intended_ns))
    });
    let early = packets.chain(copies).filter(|(left, intended)| {
        let uncertain = i64::try_from(clock.uncertainty(*intended)).unwrap_or(i64::MAX);
        left.saturating_add(uncertain) < clock.to_epoch(*intended)
    });
    early.count() as u64
}

/// What only the captures know of a direction: the delay from tap to tap, and the order of arrival.
pub(super) fn fill_direction(
    number: u16,
    outcome: &DirectionOutcome,
    recording: Recording,
    records: &[EngineRecord],
    joined: &Joined,
    summary: &mut Summary,
) {
    let Some(direction) = summary.directions.get_mut(&outcome.spec.name) else { return };
    // Of drops alone there is nothing to be seen behind the link.
    if matches!(recording, Recording::Drops | Recording::Off) {
        return;
    }
    let mut delays = Vec::new();
    let mut arrivals = Vec::new();
    let mut lost = 0u64;
    for (record, found) in records.iter().zip(&joined.records).filter(|(record, _)| record.direction == number) {
        let left = if number == 0 { found.b_ts_ns } else { found.a_ts_ns };
        // What the harness or a capture lost is no loss of the link: it has a delay that nobody knows.
        lost += u64::from(record.cause.is_drop());
        if let Some(link) = found.link_ns {
            delays.push(link as f64 / 1e6);
        }
        if let Some(left) = left.filter(|_| !record.cause.is_drop()) {
            arrivals.push((left, record.seq));
        }
    }
    direction.measured.one_way_delay_ms = Some(Distribution::with_missing(delays, lost, Missing::Excluded));
    // Of packets far apart few are reordered.
    if recording != Recording::All {
        return;
    }
    arrivals.sort_unstable();
    // RFC 4737, section 3.3: reordered when the number is below the next one expected.
    let mut next_expected = 0;
    let mut reordered = 0;
    for (_, sequence) in &arrivals {
        if *sequence < next_expected {
            reordered += 1;
        } else {
            next_expected = sequence + 1;
        }
    }
    direction.measured.reordered = Some(Proportion::of(reordered, arrivals.len() as u64));
}

/// Says where captures and records do not go together. What a filter of the captures left out is in none: where they
/// are not `is_unfiltered`, nothing is missed.
pub(super) fn tell(
    recording: Recording,
    counted: &Join,
    evidence: &Evidence,
    is_unfiltered: bool,
    summary: &mut Summary,
) {
    let complete = is_unfiltered && evidence.captured.iter().all(|(_, captured)| captured.dropped == 0);
    if counted.contradictions > 0 {
        // Where packets look alike, one without a record may be taken for one that has one.
        let is_certain = recording == Recording::All || counted.ambiguous == 0;
        summary.find(
            if is_certain { Severity::Error } else { Severity::Warning },
            format!(
                "{} packets that the records call dropped, or that were still to be held, were captured behind the link",
                counted.contradictions
            ),
        );
    }
    // What a host's own device dropped, its tap has seen and no link. Packets whose record was lost, or was checked and
    // not kept, have none here either; nor have copies whose release was not kept.
    let before_the_link: u64 = evidence.device_drops.iter().map(|(_, dropped)| dropped).sum();
    let all_kept = evidence.outcome.directions.iter().all(|of| {
        let copies = of.copies.len() as u64 + of.account.dropped_by(Cause::FillRing);
        of.records.len() as u64 == of.account.arrived && copies >= of.account.copies
    });
    if all_kept && counted.unrecorded > before_the_link {
        summary.find(
            Severity::Error,
            format!(
                "{} captured packets have no record of a decision, and hosts' own devices dropped but {before_the_link}: \
                 something reached the hosts past the link",
                counted.unrecorded
            ),
        );
    }
    if complete && counted.not_in_a > 0 {
        summary.find(
            Severity::Warning,
            format!("{} packets that the link decided on are not in the capture where they entered", counted.not_in_a),
        );
    }
    if complete && counted.not_in_b > 0 {
        summary.find(
            Severity::Warning,
            format!(
                "{} packets left the link and never reached the tap behind it: lost in the receiving host",
                counted.not_in_b
            ),
        );
    }
}
