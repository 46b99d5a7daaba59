//! Flags that change a profile.

use crate::effect::{Flap, Given, Held, OutageLength};
use crate::error::Invalid;
use crate::profile::{Patch, Profile, Scheduled};
use crate::quantity::{Duration, EventRate};

/// The flags' values, each absent where the flag was not given. They hold for both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--delay` or `--latency`, and the flags of all other keys of a direction: `--loss-position` for `loss_position`.
    pub direction: Patch,
    /// `--outages`
    pub outages: Option<EventRate>,
    /// `--outage-duration`
    pub outage_duration: Option<OutageLength>,
    /// `--outage-flap`
    pub outage_flap: Option<Given<Flap>>,
    /// `--outage-held`
    pub outage_held: Option<Held>,
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
fn flag(key: &str) -> String {
    match key {
        "delay" => "--latency".to_owned(),
        "outages.length" => "--outage-duration".to_owned(),
        "outages.scheduled" => "--outage-length".to_owned(),
        _ if Patch::KEYS.contains(&key) => format!("--{}", key.replace('_', "-")),
        _ => key.to_owned(),
    }
}

impl Overrides {
    /// Whether no flag was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The profile with what the flags say. Scheduled outages come to those of the profile; all else
    /// replaces, also what the profile changes at set times, but nothing of its rules. A changed profile's name ends in `+custom`, `clean` becomes `custom`.
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
        let link = &mut changed.link;
        link.a_to_b = self.direction.apply(&link.a_to_b);
        link.b_to_a = self.direction.apply(&link.b_to_a);
        for change in &mut link.changes {
            change.a_to_b = self.direction.apply(&change.a_to_b);
            change.b_to_a = self.direction.apply(&change.b_to_a);
        }
        link.outages.rate = self.outages.unwrap_or(link.outages.rate);
        link.outages.length = self.outage_duration.unwrap_or(link.outages.length);
        link.outages.flap = self.outage_flap.map_or(link.outages.flap, Option::from);
        link.outages.held = self.outage_held.unwrap_or(link.outages.held);
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
