//! Clocks that were set while the captures ran: the apparent delays fall into pieces, in each of
//! which one line parts those of both directions.
//!
//! A packet forward appears at least as late as the offset, one back at most as early: with d(t) the
//! apparent delay (second stamp less first), an offset o + s t is possible while it lies below all
//! d forward and above all d backward. Where no line does, the clock was set in between. Steps that
//! are smaller than the round trip may leave a line possible: then they lie within the bound that is
//! stated anyway.

/// An apparent delay, in the order of the second file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// First stamp.
    pub(super) t: i64,
    /// Second stamp less first.
    pub(super) d: i64,
    pub(super) forward: bool,
    /// Number of its packet in the second file.
    pub(super) index: u64,
}

/// Events looked at to find the pieces; the cuts are then refined by all.
const SAMPLE: usize = 4096;
/// Pieces told apart.
const PIECES: usize = 16;
/// Events of both directions together that a piece must have.
const FEWEST: usize = 8;
/// No crystal is worse, as a ratio.
const WORST_SKEW: f64 = 1e-3;

/// Where pieces begin: positions in the list of events, the first one 0. `None` if there is no step,
/// or no such pieces explain the events.
pub(super) fn cuts(events: &[Event]) -> Option<Vec<usize>> {
    let chunk = events.len().div_ceil(SAMPLE / 2).max(1);
    let thin = thin(events, chunk);
    let places: Vec<usize> = thin.iter().map(|one| one.0).collect();
    let thin: Vec<Event> = thin.into_iter().map(|one| one.1).collect();
    let mut begins = vec![0];
    let mut from = 0;
    loop {
        let to = reach(&thin, from);
        if to >= thin.len() {
            break;
        }
        if begins.len() >= PIECES || to < from + FEWEST {
            return None;
        }
        let next = reach(&thin, to);
        let cut = best(&thin, from, to, next)?;
        begins.push(cut);
        from = cut;
    }
    if begins.len() < 2 || thin.len() < from + FEWEST {
        return None;
    }
    let fine = begins.iter().skip(1).filter_map(|&cut| Some(refine(events, *places.get(cut)?, chunk)));
    Some(std::iter::once(0).chain(fine).collect())
}

/// Of each chunk the earliest event forward and the latest one back, which are those that matter,
/// with their places.
fn thin(events: &[Event], chunk: usize) -> Vec<(usize, Event)> {
    let mut thin = Vec::new();
    for (number, chunk_of) in events.chunks(chunk).enumerate() {
        let placed = || (number * chunk..).zip(chunk_of.iter().copied());
        let forward = placed().filter(|(_, event)| event.forward).min_by_key(|(_, event)| event.d);
        let backward = placed().filter(|(_, event)| !event.forward).max_by_key(|(_, event)| event.d);
        let mut both: Vec<_> = forward.into_iter().chain(backward).collect();
        both.sort_unstable_by_key(|one| one.0);
        thin.extend(both);
    }
    thin
}

/// Half the room that the best line leaves between both directions; below zero there is none, and
/// `f64::INFINITY` where one direction has no event.
fn room(events: &[Event]) -> f64 {
    let Some(origin) = events.first() else { return f64::INFINITY };
    let at = |skew: f64| {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for event in events {
            let level = event.d.saturating_sub(origin.d) as f64 - skew * event.t.saturating_sub(origin.t) as f64;
            if event.forward {
                least = least.min(level);
            } else {
                most = most.max(level);
            }
        }
        (least - most) / 2.0
    };
    // The room is concave in the skew: look for its top.
    let (mut low, mut high) = (-WORST_SKEW, WORST_SKEW);
    for _ in 0..40 {
        let third = (high - low) / 3.0;
        let (left, right) = (at(low + third), at(high - third));
        if left == f64::INFINITY {
            return left;
        }
        if left < right {
            low += third;
        } else {
            high -= third;
        }
    }
    at(f64::midpoint(low, high))
}

/// The longest piece from a position that one line explains: where it ends.
fn reach(events: &[Event], from: usize) -> usize {
    let fits = |to: usize| room(events.get(from..to).unwrap_or_default()) >= 0.0;
    if fits(events.len()) {
        return events.len();
    }
    let (mut good, mut bad) = (from, events.len());
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    good
}

