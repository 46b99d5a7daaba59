//! Reading profiles and scenarios from TOML, with the place of what is wrong.

mod link;
mod outages;
mod rules;
mod scenario;
mod source;
mod timeline;
mod webrtc;
mod workload;

use std::path::Path;

use toml::de::DeTable;

use crate::error::Located;
use crate::profile::{Direction, Link, Outages, Patch, Profile};
use link::{A_TO_B, B_TO_A, Base};
pub(crate) use scenario::scenario;
pub(crate) use source::Keys;
use source::{Source, Table};

/// The keys of a profile beside those of a direction.
const TOP_KEYS: [&str; 11] =
    ["name", "description", "source", "loop", "outages", "change", "rule", "a_to_b", "b_to_a", "up", "down"];

/// Reads the text of a profile. `file` is what errors call it; paths in it are relative to `folder`.
pub(crate) fn profile(file: &str, folder: &Path, fallback_name: &str, text: &str) -> Result<Profile, Located> {
    let source = Source::new(file, folder, text);
    let document = DeTable::parse(text).map_err(|error| {
        source.at(error.span().unwrap_or(0..0), String::new(), format!("no TOML: {}", error.message()))
    })?;
    let root = Table { prefix: String::new(), entries: document.get_ref(), span: document.span() };
    source.deny_unknown(&root, &[&TOP_KEYS, Patch::KEYS])?;

    let (common, places) = source.patch(&root)?;
    let base = Base { direction: &common.apply(&Direction::default()), places: &places };
    let a_to_b = source.direction(&root, A_TO_B, base)?;
    let b_to_a = source.direction(&root, B_TO_A, base)?;
    let outages = source.outages(&root, Outages::default())?;
    let mut link = Link { a_to_b, b_to_a, outages, ..Link::default() };
    link.changes = source.changes(&root, &link)?;
    link.repeat = source.repeat(&root, &link.changes)?;
    link.rules = source.rules(&root)?;
    Ok(Profile {
        name: source.string(&root, "name")?.unwrap_or_else(|| fallback_name.to_owned()),
        description: source.string(&root, "description")?.unwrap_or_default(),
        source: source.string(&root, "source")?.unwrap_or_default(),
        link,
    })
}
