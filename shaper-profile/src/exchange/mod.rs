//! Settings of other tools: taken over into a profile, and written for them.
//!
//! [`import`] reads one of the [`Format`]s. What a profile cannot hold is an error with its place; what is left out
//! without harm, or means something else elsewhere, is a [`Note`]. [`export`] writes for other tools, with a list of
//! what they cannot say.
//!
//! A format that describes one direction of a link holds for both, unless a text is given for each.

mod both;
mod error;
pub mod export;
mod import;
mod json;
mod number;
mod trace;
mod units;

use std::fmt;
use std::str::FromStr;

use crate::effect::{Distribution, End, TraceRef, UnknownWord};
use crate::profile::{Direction, Profile};
use crate::quantity::Duration;

pub use error::{ImportError, Note};
use error::{Notes, Wrong};
use import::{atc, devtools, dist, libwebrtc, mahimahi, pensieve, tc, tcconfig, theaterq};
use trace::Trace;

/// A format of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// A packet delivery trace of mahimahi's mm-link.
    Mahimahi,
    /// A distribution of delays for netem.
    Dist,
    /// A trace file of the TheaterQ qdisc.
    Theaterq,
    /// What tcconfig's tcshow prints and tcset reads, JSON.
    Tcconfig,
    /// A profile of Facebook's Augmented Traffic Control, JSON.
    Atc,
    /// The fields of libwebrtc's BuiltInNetworkBehaviorConfig.
    Libwebrtc,
    /// Network conditions of Chrome's DevTools, JSON, or the name of its presets.
    Devtools,
    /// A throughput trace of Pensieve.
    Pensieve,
    /// Commands of tc that set up netem.
    Tc,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 9] = [
        Self::Mahimahi,
        Self::Dist,
        Self::Theaterq,
        Self::Tcconfig,
        Self::Atc,
        Self::Libwebrtc,
        Self::Devtools,
        Self::Pensieve,
        Self::Tc,
    ];

    const NAMES: &[&str] =
        &["mahimahi", "dist", "theaterq", "tcconfig", "atc", "libwebrtc", "devtools", "pensieve", "tc"];

    /// The name that flags have for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mahimahi => "mahimahi",
            Self::Dist => "dist",
            Self::Theaterq => "theaterq",
            Self::Tcconfig => "tcconfig",
            Self::Atc => "atc",
            Self::Libwebrtc => "libwebrtc",
            Self::Devtools => "devtools",
            Self::Pensieve => "pensieve",
            Self::Tc => "tc",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let format = Self::ALL.into_iter().find(|format| format.name() == text.trim());
        format.ok_or_else(|| UnknownWord::new(text, Self::NAMES))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text and what it is called, such as its file's path.
#[derive(Clone, Copy, Debug)]
pub struct Source<'t> {
    /// What errors call it.
    pub file: &'t str,
    /// The text.
    pub text: &'t str,
}

/// What is said beside a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The base delay for a distribution.
    pub delay: Option<Duration>,
    /// The jitter for a distribution.
    pub jitter: Option<Duration>,
    /// What stands for a correlation of jitter from packet to packet.
    pub correlation_time: Option<Duration>,
}

/// Settings that were taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The profile. Where it names files, they are the [`Self::files`].
    pub profile: Profile,
    /// Files that the profile names.
    pub files: Vec<Beside>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
}

/// A file that belongs to a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// What its name ends in, behind that of the profile, such as ".up.csv".
    pub suffix: &'static str,
    /// What it holds.
    pub text: String,
}

impl Imported {
    /// The same with files called `stem` and their suffix.
    #[must_use]
    pub fn named(mut self, stem: &str) -> Self {
        let Link { a_to_b, b_to_a } = Link::of(&mut self.profile);
        for direction in [a_to_b, b_to_a] {
            if let Some(trace) = &mut direction.trace {
                trace.path = format!("{stem}{}", trace.path);
            }
            if let Distribution::Table(path) = &mut direction.distribution {
                *path = format!("{stem}{path}");
            }
        }
        self
    }
}

/// Both directions of a profile.
struct Link<'p> {
    a_to_b: &'p mut Direction,
    b_to_a: &'p mut Direction,
}

impl<'p> Link<'p> {
    fn of(profile: &'p mut Profile) -> Self {
        Self { a_to_b: &mut profile.link.a_to_b, b_to_a: &mut profile.link.b_to_a }
    }
}