/// The cut between two pieces that leaves most room in both. Events on the wrong side of it only
/// ever take room away.
fn best(events: &[Event], from: usize, latest: usize, end: usize) -> Option<usize> {
    let before = |cut: usize| room(events.get(from..cut).unwrap_or_default());
    let behind = |cut: usize| room(events.get(cut..end).unwrap_or_default());
    // The earliest cut behind which one line does.
    let (mut bad, mut good) = (from, latest);
    while good - bad > 1 {
        let middle = usize::midpoint(good, bad);
        if behind(middle) >= 0.0 {
            good = middle;
        } else {
            bad = middle;
        }
    }
    let earliest = good.max(from + FEWEST);
    if earliest > latest {
        return None;
    }
    let (most_before, most_behind) = (before(earliest), behind(latest));
    // Between these two neither loses room.
    let mut first = (earliest, latest);
    while first.0 < first.1 {
        let middle = usize::midpoint(first.0, first.1);
        if behind(middle) >= most_behind { first.1 = middle } else { first.0 = middle + 1 }
    }
    let mut last = (earliest, latest);
    while last.0 < last.1 {
        let middle = (last.0 + last.1).div_ceil(2);
        if before(middle) >= most_before { last.0 = middle } else { last.1 = middle - 1 }
    }
    Some(usize::midpoint(first.1.min(last.0), first.1.max(last.0)))
}

/// Moves a cut to the first event nearby whose apparent delay leaps against the one before it in its
/// direction.
fn refine(events: &[Event], cut: usize, chunk: usize) -> usize {
    let reach = 2 * chunk + FEWEST;
    let nearby = cut.saturating_sub(reach)..(cut + reach).min(events.len());
    let mut latest: [Option<i64>; 2] = [None; 2];
    let mut leaps: Vec<(u64, usize)> = Vec::new();
    for at in nearby {
        let Some(event) = events.get(at) else { break };
        let Some(before) = latest.get_mut(usize::from(event.forward)) else { break };
        leaps.extend(before.map(|before| (event.d.abs_diff(before), at)));
        *before = Some(event.d);
    }
    let most = leaps.iter().map(|leap| leap.0).max().unwrap_or(0);
    leaps.iter().find(|leap| leap.0 > most / 2).map_or(cut, |leap| leap.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Pings every 100 ms with 5 to 6 ms each way, the second clock ahead as told.
    fn pings(count: i64, ahead: impl Fn(i64) -> i64) -> Vec<Event> {
        let mut events = Vec::new();
        for n in 0..count {
            let sent = n * 100 * MS;
            let delay = 5 * MS + n * 7919 % 1000 * 1000;
            let index = n as u64 * 2;
            events.push(Event { t: sent, d: ahead(sent) + delay, forward: true, index });
            let arrived = sent + 2 * delay;
            events.push(Event { t: arrived, d: ahead(sent) - delay, forward: false, index: index + 1 });
        }
        events
    }

    #[test]
    fn a_clock_that_runs_evenly_has_no_pieces() {
        assert_eq!(cuts(&pings(500, |_| 77)), None);
        assert_eq!(cuts(&pings(5000, |t| t / 5_000)), None, "200 ppm");
        assert_eq!(cuts(&[]), None);
    }

    #[test]
    fn pieces_begin_where_the_clock_was_set() {
        for by in [-400 * MS, -30 * MS, 30 * MS, 5_000 * MS] {
            let events = pings(500, |t| t / 20_000 + if t >= 20_000 * MS { by } else { 0 });
            assert_eq!(cuts(&events), Some(vec![0, 400]), "{by}");
        }
        let events = pings(600, |t| (t / (20_000 * MS)) % 2 * 80 * MS);
        assert_eq!(cuts(&events), Some(vec![0, 400, 800]));
        // Many more packets than are looked at.
        let events = pings(20_000, |t| if t >= 777_700 * MS { 50 * MS } else { 0 });
        assert_eq!(cuts(&events), Some(vec![0, 15_554]));
    }

    #[test]
    fn a_clock_that_is_set_all_the_time_has_none_that_explain_it() {
        assert_eq!(cuts(&pings(200, |t| t / (100 * MS) * 7919 % 13 * 50 * MS)), None);
    }
}
