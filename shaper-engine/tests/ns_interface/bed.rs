//! Two hosts with a plain cable between them; `a` is the one whose interface is impaired.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use shaper_common::layout::Params;
use shaper_engine::{ChannelSpec, DirectionSpec, Engine, EngineKind, Error, Keep, Options, Site, SiteSpec};
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::VethEnd;

pub(crate) const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const A6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const B6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
/// Where streams go to.
pub(crate) const PORT: u16 = 7008;
pub(crate) const DEVICE: &str = "eth0";
/// How long what is held is waited for.
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// How long an answer may take on a busy host.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) struct Bed {
    pub(crate) a: NetNs,
    pub(crate) b: NetNs,
    pub(crate) journal: Journal,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let journal = Journal::create("test").unwrap();
        let host = |name: &str| NetNs::create(&journal, &format!("shapertest-{}-{name}", journal.id())).unwrap();
        let (a, b) = (host("a"), host("b"));
        a.rtnl().unwrap().create_veth(&VethEnd::new(Some(&a), DEVICE), &VethEnd::new(Some(&b), DEVICE)).unwrap();
        for (host, address, address6) in [(&a, A, A6), (&b, B, B6)] {
            // Without this an address is not there for its first second.
            host.run(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0").unwrap()).unwrap();
            let rtnl = host.rtnl().unwrap();
            let device = rtnl.link(DEVICE).unwrap().index;
            rtnl.set_up(device, true).unwrap();
            rtnl.add_address(device, IpAddr::V4(address), 24).unwrap();
            rtnl.add_address(device, IpAddr::V6(address6), 64).unwrap();
        }
        let bed = Self { a, b, journal };
        // Packets that wait for an address to be resolved are overtaken by those that come after.
        assert!(bed.echo(IpAddr::V4(A), IpAddr::V4(B), 1)[0].is_some());
        bed
    }

    /// The engines of this kernel. A guest that is there to have `fq` must have it.
    pub(crate) fn engines(&self) -> Vec<EngineKind> {
        match self.try_shape(EngineKind::Edt, None, None) {
            Err(Error::NoFq) if std::env::var_os("SHAPER_TEST_FQ").is_none() => {
                println!("this kernel has no fq: engine edt is tried on those of the guests");
                vec![EngineKind::Xsk]
            }
            started => {
                drop(started.unwrap());
                vec![EngineKind::Xsk, EngineKind::Edt]
            }
        }
    }

    pub(crate) fn shape(&self, engine: EngineKind, egress: Option<Params>, ingress: Option<Params>) -> Engine {
        self.try_shape(engine, egress, ingress).unwrap()
    }

    /// Impairs what leaves `a` by rules.
    pub(crate) fn shape_by_rules(&self, engine: EngineKind, egress: DirectionSpec) -> Engine {
        let directions = [DirectionSpec { name: "egress".into(), ..egress }, DirectionSpec::default()];
        let spec = SiteSpec { site: Site::Interface(DEVICE.into()), directions, led: [true, false] };
        let options = Options { engine, keep: Keep::First(1 << 16), ..Options::default() };
        Engine::start_at(&self.a, &self.journal, spec, options).unwrap()
    }

    fn try_shape(&self, engine: EngineKind, egress: Option<Params>, ingress: Option<Params>) -> Result<Engine, Error> {
        let led = [egress.is_some(), ingress.is_some()];
        let direction = |name: &str, params: Option<Params>| DirectionSpec {
            name: name.into(),
            channel: ChannelSpec::plain(params.unwrap_or_default()),
            ..DirectionSpec::default()
        };
        let directions = [direction("egress", egress), direction("ingress", ingress)];
        let spec = SiteSpec { site: Site::Interface(DEVICE.into()), directions, led };
        let options = Options { engine, keep: Keep::First(1 << 16), ..Options::default() };
        Engine::start_at(&self.a, &self.journal, spec, options)
    }

    /// Sends so many numbered datagrams of `bytes` from a socket of `a`, `gap` apart, and says in which order
    /// they came to `b`.
    pub(crate) fn stream(&self, count: u32, bytes: usize, gap: Duration) -> Vec<u32> {
        let sender = self.a.run(|| UdpSocket::bind((A, 0)).unwrap()).unwrap();
        self.stream_from(&sender, count, bytes, gap)
    }

    /// The same from a socket of `a`.
    pub(crate) fn stream_from(&self, sender: &UdpSocket, count: u32, bytes: usize, gap: Duration) -> Vec<u32> {
        /// Behind all others, and told apart from them by its length.
        const LAST: &[u8] = &[0; 2];
        let receiver = self.b.run(|| UdpSocket::bind((B, PORT)).unwrap()).unwrap();
        // What the receiver has no room for is no loss of anybody else's.
        setsockopt(&receiver, RcvBufForce, &(16 << 20)).unwrap();
        let other = self.a.run(|| UdpSocket::bind((A, 0)).unwrap()).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        std::thread::scope(|scope| {
            let received = scope.spawn(|| {
                let mut came = Vec::new();
                let mut buffer = [0; 2048];
                let mut is_over = false;
                loop {
                    match receiver.recv_from(&mut buffer) {
                        Ok((length, _)) if length == LAST.len() => is_over = true,
                        Ok(_) => came.push(u32::from_be_bytes(buffer[..4].try_into().unwrap())),
                        Err(_) if is_over => break came,
                        Err(_) => {}
                    }
                }
            });
            let start = Instant::now();
            for number in 0..count {
                while start.elapsed() < gap * number {
                    std::hint::spin_loop();
                }
                let mut datagram = vec![0; bytes];
                datagram[..4].copy_from_slice(&number.to_be_bytes());
                if sender.peer_addr().is_ok() {
                    sender.send(&datagram).unwrap();
                } else {
                    sender.send_to(&datagram, (B, PORT)).unwrap();
                }
            }
            // Should it be lost, or overtake: it is sent until somebody has it.
            while !received.is_finished() {
                other.send_to(LAST, (B, PORT)).unwrap();
                std::thread::park_timeout(Duration::from_millis(500));
            }
            received.join().unwrap()
        })
    }

    /// Sends so many datagrams from `a` that `b` answers, one after another; says how long each took, none for those
    /// that no answer came to.
    pub(crate) fn echo(&self, from: IpAddr, to: IpAddr, count: u32) -> Vec<Option<Duration>> {
        const PORT: u16 = 7007;
        let server = self.b.run(|| UdpSocket::bind((to, PORT)).unwrap()).unwrap();
        let client = self.a.run(|| UdpSocket::bind((from, 0)).unwrap()).unwrap();
        client.connect((to, PORT)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 2048];
                while !done.load(Ordering::Relaxed) {
                    if let Ok((length, peer)) = server.recv_from(&mut buffer) {
                        server.send_to(&buffer[..length], peer).unwrap();
                    }
                }
            });
            let took = (0..count).map(|number| {
                let sent = Instant::now();
                client.send(&number.to_be_bytes()).unwrap();
                let mut buffer = [0; 2048];
                loop {
                    match client.recv(&mut buffer) {
                        Ok(4) if buffer[..4] == number.to_be_bytes() => break Some(sent.elapsed()),
                        // One of before.
                        Ok(_) => {}
                        Err(_) => break None,
                    }
                }
            });
            let took = took.collect();
            done.store(true, Ordering::Relaxed);
            took
        })
    }

    /// Everything is as it was.
    pub(crate) fn done(self) {
        let names: Vec<String> = self.a.rtnl().unwrap().links().unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names, ["lo", DEVICE]);
        drop((self.a, self.b));
        self.journal.undo().unwrap();
    }
}
