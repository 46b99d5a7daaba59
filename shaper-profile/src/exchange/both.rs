//! Two directions made one link.

use super::error::Wrong;
use super::{Beside, Format, OneWay, looped};
use crate::effect::Distribution;
use crate::profile::{Change, Direction, Link, Profile};
use crate::quantity::Duration;

/// The profile of both directions, and its files.
pub(super) fn combined(up: &OneWay, down: &OneWay, format: Format) -> Result<(Profile, Vec<Beside>), Wrong> {
    let mut files = Vec::new();
    let mut direction = |one: &OneWay, trace: &'static str, table: &'static str| {
        let mut direction = one.direction.clone();
        if let Some(rows) = &one.trace {
            let text = rows.csv(&format!("From a {format} trace; begins anew at the end"));
            files.push(Beside { suffix: trace, text });
            direction.trace = looped(trace);
        }
        if let Some(text) = &one.table {
            files.push(Beside { suffix: table, text: text.clone() });
            direction.distribution = Distribution::Table(table.to_owned());
        }
        direction
    };
    let a_to_b = direction(up, ".up.csv", ".up.dist");
    let b_to_a = direction(down, ".down.csv", ".down.dist");
    let link = Link {
        changes: changes(up, down, &a_to_b, &b_to_a),
        repeat: repeat(up, down)?,
        a_to_b,
        b_to_a,
        ..Link::default()
    };
    Ok((Profile { link, ..Profile::default() }, files))
}

/// The changes of both, in order of time.
fn changes(up: &OneWay, down: &OneWay, a_to_b: &Direction, b_to_a: &Direction) -> Vec<Change> {
    let mut times: Vec<Duration> = up.changes.iter().chain(&down.changes).map(|(at, _)| *at).collect();
    times.sort_unstable();
    times.dedup();
    let held = |of: &OneWay, start: &Direction, at: Duration| {
        let changed = of.changes.iter().rev().find(|(since, _)| *since <= at).map(|(_, direction)| direction);
        let changed = changed.unwrap_or(start).clone();
        Direction {
            trace: start.trace.clone(),
            distribution: if start.distribution.is_table() {
                start.distribution.clone()
            } else {
                changed.distribution.clone()
            },
            ..changed
        }
    };
    times.into_iter().map(|at| Change { at, a_to_b: held(up, a_to_b, at), b_to_a: held(down, b_to_a, at) }).collect()
}

/// When both begin anew: a link has one timeline.
fn repeat(up: &OneWay, down: &OneWay) -> Result<Option<Duration>, Wrong> {
    match (up.repeat, down.repeat) {
        (Some(up), Some(down)) if up != down => Err(Wrong::new(
            1,
            format!("it begins anew after {down:#}, the other direction after {up:#}; a link has one timeline"),
            "repeat or cut the files so that both last as long",
        )),
        (up, down) => Ok(up.or(down)),
    }
}
