//! Sends a stream of RTP (RFC 3550) over UDP, and sender reports on the port above:
//! `rtp FROM:PORT TO:PORT SSRC PAYLOAD_TYPE PACKETS`, with payload type 0 (PCMU, 10 ms a packet) or
//! 18 (G.729, 20 ms a packet). What is said is silence. `captures/rtp.toml` runs it at both ends of a link.

use std::{
    error::Error,
    net::UdpSocket,
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Both codecs count samples of 8 kHz (RFC 3551, table 4).
const CLOCK_RATE: u64 = 8_000;
/// Seconds from the epoch of NTP, 1900, to that of Unix (RFC 5905, 6).
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// RTP packets from one sender report to the next.
const REPORT_EVERY: u32 = 50;
/// Sequence numbers begin here, so that a stream of some hundred packets passes the end of their range.
const FIRST_SEQUENCE: u16 = 65_500;
const FIRST_TIMESTAMP: u32 = 0x0001_0000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, ssrc, payload_type, packets] = arguments.as_slice() else {
        return Err("usage: rtp FROM:PORT TO:PORT SSRC PAYLOAD_TYPE PACKETS".into());
    };
    let (ssrc, payload_type, packets): (u32, u8, u32) = (ssrc.parse()?, payload_type.parse()?, packets.parse()?);
    let (milliseconds, silence) = match payload_type {
        0 => (10, [0xff; 80].as_slice()),
        18 => (20, [0; 20].as_slice()),
        other => return Err(format!("payload type {other}: take 0 (PCMU) or 18 (G.729)").into()),
    };
    let media = UdpSocket::bind(from)?;
    media.connect(to)?;
    let control = UdpSocket::bind(above(media.local_addr()?)?)?;
    control.connect(above(media.peer_addr()?)?)?;
    let step = (CLOCK_RATE * milliseconds / 1_000) as u32;
    let began = Instant::now();
    for number in 0..packets {
        // From the start, so that one late packet does not move those behind it.
        let due = began + Duration::from_millis(milliseconds) * number;
        sleep(due.saturating_duration_since(Instant::now()));
        let timestamp = FIRST_TIMESTAMP.wrapping_add(number.wrapping_mul(step));
        let mut packet = vec![0x80, payload_type];
        packet.extend(FIRST_SEQUENCE.wrapping_add(number as u16).to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(silence);
        // A refusal belongs to the packet before: while the other end is not there yet, nobody listens.
        let _ = media.send(&packet);
        if number % REPORT_EVERY == REPORT_EVERY - 1 {
            let sent = number + 1;
            let _ = control.send(&report(ssrc, timestamp, sent, sent * silence.len() as u32)?);
        }
    }
    Ok(())
}

/// Where RTCP goes: one port above RTP (RFC 3550, 11).
fn above(mut address: std::net::SocketAddr) -> Result<std::net::SocketAddr, Box<dyn Error>> {
    address.set_port(address.port().checked_add(1).ok_or("no port is above 65535")?);
    Ok(address)
}

/// A sender report and the sender's name (RFC 3550, 6.4.1 and 6.5).
fn report(ssrc: u32, timestamp: u32, packets: u32, octets: u32) -> Result<Vec<u8>, Box<dyn Error>> {
    const NAME: &[u8] = b"rtp@shaper";
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let ntp = ((now.as_secs() + NTP_TO_UNIX) << 32) | fraction;
    let mut report = vec![0x80, 200, 0, 6];
    report.extend(ssrc.to_be_bytes());
    report.extend(ntp.to_be_bytes());
    for word in [timestamp, packets, octets] {
        report.extend(word.to_be_bytes());
    }
    // One chunk, filled up to words, with at least one zero behind the last item.
    let mut items = vec![1, NAME.len() as u8];
    items.extend(NAME);
    items.resize((items.len() + 4) / 4 * 4, 0);
    report.extend([0x81, 202]);
    report.extend((1 + items.len() as u16 / 4).to_be_bytes());
    report.extend(ssrc.to_be_bytes());
    report.extend(items);
    Ok(report)
}
