//! Two hosts with a link between them that does what a profile says.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use pcap::Capture;
use shaper_common::units::Nanos;
use shaper_engine::clock::monotonic;
use shaper_engine::{DirectionSpec, Engine, LinkSpec, Options};
use shaper_net::journal::Journal;
use shaper_net::lab::{Host, Lab, LabSpec};
use shaper_profile::{Compile, CompiledDirection, presets};

use crate::tap::Tap;

/// The port that datagrams go to where nothing else is said.
pub(crate) const PORT: u16 = 9000;
/// How long the delay line may hold packets after the end.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// The device of each host.
pub(crate) const DEVICE: &str = "eth0";
/// How long the device may refuse a frame of a test.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for all the datagrams of a test, which nobody reads before its end.
const RECEIVE_BUFFER: usize = 64 << 20;

/// A lab of two hosts and its journal.
pub(crate) struct Bed {
    lab: Lab,
    journal: Journal,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let journal = Journal::create("test").unwrap();
        let lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
        Self { lab, journal }
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        self.lab.host(name).unwrap()
    }

    /// The link, from `a` to `b`, as the text of a profile has it.
    pub(crate) fn start(&self, profile: &str) -> Engine {
        self.start_with(profile, Options::default())
    }

    pub(crate) fn start_with(&self, profile: &str, options: Options) -> Engine {
        let link = presets::parse("test.toml", "test", profile).unwrap().link;
        let compiled = link.compile(&Compile { seed: 7, link: 0, horizon: "60s".parse().unwrap() }).unwrap();
        let ends = &self.lab.links()[0];
        let direction = |name: &str, CompiledDirection { channel, rules, .. }: CompiledDirection| DirectionSpec {
            name: name.into(),
            channel,
            rules,
        };
        let spec = LinkSpec {
            host: ends.port_host.ifindex,
            far: ends.port_far.ifindex,
            forward: direction(&ends.forward, compiled.a_to_b),
            backward: direction(&ends.backward, compiled.b_to_a),
            behind: None,
        };
        on_processor(last_processor(), || Engine::start(self.lab.middle(), vec![spec], options).unwrap())
    }

    /// What arrives at `b` from now on.
    pub(crate) fn tap(&self) -> Tap {
        self.lab.netns("b").unwrap().run(|| Tap::open(DEVICE)).unwrap()
    }

    /// A socket at `b` that takes what is sent to [`PORT`], and to a group where there is one.
    pub(crate) fn socket(&self, group: Option<Ipv4Addr>) -> UdpSocket {
        let address = self.host("b").ipv4;
        let bind = || {
            // Groups of IPv4 are joined by sockets of IPv4; any other takes both.
            let socket = match group {
                Some(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)),
                None => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)),
            };
            let socket = socket.unwrap();
            setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).unwrap();
            if let Some(group) = group {
                socket.join_multicast_v4(&group, &address).unwrap();
            }
            socket
        };
        self.lab.netns("b").unwrap().run(bind).unwrap()
    }

    /// Sends raw frames from `a`, each made of its number from `numbers`, `gap` apart.
    pub(crate) fn send(&self, numbers: std::ops::Range<u64>, gap: Duration, frame: impl Fn(u64) -> Vec<u8> + Sync) {
        self.lab.netns("a").unwrap().run(|| send(numbers, gap, &frame)).unwrap();
    }

    /// The same from two threads, each on a processor of its own where there are two: one sends the first half of the
    /// numbers, the other one the second.
    pub(crate) fn send_from_two(&self, count: u64, gap: Duration, frame: impl Fn(u64) -> Vec<u8> + Sync) {
        let netns = self.lab.netns("a").unwrap();
        let processors = last_processor() + 1;
        std::thread::scope(|scope| {
            for sender in 0..2 {
                let frame = &frame;
                scope.spawn(move || {
                    let numbers = sender * count / 2..(sender + 1) * count / 2;
                    let own = sender as usize % processors;
                    netns.run(|| on_processor(own, || send(numbers, gap, frame))).unwrap();
                });
            }
        });
    }

    pub(crate) fn done(self) {
        drop(self.lab);
        self.journal.undo().unwrap();
    }
}

/// Does it on one processor. Threads that it starts stay there: a delay line that is moved while the processor that it
/// leaves is too busy has packets overtaken, as a veth takes in what each processor brings by a queue of its own.
fn on_processor<T>(processor: usize, act: impl FnOnce() -> T) -> T {
    let this_thread = Pid::from_raw(0);
    let before = sched_getaffinity(this_thread).unwrap();
    let mut one = CpuSet::new();
    one.set(processor).unwrap();
    sched_setaffinity(this_thread, &one).unwrap();
    let done = act();
    sched_setaffinity(this_thread, &before).unwrap();
    done
}

fn last_processor() -> usize {
    std::thread::available_parallelism().unwrap().get() - 1
}

fn send(numbers: std::ops::Range<u64>, gap: Duration, frame: &impl Fn(u64) -> Vec<u8>) {
    // It takes in what it sends as well, and nobody reads that.
    let mut out = Capture::from_device(DEVICE).unwrap().snaplen(64).buffer_size(1 << 16).open().unwrap();
    let start = Instant::now();
    for (place, number) in (0u32..).zip(numbers) {
        let due = gap * place;
        while start.elapsed() < due {
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        let frame = frame(number);
        // A backlog of a processor that is too busy refuses a frame, and it has been nowhere then.
        while let Err(error) = out.sendpacket(&frame[..]) {
            assert!(start.elapsed() < due + PATIENCE && error.to_string().contains("No buffer space"), "{error}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Lets outages and changes count from a time that is almost here.
pub(crate) fn begin(engine: &mut Engine) -> Nanos {
    let start = Nanos(monotonic() + 20_000_000);
    engine.begin(start).unwrap();
    start
}

/// The datagrams that a socket has got, once there are as many as are waited for; and those beyond.
pub(crate) fn datagrams(socket: &UdpSocket, expected: u64) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        let wait = if (got.len() as u64) < expected { Duration::from_secs(2) } else { Duration::from_millis(50) };
        socket.set_read_timeout(Some(wait)).unwrap();
        match socket.recv(&mut buffer) {
            Ok(length) => got.push(buffer[..length].to_vec()),
            Err(_) => return got,
        }
    }
}
