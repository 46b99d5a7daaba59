//! What can be wrong with a profile, and where.

use std::path::PathBuf;

use crate::quantity::Duration;

/// A setting that cannot be, alone or beside the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}; {hint}")]
pub struct Invalid {
    /// The key in a profile, such as "queue" or "outages.length".
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
    /// What would be right, with an example.
    pub hint: String,
}

/// A place in a profile's text and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{problem}", if key.is_empty() { String::new() } else { format!("{key}: ") })]
pub struct Located {
    /// The file's path, or "preset NAME".
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key with its tables, such as "up.loss"; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, and an example of what is right.
    pub problem: String,
}

/// Why a profile could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// Neither a preset nor a file.
    #[error("\"{name}\" is no preset and no file{}; presets: {known}; or give the path of a TOML file",
        suggestion.as_ref().map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The presets, separated by commas.
        known: String,
        /// The preset with the nearest name, where one is near.
        suggestion: Option<String>,
    },
    /// No preset, where nothing else can be named.
    #[error("\"{name}\" is no preset{}; presets: {known}",
        suggestion.as_ref().map(|near| format!(" (did you mean \"{near}\"?)")).unwrap_or_default())]
    NoPreset {
        /// What was asked for.
        name: String,
        /// The presets, separated by commas.
        known: String,
        /// The preset with the nearest name, where one is near.
        suggestion: Option<String>,
    },
    /// The file cannot be read.
    #[error("{}: cannot read the profile: {source}; give the path of a TOML file, or a preset's name", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is no profile.
    #[error(transparent)]
    Text(#[from] Located),
}

/// Why a link cannot be compiled for a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A run of no length has no outages, no figures, and no sense.
    #[error("the run's duration is 0: give one that lasts, such as 20s")]
    NoHorizon,
    /// A setting that cannot be.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A table of delays that cannot be opened.
    #[error("{path}: cannot read the table: {what}; give the path of a .dist file or of one of quantiles")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        what: String,
    },
    /// A table of delays that is none.
    #[error(transparent)]
    Table(#[from] crate::distribution::TableError),
    /// A trace that cannot be read.
    #[error(transparent)]
    Trace(#[from] crate::trace::TraceError),
    /// More changes than a timeline holds.
    #[error("{count} changes: a timeline holds {limit}, at times that rise; leave some out, or shorten the trace")]
    TooManyChanges {
        /// How many there are.
        count: usize,
        /// How many there can be.
        limit: usize,
    },
    /// A filter that is none.
    #[error(transparent)]
    Filter(Located),
    /// Rules that cannot be held together.
    #[error(transparent)]
    Rules(#[from] crate::filter::RuleSetError),
    /// A link number beyond what one set of programs serves.
    #[error("link {link}: at most {limit} links run at once; use fewer hosts")]
    TooManyLinks {
        /// The number asked for, from 0.
        link: u32,
        /// How many there can be.
        limit: u32,
    },
    /// The outage schedule is full before the run ends.
    #[error(
        "outages: the schedule holds {limit} windows, which last for {covered} of the {horizon} asked for; \
         shorten the run or make outages rarer"
    )]
    TooManyOutages {
        /// Windows that fit.
        limit: usize,
        /// How far they reach.
        covered: Duration,
        /// How far they should.
        horizon: Duration,
    },
}
