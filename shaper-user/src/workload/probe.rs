//! A stream of numbered UDP datagrams on an absolute schedule: what the link is measured with.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};
use shaper_engine::clock::monotonic;
use shaper_profile::scenario::ProbeSettings;
use shaper_toast::StopFlag;

/// Marks our datagrams among whatever else may reach the port.
const MAGIC: u64 = u64::from_be_bytes(*b"shprobe1");
/// Magic and number.
const LEAST_PAYLOAD: usize = ProbeSettings::LEAST_PAYLOAD;
/// What the receiver asks for as its socket's buffer, in bytes.
const RECEIVE_BUFFER: usize = 8 << 20;
/// How soon a receiver notices that it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// What the sender is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SenderConfig {
    /// Where to.
    pub to: SocketAddrV4,
    /// How many.
    pub packets: u64,
    /// From one to the next, in nanoseconds.
    pub interval_ns: u64,
    /// Bytes of each payload.
    pub payload: usize,
    /// CLOCK_MONOTONIC time of the first.
    pub start_at_ns: u64,
    /// Where the result goes.
    pub result: PathBuf,
}

/// What the receiver is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReceiverConfig {
    /// Where it listens.
    pub port: u16,
    /// How many are expected.
    pub packets: u64,
    /// Where the result goes.
    pub result: PathBuf,
}

/// What the sender did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    /// Datagrams that were to be sent.
    pub planned: u64,
    /// Datagrams handed to the kernel.
    pub sent: u64,
    /// Datagrams the sender's own kernel refused.
    pub refused: u64,
    /// Actual minus planned send time of each, in nanoseconds.
    pub slip_ns: Vec<u64>,
}

/// What the receiver saw.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Received {
    /// Different datagrams.
    pub received: u64,
    /// Datagrams that came again.
    pub duplicates: u64,
    /// Datagrams of someone else.
    pub foreign: u64,
    /// Datagrams that reached the receiver and found its socket's buffer full: no loss of the link.
    #[serde(default)]
    pub dropped_at_socket: u64,
    /// Datagrams that the receiver's kernel dropped for their checksum: damaged on the way. Those of other sockets in
    /// its network namespace are among them.
    #[serde(default)]
    pub damaged: u64,
}

/// Sends on the absolute schedule: a late datagram does not make the next ones late.
///
/// # Errors
///
/// When there is no socket to be had or the result cannot be written.
pub fn send(config: &SenderConfig, stop: &StopFlag) -> anyhow::Result<()> {
    ensure!(config.payload >= LEAST_PAYLOAD, "a probe needs {LEAST_PAYLOAD} bytes, not {}", config.payload);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("cannot open a UDP socket")?;
    let mut payload = vec![0u8; config.payload];
    payload.splice(..8, MAGIC.to_be_bytes());
    let mut result = Sent { planned: config.packets, ..Sent::default() };
    for number in 0..config.packets {
        let due = config.start_at_ns.saturating_add(number.saturating_mul(config.interval_ns));
        wait_until(due);
        if stop.is_stopped() {
            break;
        }
        payload.splice(8..16, number.to_be_bytes());
        result.slip_ns.push(monotonic().saturating_sub(due));
        match socket.send_to(&payload, config.to) {
            Ok(_) => result.sent += 1,
            Err(_) => result.refused += 1,
        }
    }
    write(&config.result, &result)
}

/// Receives until it is told to stop and nothing is left in the socket.
///
/// # Errors
///
/// When the port is taken or the result cannot be written.
pub fn receive(config: &ReceiverConfig, stop: &StopFlag) -> anyhow::Result<()> {
    let before = UdpErrors::read();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, config.port))
        .with_context(|| format!("cannot listen on UDP port {}", config.port))?;
    // Beyond net.core.rmem_max, for root alone. What does not fit into a smaller one is counted.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
        let _ = setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER);
    }
    socket.set_read_timeout(Some(STOP_CHECK)).context("cannot set a receive timeout")?;
    let mut seen = vec![false; usize::try_from(config.packets).context("too many packets for this machine")?];
    let mut result = Received::default();
    let mut buffer = [0u8; 65_536];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => match buffer.get(..length).and_then(number).and_then(|number| seen.get_mut(number)) {
                Some(seen) if *seen => result.duplicates += 1,
                Some(seen) => {
                    *seen = true;
                    result.received += 1;
                }
                None => result.foreign += 1,
            },
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if stop.is_stopped() {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot receive"),
        }
    }
    let dropped = dropped_at(&socket)?;
    // The socket counts both together, and short datagrams with a wrong checksum not at all.
    result.dropped_at_socket = dropped;
    if let (Some(before), Some(after)) = (before, UdpErrors::read()) {
        result.dropped_at_socket = dropped.min(after.full.saturating_sub(before.full));
        result.damaged = after.damaged.saturating_sub(before.damaged);
    }
    write(&config.result, &result)
}

