//! What a scenario adds to a run: where it takes place, commands, what is captured and what is expected.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use shaper_engine::Site;
use shaper_net::lab::Shape;
use shaper_offline::join::Point;
use shaper_profile::expectation::{NoExpectation, OfARun};
use shaper_profile::scenario::{CaptureSettings, Command, Interfaces, Place, Scenario};
use shaper_profile::{Compile, CompileError, CompiledLink, Expectation, Link};

use crate::apply::{Target, Wanted};
use crate::capture::TapOptions;

use super::plan::Plan;
use super::workload::Workload;

/// The setting of a run; by default the lab of its workload, captured whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scene {
    /// The hosts of the lab; those that the workload wants where none are named.
    pub hosts: Vec<String>,
    /// Interfaces in the place of a lab.
    pub at: Option<At>,
    /// Commands.
    pub commands: Vec<Command>,
    /// What is captured.
    pub capture: CaptureSettings,
    /// What is expected.
    pub expect: Vec<Expectation>,
    /// When it begins, by the wall clock; as soon as it can where nothing is said.
    pub start: Option<SystemTime>,
    /// The text that it was read from.
    pub text: Option<String>,
}

/// Interfaces of this host.
#[derive(Clone, Debug, PartialEq)]
pub struct At {
    /// Which.
    pub interfaces: Interfaces,
    /// Which end of the link this host is, of a run on two.
    pub role: Option<HostOfTwo>,
}

/// One of two hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostOfTwo {
    /// Its name.
    pub name: String,
    /// The other's.
    pub other: String,
    /// Whether it is the second: what leaves at it goes from b to a.
    pub is_second: bool,
}

/// Something of a scenario that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// A run on two hosts without saying which.
    #[error("the scenario is for two hosts, {0} and {1}: say which of them this is: --host {0}")]
    NoHost(String, String),
    /// None of the two.
    #[error("--host {host}: the scenario has no such host; it has {known}")]
    NoSuchHost {
        /// What was asked for.
        host: String,
        /// What there is.
        known: String,
    },
    /// A flag for two hosts on a scenario that has not two.
    #[error("--host {0}: the scenario is not for two hosts: leave it out")]
    NotTwo(String),
    /// libpcap takes the filter for none.
    #[error("capture.filter {filter:?}: {source}; write one as tcpdump has it, such as \"udp port 5201\"")]
    Filter {
        /// The filter.
        filter: String,
        /// What libpcap says.
        source: pcap::Error,
    },
    /// An expectation that this run cannot be held to.
    #[error(transparent)]
    Expectation(#[from] NoExpectation),
}

impl Scene {
    /// What this host does of a scenario; `host` is which of two it is. Also what is judged at the other, in words.
    ///
    /// # Errors
    ///
    /// A host that is none of it, a filter that is none, and expectations that it cannot be held to.
    pub fn of(
        scenario: &Scenario,
        host: Option<&str>,
        more: &[Expectation],
    ) -> Result<(Self, Vec<String>), SceneError> {
        let at = match (&scenario.place, host) {
            (Place::Hosts(hosts), host) => Some(role(hosts, host)?),
            (_, Some(host)) => return Err(SceneError::NotTwo(host.to_owned())),
            (Place::Interfaces(interfaces), None) => Some(At { interfaces: interfaces.clone(), role: None }),
            (Place::Lab(_), None) => None,
        };
        if let Some(filter) = &scenario.capture.filter {
            let checked = crate::capture::check_filter(filter);
            checked.map_err(|source| SceneError::Filter { filter: filter.clone(), source })?;
        }
        more.iter().try_for_each(|expectation| scenario.check(expectation))?;
        let role = at.as_ref().and_then(|at| at.role.as_ref());
        let here = |on: Option<&String>| role.is_none_or(|role| on == Some(&role.name));
        let commands: Vec<Command> =
            scenario.commands.iter().filter(|command| here(command.on.as_ref())).cloned().collect();
        let (mut expect, mut elsewhere) = (Vec::new(), Vec::new());
        for expectation in scenario.expect.iter().chain(more) {
            if role.is_none_or(|role| role.judges(expectation, &commands)) {
                expect.push(expectation.clone());
            } else {
                elsewhere.push(expectation.to_string());
            }
        }
        let hosts = match &scenario.place {
            Place::Lab(hosts) => hosts.clone(),
            _ => Vec::new(),
        };
        let capture = scenario.capture.clone();
        Ok((Self { hosts, at, commands, capture, expect, start: None, text: None }, elsewhere))
    }

    /// How each point is tapped.
    #[must_use]
    pub fn tap(&self, buffer: i32) -> TapOptions {
        let usual =
            TapOptions { buffer, filter: self.capture.filter.clone().unwrap_or_default(), ..TapOptions::default() };
        let snaplen = self.capture.snaplen.and_then(|snaplen| u32::try_from(snaplen.0).ok());
        TapOptions { snaplen: snaplen.unwrap_or(usual.snaplen), ..usual }
    }
}

