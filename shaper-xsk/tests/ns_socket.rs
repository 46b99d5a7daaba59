//! Sockets on veth pairs in namespaces of their own. Needs root.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use shaper_xsk::{Descriptor, Kick, Socket, SocketConfig, Umem, UmemConfig, XskError};

const SMALL: SocketConfig = SocketConfig {
    rx: 256,
    tx: 256,
    fill: 256,
    completion: 256,
    mode: shaper_xsk::BindMode::Copy,
    send_buffer: 1 << 24,
};

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A namespace with a veth pair `v0` and `v1`, both up; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn new() -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("xsk{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"));
        let namespace = Namespace(name);
        namespace.within(|| std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap());
        run(&format!("ip -n {} link add v0 type veth peer name v1", namespace.0));
        for end in ["v0", "v1"] {
            run(&format!("ip -n {} link set {end} up", namespace.0));
        }
        namespace
    }

    /// Runs on a thread in the namespace.
    fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let enter = || setns(File::open(format!("/run/netns/{}", self.0)).unwrap(), CloneFlags::CLONE_NEWNET);
            let handle = scope.spawn(move || {
                enter().unwrap();
                work()
            });
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn bind(&self, umem: &Umem, interface: &str, queue: u32) -> Result<Socket, XskError> {
        self.within(|| Socket::bind(umem, if_nametoindex(interface).unwrap(), queue, &SMALL))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn umem() -> Umem {
    Umem::new(UmemConfig { frames: 512, frame_size: 2048, headroom: 0 }).unwrap()
}

/// A broadcast frame of an experimental EtherType.
fn frame() -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].fill(0xff);
    frame[6] = 2;
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

#[test]
fn one_umem_serves_interfaces_of_two_namespaces() {
    let (left, right) = (Namespace::new(), Namespace::new());
    let umem = umem();
    let mut sockets = [left.bind(&umem, "v0", 0).unwrap(), right.bind(&umem, "v0", 0).unwrap()];
    for (number, socket) in sockets.iter_mut().enumerate() {
        assert!(!socket.is_zero_copy());
        let addr = umem.frame_address(number as u32) + 256;
        umem.write(addr, &frame()).unwrap();
        assert!(socket.push_tx(Descriptor { addr, len: 60, options: 0 }));
        socket.publish_tx();
        assert_eq!(socket.kick().unwrap(), Kick::Done);
        let mut returned = Vec::new();
        while returned.is_empty() {
            socket.reap(16, |address| returned.push(umem.frame_number(address).unwrap()));
            thread::yield_now();
        }
        assert_eq!(returned, [number as u32]);
        assert_eq!(socket.statistics().unwrap().tx_invalid_descs, 0);
    }
}

#[test]
fn one_kick_sends_a_bounded_number_and_all_leave_in_the_end() {
    const COUNT: u32 = 100;
    let namespace = Namespace::new();
    let umem = umem();
    let mut socket = namespace.bind(&umem, "v0", 0).unwrap();
    for number in 0..COUNT {
        let addr = umem.frame_address(number) + 256;
        umem.write(addr, &frame()).unwrap();
        assert!(socket.push_tx(Descriptor { addr, len: 60, options: 0 }));
    }
    assert_eq!(socket.tx_pending(), COUNT);
    socket.publish_tx();
    assert_eq!(socket.kick().unwrap(), Kick::Again);
    let left = socket.tx_pending();
    assert!(left > 0 && left < COUNT, "{left} left after the first");
    while socket.tx_pending() > 0 {
        assert!(matches!(socket.kick().unwrap(), Kick::Again | Kick::Done));
    }
    let mut returned = Vec::new();
    while returned.len() < COUNT as usize {
        socket.reap(COUNT, |address| returned.push(umem.frame_number(address).unwrap()));
        thread::yield_now();
    }
    returned.sort_unstable();
    assert_eq!(returned, (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn an_interface_that_is_down_takes_nothing() {
    let namespace = Namespace::new();
    let umem = umem();
    let mut socket = namespace.bind(&umem, "v0", 0).unwrap();
    run(&format!("ip -n {} link set v0 down", namespace.0));
    umem.write(256, &frame()).unwrap();
    assert!(socket.push_tx(Descriptor { addr: 256, len: 60, options: 0 }));
    socket.publish_tx();
    assert_eq!(socket.kick().unwrap(), Kick::Down);
    assert_eq!(socket.tx_pending(), 1);
}

#[test]
fn what_cannot_be_bound_is_told_with_what_to_do() {
    let namespace = Namespace::new();
    let (first, other) = (umem(), umem());
    let holder = namespace.bind(&first, "v0", 0).unwrap();
    let message = |result: Result<Socket, XskError>| result.unwrap_err().to_string();
    let cases = [
        (message(namespace.within(|| Socket::bind(&other, 9_999, 0, &SMALL))), "no such interface"),
        (message(namespace.bind(&other, "v0", 1)), "queue 1: Invalid argument"),
        (message(namespace.bind(&other, "v0", 0)), "another AF_XDP socket holds the queue"),
        (message(namespace.bind(&first, "v0", 0)), "bound to this UMEM already"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message}");
    }
    drop((holder, first));
    // Nothing of the failed attempts is left on the other UMEM, nor on the queue once the kernel has cleaned up.
    let given_up = Instant::now() + Duration::from_secs(10);
    let socket = loop {
        match namespace.bind(&other, "v0", 0) {
            Ok(socket) => break socket,
            Err(error) => assert!(Instant::now() < given_up, "{error}"),
        }
        thread::yield_now();
    };
    let statistics = socket.statistics_handle();
    drop(socket);
    drop(other);
    assert_eq!(statistics.read().unwrap(), None, "the last handle closes the socket");
}

#[test]
fn without_rights_the_missing_capability_is_named() {
    let namespace = Namespace::new();
    let umem = umem();
    let result = namespace.within(|| {
        let index = if_nametoindex("v0").unwrap();
        // SAFETY: changes this thread alone, which ends here; the wrapper of libc would change all of them.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
        Socket::bind(&umem, index, 0, &SMALL)
    });
    let error = result.unwrap_err();
    assert!(matches!(error, XskError::NotPermitted { call: "socket(AF_XDP)", .. }), "{error:?}");
    assert!(error.to_string().contains("CAP_NET_RAW"), "{error}");
}

#[test]
fn statistics_of_a_fresh_socket_are_all_zero() {
    let namespace = Namespace::new();
    let umem = umem();
    let socket = namespace.bind(&umem, "v0", 0).unwrap();
    assert_eq!(socket.statistics().unwrap(), shaper_xsk::Statistics::default());
    assert_eq!(socket.statistics_handle().read().unwrap(), Some(shaper_xsk::Statistics::default()));
    assert_eq!(socket.statistics().unwrap().lost(), 0);
}
