//! A server that is killed in the middle of a run, and the one that comes in its place.

use std::ffi::OsString;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use shaper_common::units::Nanos;
use shaper_engine::clock;
use shaper_net::netns::NetNs;
use shaper_net::role::Role;

use super::webrtc::{listens, spawn};
use crate::run::bed::Bed;
use crate::run::directory::RunDirectory;
use crate::run::workload::{ServerKill, WebRtcPlan};

/// When a server was not there, by CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::run) struct ServerOutage {
    /// Since when it was gone.
    pub(in crate::run) killed: Nanos,
    /// When another one listened in its place, if one ever did.
    pub(in crate::run) listened: Option<Nanos>,
}

/// The server that comes after one that is killed.
pub(super) struct Second {
    pub(super) kill: ServerKill,
    /// When the run began.
    pub(super) start: Nanos,
    pub(super) on: NetNs,
    pub(super) at: SocketAddr,
    pub(super) arguments: Vec<OsString>,
    pub(super) state: State,
}

pub(super) enum State {
    /// The first one runs.
    Due,
    /// It ended before anybody killed it.
    Moot,
    Killed(Nanos),
    Starting(Nanos),
    Over(ServerOutage),
}

impl Second {
    /// Does what is due; a server that was started.
    pub(super) fn tick(
        &mut self,
        now: Nanos,
        others: &mut Vec<Role>,
        bed: &Bed,
        directory: &RunDirectory,
        say: &dyn Fn(&str),
    ) -> anyhow::Result<Option<Role>> {
        let due = self.start.saturating_add(Nanos(self.kill.at_ns));
        match self.state {
            State::Due if now >= due => {
                let Some(place) = others.iter().position(|role| role.name() == WebRtcPlan::SERVER) else {
                    return Ok(None);
                };
                let mut server = others.remove(place);
                if server.try_wait()?.is_some() {
                    // How it ended is told with the others.
                    others.insert(place, server);
                    self.state = State::Moot;
                    return Ok(None);
                }
                server.signal(Signal::SIGKILL as i32)?;
                server.wait()?;
                self.state = State::Killed(Nanos(clock::monotonic()));
                say("killed the server, as asked");
            }
            State::Killed(killed) => {
                let back = self.kill.back_after_ns.map(|after| killed.saturating_add(Nanos(after)));
                if back.is_some_and(|back| now >= back) {
                    self.state = State::Starting(killed);
                    return Ok(Some(spawn(
                        bed,
                        directory,
                        &self.on,
                        WebRtcPlan::SECOND_SERVER,
                        self.arguments.clone(),
                    )?));
                }
            }
            State::Starting(killed) if listens(&self.on, self.at)? => {
                let listened = Some(Nanos(clock::monotonic()));
                self.state = State::Over(ServerOutage { killed, listened });
                say("another server listens in its place");
            }
            _ => {}
        }
        Ok(None)
    }

    /// What was asked for and has not come about.
    pub(super) const fn undone(&self) -> Option<&'static str> {
        match self.state {
            State::Due => Some("the server was to be killed, and the run was over before that"),
            State::Moot => Some("the server was to be killed, and had ended by itself before that"),
            State::Killed(_) if self.kill.back_after_ns.is_some() => {
                Some("another server was to come in place of the killed one, and the run was over before that")
            }
            State::Starting(_) => Some("the server that came in place of the killed one never listened"),
            State::Killed(_) | State::Over(_) => None,
        }
    }

    pub(super) const fn outage(&self) -> Option<ServerOutage> {
        match self.state {
            State::Due | State::Moot => None,
            State::Killed(killed) | State::Starting(killed) => Some(ServerOutage { killed, listened: None }),
            State::Over(outage) => Some(outage),
        }
    }
}
