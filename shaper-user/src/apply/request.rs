//! What is asked for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::absolute;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use shaper_common::units::Nanos;
use shaper_engine::{Recording, Site};
use shaper_net::netns::NetNs;
use shaper_profile::quantity::Duration;
use shaper_profile::{CompiledDirection, Direction, Expectation, Link, Profile, presets};

use super::choice::{EngineChoice, HookChoice};
use super::place::Wanted;
use crate::run::OpenEnded;

/// How long an interface that the caller may hang on is impaired, where nothing is said.
pub(super) const DEFAULT_FOR_MINUTES: u64 = 5;
/// Packets a second that room is found for, both directions together: 1.2 Gbit/s in full packets. Queues that share it
/// have somewhat less, for each keeps some for its rings.
const PACKETS_PER_SECOND: u64 = 100_000;

/// In which namespace the interface is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// That of the caller.
    Own,
    /// One with a name.
    Named(String),
    /// That of a process.
    Process(u32),
}

impl Target {
    /// That which is said by name or by process; the caller's own where nothing is.
    pub(crate) fn of(name: Option<&str>, process: Option<u32>) -> Self {
        match (name, process) {
            (Some(name), _) => Self::Named(name.to_owned()),
            (None, Some(pid)) => Self::Process(pid),
            (None, None) => Self::Own,
        }
    }

    /// What tells the namespace from others.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn inode(&self) -> anyhow::Result<u64> {
        match self {
            Self::Own => Ok(NetNs::current()?.inode()?),
            Self::Named(name) => Ok(NetNs::open(name)?.inode()?),
            Self::Process(pid) => {
                let path = format!("/proc/{pid}/ns/net");
                let found = fs::metadata(&path).with_context(|| format!("there is no process {pid}"))?;
                Ok(found.ino())
            }
        }
    }
}

/// What the link of a command is called, before the command's name.
pub(super) const FOR_A_COMMAND: &str = "the link of ";

/// What is to be done to which interfaces.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The interface, or those two that are bridged.
    pub(crate) site: Site,
    /// Where they are.
    pub(crate) target: Target,
    /// The command that the interface is for, where it is for one.
    pub(crate) command: Option<String>,
    /// What leaves at the interface, or goes from the first to the second, goes by the way from `a` to `b` of this one.
    pub(crate) forward: Profile,
    /// What arrives at the interface, or goes from the second to the first, goes by the way from `b` to `a` of this one.
    pub(crate) backward: Profile,
    /// The seed of every draw.
    pub(crate) seed: u64,
    /// When it ends by itself.
    pub(crate) duration: Option<Duration>,
    /// Whether the caller's own connection may hang on an interface.
    pub(crate) allow_default_route: bool,
    /// What holds packets.
    pub(crate) engine: EngineChoice,
    /// Where packets are taken.
    pub(crate) hook: HookChoice,
    /// Whether the delay line spins.
    pub(crate) busy_poll: bool,
    /// Of which decisions a record is written.
    pub(crate) recording: Recording,
    /// What is demanded of it.
    pub(crate) expected: Vec<Expectation>,
}

/// The same for a process of its own: profiles as TOML, with the files that they name from anywhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    interfaces: Vec<String>,
    target: Target,
    forward: String,
    backward: String,
    seed: u64,
    duration_ns: Option<u64>,
    allow_default_route: bool,
    engine: EngineChoice,
    hook: HookChoice,
    busy_poll: bool,
    recording: String,
}

impl Order {
    /// What is asked for.
    ///
    /// # Errors
    ///
    /// A profile that cannot be written as TOML.
    pub(crate) fn of(request: &Request) -> anyhow::Result<Self> {
        let from_anywhere =
            |path: &str| absolute(path).map_or(path.to_owned(), |path| path.to_string_lossy().into_owned());
        let text = |profile: &Profile| toml::to_string(&profile.with_files(from_anywhere));
        Ok(Self {
            interfaces: request.interfaces().into_iter().map(str::to_owned).collect(),
            target: request.target.clone(),
            forward: text(&request.forward)?,
            backward: text(&request.backward)?,
            seed: request.seed,
            duration_ns: request.duration.map(|duration| duration.0.0),
            allow_default_route: request.allow_default_route,
            engine: request.engine,
            hook: request.hook,
            busy_poll: request.busy_poll,
            recording: request.recording.to_string(),
        })
    }

