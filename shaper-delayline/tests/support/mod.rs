//! Two hosts in namespaces of their own, and between them a third with the delay line.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests panic with their context")]

mod bpf;

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, setns};
use shaper_common::units::Nanos;
use shaper_delayline::{Config, Control, DelayLine, Monitor, Outcome, Port, Released};
use shaper_xsk::{Socket, SocketConfig, Umem, UmemConfig};

pub(crate) use bpf::{Program, Stamp};

/// Address of the host on either side.
pub(crate) const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];

/// Runs a command that must succeed.
pub(crate) fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A stamp of a delay alone.
pub(crate) fn delay(nanos: u64) -> Option<Stamp> {
    Some(Stamp { delay: Nanos(nanos), ..Stamp::default() })
}

/// Three namespaces, gone when dropped, and with them all that was in them.
pub(crate) struct Lab {
    name: String,
}

impl Lab {
    /// Host 0 is joined to the middle by `p0`, host 1 by `p1`; each host's own end is `eth0`.
    pub(crate) fn new() -> Lab {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("dl{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lab = Lab { name };
        for namespace in lab.namespaces() {
            run(&format!("ip netns add {namespace}"));
            let namespace = namespace.clone();
            lab.within(&namespace, || {
                for scope in ["all", "default"] {
                    std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1").unwrap();
                }
            });
        }
        let middle = lab.middle();
        for (side, address) in ADDRESSES.iter().enumerate() {
            let host = lab.host(side);
            run(&format!("ip -n {middle} link add p{side} type veth peer name eth0 netns {host}"));
            run(&format!("ip -n {host} addr add {address}/24 dev eth0"));
            run(&format!("ip -n {host} link set lo up"));
            run(&format!("ip netns exec {host} ethtool -K eth0 tx off tso off gso off gro off"));
            run(&format!("ip -n {host} link set eth0 up"));
            run(&format!("ip -n {middle} link set p{side} up"));
        }
        lab
    }

    pub(crate) fn host(&self, side: usize) -> String {
        format!("{}h{side}", self.name)
    }

    pub(crate) fn middle(&self) -> String {
        format!("{}m", self.name)
    }

    fn namespaces(&self) -> [String; 3] {
        [self.host(0), self.host(1), self.middle()]
    }

    /// Runs on a thread in a namespace.
    pub(crate) fn within<T: Send>(&self, namespace: &str, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            scope
                .spawn(move || {
                    let file = File::open(Path::new("/run/netns").join(namespace)).unwrap();
                    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs on a thread in the namespace of a host.
    pub(crate) fn on_host<T: Send>(&self, side: usize, work: impl FnOnce() -> T + Send) -> T {
        self.within(&self.host(side), work)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in self.namespaces() {
            let _ = Command::new("ip").args(["netns", "del", &namespace]).status();
        }
    }
}

/// A delay line running on a thread of its own between the two hosts of a lab.
pub(crate) struct Running {
    pub(crate) monitor: Arc<Monitor>,
    control: Control,
    thread: Option<JoinHandle<Outcome>>,
    released: mpsc::Receiver<Vec<Released>>,
    _programs: Vec<Program>,
}

/// How the line of a test is made.
pub(crate) struct Shape {
    pub(crate) frames: u32,
    pub(crate) ring: u32,
    pub(crate) busy_poll: bool,
    pub(crate) realtime_priority: Option<u8>,
    pub(crate) spin: Nanos,
    /// What stands in front of each packet; or no metadata at all.
    pub(crate) stamp: Option<Stamp>,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            frames: 16_384,
            ring: 2048,
            busy_poll: false,
            realtime_priority: None,
            spin: Nanos(10_000),
            stamp: delay(20_000_000),
        }
    }
}

impl Running {
    pub(crate) fn start(lab: &Lab, shape: Shape) -> Running {
        let (to, released) = mpsc::channel();
        let (mut line, programs) = lab.within(&lab.middle(), || {
            let umem = Umem::new(UmemConfig { frames: shape.frames, frame_size: 2048, headroom: 0 }).unwrap();
            let config = SocketConfig {
                rx: shape.ring,
                tx: shape.ring,
                fill: shape.ring,
                completion: shape.ring,
                ..SocketConfig::default()
            };
            let mut programs = Vec::new();
            let mut ports = Vec::new();
            for side in 0..2u64 {
                let index = nix::net::if_::if_nametoindex(format!("p{side}").as_str()).unwrap();
                let socket = Socket::bind(&umem, index, 0, &config).unwrap();
                programs.push(Program::attach(index, socket.fd(), shape.stamp, side << 48));
                ports.push(Port { socket, peer: 1 - side as usize });
            }
            let config = Config {
                busy_poll: shape.busy_poll,
                realtime_priority: shape.realtime_priority,
                spin: shape.spin,
                released: Some(to),
                ..Config::default()
            };
            (DelayLine::new(&umem, ports, config).unwrap(), programs)
        });
        let monitor = line.monitor();
        let control = Control::new();
        let theirs = control.clone();
        let thread = thread::spawn(move || line.run(&theirs).unwrap());
        Running { monitor, control, thread: Some(thread), released, _programs: programs }
    }

    /// Drains for at most so long, ends the run, and returns the log too.
    pub(crate) fn drain(mut self, at_most: Nanos) -> (Outcome, Vec<Released>) {
        self.control.drain(Nanos(shaper_delayline::monotonic().0 + at_most.0));
        let outcome = self.thread.take().unwrap().join().unwrap();
        let log = self.released.try_iter().flatten().collect();
        (outcome, log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
