//! A selective forwarding unit: rooms, whose participants come by WebSocket (SimplestChat), WHIP or
//! WHEP.
//!
//! Two planes. Control is one thread with an async runtime: [`http`], [`ws`], [`session`], [`whip`],
//! and [`rooms`], which knows who is where. Media is [`shard`]: threads without one, each with a UDP
//! socket and some rooms, where each packet is handled from the system call that receives it to the
//! one that sends it on. They speak by [`shard::command`].

mod auth;
mod config;
mod control;
mod http;
mod ids;
mod keyframe;
mod layers;
mod map_log;
mod metrics;
mod offer;
mod page;
mod params;
mod pli;
mod rate;
mod rewrite;
mod rooms;
mod rtc;
mod session;
mod shard;
mod stun;
#[cfg(test)]
mod tests;
mod whip;
mod ws;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tokio::runtime::Builder;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;

pub use self::config::{Faults, Limits, ServeConfig};
use self::control::Control;
use self::map_log::MapLog;
pub use self::map_log::{Forwarded, MapLogError, RECORD, Record, Reported, map_log_records, read_map_log};
use self::metrics::Metrics;
pub use self::page::Shape;
use self::shard::ShardHandle;
pub use self::shard::alone::{LoneChange, LoneConsumer, LoneShard, LoneTrack, LoneTransport};
use self::shard::command::Command;
use crate::identity::Identity;

/// From one look for participants that have not come back to the next.
const REAP_EVERY: Duration = Duration::from_millis(500);
/// From one look whether all threads run to the next, in milliseconds.
const LOOK_EVERY: u16 = 500;
/// How long WebSockets have to say goodbye.
const GOODBYE: Duration = Duration::from_millis(1500);

/// Why a server cannot be started, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is not free, or not of this host.
    #[error("cannot listen on {address} ({protocol}): {source}: is it free, and an address of this host?")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// TCP for HTTP, UDP for media.
        protocol: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The mapping log cannot be written.
    #[error("cannot write the mapping log {}: {source}", path.display())]
    MapLog {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Candidates would name no address.
    #[error("the media address {0} is unspecified: say by which address clients reach it")]
    NothingToAdvertise(SocketAddr),
    /// No certificate for DTLS can be made.
    #[error("cannot make a certificate for DTLS")]
    NoCertificate,
    /// A thread cannot be started, or ended by itself.
    #[error("cannot run the thread {name}: {source}")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(io::Error),
}

/// A server that runs. Dropped, it stops without waiting for anything to be written.
#[derive(Debug)]
pub struct Server {
    listening: SocketAddr,
    shards: Vec<(ShardHandle, Option<JoinHandle<()>>)>,
    stop: watch::Sender<bool>,
    control: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
    log: Option<(PathBuf, MapLog)>,
}

impl Server {
    /// Binds all addresses and starts all threads.
    ///
    /// # Errors
    ///
    /// [`ServeError`]; nothing runs after one.
    pub fn start(config: ServeConfig) -> Result<Self, ServeError> {
        let media = SocketAddr::new(config.media_address, config.media_port);
        if config.advertise.unwrap_or(config.media_address).is_unspecified() {
            return Err(ServeError::NothingToAdvertise(media));
        }
        let address = config.listen;
        let bound = |source| ServeError::Bind { address, protocol: "TCP", source };
        let listener = TcpListener::bind(address).map_err(bound)?;
        listener.set_nonblocking(true).map_err(bound)?;
        let listening = listener.local_addr().map_err(bound)?;
        let identity = Identity::generate().ok_or(ServeError::NoCertificate)?;
        let metrics = Arc::new(Metrics::default());
        let log = match &config.map_log {
            Some(path) => {
                let log = MapLog::create(path);
                Some((path.clone(), log.map_err(|source| ServeError::MapLog { path: path.clone(), source })?))
            }
            None => None,
        };
        let (events, told) = unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let mut server = Self { listening, shards: Vec::new(), stop, control: None, metrics, log };
        for index in 0..config.threads.max(1) {
            let start = shard::Start {
                index,
                config: ServeConfig { threads: config.threads.max(1), ..config.clone() },
                identity: identity.clone(),
                metrics: Arc::clone(&server.metrics),
                log: server.log.as_ref().map(|(_, log)| log.batch()),
                clock: crate::clock::Clock::start(),
                events: events.clone(),
            };
            let (handle, thread) =
                shard::start(start).map_err(|source| ServeError::Bind { address: media, protocol: "UDP", source })?;
            server.shards.push((handle, Some(thread)));
        }
        drop(events);
        let handles = server.shards.iter().map(|(handle, _)| handle.clone()).collect();
        let control = Arc::new(Control::new(config, Arc::clone(&server.metrics), handles));
        let name = "control";
        let failed = |source| ServeError::Thread { name, source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let run = move || {
            runtime.block_on(run_control(&control, listener, told, stopped));
            // Connections that have not ended by now are dropped.
            runtime.shutdown_background();
        };
        server.control = Some(std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(failed)?);
        Ok(server)
    }

    /// Where HTTP and WebSockets are served.
    #[must_use]
    pub fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// Where media is received, shard by shard.
    #[must_use]
    pub fn media(&self) -> Vec<SocketAddr> {
        self.shards.iter().map(|(handle, _)| handle.bound).collect()
    }

    /// What `/metrics` says.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.metrics.text()
    }

