//! What is asked for.

use std::path::absolute;

use anyhow::bail;
use serde::{Deserialize, Serialize};
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::{CompiledDirection, CompiledLink, Direction, Link, Profile, presets};

use crate::run::OpenEnded;

/// Packets a second that room is found for, both directions together: 1.2 Gbit/s in full packets.
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

/// What is to be done to which interface.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Its name.
    pub(crate) interface: String,
    /// Where it is.
    pub(crate) target: Target,
    /// What leaves at it goes by the way from `a` to `b` of this one.
    pub(crate) egress: Profile,
    /// What arrives at it goes by the way from `b` to `a` of this one.
    pub(crate) ingress: Profile,
    /// The seed of every draw.
    pub(crate) seed: u64,
    /// When it ends by itself.
    pub(crate) duration: Option<Duration>,
    /// Whether it may be the interface that the caller's own connection may hang on.
    pub(crate) allow_default_route: bool,
    /// Whether the delay line spins.
    pub(crate) busy_poll: bool,
}

/// The same for a process of its own: profiles as TOML, with the files that they name from anywhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    interface: String,
    target: Target,
    egress: String,
    ingress: String,
    seed: u64,
    duration_ns: Option<u64>,
    allow_default_route: bool,
    busy_poll: bool,
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
            interface: request.interface.clone(),
            target: request.target.clone(),
            egress: text(&request.egress)?,
            ingress: text(&request.ingress)?,
            seed: request.seed,
            duration_ns: request.duration.map(|duration| duration.0.0),
            allow_default_route: request.allow_default_route,
            busy_poll: request.busy_poll,
        })
    }

    /// The same, read again.
    ///
    /// # Errors
    ///
    /// A profile that is none.
    pub(crate) fn request(self) -> anyhow::Result<Request> {
        Ok(Request {
            interface: self.interface,
            target: self.target,
            egress: presets::parse("egress", "custom", &self.egress)?,
            ingress: presets::parse("ingress", "custom", &self.ingress)?,
            seed: self.seed,
            duration: self.duration_ns.map(|duration| Duration(Nanos(duration))),
            allow_default_route: self.allow_default_route,
            busy_poll: self.busy_poll,
        })
    }
}

/// The same, worked out before anything is changed.
pub(crate) struct Worked {
    /// By direction, egress first; `None` for one that is left alone.
    pub(crate) directions: [Option<CompiledDirection>; 2],
    /// What their changes, rules and warnings are, a line each.
    pub(crate) notes: Vec<String>,
    /// Frames that packets are held in.
    pub(crate) frames: u32,
    /// How many packets are held at once, both directions together.
    pub(crate) room: u32,
}

impl Request {
    /// Works out what both directions do.
    ///
    /// # Errors
    ///
    /// Settings that cannot be compiled, and those by which nothing would happen.
    pub(crate) fn work_out(&self) -> anyhow::Result<Worked> {
        let Self { egress, ingress, .. } = self;
        let acts = [acts(&egress.link, |link| &link.a_to_b), acts(&ingress.link, |link| &link.b_to_a)];
        if acts == [false, false] {
            bail!("nothing is asked for in either direction: give, for example, --delay 20ms, or --profile wifi");
        }
        let OpenEnded { links, frames, room, .. } =
            OpenEnded::new([(egress, 0), (ingress, 0)].into_iter(), self.seed, PACKETS_PER_SECOND)?;
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
        let mut direction = |acts: bool, of: fn(CompiledLink) -> CompiledDirection| {
            let link = links.next();
            link.filter(|_| acts).map(of)
        };
        let [leaves, arrives] = acts;
        let directions = [direction(leaves, |link| link.a_to_b), direction(arrives, |link| link.b_to_a)];
        Ok(Worked { directions, notes, frames, room })
    }
}

/// Whether anything happens to packets of a direction.
fn acts(link: &Link, of: fn(&Link) -> &Direction) -> bool {
    *of(link) != Direction::default() || !link.outages.is_none() || !link.changes.is_empty() || !link.rules.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(egress: &str, ingress: &str) -> Request {
        let profile = |text| presets::parse("test", "test", text).unwrap();
        Request {
            interface: "eth0".into(),
            target: Target::Own,
            egress: profile(egress),
            ingress: profile(ingress),
            seed: 1,
            duration: None,
            allow_default_route: false,
            busy_poll: false,
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
            assert_eq!(worked.directions.map(|direction| direction.is_some()), wanted, "{egress:?} {ingress:?}");
        }
        let nothing = request("", "").work_out().map(drop).unwrap_err().to_string();
        assert!(nothing.contains("--delay 20ms"), "{nothing}");
    }

    #[test]
    fn an_order_is_the_same_request_again() {
        let request = Request {
            duration: Some(Duration::from_millis(1_500)),
            target: Target::Process(7),
            ..request("delay = \"1ms\"\n[[rule]]\nmatch = \"tcp\"\nloss = \"1%\"", "rate = \"1mbit\"")
        };
        let order = serde_json::to_string(&Order::of(&request).unwrap()).unwrap();
        let again = serde_json::from_str::<Order>(&order).unwrap().request().unwrap();
        assert_eq!(again.egress.link, request.egress.link);
        assert_eq!(again.ingress.link, request.ingress.link);
        assert_eq!((again.duration, again.target, again.seed), (request.duration, request.target, request.seed));
    }

    #[test]
    fn each_direction_draws_from_a_stream_of_its_own() {
        let worked = request("loss = \"1%\"", "loss = \"1%\"").work_out().unwrap();
        let streams = worked.directions.map(|direction| direction.unwrap().channel.params.stream);
        assert_eq!(streams, [0, 1]);
    }
}
