//! A profile's text, and what it compiles to.

use shaper_common::units::Nanos;
use shaper_profile::profile::Link;
use shaper_profile::quantity::Duration;
use shaper_profile::shift::Stream;
use shaper_profile::{Compile, Direction, Distribution, Profile, presets};

/// What a run adds: short, so that many profiles are compiled.
const RUN: Compile = Compile { seed: 7, link: 0, horizon: Duration::from_millis(1_000) };
/// A stream for what a kept order does to it.
const STREAM: Stream = Stream { interval: Nanos(20_000_000), len: 200, packets: 50 };

/// Reads the bytes as a profile. One that can be read can be written and read again, and be compiled.
pub fn read(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match presets::parse("fuzz.toml", "fuzz", text) {
        Ok(profile) => {
            reads_back(&profile);
            compiles(&profile.link);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The profile as it is written reads as the same one.
pub(crate) fn reads_back(profile: &Profile) {
    let written = toml::to_string(profile);
    assert!(written.is_ok(), "{profile:?} cannot be written: {written:?}");
    let written = written.unwrap_or_default();
    let again = presets::parse("again.toml", "again", &written);
    assert!(again.as_ref().is_ok_and(|again| again == profile), "{written}\nreads as {again:#?}\nand was {profile:#?}");
}

/// Compiles the link without the files that it names, and says all that is said of it. It may be refused.
pub(crate) fn compiles(link: &Link) {
    let mut link = link.clone();
    without_files(&mut link);
    match link.compile(&RUN) {
        Ok(compiled) => {
            let warnings = compiled.warnings(Some(STREAM));
            assert!(warnings.iter().chain(&compiled.told).all(|line| !line.is_empty()));
            for direction in [&compiled.a_to_b, &compiled.b_to_a] {
                let configured = serde_json::to_string(&direction.expected.configured(Some(STREAM)));
                assert!(configured.is_ok(), "{configured:?}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Traces and tables are targets of their own; here their paths would lead anywhere.
fn without_files(link: &mut Link) {
    let plain = |direction: &mut Direction| {
        direction.trace = None;
        if direction.distribution.is_table() {
            direction.distribution = Distribution::Normal;
        }
    };
    plain(&mut link.a_to_b);
    plain(&mut link.b_to_a);
    for change in &mut link.changes {
        plain(&mut change.a_to_b);
        plain(&mut change.b_to_a);
    }
    for rule in &mut link.rules {
        without_files(&mut rule.link);
    }
}
