//! How far a run is, for a person who watches it on a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use shaper_common::units::Nanos;

/// A line that fills up with the time of the run, on standard error where that is a terminal, and gone at its end.
pub(super) struct Progress {
    bar: ProgressBar,
    start: Nanos,
}

impl Progress {
    /// For a run that begins at `start`, CLOCK_MONOTONIC, and is to take so long.
    pub(super) fn new(start: Nanos, duration: Nanos) -> Self {
        // Without a style of its own a bar is as good.
        let style = ProgressStyle::with_template("{wide_bar} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: ProgressBar::new(duration.0).with_style(style), start }
    }

    /// The time is `now`.
    pub(super) fn show(&self, now: Nanos) {
        let gone = now.saturating_sub(self.start);
        let whole = self.bar.length().unwrap_or(0);
        self.bar.set_message(match gone.0 {
            0 => "starting".to_owned(),
            gone if gone >= whole => "waiting for what is under way".to_owned(),
            gone => format!("{} of {} s", gone / 1_000_000_000, whole / 1_000_000_000),
        });
        self.bar.set_position(gone.0.min(whole));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
