//! Rules, compiled: filters to masked keys, and each one's own channel.

use shaper_channel::Rules;

use super::{Channels, Compile, Way};
use crate::error::{CompileError, Invalid};
use crate::filter::{Filter, RuleSet};
use crate::outages::windows;
use crate::profile::RuleProfile;

/// Streams below this are those of directions: each rule has one behind them.
const STREAMS_OF_RULES: u32 = 1 << 16;

/// The most rules of a direction that follow a trace: each has a ring of two megabytes.
const MOST_TRACES: usize = 64;

/// The rules of one direction, in their order.
pub(super) fn compile(profiles: &[RuleProfile], way: Way, run: &Compile) -> Result<Rules, CompileError> {
    if profiles.is_empty() {
        return Ok(Rules::default());
    }
    let traces = profiles.iter().filter(|rule| way.of(&rule.link).trace.is_some()).count();
    if traces > MOST_TRACES {
        return Err(CompileError::Invalid(Invalid {
            key: "rule",
            problem: format!("{traces} rules follow a trace, and {MOST_TRACES} of a direction can"),
            hint: "put rules together that follow the same".to_owned(),
        }));
    }
    let filters: Vec<Filter> = profiles
        .iter()
        .map(|rule| {
            rule.filter.parse().map_err(|error: crate::filter::FilterError| {
                let problem = format!("{}; {}", error.problem, error.hint);
                CompileError::Filter(rule.wrong_at(error.at.start, problem))
            })
        })
        .collect::<Result<_, _>>()?;
    let RuleSet { shapes, entries } = RuleSet::compile(&filters)?;
    let mut channels = Vec::with_capacity(profiles.len());
    for (number, rule) in (0u32..).zip(profiles) {
        // Of links and directions there are as many as fit below the streams of rules.
        let stream = STREAMS_OF_RULES * (number + 1) + 2 * run.link + way as u32;
        let windows = windows(&rule.link.outages, run.seed, stream, run.horizon.0)?;
        let mut settings = Channels { link: &rule.link, seed: run.seed, windows: &windows }.settings(way, stream)?;
        settings.channel.number(number + 1);
        channels.push(settings.channel);
    }
    let entries = entries.iter().map(|entry| (entry.key(0), entry.rule)).collect();
    Ok(Rules { shapes, entries, channels })
}