/// Datagrams that no socket of this network namespace got, from `/proc/net/snmp`.
struct UdpErrors {
    /// There was no room: `RcvbufErrors` and `MemErrors` (kernel 5.11).
    full: u64,
    /// The checksum was wrong: `InCsumErrors`.
    damaged: u64,
}

impl UdpErrors {
    fn read() -> Option<Self> {
        Self::of(&std::fs::read_to_string("/proc/thread-self/net/snmp").ok()?)
    }

    /// From a line of names, and then one of as many values.
    fn of(counters: &str) -> Option<Self> {
        let mut lines = counters.lines().filter_map(|line| line.strip_prefix("Udp:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let counter = |name: &str| {
            let at = names.split_ascii_whitespace().position(|known| known == name)?;
            values.split_ascii_whitespace().nth(at)?.parse::<u64>().ok()
        };
        let full = counter("RcvbufErrors")?.saturating_add(counter("MemErrors").unwrap_or(0));
        Some(Self { full, damaged: counter("InCsumErrors")? })
    }
}

/// Datagrams that were dropped at this socket, with a full buffer or a wrong checksum, from the last column of
/// `/proc/net/udp`.
fn dropped_at(socket: &UdpSocket) -> anyhow::Result<u64> {
    let inode = fstat(socket).context("cannot look at the socket")?.st_ino.to_string();
    let sockets = std::fs::read_to_string("/proc/thread-self/net/udp").context("cannot read /proc/net/udp")?;
    // … retransmit-timeout uid timeout inode references pointer drops
    let own = sockets.lines().find(|line| line.split_ascii_whitespace().nth(9) == Some(&inode));
    own.and_then(|line| line.split_ascii_whitespace().next_back()?.parse().ok())
        .context("/proc/net/udp does not tell how many datagrams the receiver's socket dropped")
}

fn number(payload: &[u8]) -> Option<usize> {
    let (magic, rest) = payload.split_first_chunk()?;
    (u64::from_be_bytes(*magic) == MAGIC).then_some(())?;
    usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).ok()
}

fn wait_until(due: u64) {
    loop {
        let left = due.saturating_sub(monotonic());
        if left == 0 {
            return;
        }
        std::thread::sleep(Duration::from_nanos(left));
    }
}

fn write<T: Serialize>(path: &PathBuf, result: &T) -> anyhow::Result<()> {
    let text = serde_json::to_string(result)?;
    std::fs::write(path, text).with_context(|| format!("{}: cannot write the result", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sender_s_own_kernel_refuses_was_planned_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = SenderConfig {
            // Without SO_BROADCAST the kernel refuses (EACCES).
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, 9),
            packets: 3,
            interval_ns: 1,
            payload: LEAST_PAYLOAD,
            start_at_ns: 0,
            result: folder.path().join("sent.json"),
        };
        let sent = |config: &SenderConfig, stop: &StopFlag| -> Sent {
            send(config, stop).unwrap();
            serde_json::from_str(&std::fs::read_to_string(&config.result).unwrap()).unwrap()
        };
        let refused = sent(&config, &StopFlag::new());
        assert_eq!((refused.planned, refused.sent, refused.refused), (3, 0, 3));
        config.packets = 5;
        let stop = StopFlag::new();
        stop.stop();
        let stopped = sent(&config, &stop);
        assert_eq!((stopped.planned, stopped.sent, stopped.refused), (5, 0, 0));
    }

    #[test]
    fn what_a_full_socket_drops_is_counted() {
        const SENT: u64 = 200;
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        setsockopt(&receiver, sockopt::RcvBuf, &4_096).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for _ in 0..SENT {
            sender.send_to(&[0; 512], receiver.local_addr().unwrap()).unwrap();
        }
        receiver.set_nonblocking(true).unwrap();
        let mut heard = 0;
        while receiver.recv(&mut [0; 512]).is_ok() {
            heard += 1;
        }
        assert!((1..SENT).contains(&heard), "{heard}");
        assert_eq!(heard + dropped_at(&receiver).unwrap(), SENT);
    }

    #[test]
    fn counters_are_found_by_their_names() {
        let of = |names: &str, values: &str| {
            let text =
                format!("Ip: Forwarding\nIp: 1\nUdp: {names}\nUdp: {values}\nUdpLite: InCsumErrors\nUdpLite: 9\n");
            UdpErrors::of(&text).map(|errors| (errors.full, errors.damaged))
        };
        assert_eq!(of("InErrors RcvbufErrors SndbufErrors InCsumErrors MemErrors", "9 3 0 5 1"), Some((4, 5)));
        assert_eq!(of("RcvbufErrors InCsumErrors", "3 5"), Some((3, 5)), "before 5.11");
        assert_eq!(of("RcvbufErrors InCsumErrors", "3"), None);
        assert_eq!(of("InErrors", "9"), None);
        assert!(UdpErrors::read().is_some());
    }

    #[test]
    fn a_result_of_before_the_drops_were_counted_reads_as_none() {
        let received: Received = serde_json::from_str(r#"{"received":1,"duplicates":2,"foreign":3}"#).unwrap();
        assert_eq!((received.dropped_at_socket, received.damaged), (0, 0));
    }
}