    /// Whether all threads run that forward media.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.shards.iter().all(|(handle, _)| handle.runs())
    }

    /// Says goodbye to all clients, ends all threads, and writes the mapping log to its end.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if a thread had ended by itself, or the log cannot be written. Everything is
    /// stopped all the same.
    pub fn stop(mut self) -> Result<(), ServeError> {
        let ended = self.end_threads();
        if let Some((path, log)) = self.log.take() {
            let lost = log.finish().map_err(|source| ServeError::MapLog { path, source })?;
            self.metrics.map_log_lost.store(lost, Ordering::Relaxed);
        }
        ended
    }

    fn end_threads(&mut self) -> Result<(), ServeError> {
        self.stop.send_replace(true);
        let died = |name| ServeError::Thread { name, source: io::Error::other("it has ended by itself") };
        let mut ended = Ok(());
        if let Some(control) = self.control.take() {
            ended = control.join().map_err(|_| died("control"));
        }
        for (handle, _) in &self.shards {
            handle.send(Command::Stop);
        }
        for (_, thread) in &mut self.shards {
            if let Some(thread) = thread.take() {
                ended = thread.join().map_err(|_| died("shard")).and(ended);
            }
        }
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.end_threads();
    }
}

async fn run_control(
    control: &Arc<Control>,
    listener: TcpListener,
    mut told: tokio::sync::mpsc::UnboundedReceiver<shard::command::ShardEvent>,
    stop: watch::Receiver<bool>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut accepting = tokio::spawn(http::serve(Arc::clone(control), listener, stop));
    let mut reap = tokio::time::interval(REAP_EVERY);
    loop {
        tokio::select! {
            Some(event) = told.recv() => control.shard_event(event),
            _ = reap.tick() => control.reap(Instant::now()),
            _ = &mut accepting => break,
        }
    }
    // Open connections end by themselves; they count themselves out.
    let open = || control.metrics.connections.load(Ordering::Relaxed) > 0;
    let deadline = tokio::time::Instant::now() + GOODBYE;
    while open() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a server until SIGINT or SIGTERM, and stops it. `started` is told when it listens. Should a
/// thread of the server's end by itself, it is stopped too, and that is the error.
///
/// Call this before any other thread is started: the signals are blocked, and threads inherit that.
///
/// # Errors
///
/// [`ServeError`].
pub fn run_until_signal(config: ServeConfig, started: impl FnOnce(&Server)) -> Result<String, ServeError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    let failed = |error: nix::Error| ServeError::Signals(error.into());
    signals.thread_block().map_err(failed)?;
    let server = Server::start(config)?;
    started(&server);
    let told = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC).map_err(failed)?;
    loop {
        let mut ready = [PollFd::new(told.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, LOOK_EVERY) {
            // Without one of its threads it would go on, and forward nothing for some rooms.
            Ok(0) if server.runs() => {}
            Ok(0) => break,
            Ok(_) => {
                told.read_signal().map_err(failed)?;
                break;
            }
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let metrics = Arc::clone(&server.metrics);
    server.stop()?;
    Ok(metrics.text())
}