    /// The same, read again.
    ///
    /// # Errors
    ///
    /// A profile that is none.
    pub(crate) fn request(self) -> anyhow::Result<Request> {
        let site = match self.interfaces.as_slice() {
            [one] => Site::Interface(one.clone()),
            [one, other] => Site::Between(one.clone(), other.clone()),
            names => bail!("{} interfaces are named, not one or two", names.len()),
        };
        Ok(Request {
            site,
            target: self.target,
            command: None,
            forward: presets::parse("forward", "custom", &self.forward)?,
            backward: presets::parse("backward", "custom", &self.backward)?,
            seed: self.seed,
            duration: self.duration_ns.map(|duration| Duration(Nanos(duration))),
            allow_default_route: self.allow_default_route,
            engine: self.engine,
            hook: self.hook,
            busy_poll: self.busy_poll,
            recording: self.recording.parse()?,
            // Nobody would hear what came of them.
            expected: Vec::new(),
        })
    }
}

/// The same, worked out before anything is changed.
pub(crate) struct Worked {
    /// The two directions, forward first.
    pub(crate) directions: [CompiledDirection; 2],
    /// Which of them do anything; the others are left alone.
    pub(crate) acts: [bool; 2],
    /// Until when outages come.
    pub(crate) horizon: Duration,
    /// What their changes, rules and warnings are, a line each.
    pub(crate) notes: Vec<String>,
    /// Frames that packets are held in.
    pub(crate) frames: u32,
}

impl Request {
    /// The names of the interfaces.
    pub(crate) fn interfaces(&self) -> Vec<&str> {
        match &self.site {
            Site::Interface(name) => vec![name],
            Site::Between(one, other) => vec![one, other],
        }
    }

    /// What it takes of the host.
    pub(super) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            target: self.target.clone(),
            interfaces: self.interfaces(),
            allow_default_route: self.allow_default_route,
            how_to_allow: format!(
                "with --allow-default-route it is done all the same, and undone by itself after --for, or after \
                 {DEFAULT_FOR_MINUTES} minutes"
            ),
            command: self.told(),
        }
    }

    /// What a person is told of the process.
    pub(super) fn told(&self) -> String {
        match &self.command {
            Some(command) => format!("exec {command}"),
            None => format!("{} {}", self.verb(), self.name()),
        }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match &self.command {
            Some(command) => format!("{FOR_A_COMMAND}{command}"),
            None => self.interfaces().join(" and "),
        }
    }

    /// The command that asks for it.
    pub(crate) fn verb(&self) -> &'static str {
        match self.site {
            Site::Interface(_) => "apply",
            Site::Between(..) => "bridge",
        }
    }

    /// The names of its directions.
    pub(crate) fn directions(&self) -> [String; 2] {
        match &self.site {
            Site::Interface(_) if self.command.is_some() => ["up", "down"].map(str::to_owned),
            Site::Interface(_) => ["egress", "ingress"].map(str::to_owned),
            Site::Between(one, other) => [format!("{one} to {other}"), format!("{other} to {one}")],
        }
    }

    /// Works out what both directions do.
    ///
    /// # Errors
    ///
    /// Settings that cannot be compiled, and those by which nothing would happen.
    pub(crate) fn work_out(&self) -> anyhow::Result<Worked> {
        let Self { forward, backward, .. } = self;
        if self.duration.is_some_and(Duration::is_zero) {
            bail!("--for 0 is no time: give, for example, --for 10min");
        }
        let acts = match self.site {
            Site::Interface(_) => [acts(&forward.link, |link| &link.a_to_b), acts(&backward.link, |link| &link.b_to_a)],
            // Without us nothing would get from one to the other.
            Site::Between(..) => [true, true],
        };
        if acts == [false, false] {
            bail!("nothing is asked for in either direction: give, for example, --delay 20ms, or --profile wifi");
        }
        let OpenEnded { links, frames, horizon, .. } =
            OpenEnded::new([(forward, 0), (backward, 0)].into_iter(), self.seed, PACKETS_PER_SECOND)?;
        let mut notes = Vec::new();
        let mut note = |line: String| {
            if !notes.contains(&line) {
                notes.push(line);
            }
        };
        for (link, _) in links.iter().zip(acts).filter(|(_, acts)| *acts) {
            link.told.iter().cloned().for_each(&mut note);
            link.warnings(None).into_iter().map(|warning| format!("note: {warning}")).for_each(&mut note);
        }
        let mut links = links.into_iter();
        let (Some(first), Some(second)) = (links.next(), links.next()) else { bail!("a link was not compiled") };
        Ok(Worked { directions: [first.a_to_b, second.b_to_a], acts, horizon, notes, frames })
    }
}

