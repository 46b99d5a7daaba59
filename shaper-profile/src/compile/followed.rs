//! A direction that follows a trace.

use shaper_channel::Unfit;
use shaper_common::units::Nanos;

use super::direction::Settings;
use crate::effect::{Held, Scope, TraceRef};
use crate::error::{CompileError, Invalid};
use crate::profile::Direction;
use crate::quantity::Duration;
use crate::trace::{Trace, TraceError};

/// The delay that tables of jitter are about where delays follow a trace: longer than any jitter reaches below it, so
/// that nothing of it is cut.
const ABOUT: Duration = Duration::from_millis(3_600_000);

/// A trace, read, and as it is followed.
pub(super) struct Followed {
    read: Trace,
    trace: shaper_channel::Trace,
}

impl Followed {
    pub(super) fn read(reference: &TraceRef, scope: Scope) -> Result<Self, CompileError> {
        let read = Trace::read(reference)?;
        let trace = read.followed(scope).map_err(|unfit| {
            let problem = match unfit {
                Unfit::Empty | Unfit::Times | Unfit::TooFast => format!("the trace cannot be followed ({unfit:?})"),
                Unfit::TooDense => "65535 rows last less than a second: they cannot be laid down in time; average \
                                    them over longer"
                    .to_owned(),
                Unfit::TooLong => "each flow follows the trace from its first packet on, which is possible up to \
                                   262144 rows; shorten it, or write scope = \"link\""
                    .to_owned(),
            };
            TraceError { file: reference.path.clone(), line: 0, problem }
        })?;
        Ok(Self { read, trace })
    }

    pub(super) fn trace(&self) -> shaper_channel::Trace {
        self.trace.clone()
    }

    /// The settings of a direction that follows it.
    pub(super) fn settings(
        &self,
        direction: &Direction,
        seed: u64,
        stream: u32,
        held: Held,
    ) -> Result<Settings, CompileError> {
        let mean = self.read.over(direction);
        // What needs a rate has one, or is missing one now.
        Direction { trace: None, ..mean.clone() }.check()?;
        let mut settings = Settings::of(&mean, seed, stream, held)?;
        if self.read.has_delay() && settings.channel.quantiles.is_some() {
            let about = Settings::of(&Direction { delay: ABOUT, ..mean.clone() }, seed, stream, held)?.channel;
            settings.channel.quantiles = about.quantiles;
            settings.channel.params.delay = ABOUT.0;
        }
        settings.channel.params = self.read.params(&mean, &self.trace, settings.channel.params);
        if let Some(longest) = self.read.longest_delay() {
            settings.longest = longest.saturating_sub(mean.delay.0);
        }
        if let shaper_channel::Trace::Steps(steps) = &self.trace
            && settings.channel.params.queue == Nanos::MAX
        {
            let longest = steps.longest_service(settings.channel.params.queue_work);
            settings.longest = settings.longest.saturating_add(longest.saturating_sub(mean.queue_time()));
        }
        Ok(settings)
    }

    /// Whether settings of a direction may change to these.
    pub(super) fn check_change(&self, base: &Direction, change: &Direction) -> Result<(), CompileError> {
        match self.read.contradicts(base, change) {
            None => Ok(()),
            Some(key) => Err(CompileError::Invalid(Invalid {
                key,
                problem: "changes at a set time, and follows the trace".to_owned(),
                hint: format!("leave the {key} out of the change, or its column out of the trace"),
            })),
        }
    }
}
