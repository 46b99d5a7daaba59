//! Settings that change at set times.

use super::{Direction, Link};
use crate::error::Invalid;
use crate::quantity::Duration;

/// The settings of both directions from a set time on. They hold for what arrives from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// From when on, since the link's start; with [`Link::repeat`] since the timeline's last beginning.
    pub at: Duration,
    /// All settings from then on, as of [`Link::a_to_b`].
    pub a_to_b: Direction,
    /// All settings from then on, as of [`Link::b_to_a`].
    pub b_to_a: Direction,
}

impl Change {
    /// The settings of a direction that cannot change: the tables for them are made at the start.
    pub const FIXED: &[&str] = &["scope", "trace"];

    /// Whether this can follow a change at `before`, or the link's start.
    ///
    /// # Errors
    /// Settings that cannot be, that cannot change, and a time that is not later.
    pub fn check(&self, link: &Link, before: Option<Duration>) -> Result<(), Invalid> {
        self.check_time(before)?;
        for (own, links) in [(&self.a_to_b, &link.a_to_b), (&self.b_to_a, &link.b_to_a)] {
            own.check()?;
            if own.scope != links.scope {
                return Err(fixed("scope"));
            }
            if own.trace != links.trace {
                return Err(fixed("trace"));
            }
        }
        Ok(())
    }

    pub(crate) fn check_time(&self, before: Option<Duration>) -> Result<(), Invalid> {
        let problem = match before {
            None if self.at.is_zero() => "is 0, when the settings at the top level begin to hold".to_owned(),
            Some(before) if self.at <= before => {
                format!("{:#} is no later than the change before, at {before:#}", self.at)
            }
            _ => return Ok(()),
        };
        Err(Invalid { key: "at", problem, hint: "write changes in order of time, for example at = \"10s\"".to_owned() })
    }
}

/// A setting that cannot change.
pub(crate) fn fixed(key: &'static str) -> Invalid {
    Invalid {
        key,
        problem: format!("a link keeps its {key} from its start on"),
        hint: format!("set the {key} at the top level, or in [up] or [down]"),
    }
}

/// Whether a timeline whose last change is at `last` can begin anew after this time.
pub(crate) fn check_repeat(repeat: Duration, last: Option<Duration>) -> Result<(), Invalid> {
    let problem = match last {
        None => "nothing changes that could begin anew".to_owned(),
        Some(last) if repeat <= last => format!("{repeat:#} is over before the last change, at {last:#}"),
        Some(_) => return Ok(()),
    };
    let hint = "make it longer than the last change's at, for example loop = \"100s\", or leave it out".to_owned();
    Err(Invalid { key: "loop", problem, hint })
}
