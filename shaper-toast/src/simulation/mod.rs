//! Roles on a virtual clock and a virtual multicast group: what each test of a whole run uses.

mod clocks;
mod controllers;
mod grades;
mod outages;
mod scenarios;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use crate::burst::BurstConfig;
use crate::clock::AppClock;
use crate::config::{ControllerConfig, NodeConfig, PeerConfig};
use crate::controller::ControllerCore;
use crate::log::{Event, Log, parse_log};
use crate::peer::PeerCore;
use crate::plan;
use crate::rng::SplitMix64;
use crate::score::{PeerScore, Score, ScoreConfig, score};
use crate::shell::Core;
use crate::units::Nanos;

/// What the virtual network does with a datagram from one node to another: its delay, or none.
pub(crate) type Link = Box<dyn FnMut(&Way<'_>) -> Option<Nanos>>;

/// A datagram's way.
pub(crate) struct Way<'a> {
    pub(crate) at: Nanos,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
}

/// Arrival, order of sending, receiver, source and bytes of a datagram under way.
type Flying = (Nanos, u64, usize, SocketAddrV4, Vec<u8>);

struct Node {
    name: String,
    source: SocketAddrV4,
    core: Box<dyn Core>,
    join_at: Nanos,
    member: bool,
    done: bool,
    events: Vec<Event>,
}

pub(crate) struct Simulation {
    nodes: Vec<Node>,
    link: Link,
    flying: BinaryHeap<Reverse<Flying>>,
    sent: u64,
}

pub(crate) fn node(peer_id: &str) -> NodeConfig {
    let mut node = NodeConfig::new(peer_id, "stage", "none", PathBuf::new());
    node.seed = 7;
    node
}

/// Every datagram takes as long; each is lost with the same probability, by a seed.
pub(crate) fn lossy(delay: Nanos, loss: f64, seed: u64) -> Link {
    let mut rng = SplitMix64::new(seed);
    Box::new(move |way| {
        if way.from == way.to {
            return Some(Nanos::ZERO);
        }
        let lost = (rng.next_u64() as f64) < loss * u64::MAX as f64;
        (!lost).then_some(delay)
    })
}

const SPACING: Nanos = Nanos::from_millis(500);
const START: Nanos = Nanos::from_secs(2);

fn desk(commands: u64) -> ControllerConfig {
    let mut config = ControllerConfig::new(node("desk"), START, plan::minimum_duration(commands, SPACING));
    config.script.spacing = SPACING;
    config
}

fn end_of(config: &ControllerConfig) -> Nanos {
    config.start_at + config.duration + config.drain
}

fn asked(delay: Nanos, peers: &[&str]) -> ScoreConfig {
    ScoreConfig::new(delay, BurstConfig::STANDARD.longest(), peers.iter().map(|&p| p.to_owned()).collect())
}

fn run_with(link: Link, desk: ControllerConfig, peers: &[&str]) -> Vec<Log> {
    let end = end_of(&desk);
    let mut simulation = Simulation::new(link);
    simulation.controller(desk);
    for peer in peers {
        simulation.peer(PeerConfig::new(node(peer)));
    }
    simulation.run(end)
}

fn peer<'a>(score: &'a Score, name: &str) -> &'a PeerScore {
    score.peers.iter().find(|p| p.peer == name).unwrap()
}

impl Simulation {
    pub(crate) fn new(link: Link) -> Simulation {
        Simulation { nodes: Vec::new(), link, flying: BinaryHeap::new(), sent: 0 }
    }

    /// A host of its own for the next node.
    fn own_host(&self) -> u8 {
        u8::try_from(self.nodes.len() + 1).unwrap()
    }

    fn source(&self, host: u8) -> SocketAddrV4 {
        let port = 40_000 + u16::try_from(self.nodes.len()).unwrap();
        SocketAddrV4::new([10, 0, 0, host].into(), port)
    }

    pub(crate) fn controller(&mut self, config: ControllerConfig) {
        self.controller_on(self.own_host(), config);
    }

