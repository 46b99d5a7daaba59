//! Other settings for what is impaired already: as changes of its timeline, at a time a little ahead.

use anyhow::{Context, bail};
use shaper_channel::ChannelSpec;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::{Change, Compile, CompiledDirection, CompiledLink, Direction, Link, Profile};

/// From when it is asked for until it holds: longer than all who decide take to know of it.
pub(super) const LEAD: Nanos = Nanos(250_000_000);

/// One direction, what it did from the start on and since.
pub(super) struct Running {
    /// The profile that the direction is of, with every change since.
    link: Link,
    seed: u64,
    horizon: Duration,
    compiled: fn(CompiledLink) -> CompiledDirection,
    settings: fn(&Link) -> &Direction,
}

impl Running {
    /// What goes forward, by the way from `a` to `b` of a profile.
    pub(super) fn forward(profile: &Profile, seed: u64, horizon: Duration) -> Self {
        let link = profile.link.clone();
        Self { link, seed, horizon, compiled: |link| link.a_to_b, settings: |link| &link.a_to_b }
    }

    /// What goes backward, by the way from `b` to `a` of a profile.
    pub(super) fn backward(profile: &Profile, seed: u64, horizon: Duration) -> Self {
        let link = profile.link.clone();
        Self { link, seed, horizon, compiled: |link| link.b_to_a, settings: |link| &link.b_to_a }
    }

    /// The direction as it is with the settings of another profile from `at` on, and those in words.
    ///
    /// # Errors
    ///
    /// Settings that hold from the start on alone.
    pub(super) fn to(&self, other: &Profile, at: Duration) -> anyhow::Result<Changed> {
        let new = &other.link;
        let fixed = [
            ("rules", new.rules != self.link.rules),
            ("outages", new.outages != self.link.outages),
            ("changes at set times", !new.changes.is_empty()),
        ];
        if let Some((what, _)) = fixed.into_iter().find(|(_, differs)| *differs) {
            bail!("{what} hold from the start on: clear, and apply anew");
        }
        if self.link.repeat.is_some() {
            bail!("its timeline begins anew over and over, and has no end to go on from: clear, and apply anew");
        }
        if let Some(change) = self.link.changes.iter().find(|change| change.at >= at) {
            bail!("a change of its own is still to come, {:#} after the start: clear, and apply anew", change.at);
        }
        let mut link = self.link.clone();
        link.changes.push(Change { at, a_to_b: new.a_to_b.clone(), b_to_a: new.b_to_a.clone() });
        let run = Compile { seed: self.seed, link: 0, horizon: self.horizon };
        let compiled = (self.compiled)(link.compile(&run).with_context(|| format!("profile {}", other.name))?);
        // What it comes to is said of it as if it were all.
        let alone = Link { a_to_b: new.a_to_b.clone(), b_to_a: new.b_to_a.clone(), ..Link::default() };
        let alone = (self.compiled)(alone.compile(&run)?);
        Ok(Changed {
            channel: compiled.channel,
            words: alone.expected.to_string(),
            longest: alone.held().longest,
            acts: *(self.settings)(new) != Direction::default(),
            link,
        })
    }

    /// It has been changed so.
    pub(super) fn became(&mut self, changed: Changed) {
        self.link = changed.link;
    }
}

/// A direction with another change.
pub(super) struct Changed {
    /// What decides.
    pub(super) channel: ChannelSpec,
    /// What it does from then on.
    pub(super) words: String,
    /// For how long a packet is held then.
    pub(super) longest: Nanos,
    /// Whether that is anything.
    pub(super) acts: bool,
    link: Link,
}

#[cfg(test)]
mod tests {
    use shaper_profile::presets;

    use super::*;

    fn running(text: &str) -> Running {
        Running::forward(&presets::parse("test", "test", text).unwrap(), 1, Duration::from_millis(1_000))
    }

    fn to(running: &Running, text: &str, at_ms: u64) -> Result<Changed, String> {
        let other = presets::parse("other", "other", text).unwrap();
        running.to(&other, Duration::from_millis(at_ms)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn each_change_goes_on_from_those_before() {
        let mut running = running("delay = \"5ms\"");
        let mut channel = (running.compiled)(
            running.link.compile(&Compile { seed: 1, link: 0, horizon: Duration::from_millis(1_000) }).unwrap(),
        )
        .channel;
        for (at, text) in [(100, "loss = \"1%\""), (200, "rate = \"1mbit\""), (300, "")] {
            let changed = to(&running, text, at).unwrap();
            assert_eq!(changed.acts, !text.is_empty());
            assert_eq!(changed.channel.extends(&channel), Some(1));
            channel = changed.channel.clone();
            running.became(changed);
        }
        assert_eq!(to(&running, "", 300).map(drop).unwrap_err().matches("still to come").count(), 1);
    }

    #[test]
    fn what_holds_from_the_start_on_is_refused() {
        for (base, new, words) in [
            ("", "[[rule]]\nmatch = \"tcp\"\nloss = \"1%\"", "rules hold from the start on"),
            ("", "outages = { flap = \"9s up 1s down\" }", "outages hold from the start on"),
            ("", "[[change]]\nat = \"1s\"\nloss = \"1%\"", "changes at set times"),
            ("", "loss = \"1%\"\nscope = \"flow\"", "scope"),
            ("loop = \"9s\"\n[[change]]\nat = \"1s\"\nloss = \"1%\"", "delay = \"1ms\"", "begins anew"),
            ("[[change]]\nat = \"1s\"\nloss = \"1%\"", "delay = \"1ms\"", "still to come"),
        ] {
            let error = to(&running(base), new, 500).map(drop).unwrap_err();
            assert!(error.contains(words), "{base:?} to {new:?}: {error}");
        }
    }
}
