//! A link in one process: datagrams to and from a server, late and not all of them, and what was seen of RTP behind it.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant, SystemTime};

/// The least delay, and by how much it is exceeded at most.
pub(crate) const DELAY: Duration = Duration::from_millis(30);
pub(crate) const JITTER: Duration = Duration::from_millis(16);
/// Of each stream of RTP one packet in so many is dropped, in each direction: 2 %.
const DROP_ONE_IN: u16 = 50;
/// How often it is looked whether all is over.
const LOOK: Duration = Duration::from_millis(50);

/// A packet of RTP that was passed on.
#[derive(Clone, Copy)]
pub(crate) struct Passed {
    pub(crate) at: SystemTime,
    pub(crate) sequence: u16,
    timestamp: u32,
}

/// What was passed on of each stream, by SSRC.
type Seen = Arc<Mutex<HashMap<u32, Vec<Passed>>>>;

/// A datagram that waits until its time has come.
struct Waiting {
    due: Instant,
    bytes: Vec<u8>,
    by: Arc<UdpSocket>,
    to: Option<SocketAddr>,
}

/// A link, cut with this.
pub(crate) struct Relay {
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    seen: Seen,
}

impl Relay {
    /// Lets what comes at `front` go on to `server`, and what comes back, back.
    pub(crate) fn start(front: UdpSocket, server: SocketAddr) -> Self {
        let (done, seen) = (Arc::new(AtomicBool::new(false)), Seen::default());
        let (line, waiting) = channel();
        let over = Arc::clone(&done);
        let lead = spawn(move || lead(&Arc::new(front), server, &line, &over));
        let noted = Arc::clone(&seen);
        let deliver = spawn(move || deliver(&waiting, &noted));
        Self { done, threads: vec![lead, deliver], seen }
    }

    /// What was passed on so far of a stream.
    pub(crate) fn passed(&self, ssrc: u32) -> Vec<Passed> {
        self.seen.lock().unwrap().get(&ssrc).cloned().unwrap_or_default()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes what clients send, and gives each client a socket of its own towards the server.
fn lead(front: &Arc<UdpSocket>, server: SocketAddr, line: &Sender<Waiting>, done: &Arc<AtomicBool>) {
    front.set_read_timeout(Some(LOOK)).unwrap();
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut back = Vec::new();
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        let Ok((length, client)) = front.recv_from(&mut buffer) else { continue };
        let socket = clients.entry(client).or_insert_with(|| {
            let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            socket.connect(server).unwrap();
            socket.set_read_timeout(Some(LOOK)).unwrap();
            let (from, by, line, done) = (Arc::clone(&socket), Arc::clone(front), line.clone(), Arc::clone(done));
            back.push(spawn(move || lead_back(&from, &by, client, &line, &done)));
            socket
        });
        put(line, &buffer[..length], socket, None);
    }
    for thread in back {
        let _ = thread.join();
    }
}

/// Takes what the server sends to one client.
fn lead_back(
    from: &UdpSocket,
    by: &Arc<UdpSocket>,
    client: SocketAddr,
    line: &Sender<Waiting>,
    done: &Arc<AtomicBool>,
) {
    let mut buffer = [0; 2048];
    while !done.load(Ordering::Relaxed) {
        if let Ok(length) = from.recv(&mut buffer) {
            put(line, &buffer[..length], by, Some(client));
        }
    }
}

fn put(line: &Sender<Waiting>, bytes: &[u8], by: &Arc<UdpSocket>, to: Option<SocketAddr>) {
    let numbers = rtp(bytes);
    if numbers.is_some_and(|(_, sequence, _)| sequence % DROP_ONE_IN == 17) {
        return;
    }
    // The same for the same packet; a multiplier without a pattern in its high bits.
    let drawn = numbers.map_or(0, |(_, sequence, _)| u32::from(sequence).wrapping_mul(2_654_435_761) >> 16);
    let due = Instant::now() + DELAY + JITTER * (drawn % 1000) / 1000;
    let _ = line.send(Waiting { due, bytes: bytes.to_vec(), by: Arc::clone(by), to });
}

/// Sends each on when its time has come, in the order in which they came.
fn deliver(waiting: &Receiver<Waiting>, seen: &Seen) {
    while let Ok(Waiting { due, bytes, by, to }) = waiting.recv() {
        sleep(due.saturating_duration_since(Instant::now()));
        let sent = match to {
            Some(client) => by.send_to(&bytes, client),
            None => by.send(&bytes),
        };
        if let (Ok(_), Some((ssrc, sequence, timestamp))) = (sent, rtp(&bytes)) {
            let passed = Passed { at: SystemTime::now(), sequence, timestamp };
            seen.lock().unwrap().entry(ssrc).or_default().push(passed);
        }
    }
}

/// SSRC, sequence number and timestamp of RTP (RFC 3550, section 5.1), told from all else that shares the port (RFC
/// 7983; RFC 5761, section 4).
fn rtp(datagram: &[u8]) -> Option<(u32, u16, u32)> {
    let header: &[u8; 12] = datagram.first_chunk()?;
    let is_rtp = (128..192).contains(&header[0]) && !(192..=223).contains(&header[1]);
    let four = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    is_rtp.then(|| (four(8), u16::from_be_bytes([header[2], header[3]]), four(4)))
}

/// How many of the first `expected` numbers of a stream were not passed on.
pub(crate) fn missing(passed: &[Passed], expected: u16) -> usize {
    let first = passed[0].sequence;
    let within = |one: &&Passed| one.sequence.wrapping_sub(first) < expected;
    usize::from(expected) - passed.iter().filter(within).count()
}

/// The interarrival jitter in milliseconds behind the last of these packets (RFC 3550, section 6.4.1), of a clock of 48
/// kHz.
pub(crate) fn jitter_ms(passed: &[Passed]) -> f64 {
    let transit = |one: &Passed| {
        let at = one.at.duration_since(passed[0].at).unwrap_or_default().as_secs_f64() * 1e3;
        at - f64::from(one.timestamp.wrapping_sub(passed[0].timestamp)) / 48.0
    };
    passed.windows(2).fold(0.0, |jitter, pair| {
        let difference = (transit(&pair[1]) - transit(&pair[0])).abs();
        jitter + (difference - jitter) / 16.0
    })
}