    /// A controller that may share its host.
    pub(crate) fn controller_on(&mut self, host: u8, config: ControllerConfig) {
        let source = self.source(host);
        let name = config.node.peer_id.clone();
        let clock = AppClock::new(config.node.clock, 0);
        let core = ControllerCore::new(config, source, clock, Nanos::ZERO).unwrap();
        self.add(name, source, Box::new(core), Nanos::ZERO);
    }

    pub(crate) fn peer(&mut self, config: PeerConfig) {
        self.peer_on(self.own_host(), config);
    }

    /// A peer that may share its host.
    pub(crate) fn peer_on(&mut self, host: u8, config: PeerConfig) {
        let source = self.source(host);
        let name = config.node.peer_id.clone();
        let clock = AppClock::new(config.node.clock, 0);
        let join_at = config.join_at.unwrap_or(Nanos::ZERO);
        let core = PeerCore::new(config, source, clock, Nanos::ZERO).unwrap();
        self.add(name, source, Box::new(core), join_at);
    }

    fn add(&mut self, name: String, source: SocketAddrV4, core: Box<dyn Core>, join_at: Nanos) {
        self.nodes.push(Node { name, source, core, join_at, member: false, done: false, events: Vec::new() });
    }

    /// Puts a stranger's datagram on its way to everybody.
    pub(crate) fn inject(&mut self, at: Nanos, from: SocketAddrV4, datagram: &[u8]) {
        for to in 0..self.nodes.len() {
            self.sent += 1;
            let flying = (at, self.sent, to, from, datagram.to_vec());
            self.flying.push(Reverse(flying));
        }
    }

    /// Runs until `end`; gives the logs as read back from their JSON.
    pub(crate) fn run(mut self, end: Nanos) -> Vec<Log> {
        let mut now = Nanos::ZERO;
        while now <= end {
            for index in 0..self.nodes.len() {
                self.serve(index, now);
            }
            while self.flying.peek().is_some_and(|Reverse(flying)| flying.0 <= now) {
                if let Some(Reverse((_, _, to, from, datagram))) = self.flying.pop() {
                    let node = &mut self.nodes[to];
                    if node.member && !node.done {
                        node.core.receive(now, from, &datagram);
                    }
                    self.serve(to, now);
                }
            }
            let deadlines = self
                .nodes
                .iter()
                .filter(|n| !n.done)
                .map(|n| if now < n.join_at { n.join_at } else { n.core.deadline() });
            let arrivals = self.flying.peek().map(|Reverse(flying)| flying.0);
            let next = deadlines.chain(arrivals).min().unwrap_or(end + Nanos(1));
            assert!(next > now, "a deadline at {next} was not served at {now}");
            now = next;
        }
        for node in self.nodes.iter_mut().filter(|n| !n.done) {
            node.core.summarise(end);
            node.events.extend(node.core.endpoint().drain());
        }
        self.nodes.iter().map(read_back).collect()
    }

    fn serve(&mut self, index: usize, now: Nanos) {
        let mut out = [0u8; 2_048];
        let node = &mut self.nodes[index];
        if node.done || now < node.join_at {
            return;
        }
        if !node.member && node.core.leave_at().is_none_or(|at| now < at) {
            node.member = true;
            node.core.joined(now);
        }
        if node.core.leave_at().is_some_and(|at| at <= now) {
            node.core.left(now, now);
        }
        let mut leaving = Vec::new();
        while let Some(len) = node.core.transmit(now, &mut out) {
            leaving.push(out[..len].to_vec());
        }
        if node.core.finished(now) {
            node.done = true;
            node.core.summarise(now);
        }
        node.events.extend(node.core.endpoint().drain());
        let (from, source) = (node.name.clone(), node.source);
        for datagram in leaving {
            for to in 0..self.nodes.len() {
                let way = Way { at: now, from: &from, to: &self.nodes[to].name };
                if let Some(delay) = (self.link)(&way) {
                    self.sent += 1;
                    let flying = (now + delay, self.sent, to, source, datagram.clone());
                    self.flying.push(Reverse(flying));
                }
            }
        }
    }
}

fn read_back(node: &Node) -> Log {
    let mut text = Vec::new();
    for event in &node.events {
        serde_json::to_writer(&mut text, event).unwrap();
        text.push(b'\n');
    }
    parse_log(&text, Path::new(&node.name)).unwrap()
}
