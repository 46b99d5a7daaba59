//! Streams of RTP for people: sentences and a table.

use std::fmt;

use super::{
    finding::Sentence,
    text::{duration, percent},
};
use crate::rtp::{RtpFound, RtpStream};

/// Streams that have a sentence of their own; the others are counted in one.
const TOLD: usize = 10;
/// Rows of the table.
const SHOWN: usize = 20;
/// Nanoseconds in a millisecond.
const MS: f64 = 1e6;

/// What matters about the streams, those that lost the most first.
pub(super) fn sentences(found: &RtpFound) -> Vec<Sentence> {
    let mut told = Vec::new();
    let mut losing: Vec<_> = found.streams.iter().filter(|stream| stream.missing > 0).collect();
    losing.sort_by(|x, y| y.loss_ratio.total_cmp(&x.loss_ratio));
    told.extend(losing.iter().take(TOLD).map(|stream| {
        let longest = stream.bursts.longest_loss_run;
        let packets = if longest == 1 { "packet" } else { "packets" };
        Sentence::note(format!(
            "RTP stream {:#010x} ({}) lost {} of {} packets ({}), longest loss run {longest} {packets}.",
            stream.ssrc,
            stream.flow,
            stream.missing,
            stream.expected,
            percent(stream.loss_ratio)
        ))
    }));
    let more = losing.len().saturating_sub(TOLD);
    if more > 0 {
        told.push(Sentence::note(format!("{more} RTP streams more lost packets.")));
    }
    let anew: Vec<_> = found.streams.iter().filter(|stream| stream.restarts > 0).collect();
    if let [stream, more @ ..] = anew.as_slice() {
        let others = if more.is_empty() { String::new() } else { format!(", and so did {} others", more.len()) };
        told.push(Sentence::warning(format!(
            "RTP stream {:#010x} began numbering anew {}{others}: what was lost around that is not known.",
            stream.ssrc,
            if stream.restarts == 1 { "once".to_owned() } else { format!("{} times", stream.restarts) }
        )));
    }
    if found.untracked > 0 {
        told.push(Sentence::warning(format!(
            "{} RTP packets are of streams beyond those that are followed.",
            found.untracked
        )));
    }
    if found.rtcp.encrypted > 0 {
        told.push(Sentence::note(format!(
            "{} RTCP datagrams are encrypted: what they report is not known.",
            found.rtcp.encrypted
        )));
    }
    told
}

/// The streams, the longest first.
pub(super) fn table(f: &mut fmt::Formatter<'_>, found: &RtpFound) -> fmt::Result {
    if found.streams.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "\n{:>10} {:>9} {:>9} {:>7} {:>8} {:>6} {:>6} {:>11} {:>11} {:>8}  RTP flow",
        "ssrc", "type", "expected", "missing", "loss", "dupl.", "reord.", "jitter mean", "jitter max", "est. MOS"
    )?;
    let mut streams: Vec<_> = found.streams.iter().collect();
    streams.sort_by_key(|stream| std::cmp::Reverse(stream.expected));
    for stream in streams.iter().take(SHOWN) {
        let [mean, max] = jitter(stream);
        writeln!(
            f,
            "{:#010x} {:>9} {:>9} {:>7} {:>8} {:>6} {:>6} {:>11} {:>11} {:>8}  {}",
            stream.ssrc,
            kind(stream),
            stream.expected,
            stream.missing,
            percent(stream.loss_ratio),
            stream.duplicated,
            stream.reordered,
            mean,
            max,
            stream.quality.map_or("-".to_owned(), |quality| format!("{:.2}", quality.mos)),
            stream.flow
        )?;
        if let Some(trips) = stream.rtcp.as_ref().and_then(|rtcp| rtcp.round_trip_ms) {
            let times = [trips.min, trips.mean, trips.max].map(|ms| duration((ms * MS) as i64));
            writeln!(
                f,
                "{:>10} from here to the receiver and back, by RTCP: {}, {}, {} (min, mean, max of {})",
                "", times[0], times[1], times[2], trips.count
            )?;
        }
    }
    let more = streams.len().saturating_sub(SHOWN);
    if more > 0 {
        writeln!(f, "and {more} streams more (--json lists them)")?;
    }
    Ok(())
}

fn kind(stream: &RtpStream) -> String {
    stream.encoding.map_or_else(|| stream.payload_type.to_string(), str::to_owned)
}

fn jitter(stream: &RtpStream) -> [String; 2] {
    match stream.jitter_ms {
        Some(jitter) => [jitter.mean, jitter.max].map(|ms| duration((ms * MS) as i64)),
        None => ["-".to_owned(), "-".to_owned()],
    }
}
