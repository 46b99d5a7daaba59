//! The script: which command is due when.

use serde::{Deserialize, Serialize};

use crate::plan;
use crate::units::Nanos;
use crate::wire::Command;

/// One step of the script.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// PLAY from where the transport is.
    Play,
    /// STOP and return to 0.
    Stop,
    /// PAUSE where it is.
    Pause,
    /// POSITION: jump to so many seconds.
    Position(f64),
    /// BPM: change the tempo.
    Bpm(f64),
}

impl Step {
    /// The command that carries this step.
    #[must_use]
    pub fn command(self) -> Command {
        match self {
            Step::Play => Command::Play,
            Step::Stop => Command::Stop,
            Step::Pause => Command::Pause,
            Step::Position(_) => Command::Position,
            Step::Bpm(_) => Command::Bpm,
        }
    }
}

/// A step that repeats among the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interleaved {
    /// It takes every so-many-th place of the script, at least 2.
    pub every: u32,
    /// The values it takes in turn: beats per minute, or seconds.
    pub values: Vec<f64>,
}

/// The script as asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScriptConfig {
    /// From one command to the next; see [`plan::minimum_spacing`].
    pub spacing: Nanos,
    /// The steps taken in turn.
    pub cycle: Vec<Step>,
    /// Tempo changes among them.
    pub tempo: Option<Interleaved>,
    /// Jumps among them.
    pub positions: Option<Interleaved>,
}

impl Default for ScriptConfig {
    fn default() -> Self {
        ScriptConfig {
            spacing: Nanos::from_millis(500),
            cycle: vec![Step::Play, Step::Stop, Step::Play, Step::Pause, Step::Play, Step::Stop],
            tempo: None,
            positions: None,
        }
    }
}

/// What is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// Spacing 0.
    #[error("script: spacing is 0: give the time from one command to the next")]
    NoSpacing,
    /// No step.
    #[error("script: the cycle has no step: name at least one of play, stop, pause")]
    EmptyCycle,
    /// An interleaved step that would take every place, or has no value.
    #[error("script: {what}: every {every} with {values} values: want every >= 2 and a value")]
    Interleaved {
        /// Which.
        what: &'static str,
        /// Its spacing.
        every: u32,
        /// How many values.
        values: usize,
    },
    /// A tempo or position that is no number, or a tempo not above 0.
    #[error("script: {what} is not a usable number")]
    Value {
        /// Which.
        what: &'static str,
    },
}

/// One command and when it is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Planned {
    /// After the start of the run.
    pub due: Nanos,
    /// What is done.
    pub step: Step,
}

impl ScriptConfig {
    /// Everything due before `duration`. Each due time is a multiple of the spacing from the
    /// start, so that a late command does not delay those after it.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub fn plan(&self, duration: Nanos) -> Result<Vec<Planned>, ScriptError> {
        self.check()?;
        let mut cycle = self.cycle.iter().copied().cycle();
        let mut tempos = Turn::new(self.tempo.as_ref());
        let mut positions = Turn::new(self.positions.as_ref());
        Ok((0..plan::commands_in(duration, self.spacing))
            .map_while(|n| {
                let step = tempos
                    .take(n)
                    .map(Step::Bpm)
                    .or_else(|| positions.take(n).map(Step::Position))
                    .or_else(|| cycle.next())?;
                Some(Planned { due: self.spacing.times(n), step })
            })
            .collect())
    }

    fn check(&self) -> Result<(), ScriptError> {
        if self.spacing == Nanos::ZERO {
            return Err(ScriptError::NoSpacing);
        }
        if self.cycle.is_empty() {
            return Err(ScriptError::EmptyCycle);
        }
        for (what, interleaved) in [("tempo", &self.tempo), ("positions", &self.positions)] {
            if let Some(i) = interleaved
                && (i.every < 2 || i.values.is_empty())
            {
                return Err(ScriptError::Interleaved { what, every: i.every, values: i.values.len() });
            }
        }
        let steps = self.cycle.iter().copied();
        let tempos = self.tempo.iter().flat_map(|i| &i.values).copied();
        let positions = self.positions.iter().flat_map(|i| &i.values).copied();
        for step in steps.chain(tempos.map(Step::Bpm)).chain(positions.map(Step::Position)) {
            match step {
                Step::Bpm(bpm) if !(bpm.is_finite() && bpm > 0.0) => {
                    return Err(ScriptError::Value { what: "a tempo" });
                }
                Step::Position(p) if !(p.is_finite() && p >= 0.0) => {
                    return Err(ScriptError::Value { what: "a position" });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// An interleaved step's turns: places every, 2 every, … less one, counted from 0.
struct Turn<'a> {
    every: u64,
    values: std::iter::Cycle<std::slice::Iter<'a, f64>>,
}

impl<'a> Turn<'a> {
    fn new(interleaved: Option<&'a Interleaved>) -> Turn<'a> {
        let (every, values) = interleaved.map_or((0, &[][..]), |i| (i.every, &i.values[..]));
        Turn { every: u64::from(every), values: values.iter().cycle() }
    }

    fn take(&mut self, n: u64) -> Option<f64> {
        if self.every != 0 && (n + 1).is_multiple_of(self.every) { self.values.next().copied() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cycle_repeats_at_multiples_of_the_spacing() {
        let script = ScriptConfig { spacing: Nanos::from_millis(100), ..ScriptConfig::default() };
        let plan = script.plan(Nanos::from_millis(800)).unwrap();
        let commands: Vec<Command> = plan.iter().map(|p| p.step.command()).collect();
        use Command::{Pause, Play, Stop};
        assert_eq!(commands, [Play, Stop, Play, Pause, Play, Stop, Play, Stop]);
        assert_eq!(plan[7].due, Nanos::from_millis(700));
    }

    #[test]
    fn tempo_changes_and_jumps_take_their_places() {
        let script = ScriptConfig {
            spacing: Nanos::from_millis(1),
            tempo: Some(Interleaved { every: 3, values: vec![90.0, 140.0] }),
            positions: Some(Interleaved { every: 4, values: vec![12.0] }),
            ..ScriptConfig::default()
        };
        let steps: Vec<Step> = script.plan(Nanos::from_millis(8)).unwrap().iter().map(|p| p.step).collect();
        assert_eq!(
            steps,
            [
                Step::Play,
                Step::Stop,
                Step::Bpm(90.0),
                Step::Position(12.0),
                Step::Play,
                Step::Bpm(140.0),
                Step::Pause,
                Step::Position(12.0),
            ]
        );
    }

    #[test]
    fn a_script_that_cannot_run_says_why() {
        let zero = ScriptConfig { spacing: Nanos::ZERO, ..ScriptConfig::default() };
        assert_eq!(zero.plan(Nanos(1)), Err(ScriptError::NoSpacing));
        let empty = ScriptConfig { cycle: vec![], ..ScriptConfig::default() };
        assert_eq!(empty.plan(Nanos(1)), Err(ScriptError::EmptyCycle));
        let still = ScriptConfig { cycle: vec![Step::Bpm(0.0)], ..ScriptConfig::default() };
        assert!(matches!(still.plan(Nanos(1)), Err(ScriptError::Value { .. })));
    }
}
