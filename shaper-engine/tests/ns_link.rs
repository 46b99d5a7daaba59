//! A pair of hosts with an impaired link between them, as root: what goes in is accounted for, and every
//! fate is the oracle's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shaper_common::delay::Jitter;
use shaper_common::fate::Cause;
use shaper_common::layout::{Params, split_id};
use shaper_common::order::Order;
use shaper_common::units::{BitsPerSec, Nanos, Probability};
use shaper_engine::{
    Behind, ChannelSpec, DirectionOutcome, DirectionSpec, Engine, Exclusion, LinkSpec, Options, Outcome,
};
use shaper_net::journal::Journal;
use shaper_net::lab::{Lab, LabSpec};
use shaper_net::rtnl::Rtnl;

const PORT: u16 = 9000;
const GRACE: Duration = Duration::from_secs(10);

fn link(lab: &Lab, forward: Params, backward: Params, straight: bool) -> LinkSpec {
    let ends = &lab.links()[0];
    let direction = |name: &str, stream: u32, params: Params| DirectionSpec {
        name: name.into(),
        channel: ChannelSpec::plain(Params { stream, ..params }),
        ..DirectionSpec::default()
    };
    LinkSpec {
        host: ends.port_host.ifindex,
        far: ends.port_far.ifindex,
        forward: direction(&ends.forward, 0, forward),
        backward: direction(&ends.backward, 1, backward),
        behind: straight
            .then(|| lab.behind(ends).unwrap().map(|(netns, ifindex)| Behind { netns: Arc::new(netns), ifindex })),
    }
}

/// A lab of two hosts and its journal.
struct Bed {
    lab: Lab,
    journal: Journal,
}

impl Bed {
    fn new() -> Self {
        let journal = Journal::create("test").unwrap();
        let lab = Lab::up(&journal, &LabSpec::pair()).unwrap();
        Self { lab, journal }
    }

    fn start(&self, forward: Params, backward: Params, options: Options) -> Engine {
        Engine::start(self.lab.middle(), vec![link(&self.lab, forward, backward, false)], options).unwrap()
    }

    /// The same, past the delay line where nothing is held.
    fn start_straight(&self, forward: Params, backward: Params, options: Options) -> Engine {
        Engine::start(self.lab.middle(), vec![link(&self.lab, forward, backward, true)], options).unwrap()
    }

    fn address(&self, host: &str) -> Ipv4Addr {
        self.lab.host(host).unwrap().ipv4
    }

    /// Sends `count` datagrams of `size` bytes from `a` to `b`, `gap` apart, from `threads` threads.
    fn send(&self, count: u64, size: usize, gap: Duration, threads: u64) {
        let to = self.address("b");
        self.lab
            .netns("a")
            .unwrap()
            .run(|| {
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
                            let start = Instant::now();
                            for number in 0..count / threads {
                                let due = gap * u32::try_from(number).unwrap();
                                while start.elapsed() < due {
                                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                                }
                                // A full socket buffer is backpressure of the sender's own host, not an error.
                                let _ = socket.send_to(&vec![0x5a; size], (to, PORT));
                            }
                        });
                    }
                });
            })
            .unwrap();
    }

    /// How many packets `a` could not hand on, since its device had no room: none of them came to the link.
    fn refused(&self) -> u64 {
        let a = self.lab.netns("a").unwrap();
        a.run(|| {
            let rtnl = Rtnl::open().unwrap();
            let link = rtnl.link("eth0").unwrap();
            rtnl.stats(link.index).unwrap().tx_dropped
        })
        .unwrap()
    }

    fn done(self) {
        drop(self.lab);
        self.journal.undo().unwrap();
    }
}

fn check(outcome: &Outcome) {
    for direction in &outcome.directions {
        let name = &direction.spec.name;
        assert_eq!(direction.account.held, 0, "{name}: {:?}", direction.account);
        assert_eq!(direction.account.difference(), 0, "{name}: {:?}", direction.account);
        assert_eq!(direction.oracle.mismatches, 0, "{name}: {:?}", direction.oracle.first);
        assert_eq!(direction.oracle.checked + direction.recorded.lost, direction.account.arrived, "{name}");
    }
    assert_eq!(outcome.leaked_frames, 0);
}

fn forward(outcome: &Outcome) -> &DirectionOutcome {
    &outcome.directions[0]
}

fn constant(delay: u64) -> Params {
    Params { seed: 7, delay: Nanos(delay), ..Params::default() }
}

#[test]
fn a_constant_delay_delays_every_packet_by_at_least_itself() {
    let bed = Bed::new();
    let engine = bed.start(constant(20_000_000), constant(20_000_000), Options::default());
    bed.send(2_000, 100, Duration::from_micros(200), 1);
    assert_eq!(engine.exclusion(), Exclusion::Device, "a lab's ports have one queue");
    let outcome = engine.stop(GRACE).unwrap();
    check(&outcome);
    let a_to_b = forward(&outcome);
    let arrived = 2_000 - bed.refused();
    assert_eq!((a_to_b.account.arrived, a_to_b.account.out), (arrived, arrived));
    assert_eq!(a_to_b.oracle.checked, arrived);
    for (record, release) in a_to_b.records.iter().zip(&a_to_b.releases) {
        assert_eq!(split_id(release.id), (0, record.sequence));
        assert_eq!(release.intended, record.release());
        assert_eq!(record.release().0 - record.arrival().0, 20_000_000);
        assert!(release.actual >= release.intended);
    }
    bed.done();
}

