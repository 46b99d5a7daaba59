//! A tap at the far end: every frame of a test, as it arrived.

use std::time::{Duration, Instant};

use pcap::{Active, Capture, Direction, Error};

/// Frames of tests are longer than this, and what hosts send by themselves (neighbour discovery, ARP, reports of groups)
/// is shorter.
pub(crate) const LEAST: usize = 150;
/// Bytes of a frame that are kept: more than any test sends.
const SNAPLEN: i32 = 700;
/// Room for all the frames of a test, which are read at its end.
const BUFFER: i32 = 32 << 20;
/// How long nothing more comes before it is believed that nothing will.
const SILENCE: Duration = Duration::from_millis(100);
/// How long frames are waited for that must come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tap that takes what arrives.
pub(crate) struct Tap {
    capture: Capture<Active>,
}

impl Tap {
    pub(crate) fn open(device: &str) -> Self {
        let capture = Capture::from_device(device).unwrap();
        let capture = capture.snaplen(SNAPLEN).buffer_size(BUFFER).immediate_mode(true);
        // A timeout of libpcap's own may never come where nothing does.
        let capture = capture.open().unwrap().setnonblock().unwrap();
        capture.direction(Direction::In).unwrap();
        Self { capture }
    }

    /// All frames of the test in their order, once there are as many as are waited for; and those beyond.
    pub(crate) fn frames(mut self, expected: u64) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut last = Instant::now();
        loop {
            match self.capture.next_packet() {
                Ok(packet) => {
                    if packet.data.len() >= LEAST {
                        frames.push(packet.data.to_vec());
                        last = Instant::now();
                    }
                }
                Err(Error::TimeoutExpired) => {
                    let patience = if (frames.len() as u64) < expected { PATIENCE } else { SILENCE };
                    if last.elapsed() > patience {
                        break;
                    }
                    std::thread::yield_now();
                }
                Err(error) => assert_eq!(error.to_string(), "", "the tap failed"),
            }
        }
        let stats = self.capture.stats().unwrap();
        assert_eq!((stats.dropped, stats.if_dropped), (0, 0), "the tap lost frames");
        frames
    }
}
