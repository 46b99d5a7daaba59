//! Two hosts with a plain cable between them; `a` is the one whose interface is impaired.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shaper_common::layout::Params;
use shaper_engine::{ChannelSpec, DirectionSpec, Engine, Options, Site, SiteSpec};
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::VethEnd;

pub(crate) const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const A6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const B6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
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
        Self { a, b, journal }
    }

    pub(crate) fn shape(&self, egress: Option<Params>, ingress: Option<Params>) -> Engine {
        let led = [egress.is_some(), ingress.is_some()];
        let direction = |name: &str, params: Option<Params>| DirectionSpec {
            name: name.into(),
            channel: ChannelSpec::plain(params.unwrap_or_default()),
            ..DirectionSpec::default()
        };
        let directions = [direction("egress", egress), direction("ingress", ingress)];
        let spec = SiteSpec { site: Site::Interface(DEVICE.into()), directions, led };
        Engine::start_at(&self.a, &self.journal, spec, Options::default()).unwrap()
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
