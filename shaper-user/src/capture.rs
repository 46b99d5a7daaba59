//! Taps: libpcap on one interface, in nanoseconds, spooled to a file until the run is over.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Precision};
use shaper_net::netns::NetNs;

/// Bytes of each packet that are kept: all of an MTU of 1500 with tags.
const SNAPLEN: i32 = 2048;
/// How soon a tap notices that it is to stop, in milliseconds.
const STOP_CHECK_MS: u16 = 10;

/// What can go wrong with a tap.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libpcap.
    #[error("{interface}: cannot {tried}: {source}; capturing needs CAP_NET_RAW and libpcap 1.5 or later")]
    Pcap {
        /// Where.
        interface: String,
        /// What was tried.
        tried: &'static str,
        /// What libpcap said.
        source: pcap::Error,
    },
    /// The spool file.
    #[error("{path}: cannot write the capture: {source}")]
    Spool {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: pcap::Error,
    },
    /// The namespace or the thread.
    #[error("{interface}: cannot start capturing: {why}")]
    Start {
        /// Where.
        interface: String,
        /// Why.
        why: String,
    },
}

/// What a tap came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The spool: a pcap file in nanoseconds.
    pub spool: PathBuf,
    /// Packets written.
    pub written: u64,
    /// Packets that reached the tap, those it dropped included.
    pub received: u64,
    /// Packets that found no room in the tap's buffer.
    pub dropped: u64,
}

/// A running tap.
pub struct Tap {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Captured, Error>>,
}

impl Tap {
    /// Starts capturing on an interface of a namespace; when this returns, packets are taken.
    ///
    /// `buffer` is the size of the kernel's buffer in bytes.
    ///
    /// # Errors
    ///
    /// When libpcap refuses.
    pub fn start(netns: &NetNs, interface: &str, spool: &Path, buffer: i32) -> Result<Self, Error> {
        let capture = netns
            .run(|| open(interface, buffer))
            .map_err(|error| Error::Start { interface: interface.into(), why: error.to_string() })??;
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let thread = {
            let (interface, spool, stop) = (interface.to_owned(), spool.to_owned(), Arc::clone(&stop));
            thread::Builder::new()
                .name(format!("tap {interface}"))
                .spawn(move || take(capture, &interface, &spool, &stop, &ready))
                .map_err(|error| Error::Start { interface: "tap".into(), why: error.to_string() })?
        };
        // A thread that ended without a word has its error for `stop`.
        let _ = is_ready.recv();
        Ok(Self { stop, thread })
    }

    /// Takes what has arrived and ends.
    ///
    /// # Errors
    ///
    /// When packets could not be read or written; what was written until then stays.
    pub fn stop(self) -> Result<Captured, Error> {
        self.stop.store(true, Ordering::Release);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(Error::Start { interface: "tap".into(), why: "its thread panicked".into() }))
    }
}

fn open(interface: &str, buffer: i32) -> Result<Capture<Active>, Error> {
    let failed = |tried| move |source| Error::Pcap { interface: interface.to_owned(), tried, source };
    Capture::from_device(interface)
        .map_err(failed("find the interface"))?
        .snaplen(SNAPLEN)
        .immediate_mode(true)
        .precision(Precision::Nano)
        .buffer_size(buffer)
        .open()
        .map_err(failed("capture"))?
        .setnonblock()
        .map_err(failed("capture without blocking"))
}

fn take(
    mut capture: Capture<Active>,
    interface: &str,
    spool: &Path,
    stop: &AtomicBool,
    ready: &mpsc::Sender<()>,
) -> Result<Captured, Error> {
    let mut file = capture.savefile(spool).map_err(|source| Error::Spool { path: spool.into(), source })?;
    let _ = ready.send(());
    let descriptor = capture.as_raw_fd();
    let mut written = 0;
    loop {
        let last = stop.load(Ordering::Acquire);
        loop {
            match capture.next_packet() {
                Ok(packet) => {
                    file.write(&packet);
                    written += 1;
                }
                Err(pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => break,
                Err(source) => {
                    return Err(Error::Pcap { interface: interface.into(), tried: "read packets", source });
                }
            }
        }
        if last {
            break;
        }
        // SAFETY: the descriptor is the capture's own, which outlives this borrow.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let mut waiting = [PollFd::new(descriptor, PollFlags::POLLIN)];
        // An interrupted wait is a short one.
        let _ = poll(&mut waiting, PollTimeout::from(STOP_CHECK_MS));
    }
    file.flush().map_err(|source| Error::Spool { path: spool.into(), source })?;
    let stats = capture.stats().map_err(|source| Error::Pcap {
        interface: interface.into(),
        tried: "read the statistics",
        source,
    })?;
    Ok(Captured {
        spool: spool.into(),
        written,
        received: u64::from(stats.received),
        dropped: u64::from(stats.dropped) + u64::from(stats.if_dropped),
    })
}