/// What describes a link.
#[derive(Clone, Copy, Debug)]
pub enum Inputs<'t> {
    /// One text; where it describes one direction, both are alike.
    Link(Source<'t>),
    /// One direction from a to b; the other is clean.
    Up(Source<'t>),
    /// One direction from b to a; the other is clean.
    Down(Source<'t>),
    /// Each direction.
    Each {
        /// From a to b.
        up: Source<'t>,
        /// From b to a.
        down: Source<'t>,
    },
}

/// Takes over a text, for both directions where it describes one.
///
/// # Errors
/// What a profile cannot hold, with its place, and what is no text of this format.
pub fn import(format: Format, text: &str) -> Result<Imported, ImportError> {
    import_with(format, Inputs::Link(Source { file: format.name(), text }), &Options::default())
}

/// Takes over texts, with what is said beside them.
///
/// # Errors
/// As [`import`]; a text that describes both directions, given for one; and a distribution without delay and jitter.
pub fn import_with(format: Format, inputs: Inputs<'_>, options: &Options) -> Result<Imported, ImportError> {
    let mut notes = Vec::new();
    let mut read = |source: Source<'_>| {
        let mut own = Notes::default();
        let read = settings(format, source.text, options, &mut own).map_err(|wrong| wrong.in_file(source.file))?;
        notes.extend(own.in_file(source.file));
        Ok::<_, ImportError>(read)
    };
    let mut one = |source: Source<'_>| match read(source)? {
        Settings::One(one) => Ok(*one),
        Settings::Both(_) => Err(ImportError::Whole {
            format: format.name(),
            problem: format!("{} describes both directions", source.file),
            hint: "give it alone, for the link".to_owned(),
        }),
    };
    let (last, combined) = match inputs {
        Inputs::Link(source) => match read(source)? {
            Settings::Both(profile) => (source, Ok((*profile, Vec::new()))),
            Settings::One(one) => (source, both::combined(&one, &one, format)),
        },
        Inputs::Up(source) => (source, both::combined(&one(source)?, &OneWay::default(), format)),
        Inputs::Down(source) => (source, both::combined(&OneWay::default(), &one(source)?, format)),
        Inputs::Each { up, down } => (down, both::combined(&one(up)?, &one(down)?, format)),
    };
    let (mut profile, files) = combined.map_err(|wrong| wrong.in_file(last.file))?;
    let origin = match inputs {
        Inputs::Link(source) | Inputs::Up(source) | Inputs::Down(source) => source.file.to_owned(),
        Inputs::Each { up, down } => format!("{} and {}", up.file, down.file),
    };
    profile.source = format!("Taken over from {format}: {origin}");
    profile.link.check().map_err(|invalid| Wrong::invalid(1, &invalid).in_file(last.file))?;
    Ok(Imported { profile, files, notes })
}

/// What a text describes.
enum Settings {
    One(Box<OneWay>),
    Both(Box<Profile>),
}

/// The settings of one direction.
#[derive(Clone, Debug, Default)]
struct OneWay {
    /// The settings from the start on, without trace and table.
    direction: Direction,
    /// Others from later times on.
    changes: Vec<(Duration, Direction)>,
    /// When they begin anew.
    repeat: Option<Duration>,
    /// Settings over time that begin anew at the end.
    trace: Option<Trace>,
    /// A distribution's file.
    table: Option<String>,
}

impl From<Direction> for Settings {
    fn from(direction: Direction) -> Self {
        Self::One(Box::new(OneWay { direction, ..OneWay::default() }))
    }
}

fn settings(format: Format, text: &str, options: &Options, notes: &mut Notes) -> Result<Settings, Wrong> {
    let one = |one| Settings::One(Box::new(one));
    match format {
        Format::Mahimahi => mahimahi::read(text, notes).map(one),
        Format::Dist => dist::read(text, options, notes).map(one),
        Format::Theaterq => theaterq::read(text, notes).map(one),
        Format::Pensieve => pensieve::read(text, notes).map(one),
        Format::Libwebrtc => libwebrtc::read(text, notes).map(Settings::from),
        Format::Tcconfig => tcconfig::read(text, notes).map(|profile| Settings::Both(Box::new(profile))),
        Format::Atc => atc::read(text, options, notes).map(|profile| Settings::Both(Box::new(profile))),
        Format::Devtools => devtools::read(text, notes).map(|profile| Settings::Both(Box::new(profile))),
        Format::Tc => tc::read(text, options, notes),
    }
}

/// A trace that begins anew, in a file of this suffix.
fn looped(suffix: &str) -> Option<TraceRef> {
    Some(TraceRef { path: suffix.to_owned(), end: End::Loop })
}
