//! Captures by libpcap, in nanoseconds: taps of a run, each spooled to a file until the run is over; and `shaper capture`.

pub(crate) mod live;
mod merge;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Direction, Linktype, Precision};
use shaper_net::netns::NetNs;

pub(crate) use merge::merged;

/// Bytes of each packet that are kept where nothing else is said: all of an MTU of 1500 with tags.
const SNAPLEN: u32 = 2048;
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
    #[error("{path}: cannot write the capture: {source}: free some space or name another directory with --out DIR")]
    Spool {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
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

/// Which way packets go through an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Sent by it.
    Outbound,
    /// Received by it.
    Inbound,
}

/// For libpcap's own choice, which it makes of each packet. Of a filter with the words `outbound` or `inbound` it takes none
/// of what comes first: what may have come before the filter it looks at once more, where it does not know these words.
impl From<Way> for Direction {
    fn from(way: Way) -> Self {
        match way {
            Way::Outbound => Self::Out,
            Way::Inbound => Self::In,
        }
    }
}

/// What a tap takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapOptions {
    /// The size of the kernel's buffer in bytes.
    pub buffer: i32,
    /// Bytes of each packet that are kept.
    pub snaplen: u32,
    /// Which packets, in libpcap's words; all where there are none.
    pub filter: String,
    /// Packets of this way alone.
    pub way: Option<Way>,
}

impl Default for TapOptions {
    fn default() -> Self {
        Self { buffer: 16_000_000, snaplen: SNAPLEN, filter: String::new(), way: None }
    }
}

/// Whether libpcap takes these words for a filter.
///
/// # Errors
///
/// What it says.
pub fn check_filter(words: &str) -> Result<(), pcap::Error> {
    Capture::dead(Linktype::ETHERNET)?.compile(words, true).map(drop)
}

/// A running tap. Dropped, it ends and its findings are lost.
pub struct Tap {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Captured, Error>>>,
}

impl Tap {
    /// Starts capturing on an interface of a namespace; when this returns, packets are taken.
    ///
    /// `file` is the spool, new and open for writing, `path` where it is.
    ///
    /// # Errors
    ///
    /// When libpcap refuses.
    pub fn start(netns: &NetNs, interface: &str, file: File, path: &Path, options: &TapOptions) -> Result<Self, Error> {
        let capture = netns
            .run(|| open(interface, options))
            .map_err(|error| Error::Start { interface: interface.into(), why: error.to_string() })??;
        let stop = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = mpsc::channel();
        let thread = {
            let (interface, path, stop) = (interface.to_owned(), path.to_owned(), Arc::clone(&stop));
            let snaplen = options.snaplen;
            thread::Builder::new()
                .name(format!("tap {interface}"))
                .spawn(move || take(capture, &interface, Spool::new(file, &path, snaplen)?, &stop, &ready))
                .map_err(|error| Error::Start { interface: "tap".into(), why: error.to_string() })?
        };
        let tap = Self { stop, thread: Some(thread) };
        match is_ready.recv() {
            Ok(()) => Ok(tap),
            // It ended without a word.
            Err(_) => Err(tap
                .stop()
                .err()
                .unwrap_or_else(|| Error::Start { interface: interface.into(), why: "its thread ended".into() })),
        }
    }

    /// Whether it has ended though nobody stopped it: it failed, and [`Tap::stop`] says why.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Takes what has arrived and ends.
    ///
    /// # Errors
    ///
    /// When packets could not be read or written; what was written until then stays.
    pub fn stop(mut self) -> Result<Captured, Error> {
        self.end()
    }

    fn end(&mut self) -> Result<Captured, Error> {
        let failed = |why: &str| Err(Error::Start { interface: "tap".into(), why: why.into() });
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return failed("it has ended") };
        thread.join().unwrap_or_else(|_| failed("its thread panicked"))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // A thread that goes on keeps the namespace it captures in.
        let _ = self.end();
    }
}

fn open(interface: &str, options: &TapOptions) -> Result<Capture<Active>, Error> {
    let failed = |tried| move |source| Error::Pcap { interface: interface.to_owned(), tried, source };
    let snaplen = i32::try_from(options.snaplen).unwrap_or(i32::MAX);
    let mut capture = Capture::from_device(interface)
        .map_err(failed("find the interface"))?
        .snaplen(snaplen)
        .immediate_mode(true)
        .precision(Precision::Nano)
        .buffer_size(options.buffer)
        .open()
        .map_err(failed("capture"))?
        .setnonblock()
        .map_err(failed("capture without blocking"))?;
    if let Some(way) = options.way {
        capture.direction(way.into()).map_err(failed("capture one way"))?;
    }
    if !options.filter.is_empty() {
        capture.filter(&options.filter, true).map_err(failed("filter packets"))?;
    }
    Ok(capture)
}

/// A pcap file in nanoseconds; libpcap's own writer does not say when the disk is full.
struct Spool {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Spool {
    /// See `pcap-savefile(5)`.
    const NANOSECONDS: u32 = 0xa1b2_3c4d;
    const ETHERNET: u32 = 1;
    const BUFFER: usize = 1 << 18;

    fn new(file: File, path: &Path, snaplen: u32) -> Result<Self, Error> {
        let mut spool = Self { file: BufWriter::with_capacity(Self::BUFFER, file), path: path.into() };
        // Version 2.4, UTC, and an accuracy that nobody fills in.
        spool.words([Self::NANOSECONDS, 4 << 16 | 2, 0, 0, snaplen, Self::ETHERNET])?;
        // The first bytes at once: a disk that is full already is told before the run.
        spool.flush()?;
        Ok(spool)
    }

    fn packet(&mut self, seconds: u32, nanos: u32, len: u32, data: &[u8]) -> Result<(), Error> {
        self.words([seconds, nanos, data.len() as u32, len])?;
        let written = self.file.write_all(data);
        written.map_err(|source| self.failed(source))
    }

    fn words<const N: usize>(&mut self, words: [u32; N]) -> Result<(), Error> {
        let written = words.iter().try_for_each(|word| self.file.write_all(&word.to_ne_bytes()));
        written.map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Spool { path: self.path.clone(), source }
    }
}

fn take(
    mut capture: Capture<Active>,
    interface: &str,
    mut spool: Spool,
    stop: &AtomicBool,
    ready: &mpsc::Sender<()>,
) -> Result<Captured, Error> {
    let _ = ready.send(());
    let descriptor = capture.as_raw_fd();
    let mut written = 0;
    loop {
        let last = stop.load(Ordering::Acquire);
        loop {
            match capture.next_packet() {
                Ok(packet) => {
                    let header = packet.header;
                    // Nanoseconds where microseconds were, because that precision was asked for.
                    spool.packet(header.ts.tv_sec as u32, header.ts.tv_usec as u32, header.len, packet.data)?;
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
    spool.flush()?;
    let stats = capture.stats().map_err(|source| Error::Pcap {
        interface: interface.into(),
        tried: "read the statistics",
        source,
    })?;
    let dropped = u64::from(stats.dropped) + u64::from(stats.if_dropped);
    // The kernel's own count has what went the other way too.
    Ok(Captured { spool: spool.path, written, received: written + dropped, dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_is_told_with_the_file() {
        let full = || File::options().write(true).open("/dev/full").unwrap();
        let error = Spool::new(full(), Path::new("/run/a.spool"), SNAPLEN).err().unwrap();
        let message = error.to_string();
        assert!(message.contains("/run/a.spool") && message.contains("No space left"), "{message}");
        assert!(message.contains("--out"), "{message}");
    }
}
