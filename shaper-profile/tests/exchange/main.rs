//! Settings of other tools: what each format comes to, what is refused, and what goes there and back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod exports;
mod identity;
mod imports;
mod refused;

use shaper_profile::exchange::{Format, Imported, Inputs, Options, Source, import_with};
use shaper_profile::{Direction, Profile, presets};

/// A text taken over; the profile that it comes to reads back the same.
fn import(format: Format, text: &str) -> Imported {
    with(format, text, &Options::default())
}

fn with(format: Format, text: &str, options: &Options) -> Imported {
    let imported = import_with(format, Inputs::Link(Source { file: "file", text }), options).unwrap();
    reads_back(&imported.profile);
    imported
}

fn reads_back(profile: &Profile) {
    let text = toml::to_string(profile).unwrap();
    assert_eq!(presets::parse("again.toml", "again", &text).unwrap(), *profile, "{text}");
}

/// The same direction both ways, as a profile's text has it.
fn direction(text: &str) -> Direction {
    presets::parse("direction.toml", "direction", text).unwrap().link.a_to_b
}

/// What is told beside it.
fn notes(imported: &Imported) -> String {
    imported.notes.iter().map(|note| format!("{note}\n")).collect()
}
