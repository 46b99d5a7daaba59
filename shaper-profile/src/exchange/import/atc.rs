//! Profiles of Facebook's Augmented Traffic Control, JSON as in `utils/profiles` of its repository.
//!
//! The settings stand in `content`, in `shaping`, or at the top: `up` and `down`, each with `rate` in kbit/s (0 or
//! nothing for none), `delay` with `delay` and `jitter` in ms, `loss`, `corruption` and `reorder` with `percentage`,
//! all with `correlation` in percent, and `reorder` with `gap`. Numbers may be texts. ATC's daemon hands them to netem,
//! within an HTB class of that rate; so jitter is uniform, and the queue is netem's, 1000 packets.

use super::super::Options;
use super::super::error::{Notes, Wrong};
use super::super::json::{self, Fields, Kind, Value};
use super::super::number::{MILLISECOND, duration, percent, rate};
use super::netem::{CORRELATED, jitter_correlation};
use crate::loss::Loss;
use crate::profile::{Direction, Link, Profile};
use crate::quantity::{Percent, QueueLimit};

const QUEUE: QueueLimit = QueueLimit::Packets(1_000);

pub(in super::super) fn read(text: &str, options: &Options, notes: &mut Notes) -> Result<Profile, Wrong> {
    let value = json::read(text)?;
    let mut top = value.fields("the profile")?;
    let name = match top.take("name").map(|value| &value.kind) {
        Some(Kind::Text(name)) => name.clone(),
        _ => String::new(),
    };
    // A number of its own in ATC's data base.
    let _ = top.take("id");
    let inner = top.take("content").or_else(|| top.take("shaping"));
    let mut settings = match inner {
        Some(inner) => {
            top.end("name, id, content, shaping")?;
            inner.fields("the settings")?
        }
        None => top,
    };
    let mut direction = |name: &str| match settings.take(name) {
        Some(value) => direction(value, name, options, notes),
        None => Ok(Direction::default()),
    };
    let (a_to_b, b_to_a) = (direction("up")?, direction("down")?);
    settings.end("up, down")?;
    Ok(Profile { name, link: Link { a_to_b, b_to_a, ..Link::default() }, ..Profile::default() })
}

fn direction(value: &Value, name: &str, options: &Options, notes: &mut Notes) -> Result<Direction, Wrong> {
    let mut fields = value.fields(name)?;
    let line = fields.line;
    let mut direction = Direction::default();
    if let Some(value) = fields.take("rate") {
        let kilobits = value.number("rate")?;
        if kilobits > 0.0 {
            direction.rate = rate(kilobits * 1e3).map_err(|problem| value.wrong(problem))?;
            direction.queue = Some(QUEUE);
            notes.at(
                value.line,
                format!(
                    "ATC's daemon also drops what comes faster than the rate by more than \
                12000 bytes: for that add policer = \"{} burst 12kB\"",
                    direction.rate
                ),
            );
        }
    }
    if let Some(value) = fields.take("delay") {
        let mut delay = value.fields("delay")?;
        for (key, place) in [("delay", &mut direction.delay), ("jitter", &mut direction.jitter)] {
            if let Some(value) = delay.take(key) {
                *place = duration(value.number(key)?, MILLISECOND).map_err(|problem| value.wrong(problem))?;
            }
        }
        let correlation = share(&mut delay, "correlation")?;
        delay.end("delay, jitter, correlation")?;
        if !correlation.is_zero() {
            direction.correlation_time = jitter_correlation(correlation, value.line, &direction, options, notes);
        }
    }
    let mut chance = |key: &str, other: &str| -> Result<Option<(String, usize)>, Wrong> {
        let Some(value) = fields.take(key) else { return Ok(None) };
        let mut own = value.fields(key)?;
        let (ratio, correlation) = (share(&mut own, "percentage")?, share(&mut own, "correlation")?);
        let gap = if other.is_empty() { None } else { own.number(other)? };
        own.end("percentage, correlation, gap")?;
        if ratio.is_zero() {
            return Ok(None);
        }
        let mut text = ratio.to_string();
        if !correlation.is_zero() {
            notes.at(value.line, CORRELATED);
            text += &format!(" correlation {correlation}");
        }
        if let Some(gap) = gap.filter(|gap| *gap > 1.0) {
            text += &format!(" gap {gap}");
        }
        Ok(Some((text, value.line)))
    };
    let wrong = |line: usize, problem: String| Wrong::new(line, problem, "write the figures as ATC has them");
    if let Some((text, line)) = chance("loss", "")? {
        direction.loss = text.parse::<Loss>().map_err(|error| wrong(line, error.to_string()))?;
    }
    if let Some((text, line)) = chance("corruption", "")? {
        direction.corrupt = text.parse().map_err(|error| wrong(line, format!("{error}")))?;
    }
    if let Some((text, line)) = chance("reorder", "gap")? {
        direction.reorder = text.parse().map_err(|error| wrong(line, format!("{error}")))?;
    }
    if let Some(Value { line, kind: Kind::Array(options) }) = fields.take("iptables_options")
        && !options.is_empty()
    {
        return Err(Wrong::new(
            *line,
            "iptables_options: the settings hold for some packets alone",
            "leave the list empty, and write the packets as a rule of the profile: [[rule]] with match",
        ));
    }
    fields.end("rate, delay, loss, corruption, reorder, iptables_options")?;
    direction.check().map_err(|invalid| Wrong::invalid(line, &invalid))?;
    Ok(direction)
}

/// A percentage, zero where there is none.
fn share(fields: &mut Fields<'_>, name: &str) -> Result<Percent, Wrong> {
    match fields.take(name) {
        Some(value) => percent(value.number(name)?).map_err(|problem| value.wrong(format!("{name}: {problem}"))),
        None => Ok(Percent::ZERO),
    }
}
