//! A scenario's text, and what is expected in one.

use std::path::Path;

use shaper_profile::expectation::{Expectation, Figure, Known, Measured, Of, Statistic};
use shaper_profile::{presets, scenario};

use crate::profile::compiles;

/// Reads the bytes as a scenario. What is expected can be judged there, and the link be compiled.
pub fn read(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    // Presets alone: a path would lead anywhere.
    let find = |name: &str| presets::parse("preset", name, presets::text(name).unwrap_or_default());
    match scenario::parse("fuzz.toml", Path::new(""), "fuzz", text, &find) {
        Ok(scenario) => {
            compiles(&scenario.profile.link);
            for expectation in &scenario.expect {
                assert!(scenario.check(expectation).is_ok(), "{expectation} is refused where it was read");
                reads_back(expectation);
            }
            let hosts = scenario.place.hosts();
            let on = scenario.commands.iter().filter_map(|command| command.on.as_ref());
            assert!(hosts.is_empty() || on.into_iter().all(|on| hosts.contains(on)));
            assert!(scenario.commands.iter().all(|command| !command.command.is_empty()));
            assert!(scenario.commands.iter().all(|command| command.at < scenario.duration));
        }
        Err(error) => assert!(error.line > 0 && !error.problem.is_empty(), "{error}"),
    }
}

/// Reads the bytes as an expectation, as `--expect` does.
pub fn expectation(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match text.parse::<Expectation>() {
        Ok(expectation) => {
            reads_back(&expectation);
            let of_a_link = expectation.among(&Known::OF_A_RUN);
            let is_of_a_link = matches!(expectation.of, Of::Direction(_) | Of::All);
            let measured = Figure::OF_A_RUN.contains(&expectation.figure) && expectation.statistic != Statistic::P90;
            assert_eq!(of_a_link.is_ok(), is_of_a_link && measured, "{expectation}: {of_a_link:?}");
            assert!(!expectation.judge(None).held, "{expectation} holds of nothing");
            let _ = expectation.judge(Some(Measured::count(1))).to_string();
        }
        Err(error) => assert!(!error.problem().is_empty()),
    }
}

fn reads_back(expectation: &Expectation) {
    let again = expectation.to_string().parse::<Expectation>();
    assert!(again.as_ref() == Ok(expectation), "{expectation} reads as {again:?}");
}