impl Worked {
    /// By direction, forward first; `None` for one that is left alone.
    pub(crate) fn acting(&self) -> [Option<&CompiledDirection>; 2] {
        let [first, second] = &self.directions;
        let [first_acts, second_acts] = self.acts;
        [Some(first).filter(|_| first_acts), Some(second).filter(|_| second_acts)]
    }
}

/// Whether anything happens to packets of a direction.
pub(super) fn acts(link: &Link, of: fn(&Link) -> &Direction) -> bool {
    *of(link) != Direction::default() || !link.outages.is_none() || !link.changes.is_empty() || !link.rules.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(forward: &str, backward: &str) -> Request {
        let profile = |text| presets::parse("test", "test", text).unwrap();
        Request {
            site: Site::Interface("eth0".into()),
            target: Target::Own,
            command: None,
            forward: profile(forward),
            backward: profile(backward),
            seed: 1,
            duration: None,
            allow_default_route: false,
            engine: EngineChoice::Auto,
            hook: HookChoice::Auto,
            busy_poll: false,
            recording: Recording::All,
            expected: Vec::new(),
        }
    }

    #[test]
    fn a_direction_of_which_nothing_is_asked_is_left_alone() {
        for (egress, ingress, wanted) in [
            ("delay = \"1ms\"", "", [true, false]),
            ("", "loss = \"1%\"", [false, true]),
            ("[a_to_b]\nrate = \"1mbit\"", "[a_to_b]\nrate = \"1mbit\"", [true, false]),
            ("outages = { flap = \"9s up 1s down\" }", "", [true, false]),
            ("", "[[rule]]\nmatch = \"tcp\"\ndelay = \"1ms\"", [false, true]),
        ] {
            let worked = request(egress, ingress).work_out().unwrap();
            assert_eq!(worked.acts, wanted, "{egress:?} {ingress:?}");
        }
        let nothing = request("", "").work_out().map(drop).unwrap_err().to_string();
        assert!(nothing.contains("--delay 20ms"), "{nothing}");
        let bridge = Request { site: Site::Between("a0".into(), "b0".into()), ..request("", "") };
        assert_eq!(bridge.work_out().unwrap().acts, [true, true], "nothing would pass without it");
    }

    #[test]
    fn an_order_is_the_same_request_again() {
        let request = Request {
            duration: Some(Duration::from_millis(1_500)),
            target: Target::Process(7),
            recording: "1/100".parse().unwrap(),
            site: Site::Between("a0".into(), "b0".into()),
            ..request("delay = \"1ms\"\n[[rule]]\nmatch = \"tcp\"\nloss = \"1%\"", "rate = \"1mbit\"")
        };
        let order = serde_json::to_string(&Order::of(&request).unwrap()).unwrap();
        let again = serde_json::from_str::<Order>(&order).unwrap().request().unwrap();
        assert_eq!(again.forward.link, request.forward.link);
        assert_eq!(again.backward.link, request.backward.link);
        assert_eq!((again.site, again.recording), (request.site, request.recording));
        assert_eq!((again.duration, again.target, again.seed), (request.duration, request.target, request.seed));
    }

    #[test]
    fn each_direction_draws_from_a_stream_of_its_own() {
        let worked = request("loss = \"1%\"", "loss = \"1%\"").work_out().unwrap();
        let streams = worked.directions.map(|direction| direction.channel.params.stream);
        assert_eq!(streams, [0, 1]);
    }
}
