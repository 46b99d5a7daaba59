//! The transport's state machine: stopped, playing or paused, a position and a tempo, advancing
//! by the application's own clock.

use serde::{Deserialize, Serialize};

use crate::units::Micros;
use crate::wire::{Command, PlayState};

/// What the transport shows at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What it is doing.
    pub state: PlayState,
    /// Position in seconds.
    pub position: f64,
    /// Position in beats: the tempo's integral over time played.
    pub beats: f64,
    /// Tempo in beats per minute.
    pub bpm: f64,
}

/// A command's effect: what is asked for, with the position and tempo it carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// What is asked for.
    pub command: Command,
    /// Position in seconds.
    pub position: f64,
    /// Tempo in beats per minute.
    pub bpm: f64,
}

/// The state machine. Its times are microseconds of the application's clock.
#[derive(Debug, Clone)]
pub struct Transport {
    state: PlayState,
    position: f64,
    beats: f64,
    bpm: f64,
    anchor: Micros,
}

impl Transport {
    /// Stopped at 0.
    #[must_use]
    pub fn new(now: Micros, bpm: f64) -> Transport {
        Transport { state: PlayState::Stopped, position: 0.0, beats: 0.0, bpm, anchor: now }
    }

    /// What it shows at `now`.
    #[must_use]
    pub fn at(&self, now: Micros) -> Snapshot {
        let played = match self.state {
            PlayState::Playing => (now.0 - self.anchor.0) as f64 / 1e6,
            PlayState::Stopped | PlayState::Paused => 0.0,
        };
        Snapshot {
            state: self.state,
            position: self.position + played,
            beats: self.beats + played * self.bpm / 60.0,
            bpm: self.bpm,
        }
    }

    /// Applies a command at `now` that was meant for `elapsed` seconds ago (0 where the sender's
    /// clock is not known); returns what the transport shows just before and just after.
    ///
    /// PLAY, STOP, PAUSE and POSITION take the command's position; all take its tempo; POSITION
    /// and BPM leave the state. While playing, the position gains `elapsed`.
    pub fn apply(&mut self, change: &Change, now: Micros, elapsed: f64) -> (Snapshot, Snapshot) {
        let before = self.at(now);
        let state = match change.command {
            Command::Play => PlayState::Playing,
            Command::Stop => PlayState::Stopped,
            Command::Pause => PlayState::Paused,
            Command::Position | Command::Bpm => before.state,
        };
        let gained = if state == PlayState::Playing { elapsed } else { 0.0 };
        self.state = state;
        self.anchor = now;
        self.bpm = change.bpm;
        if change.command == Command::Bpm {
            self.position = before.position;
            self.beats = before.beats;
        } else {
            self.position = change.position + gained;
            self.beats = self.position * change.bpm / 60.0;
        }
        (before, self.at(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(command: Command, position: f64, bpm: f64) -> Change {
        Change { command, position, bpm }
    }

    #[test]
    fn position_advances_only_while_playing() {
        let mut t = Transport::new(Micros(0), 120.0);
        assert_eq!(t.at(Micros(5_000_000)).position, 0.0);
        t.apply(&change(Command::Play, 0.0, 120.0), Micros(5_000_000), 0.0);
        assert_eq!(t.at(Micros(7_500_000)).position, 2.5);
        t.apply(&change(Command::Pause, 2.5, 120.0), Micros(7_500_000), 0.0);
        assert_eq!(t.at(Micros(9_000_000)).position, 2.5);
        assert_eq!(t.at(Micros(9_000_000)).state, PlayState::Paused);
        t.apply(&change(Command::Stop, 0.0, 120.0), Micros(9_000_000), 0.0);
        let stopped = t.at(Micros(10_000_000));
        assert_eq!((stopped.state, stopped.position, stopped.beats), (PlayState::Stopped, 0.0, 0.0));
    }

    #[test]
    fn a_tempo_change_bends_beats_and_leaves_seconds() {
        let mut t = Transport::new(Micros(0), 120.0);
        t.apply(&change(Command::Play, 0.0, 120.0), Micros(0), 0.0);
        t.apply(&change(Command::Bpm, 0.0, 60.0), Micros(2_000_000), 0.0);
        let now = t.at(Micros(4_000_000));
        assert_eq!((now.position, now.beats, now.bpm), (4.0, 6.0, 60.0));
        assert_eq!(now.state, PlayState::Playing);
    }

    #[test]
    fn a_late_command_lands_where_the_sender_is_by_now() {
        let mut t = Transport::new(Micros(0), 120.0);
        let (before, after) = t.apply(&change(Command::Play, 10.0, 120.0), Micros(1_000_000), 0.02);
        assert_eq!(before.state, PlayState::Stopped);
        assert!((after.position - 10.02).abs() < 1e-9);
        // A stopped transport does not run ahead.
        let (_, after) = t.apply(&change(Command::Stop, 0.0, 120.0), Micros(2_000_000), 0.02);
        assert_eq!(after.position, 0.0);
    }

    #[test]
    fn position_jumps_keep_the_state() {
        let mut t = Transport::new(Micros(0), 120.0);
        t.apply(&change(Command::Position, 30.0, 120.0), Micros(0), 0.0);
        assert_eq!((t.at(Micros(1_000_000)).state, t.at(Micros(1_000_000)).position), (PlayState::Stopped, 30.0));
        t.apply(&change(Command::Play, 30.0, 120.0), Micros(1_000_000), 0.0);
        t.apply(&change(Command::Position, 40.0, 120.0), Micros(2_000_000), 0.0);
        let now = t.at(Micros(3_000_000));
        assert_eq!((now.state, now.position), (PlayState::Playing, 41.0));
    }
}
