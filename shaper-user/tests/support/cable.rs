//! A cable from the test's host to another one.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::{Rtnl, VethEnd};

pub(crate) const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const DEVICE: &str = "eth0";

/// A cable from the test's host to another one.
pub(crate) struct Cable {
    pub(crate) far: NetNs,
    pub(crate) journal: Journal,
    /// How long an answer is waited for.
    pub(crate) patience: Duration,
}

impl Cable {
    pub(crate) fn laid() -> Self {
        let journal = Journal::create("test").unwrap();
        let far = NetNs::create(&journal, "far").unwrap();
        let rtnl = Rtnl::open().unwrap();
        rtnl.create_veth(&VethEnd::new(None, DEVICE), &VethEnd::new(Some(&far), DEVICE)).unwrap();
        for (rtnl, address) in [(rtnl, NEAR), (far.rtnl().unwrap(), FAR)] {
            let device = rtnl.link(DEVICE).unwrap().index;
            rtnl.set_up(device, true).unwrap();
            rtnl.add_address(device, IpAddr::V4(address), 24).unwrap();
        }
        Self { far, journal, patience: Duration::from_secs(1) }
    }

    /// How long `count` datagrams took there and back, one after another; none for those that were lost.
    pub(crate) fn echo(&self, count: u32) -> Vec<Option<Duration>> {
        const PORT: u16 = 7007;
        let server = self.far.run(|| UdpSocket::bind((FAR, PORT)).unwrap()).unwrap();
        let client = UdpSocket::bind((NEAR, 0)).unwrap();
        client.connect((FAR, PORT)).unwrap();
        client.set_read_timeout(Some(self.patience)).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 64];
                while !done.load(Ordering::Relaxed) {
                    if let Ok((length, peer)) = server.recv_from(&mut buffer) {
                        server.send_to(&buffer[..length], peer).unwrap();
                    }
                }
            });
            let took = (0..count).map(|number| {
                let sent = Instant::now();
                client.send(&number.to_be_bytes()).unwrap();
                let mut buffer = [0; 64];
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

    /// Whether a datagram there and back takes as long as is said.
    pub(crate) fn takes(&self, wanted: impl Fn(Duration) -> bool) -> bool {
        self.echo(1).into_iter().all(|took| took.is_some_and(&wanted))
    }

    pub(crate) fn cut(self) {
        let rtnl = Rtnl::open().unwrap();
        rtnl.delete(rtnl.link(DEVICE).unwrap().index).unwrap();
        drop(self.far);
        self.journal.undo().unwrap();
    }
}