fn role(hosts: &[(String, Interfaces); 2], host: Option<&str>) -> Result<At, SceneError> {
    let [(first, _), (second, _)] = hosts;
    let host = host.ok_or_else(|| SceneError::NoHost(first.clone(), second.clone()))?;
    let known = || format!("{first} and {second}");
    let place = hosts.iter().position(|(name, _)| name == host);
    let (Some(place), Some((name, interfaces))) = (place, hosts.iter().find(|(name, _)| name == host)) else {
        return Err(SceneError::NoSuchHost { host: host.to_owned(), known: known() });
    };
    let other = if place == 0 { second } else { first };
    let role = HostOfTwo { name: name.clone(), other: other.clone(), is_second: place == 1 };
    Ok(At { interfaces: interfaces.clone(), role: Some(role) })
}

impl HostOfTwo {
    /// The link as it is at this host: each impairs what leaves at it, and what comes in was impaired where it left.
    ///
    /// # Errors
    ///
    /// As [`Link::compile`].
    pub fn compile(&self, link: &Link, run: &Compile) -> Result<CompiledLink, CompileError> {
        let compiled = link.compile(run)?;
        let clean = Link::default().compile(run)?;
        Ok(match self.is_second {
            false => CompiledLink { b_to_a: clean.b_to_a, ..compiled },
            // Streams stay those of the directions: both hosts draw apart from each other.
            true => CompiledLink { a_to_b: compiled.b_to_a, b_to_a: clean.a_to_b, ..compiled },
        })
    }

    /// Whether the expectation is of what this host does: what leaves at it, and its commands.
    fn judges(&self, expectation: &Expectation, commands: &[Command]) -> bool {
        use shaper_profile::expectation::Of;
        match &expectation.of {
            Of::Direction(number) => *number == usize::from(self.is_second),
            Of::Named(name) => commands.iter().any(|command| command.name == *name),
            Of::All => true,
        }
    }
}

impl At {
    /// The names of both directions, that of what leaves at the interface first.
    #[must_use]
    pub fn directions(&self) -> [String; 2] {
        match (&self.role, &self.interfaces.other) {
            (Some(HostOfTwo { name, other, .. }), _) => [format!("{name}_to_{other}"), format!("{other}_to_{name}")],
            (None, None) => ["egress", "ingress"].map(str::to_owned),
            (None, Some(other)) => {
                let one = &self.interfaces.interface;
                [format!("{one}_to_{other}"), format!("{other}_to_{one}")]
            }
        }
    }

    /// The points that can be captured: this side of the link, and beyond it.
    #[must_use]
    pub fn points(&self) -> [String; 2] {
        self.interfaces.points(self.role.as_ref().map(|role| role.name.as_str()))
    }

    pub(super) fn site(&self) -> Site {
        let one = self.interfaces.interface.clone();
        match &self.interfaces.other {
            None => Site::Interface(one),
            Some(other) => Site::Between(one, other.clone()),
        }
    }

    /// The interfaces as one asks for them; `command` is what others are told of that.
    pub(super) fn wanted(&self, command: &str) -> Wanted<'_> {
        let Interfaces { interface, other, netns, allow_default_route } = &self.interfaces;
        Wanted {
            target: Target::of(netns.as_deref(), None),
            interfaces: std::iter::once(interface).chain(other).map(String::as_str).collect(),
            allow_default_route: *allow_default_route,
            how_to_allow: "with allow_default_route = true beside its name it is done all the same, and undone at the \
                           end of the scenario's duration"
                .to_owned(),
            command: command.to_owned(),
        }
    }

    /// Of what the interfaces are called where people read it.
    #[must_use]
    pub fn told(&self) -> String {
        let Interfaces { interface, other, netns, .. } = &self.interfaces;
        let name = other.as_ref().map_or_else(|| interface.clone(), |other| format!("{interface} and {other}"));
        netns.as_ref().map_or_else(|| name.clone(), |netns| format!("{name} in {netns}"))
    }
}

impl Plan {
    /// The points that can be captured.
    fn all_points(&self) -> Vec<String> {
        self.scene.at.as_ref().map_or_else(|| self.host_names(), |at| at.points().to_vec())
    }

    /// The points that are captured.
    #[must_use]
    pub fn points(&self) -> Vec<String> {
        self.all_points().into_iter().filter(|point| self.scene.capture.takes(point)).collect()
    }

    /// Which end of which link a point is.
    pub(super) fn end_of(&self, point: &str) -> Option<(usize, Point)> {
        let number = self.all_points().iter().position(|known| known == point)?;
        Some(match (self.links(), number) {
            (1, 0) => (0, Point::A),
            (1, _) => (0, Point::B),
            // In a star the host's end alone is captured.
            (_, link) => (link, Point::A),
        })
    }

    /// Whether the run can be held to these.
    ///
    /// # Errors
    ///
    /// The first that it cannot.
    pub fn check_expectations(&self, expect: &[Expectation]) -> Result<(), NoExpectation> {
        let is_load = matches!(self.workload, Workload::WebRtc(_));
        let directions = match self.lab().shape {
            // Two hosts alone have the two directions of one link, unless each has a link of its own.
            Shape::Star => Some(Place::directions_of_star(&self.host_names())),
            Shape::Pair => None,
        };
        let of_a_run = OfARun {
            is_load,
            directions,
            peers: if is_load { Vec::new() } else { self.peer_names() },
            commands: self.scene.commands.iter().map(|command| command.name.clone()).collect(),
        };
        expect.iter().try_for_each(|expectation| of_a_run.check(expectation))
    }
}
