//! What is written for other tools, with a list of what they cannot say.

mod dist;
mod mahimahi;
pub(super) mod netem;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::effect::UnknownWord;
use crate::profile::{Direction, Profile};

/// A format that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Commands of tc that set up netem.
    Netem,
    /// A distribution for netem.
    Dist,
    /// A packet delivery trace of mahimahi's mm-link.
    Mahimahi,
}

impl Target {
    /// The name that flags have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Netem => "netem",
            Self::Dist => "dist",
            Self::Mahimahi => "mahimahi",
        }
    }
}

impl FromStr for Target {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        match text.trim() {
            "netem" => Ok(Self::Netem),
            "dist" => Ok(Self::Dist),
            "mahimahi" => Ok(Self::Mahimahi),
            text => Err(UnknownWord::new(text, &["netem", "dist", "mahimahi"])),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text for another tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The text.
    pub text: String,
    /// What of the profile it does not say, or says otherwise.
    pub unsaid: Vec<String>,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The profile has nothing that the format could say.
    #[error("{target}: {problem}; {hint}")]
    Nothing {
        /// The format's name.
        target: &'static str,
        /// What is missing.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A file that the profile names.
    #[error("{path}: {problem}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// tc's commands for both directions, each on the device of this name.
#[must_use]
pub fn netem(profile: &Profile, [up, down]: [&str; 2]) -> Exported {
    let link = &profile.link;
    let mut unsaid = Vec::new();
    if !link.outages.is_none() {
        unsaid.push(format!("netem has no outages: {}", link.outages));
    }
    if !link.changes.is_empty() {
        unsaid.push(format!("netem does not change over time: {} changes are left out", link.changes.len()));
    }
    if !link.rules.is_empty() {
        unsaid.push(format!("netem has no rules: {} are left out; tc has filters for that", link.rules.len()));
    }
    let mut text = String::new();
    for (name, device, direction) in [("a to b", up, &link.a_to_b), ("b to a", down, &link.b_to_a)] {
        let command = netem::command(direction, device);
        text += &format!("# {name}\n{}\n", command.text);
        unsaid.extend(command.unsaid.into_iter().map(|line| format!("{name}: {line}")));
    }
    Exported { text, unsaid }
}

/// netem's distribution of a direction's jitter, of 4096 values.
///
/// # Errors
/// A direction without jitter, and a table that cannot be read or is none of netem's.
pub fn dist(direction: &Direction) -> Result<Exported, ExportError> {
    dist::table(direction)
}

/// mahimahi's trace of a direction's rate, or of the rates of its trace.
///
/// # Errors
/// A direction with neither, and a trace that cannot be read or holds no rates over time.
pub fn mahimahi(direction: &Direction) -> Result<Exported, ExportError> {
    mahimahi::schedule(direction)
}

fn read(path: &str) -> Result<String, ExportError> {
    let failed = |error: std::io::Error| ExportError::File {
        path: path.to_owned(),
        problem: format!("cannot read it: {error}"),
    };
    std::fs::read_to_string(Path::new(path)).map_err(failed)
}
