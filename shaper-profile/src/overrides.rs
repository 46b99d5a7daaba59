//! Flags that change a profile.

use crate::error::Invalid;
use crate::loss::Loss;
use crate::profile::{Distribution, Order, Patch, Profile, Scheduled};
use crate::quantity::{Duration, EventRate, QueueLimit, Rate, Size};

/// The flags' values, each absent where the flag was not given. They hold for both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--loss`
    pub loss: Option<Loss>,
    /// `--jitter`
    pub jitter: Option<Duration>,
    /// `--latency`, `--delay`
    pub latency: Option<Duration>,
    /// `--outages`
    pub outages: Option<EventRate>,
    /// `--outage-duration`
    pub outage_duration: Option<Duration>,
    /// `--order`
    pub order: Option<Order>,
    /// `--distribution`
    pub distribution: Option<Distribution>,
    /// `--rate`
    pub rate: Option<Rate>,
    /// `--overhead`
    pub overhead: Option<Size>,
    /// `--queue`
    pub queue: Option<QueueLimit>,
    /// `--outage-at`, as often as given
    pub outage_at: Vec<Duration>,
    /// `--outage-length`, of each of those
    pub outage_length: Option<Duration>,
}

/// A flag that does not go with the profile or the other flags.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// One of a pair.
    #[error("{given} needs {missing}: write for example --outage-at 10s --outage-length 500ms")]
    Alone {
        /// The flag that was given.
        given: &'static str,
        /// The flag that was not.
        missing: &'static str,
    },
    /// The changed profile cannot be.
    #[error("profile {profile} with the flags given: {}: {}; {}", flag(.invalid.key), .invalid.problem, .invalid.hint)]
    Invalid {
        /// The profile's name.
        profile: String,
        /// What is wrong.
        invalid: Invalid,
    },
}

/// The flag that sets a profile's key.
fn flag(key: &str) -> &str {
    match key {
        "delay" => "--latency",
        "jitter" => "--jitter",
        "overhead" => "--overhead",
        "queue" => "--queue",
        "outages.length" => "--outage-duration",
        "outages.scheduled" => "--outage-length",
        _ => key,
    }
}

impl Overrides {
    /// Whether no flag was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The profile with what the flags say. Scheduled outages come to those of the profile; all else
    /// replaces. A changed profile's name ends in `+custom`, `clean` becomes `custom`.
    ///
    /// # Errors
    /// One of `--outage-at` and `--outage-length` alone, and settings that cannot be.
    pub fn apply(&self, profile: &Profile) -> Result<Profile, OverrideError> {
        if self.is_empty() {
            return Ok(profile.clone());
        }
        let mut changed = profile.clone();
        changed.name = match profile.name.as_str() {
            "clean" | "custom" => "custom".to_owned(),
            name => format!("{name}+custom"),
        };
        let patch = Patch {
            delay: self.latency,
            jitter: self.jitter,
            distribution: self.distribution,
            order: self.order,
            loss: self.loss,
            rate: self.rate,
            overhead: self.overhead,
            queue: self.queue,
        };
        let link = &mut changed.link;
        link.a_to_b = patch.apply(&link.a_to_b);
        link.b_to_a = patch.apply(&link.b_to_a);
        link.outages.rate = self.outages.unwrap_or(link.outages.rate);
        link.outages.length = self.outage_duration.unwrap_or(link.outages.length);
        match (self.outage_at.is_empty(), self.outage_length) {
            (true, None) => {}
            (true, Some(_)) => return Err(OverrideError::Alone { given: "--outage-length", missing: "--outage-at" }),
            (false, None) => return Err(OverrideError::Alone { given: "--outage-at", missing: "--outage-length" }),
            (false, Some(length)) => {
                link.outages.scheduled.extend(self.outage_at.iter().map(|at| Scheduled {
                    at: *at,
                    length,
                    every: None,
                }));
            }
        }
        match link.check() {
            Ok(()) => Ok(changed),
            Err(invalid) => Err(OverrideError::Invalid { profile: profile.name.clone(), invalid }),
        }
    }
}
