//! When a link is down.

use serde::Serialize;

use crate::effect::{Flap, Held, OutageLength};
use crate::error::Invalid;
use crate::quantity::{Duration, EventRate};

/// Outages of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outages {
    /// How often one begins at random while the link is up.
    pub rate: EventRate,
    /// How long each of those lasts.
    pub length: OutageLength,
    /// Up and down in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap: Option<Flap>,
    /// What becomes of packets on their way when the link goes down.
    #[serde(skip_serializing_if = "is_kept")]
    pub held: Held,
    /// Those that begin at set times.
    pub scheduled: Vec<Scheduled>,
}

/// An outage, or a row of them, at set times since the link's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Scheduled {
    /// When the first one begins.
    pub at: Duration,
    /// How long each lasts.
    pub length: Duration,
    /// From one's beginning to the next one's; a single one without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
}

fn is_kept(held: &Held) -> bool {
    *held == Held::Kept
}

impl Outages {
    /// Whether there can be none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rate.is_zero() && self.scheduled.is_empty() && self.flap.is_none()
    }

    /// Whether these settings can be.
    ///
    /// # Errors
    /// Random outages or scheduled ones of no length, and rows whose outages would begin inside another.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.rate.is_zero() && self.length.is_zero() {
            return Err(Invalid {
                key: "outages.length",
                problem: format!("outages come at {:#} and last no time", self.rate),
                hint: "write for example length = \"500ms\"".to_owned(),
            });
        }
        for outage in &self.scheduled {
            if outage.length.is_zero() {
                return Err(Invalid {
                    key: "outages.scheduled",
                    problem: format!("the outage at {:#} lasts no time", outage.at),
                    hint: "write for example { at = \"10s\", length = \"500ms\" }".to_owned(),
                });
            }
            if outage.every.is_some_and(|every| every <= outage.length) {
                return Err(Invalid {
                    key: "outages.scheduled",
                    problem: format!("the outages from {:#} on last until the next begins", outage.at),
                    hint: "make every longer than length, for example { at = \"5s\", length = \"300ms\", every = \"10s\" }"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}
