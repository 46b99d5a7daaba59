//! Presets: profiles that come with the binary, and where a profile's name leads.

use std::path::Path;

use crate::error::ProfileError;
use crate::names::suggest;
use crate::profile::Profile;
use crate::read;

/// Name and text of each preset, in the order they are listed.
const PRESETS: [(&str, &str); 28] = [
    ("clean", include_str!("../../profiles/clean.toml")),
    ("wifi", include_str!("../../profiles/wifi.toml")),
    ("congested", include_str!("../../profiles/congested.toml")),
    ("extreme", include_str!("../../profiles/extreme.toml")),
    ("default", include_str!("../../profiles/default.toml")),
    ("outages", include_str!("../../profiles/outages.toml")),
    ("mobile", include_str!("../../profiles/mobile.toml")),
    ("stadium", include_str!("../../profiles/stadium.toml")),
    ("handoff", include_str!("../../profiles/handoff.toml")),
    ("failover", include_str!("../../profiles/failover.toml")),
    ("3g", include_str!("../../profiles/3g.toml")),
    ("4g", include_str!("../../profiles/4g.toml")),
    ("5g", include_str!("../../profiles/5g.toml")),
    ("dsl", include_str!("../../profiles/dsl.toml")),
    ("cable", include_str!("../../profiles/cable.toml")),
    ("wifi-good", include_str!("../../profiles/wifi-good.toml")),
    ("wifi-bad", include_str!("../../profiles/wifi-bad.toml")),
    ("satellite-geo", include_str!("../../profiles/satellite-geo.toml")),
    ("satellite-leo", include_str!("../../profiles/satellite-leo.toml")),
    ("rfc8867-single", include_str!("../../profiles/rfc8867-single.toml")),
    ("rfc8867-multi", include_str!("../../profiles/rfc8867-multi.toml")),
    ("vstack-normal", include_str!("../../profiles/vstack-normal.toml")),
    ("vstack-high-latency", include_str!("../../profiles/vstack-high-latency.toml")),
    ("vstack-low-bandwidth", include_str!("../../profiles/vstack-low-bandwidth.toml")),
    ("vstack-packet-loss", include_str!("../../profiles/vstack-packet-loss.toml")),
    ("vstack-degraded", include_str!("../../profiles/vstack-degraded.toml")),
    ("vstack-recovery", include_str!("../../profiles/vstack-recovery.toml")),
    ("vstack-node-failure", include_str!("../../profiles/vstack-node-failure.toml")),
];

/// The link that flags alone describe: `clean` under another name.
const CUSTOM: &str = "custom";

/// All presets with their settings.
///
/// # Errors
/// None with the presets as they are embedded.
pub fn list() -> Result<Vec<Profile>, ProfileError> {
    PRESETS.iter().map(|(name, text)| parse(&format!("preset {name}"), name, text)).collect()
}

/// The names of the presets.
pub fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// The TOML text of a preset.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(preset, _)| *preset == name).map(|(_, text)| *text)
}

/// The profile of a preset's name, of `custom` (a clean link for flags to change), or of a TOML file's path.
///
/// What contains a path separator or ends in `.toml` is a path; any other name that is no preset is a
/// path when a file of that name exists.
///
/// # Errors
/// An unknown name, an unreadable file, and what is wrong in its text, with its place.
pub fn load(name_or_path: &str) -> Result<Profile, ProfileError> {
    if let Some(text) = text(name_or_path) {
        return parse(&format!("preset {name_or_path}"), name_or_path, text);
    }
    if name_or_path == CUSTOM {
        let description = "A clean link, changed by flags".to_owned();
        return Ok(Profile { name: CUSTOM.to_owned(), description, ..Profile::default() });
    }
    let path = Path::new(name_or_path);
    let looks_like_path = name_or_path.contains(['/', std::path::MAIN_SEPARATOR]) || name_or_path.ends_with(".toml");
    if !looks_like_path && !path.is_file() {
        let mut known: Vec<_> = names().collect();
        known.push(CUSTOM);
        return Err(ProfileError::Unknown {
            name: name_or_path.to_owned(),
            suggestion: suggest(name_or_path, &known).map(str::to_owned),
            known: known.join(", "),
        });
    }
    let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Read { path: path.to_owned(), source })?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(read::profile(name_or_path, folder, &stem, &text)?)
}

/// The profile of a preset's name.
///
/// # Errors
/// An unknown name.
pub(crate) fn preset(name: &str) -> Result<Profile, ProfileError> {
    match text(name) {
        Some(text) => parse(&format!("preset {name}"), name, text),
        None => {
            let known: Vec<_> = names().collect();
            Err(ProfileError::NoPreset {
                name: name.to_owned(),
                suggestion: suggest(name, &known).map(str::to_owned),
                known: known.join(", "),
            })
        }
    }
}

/// Reads a profile's text; `file` is what errors call it, `fallback_name` its name where it gives none. Paths in it
/// stay as they are.
///
/// # Errors
/// What is wrong in the text, with file, line, column, key, and what would be right.
pub fn parse(file: &str, fallback_name: &str, text: &str) -> Result<Profile, ProfileError> {
    parse_in(Path::new(""), file, fallback_name, text)
}

/// As [`parse`], with relative paths in the text relative to `folder`.
///
/// # Errors
/// See [`parse`].
pub fn parse_in(folder: &Path, file: &str, fallback_name: &str, text: &str) -> Result<Profile, ProfileError> {
    Ok(read::profile(file, folder, fallback_name, text)?)
}
