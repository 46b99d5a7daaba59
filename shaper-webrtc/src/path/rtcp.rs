//! What RTCP said of each stream, and what it must have said.

use std::collections::HashMap;

use super::Inputs;
use super::streams::server_clocks;
use super::unwrap::nearest;

/// The last report of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Cumulative number of packets lost.
    pub(super) lost: i64,
    /// Wall time at which it was written down.
    pub(super) at: i64,
    /// Lower 16 bits of the highest number received, where that is known.
    pub(super) highest: Option<u16>,
    pub(super) jitter_ns: Option<u32>,
    pub(super) round_trip_ns: Option<u32>,
}

/// How long before it is written down a report may have been made: str0m reports every second of video
/// and every five of audio, tells once a second, and a report needs its way.
const AGE_VIDEO: i64 = 4_000_000_000;
const AGE_AUDIO: i64 = 8_000_000_000;

/// Of streams to the server: what the tester was told by it.
pub(super) fn said_of_up(inputs: &Inputs) -> HashMap<u32, Said> {
    let mut last = HashMap::new();
    if let Some(log) = &inputs.packets {
        for said in log.reported.iter().filter(|said| said.out) {
            let at = log.clocks.wall(said.time_ns);
            let (jitter_ns, round_trip_ns) = (said.jitter_ns, said.round_trip_ns);
            let (lost, highest) = (said.packets_lost, said.highest);
            keep(&mut last, said.ssrc, Said { lost, at, highest, jitter_ns, round_trip_ns });
        }
    }
    last
}

/// Of streams to clients: what the server was told, and else the receiver's own statistics.
pub(super) fn said_of_down(inputs: &Inputs) -> HashMap<u32, Said> {
    let mut last = HashMap::new();
    let clocks = server_clocks(inputs);
    for said in inputs.map.iter().flat_map(|map| &map.reported) {
        // The wire has the lower 16 bits.
        let highest = Some(said.highest as u16);
        let at = clocks.wall(said.time_ns);
        let (jitter_ns, round_trip_ns) = (Some(said.jitter_ns), said.round_trip_ns);
        keep(&mut last, said.ssrc_out, Said { lost: said.packets_lost, at, highest, jitter_ns, round_trip_ns });
    }
    let mut own = HashMap::new();
    if let Some(log) = &inputs.packets {
        for said in log.reported.iter().filter(|said| !said.out && !last.contains_key(&said.ssrc)) {
            let at = log.clocks.wall(said.time_ns);
            let (jitter_ns, round_trip_ns) = (said.jitter_ns, said.round_trip_ns);
            keep(&mut own, said.ssrc, Said { lost: said.packets_lost, at, highest: None, jitter_ns, round_trip_ns });
        }
    }
    last.extend(own);
    last
}

fn keep(last: &mut HashMap<u32, Said>, ssrc: u32, said: Said) {
    let kept = last.entry(ssrc).or_insert(said);
    if said.at >= kept.at {
        *kept = said;
    }
}

/// The least and the most that were missing at a receiver while a report may have been made: expected
/// from the first number that came to the highest, less received (RFC 3550, appendix A.3), with what
/// came as a retransmission. `got` are numbers and times, each number once.
///
/// A report that tells the highest number was made between that one and the next higher, however old it is: later ones may
/// have been lost.
pub(super) fn missing(mut got: Vec<(i64, i64)>, said: &Said, video: bool) -> Option<(i64, i64)> {
    got.sort_unstable_by_key(|(number, time)| (*time, *number));
    let first = got.first()?.0;
    let from = said.at.saturating_sub(if video { AGE_VIDEO } else { AGE_AUDIO });
    let (mut highest, mut received) = (first, 0_i64);
    let (mut within, mut at_highest, mut before) = (None, None, false);
    let mut times = got.iter().map(|(_, time)| *time).skip(1).chain([i64::MAX]);
    for (number, time) in &got {
        let until = times.next().unwrap_or(i64::MAX);
        if *time > said.at {
            break;
        }
        // What is from before the first counts neither as expected nor as received.
        if *number >= first {
            received += 1;
            highest = highest.max(*number);
        }
        let missing = highest.saturating_sub(first).saturating_add(1).saturating_sub(received);
        let recent = until >= from;
        if recent {
            widen(&mut within, missing);
        }
        if said.highest.is_some_and(|said| nearest(highest, said) == highest) {
            // The last round of the numbers counts, and of a report that is old what it could say last.
            let (of, mut range) = at_highest.filter(|(of, _)| *of == highest).unwrap_or((highest, None));
            if recent && !before {
                range = None;
            }
            widen(&mut range, missing);
            at_highest = Some((of, range));
        }
        before = recent;
    }
    at_highest.and_then(|(_, range)| range).or(within)
}

fn widen(range: &mut Option<(i64, i64)>, by: i64) {
    let (least, most) = range.unwrap_or((by, by));
    *range = Some((least.min(by), most.max(by)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn said(at: i64, highest: Option<u16>) -> Said {
        Said { lost: 0, at, highest, jitter_ns: None, round_trip_ns: None }
    }

    #[test]
    fn what_is_missing_is_that_of_the_time_of_the_report() {
        // One a second; 3 and 6 are lost, 3 comes again at 20 s.
        let mut got: Vec<(i64, i64)> =
            (0..10).filter(|number| ![3, 6].contains(number)).map(|number| (number, number * SECOND)).collect();
        got.push((3, 20 * SECOND));
        assert_eq!(missing(got.clone(), &said(5 * SECOND, None), true), Some((0, 1)));
        assert_eq!(missing(got.clone(), &said(5 * SECOND, Some(5)), true), Some((1, 1)));
        assert_eq!(missing(got.clone(), &said(19 * SECOND, Some(9)), true), Some((2, 2)));
        assert_eq!(missing(got.clone(), &said(40 * SECOND, Some(9)), true), Some((1, 1)), "repaired");
        assert_eq!(missing(got.clone(), &said(19 * SECOND, Some(5)), true), Some((1, 1)), "later reports were lost");
        assert_eq!(missing(got, &said(-1, None), true), None);
    }

    #[test]
    fn what_is_from_before_the_first_is_not_expected() {
        let got = vec![(5, 0), (4, 1), (6, 2)];
        assert_eq!(missing(got, &said(10, None), true), Some((0, 0)));
    }
}
