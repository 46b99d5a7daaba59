//! A direction that follows a trace.

use shaper_channel::{StepTrace, Unfit};
use shaper_common::layout::{Params, flags};

use super::direction::Settings;
use crate::effect::{Held, Scope, TraceRef};
use crate::error::{CompileError, Invalid};
use crate::held;
use crate::profile::Direction;
use crate::quantity::Duration;
use crate::trace::{Trace, TraceError};

/// The delay that tables of jitter are about where delays follow a trace: longer than any jitter reaches below it, so
/// that nothing of it is cut.
const ABOUT: Duration = Duration::from_millis(3_600_000);

/// A trace, read, and as it is followed.
pub(super) struct Followed {
    file: String,
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
        Ok(Self { file: reference.path.clone(), read, trace })
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
        if self.read.has_delay() && settings.channel.tables.delay.is_some() {
            let about = Settings::of(&Direction { delay: ABOUT, ..mean.clone() }, seed, stream, held)?.channel;
            settings.channel.tables.delay = about.tables.delay;
            settings.channel.params.delay = ABOUT.0;
        }
        settings.channel.params = self.read.params(&mean, &self.trace, settings.channel.params);
        let params = &settings.channel.params;
        if let shaper_channel::Trace::Steps(steps) = &self.trace {
            self.check_reach(steps, params)?;
        }
        let queue = held::queue(params, Some(&self.trace)).saturating_sub(mean.queue_time());
        let delay = if self.read.has_delay() { self.trace.longest_delay() } else { mean.delay.0 };
        settings.longest = queue.saturating_add(delay.saturating_sub(mean.delay.0));
        Ok(settings)
    }

    /// Whether what is brought on of a long trace reaches to the end of the longest service.
    fn check_reach(&self, steps: &StepTrace, params: &Params) -> Result<(), CompileError> {
        let Some(reach) = steps.reach().filter(|_| params.flags & flags::RATE_STEPS != 0) else { return Ok(()) };
        let longest = held::queue(params, Some(&self.trace));
        if longest < reach {
            return Ok(());
        }
        let problem = format!(
            "a full queue is through in {:#}, and of this trace {:#} are at hand at a time; shorten the queue, or average \
             the rows over longer",
            Duration(longest),
            Duration(reach)
        );
        Err(TraceError { file: self.file.clone(), line: 0, problem }.into())
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
