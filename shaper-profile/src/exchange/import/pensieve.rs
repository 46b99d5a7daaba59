//! Throughput traces of Pensieve (Mao, Netravali, Alizadeh, "Neural Adaptive Video Streaming with Pensieve", 2017),
//! which many players' simulators read.
//!
//! Each line has a time in seconds and a throughput in Mbit/s. Pensieve's simulator takes a line's throughput for the
//! time that ends at it, from the line before; the first line is where the trace begins, and its throughput never
//! counts. Behind the last line it begins anew. Throughputs are rounded to the bit per second.

use shaper_common::units::Nanos;

use super::super::OneWay;
use super::super::error::{Notes, Wrong};
use super::super::number::{SECOND, duration, number};
use super::super::trace::{Row, Trace};
use crate::profile::Direction;
use crate::quantity::Rate;
use shaper_common::units::BitsPerSec;

const HINT: &str = "write a time in seconds and a throughput in Mbit/s a line";

pub(in super::super) fn read(text: &str, notes: &mut Notes) -> Result<OneWay, Wrong> {
    let mut trace = Trace::default();
    let mut before: Option<Nanos> = None;
    let mut last = 1;
    for (line, written) in text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())) {
        if written.is_empty() || written.starts_with('#') {
            continue;
        }
        last = line;
        let wrong = |problem: String| Wrong::new(line, problem, HINT);
        let mut words = written.split_whitespace();
        let (Some(time), Some(throughput), None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong("the line has not two numbers".into()));
        };
        let at = number(time).and_then(|time| duration(time, SECOND)).map_err(wrong)?.0;
        let megabits = number(throughput).map_err(wrong)?;
        if megabits > 1e7 {
            return Err(wrong(format!("{megabits} Mbit/s is more than 10 Tbit/s")));
        }
        if let Some(before) = before {
            if at <= before {
                return Err(wrong(format!("{time} s is no later than the line above it")));
            }
            let rate = Some((megabits * 1e6).round() as u64);
            trace.push(Row { rate, ..Row::default() }, Nanos(at.0 - before.0)).map_err(wrong)?;
        } else {
            notes.at(line, "the trace begins here; Pensieve's simulator takes no throughput from its first line");
        }
        before = Some(at);
    }
    let direction = Direction::default();
    match trace.constant() {
        _ if trace == Trace::default() => Err(Wrong::new(last, "the trace has less than two lines", HINT)),
        _ if trace.never_serves() => Err(Wrong::new(last, "all throughputs are 0: nothing would ever pass", HINT)),
        Some(Row { rate: Some(bits), .. }) => {
            Ok(OneWay { direction: Direction { rate: Rate(BitsPerSec(bits)), ..direction }, ..OneWay::default() })
        }
        _ => Ok(OneWay { direction, trace: Some(trace), ..OneWay::default() }),
    }
}
