//! A scenario: the whole of an experiment in one file. Where it takes place, the link and how it changes, what drives
//! traffic, what is captured, and what is expected.
//!
//! `workload` is what drives traffic, `peer` what is said of single peers.

mod peer;
mod webrtc;
mod workload;

use std::path::Path;

use crate::error::{Located, ProfileError};
use crate::expectation::{Expectation, OfARun};
use crate::presets;
use crate::profile::Profile;
use crate::quantity::{Duration, Size};
use crate::read;

pub use peer::{NoPeer, PeerAt, PeerClock};
pub use webrtc::WebRtcSettings;
pub use workload::{BuiltIn, Command, ExpectedExit, ProbeSettings, ToastSettings, Unfit};

/// A scenario, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name, part of the run directory's; by default that of its file.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// The seed of every draw.
    pub seed: u64,
    /// How long it lasts at most.
    pub duration: Duration,
    /// Where.
    pub place: Place,
    /// The link, with what the timeline changes.
    pub profile: Profile,
    /// What is built in and drives traffic, if anything does.
    pub built_in: Option<BuiltIn>,
    /// Commands beside it.
    pub commands: Vec<Command>,
    /// What is captured.
    pub capture: CaptureSettings,
    /// What is expected.
    pub expect: Vec<Expectation>,
}

/// Where a scenario takes place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Network namespaces of its own: a pair of two hosts with a link between, or more round a switch, each with a link.
    Lab(Vec<String>),
    /// Interfaces of this host.
    Interfaces(Interfaces),
    /// Two hosts, each of which runs its own part; what leaves at its interfaces is impaired there.
    Hosts(Box<[(String, Interfaces); 2]>),
}

/// One interface, or two that are bridged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    /// The first one's name.
    pub interface: String,
    /// The second one's, where what goes between them is impaired.
    pub other: Option<String>,
    /// The network namespace that they are in; that of the caller where none is named.
    pub netns: Option<String>,
    /// Whether the caller's own connection may hang on them.
    pub allow_default_route: bool,
}

/// What is captured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureSettings {
    /// At which points; all where nothing is said.
    pub points: Option<Vec<String>>,
    /// Bytes of each packet.
    pub snaplen: Option<Size>,
    /// Which packets, in libpcap's words.
    pub filter: Option<String>,
}

impl CaptureSettings {
    /// The least of each packet that is kept: below this it is not known again at the link's other end.
    pub const LEAST_SNAPLEN: u64 = 128;
    /// The most.
    pub const MOST_SNAPLEN: u64 = 262_144;

    /// Whether this point is captured.
    #[must_use]
    pub fn takes(&self, point: &str) -> bool {
        self.points.as_ref().is_none_or(|points| points.iter().any(|taken| taken == point))
    }
}

impl Place {
    /// The hosts that commands may be started on, the first of which is meant where none is named; none beside
    /// interfaces, where a host is a network namespace.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        match self {
            Self::Lab(hosts) => hosts.clone(),
            Self::Interfaces(_) => Vec::new(),
            Self::Hosts(hosts) => hosts.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The names of the points that can be captured.
    #[must_use]
    pub fn points(&self) -> Vec<String> {
        match self {
            Self::Lab(hosts) => hosts.clone(),
            Self::Interfaces(interfaces) => interfaces.points(None).to_vec(),
            Self::Hosts(hosts) => hosts.iter().flat_map(|(name, at)| at.points(Some(name))).collect(),
        }
    }

    /// The names of the directions, where these are not the two of one link.
    #[must_use]
    pub fn directions(&self) -> Option<Vec<String>> {
        match self {
            Self::Lab(hosts) if hosts.len() != 2 => Some(Self::directions_of_star(hosts)),
            _ => None,
        }
    }

    /// The names of the directions where each host has a link of its own.
    #[must_use]
    pub fn directions_of_star(hosts: &[String]) -> Vec<String> {
        hosts.iter().flat_map(|host| [format!("{host}_up"), format!("{host}_down")]).collect()
    }
}

impl Interfaces {
    /// The names of the two points: this side of the link, and beyond it. `host` is that which the interfaces are at.
    #[must_use]
    pub fn points(&self, host: Option<&str>) -> [String; 2] {
        match (&self.other, host) {
            (Some(other), None) => [self.interface.clone(), other.clone()],
            (_, Some(host)) => [host.to_owned(), format!("{host}-wire")],
            (None, None) => ["host".to_owned(), "wire".to_owned()],
        }
    }
}

impl Scenario {
    /// Whether all of these can be judged of this scenario.
    ///
    /// # Errors
    ///
    /// What cannot.
    pub fn check(&self, expectation: &Expectation) -> Result<(), crate::expectation::NoExpectation> {
        let is_load = matches!(self.built_in, Some(BuiltIn::WebRtc(_)));
        let hosts = self.place.hosts();
        let of_a_run = OfARun {
            is_load,
            // Two hosts of a load have a link each.
            directions: if is_load { Some(Place::directions_of_star(&hosts)) } else { self.place.directions() },
            peers: hosts.into_iter().skip(1).filter(|_| self.built_in.is_some() && !is_load).collect(),
            commands: self.commands.iter().map(|command| command.name.clone()).collect(),
        };
        of_a_run.check(expectation)
    }
}

/// Why a scenario could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error(
        "{path}: cannot read the scenario: {source}; give the path of a TOML file, or a workload: toast, probe, webrtc"
    )]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The text is no scenario.
    #[error(transparent)]
    Text(#[from] Located),
}

/// Reads a scenario's file; paths in it are relative to its folder. Also its text.
///
/// # Errors
///
/// A file that cannot be read, and what is wrong in it, with its place.
pub fn load(path: &Path) -> Result<(Scenario, String), ScenarioError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read { path: file.clone(), source })?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let scenario = parse(&file, folder, &stem, &text, &|name| {
        let is_path = name.contains('/') || name.ends_with(".toml");
        if is_path { presets::load(&folder.join(name).to_string_lossy()) } else { presets::load(name) }
    })?;
    Ok((scenario, text))
}

/// Reads a scenario's text. `file` is what errors call it, `folder` what paths are relative to, `fallback_name` its name
/// where it gives none, and `profile` finds the profile that its link names.
///
/// # Errors
///
/// What is wrong in the text, with file, line, column, key, and what would be right.
pub fn parse(
    file: &str,
    folder: &Path,
    fallback_name: &str,
    text: &str,
    profile: &dyn Fn(&str) -> Result<Profile, ProfileError>,
) -> Result<Scenario, Located> {
    read::scenario(file, folder, fallback_name, text, profile)
}

#[cfg(test)]
mod tests;