#[test]
fn every_effect_at_once_is_accounted_for_and_replays() {
    for exclusion in [Exclusion::Lock, Exclusion::Device] {
        every_effect_at_once(exclusion);
    }
}

fn every_effect_at_once(exclusion: Exclusion) {
    let bed = Bed::new();
    let params = Params {
        seed: 7,
        loss: Probability((1 << 32) / 10),
        delay: Nanos(5_000_000),
        jitter: Nanos(8_000_000),
        jitter_kind: Jitter::Uniform as u32,
        order: Order::Keep as u32,
        rate: BitsPerSec(20_000_000),
        queue: Nanos(3_000_000),
        ..Params::default()
    };
    let options = Options { exclusion: Some(exclusion), ..Options::default() };
    let engine = bed.start(params, constant(0), options);
    bed.send(12_000, 500, Duration::from_micros(250), 2);
    let outcome = engine.stop(GRACE).unwrap();
    check(&outcome);
    let a_to_b = forward(&outcome);
    assert_eq!(a_to_b.account.arrived, 12_000 - bed.refused());
    assert!(a_to_b.account.dropped_by(Cause::Loss) > 0);
    assert!(a_to_b.account.dropped_by(Cause::Queue) > 0);
    let releases: Vec<u64> =
        a_to_b.records.iter().map(|record| record.release().0).filter(|release| *release > 0).collect();
    assert!(releases.is_sorted(), "order was to be kept");
    bed.done();
}

/// One direction loses packets and holds none, the other holds them: each goes its own way, and both are accounted for.
#[test]
fn what_is_never_held_goes_straight_on_and_the_account_closes() {
    const SENT: u64 = 12_000;
    let bed = Bed::new();
    let lossy = Params { seed: 7, loss: Probability((1 << 32) / 10), ..Params::default() };
    let engine = bed.start_straight(lossy, constant(5_000_000), Options::default());
    let address = bed.address("b");
    let receiver = bed.lab.netns("b").unwrap().run(|| UdpSocket::bind((address, PORT)).unwrap()).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let mut received = 0;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| bed.send(SENT, 100, Duration::from_micros(250), 2));
        let mut buffer = [0; 2048];
        loop {
            let ended = sender.is_finished();
            while receiver.recv(&mut buffer).is_ok() {
                received += 1;
            }
            if ended {
                break;
            }
            std::thread::yield_now();
        }
    });
    // An answer the other way, through the delay line; without a socket it would be refused by a packet of its own.
    let there = bed.address("a");
    let _taken = bed.lab.netns("a").unwrap().run(|| UdpSocket::bind((there, PORT)).unwrap()).unwrap();
    bed.lab
        .netns("b")
        .unwrap()
        .run(|| UdpSocket::bind((address, 0)).unwrap().send_to(b"back", (there, PORT)).unwrap())
        .unwrap();
    let outcome = engine.stop(GRACE).unwrap();
    check(&outcome);
    let account = &forward(&outcome).account;
    assert_eq!(account.arrived, SENT - bed.refused(), "{account:?}");
    assert!(account.dropped_by(Cause::Loss) > SENT / 20, "{account:?}");
    assert!(received > 0 && received <= account.out, "{received} of {account:?}");
    assert!(forward(&outcome).releases.is_empty(), "nothing of it was in the delay line");
    let back = &outcome.directions[1];
    assert!(back.account.out >= 1 && back.releases.len() as u64 == back.account.out, "{:?}", back.account);
    bed.done();
}

/// The device of a host that went away refuses its packets.
#[test]
fn what_the_output_device_refuses_is_a_cause_of_its_own() {
    const SENT: u64 = 600;
    let bed = Bed::new();
    let engine = bed.start(constant(1_000_000), constant(0), Options::default());
    let b = bed.lab.netns("b").unwrap();
    b.run(|| {
        let rtnl = Rtnl::open().unwrap();
        rtnl.set_up(rtnl.link("eth0").unwrap().index, false).unwrap();
    })
    .unwrap();
    // In bursts of up to a whole stage of the tx ring, and one by one.
    bed.send(SENT / 2, 100, Duration::ZERO, 1);
    bed.send(SENT / 2, 100, Duration::from_micros(200), 1);
    let outcome = engine.stop(GRACE).unwrap();
    check(&outcome);
    let account = &forward(&outcome).account;
    let arrived = SENT - bed.refused();
    assert_eq!((account.arrived, account.out), (arrived, 0), "{account:?}");
    assert_eq!(account.dropped_by(Cause::Transmit), arrived, "{account:?}");
    assert!(forward(&outcome).releases.iter().all(|release| !release.sent));
    bed.done();
}

/// Two senders as fast as they can against few frames and a long delay: packets are lost in the rings.
#[test]
fn at_overload_what_the_rings_lose_is_counted_and_the_account_still_closes() {
    for exclusion in [Exclusion::Lock, Exclusion::Device] {
        overload(exclusion);
    }
}

fn overload(exclusion: Exclusion) {
    let bed = Bed::new();
    let options = Options { frames: 2_048, exclusion: Some(exclusion), ..Options::default() };
    let engine = bed.start(constant(50_000_000), constant(0), options);
    bed.send(400_000, 64, Duration::ZERO, 2);
    let outcome = engine.stop(GRACE).unwrap();
    check(&outcome);
    let account = &forward(&outcome).account;
    let lost = account.dropped_by(Cause::RxRing) + account.dropped_by(Cause::FillRing);
    assert!(lost > 0, "{account:?}");
    bed.done();
}
