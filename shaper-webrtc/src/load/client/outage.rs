//! Times for which the media of a client that had been up was away: why, and for how long.

use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use crate::load::failure::{Failure, Stage};
use crate::load::results::Outage;

/// Media that is away.
pub(super) struct Out {
    stage: Stage,
    pub(super) since: Instant,
    /// Whether it received anything before, and so is not back before it does again.
    pub(super) heard: bool,
    /// Until when it may enter anew, once what it had is lost.
    until: Option<Instant>,
}

impl Client {
    /// Notes that media is away since then, unless it is already.
    pub(super) fn lost(&mut self, failure: &Failure, since: Instant, heard: bool) {
        if self.out.is_none() {
            self.note(failure);
            let at_seconds = since.saturating_duration_since(self.start).as_secs_f64();
            self.told.outages.push(Outage { at_seconds, reason: failure.to_string(), seconds: None });
            self.out = Some(Out { stage: failure.stage, since, heard, until: None });
        }
    }

    /// Lets it enter anew, for as long after the loss of what it had as a stage may take.
    pub(super) fn come_back(&mut self, lost: Instant) {
        let until = lost + self.timeout();
        if let Some(out) = &mut self.out {
            out.until.get_or_insert(until);
        }
    }

    /// Whether there is time for another attempt to have media again that begins so late.
    pub(super) fn may_come_back(&self, after: Duration) -> bool {
        let until = self.out.as_ref().and_then(|out| out.until);
        until.is_some_and(|until| Instant::now() + after < until)
    }

    /// Notes that media flows again.
    pub(super) fn back(&mut self) {
        if let (Some(out), Some(outage)) = (self.out.take(), self.told.outages.last_mut()) {
            outage.seconds = Some(out.since.elapsed().as_secs_f64());
        }
    }

    /// Media that is still away does not come back: the client failed at that.
    pub(super) fn settle(&mut self) {
        if let Some(out) = self.out.take() {
            self.told.failed_stage.get_or_insert(out.stage);
        }
    }
}
