//! A run from its begin to its results.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Uri;
use nix::sys::signal::{SigSet, Signal};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::{Client, Common, over};
use super::config::{LoadConfig, Target};
use super::latency::Latency;
use super::plan::parts;
use super::resources;
use super::results::{ClientResult, Run, Signalled, Summary, Tester, clients as client_results, findings, summary};
use super::worker::command::Command;
use super::worker::report::WorkerReport;
use super::worker::{self, Progress, WorkerHandle};
use crate::clock::{self, Clock};
use crate::identity::Identity;
use crate::packet_log::PacketLog;

/// How long packets may still come in after the last was sent, at least.
const DRAIN: Duration = Duration::from_secs(1);
/// How long all clients together may take to leave.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why a load cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A setting cannot be.
    #[error("{0}")]
    Setting(String),
    /// The packet log cannot be written.
    #[error("cannot write the packet log {}: {source}", path.display())]
    PacketLog {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There may not be enough file descriptors.
    #[error(
        "{clients} clients need {needed} file descriptors, and this process may have {allowed}: \
         raise the limit (ulimit -n) or ask for fewer clients"
    )]
    Descriptors {
        /// How many clients.
        clients: usize,
        /// How many they need.
        needed: u64,
        /// How many there may be.
        allowed: u64,
    },
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

/// Ends a run before its time.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// One that has not been asked for.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Asks for it. What was measured until then is the result.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

/// Told when the ramp-up begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// CLOCK_REALTIME.
    pub realtime_ns: u64,
    /// CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
}

/// What a run measured.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// In order.
    pub clients: Vec<ClientResult>,
    /// All together.
    pub summary: Summary,
}

/// Runs a load until SIGINT or SIGTERM or its end.
///
/// Call this before any other thread is started: the signals are blocked, and threads inherit that.
///
/// # Errors
///
/// [`LoadError`].
pub fn run_until_signal(config: LoadConfig, started: impl FnOnce(Started)) -> Result<Outcome, LoadError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().map_err(|error| LoadError::Signals(error.into()))?;
    let stop = Stop::new();
    let asked = stop.clone();
    // It ends with the process.
    let wait = move || {
        if signals.wait().is_ok() {
            asked.stop();
        }
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map_err(|source| LoadError::Thread { name: "signals", source })?;
    run(config, &stop, started)
}

/// Runs a load. `started` is told when the ramp-up begins.
///
/// # Errors
///
/// [`LoadError`]: it could not be run. What fails while it runs is in its results.
pub fn run(config: LoadConfig, stop: &Stop, started: impl FnOnce(Started)) -> Result<Outcome, LoadError> {
    check(&config)?;
    resources::allow_descriptors(config.clients).map_err(|(needed, allowed)| LoadError::Descriptors {
        clients: config.clients,
        needed,
        allowed,
    })?;
    let identity = Identity::generate().ok_or(LoadError::NoCertificate)?;
    let log = config
        .packet_log
        .as_ref()
        .map(|path| PacketLog::create(path).map_err(|source| LoadError::PacketLog { path: path.clone(), source }));
    let log = log.transpose()?;
    let server = resolve(&config.server);
    let progress: Progress = Arc::new((0..config.clients).map(|_| AtomicU64::new(0)).collect());
    let workers = Workers::start(&config, &progress, log.as_ref())?;
    let (cpu_before, used_since) = (resources::cpu_time(), Instant::now());
    let (monotonic_ns, realtime_ns) = clock::pair();
    started(Started { realtime_ns, monotonic_ns });
    let name = "signalling";
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| LoadError::Thread { name, source })?;
    let common = Arc::new(Common {
        server,
        identity,
        workers: workers.handles.clone(),
        progress,
        producers: Mutex::default(),
        legs: AtomicU64::new(0),
        config,
    });
    let Ended { signalled, sent_for, interrupted, fds } = runtime.block_on(signalling(&common, stop));
    // Connections that are still being made are dropped.
    runtime.shutdown_background();
    let count = workers.handles.len();
    let reports = workers.finish()?;
    let (mut packet_log_lost, mut packet_log_fault) = (0, None);
    if let (Some(log), Some(path)) = (log, &common.config.packet_log) {
        match log.finish() {
            Ok(lost) => packet_log_lost = lost,
            // What was measured stays.
            Err(source) => packet_log_fault = Some(LoadError::PacketLog { path: path.clone(), source }.to_string()),
        }
    }
    let cpu_seconds = resources::cpu_time().saturating_sub(cpu_before).as_secs_f64();
    let tester = Tester {
        cpu_seconds,
        cpus_used: cpu_seconds / used_since.elapsed().as_secs_f64().max(1e-3),
        cpus: resources::cpus(),
        memory_bytes: resources::memory(),
        fds,
        workers: count,
    };
    let (mut slip, mut e2e) = (Latency::default(), Latency::default());
    let mut legs = Vec::new();
    for report in reports {
        slip.add(&report.slip);
        legs.extend(report.legs);
    }
    for leg in &legs {
        e2e.add(&leg.e2e);
    }
    let run = Run {
        target: common.config.target,
        started_realtime_ns: realtime_ns,
        started_monotonic_ns: monotonic_ns,
        took: sent_for,
        interrupted,
        slip,
        e2e,
        packet_log_lost,
        tester,
    };
    let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3);
    let producers: HashMap<String, (u32, u32)> =
        std::mem::take(&mut *common.producers.lock().unwrap_or_else(PoisonError::into_inner));
    let clients = client_results(signalled, &legs, &producers, timestamp);
    let mut summary = summary(&clients, &run);
    summary.findings = findings(&summary, &clients);
    summary.findings.extend(packet_log_fault.map(|fault| format!("{fault}: it is not whole")));
    Ok(Outcome { clients, summary })
}

fn check(config: &LoadConfig) -> Result<(), LoadError> {
    let wrong = |problem: String| Err(LoadError::Setting(problem));
    if config.clients == 0 {
        return wrong("no clients: at least one is needed".to_owned());
    }
    if !config.audio && !config.video {
        return wrong("neither audio nor video: nothing would be sent".to_owned());
    }
    if !(1..=120).contains(&config.fps) {
        return wrong(format!("{} frames a second: 1 to 120 can be sent", config.fps));
    }
    let lasts = config.ramp_up() + config.duration;
    for (client, at) in &config.faults.kills {
        if *client >= config.clients {
            return wrong(format!("client {client} cannot be killed: clients are 0 to {}", config.clients - 1));
        }
        if *at >= lasts {
            let (at, lasts) = (at.as_secs_f64(), lasts.as_secs_f64());
            return wrong(format!(
                "client {client} cannot be killed at {at} s: the run is over by then, after {lasts} s"
            ));
        }
    }
    let of_rooms = [
        (config.simulcast, "simulcast"),
        (config.churn_per_second > 0.0, "churn"),
        (config.ice_restart_every.is_some(), "ICE restarts"),
    ];
    if config.target != Target::SimplestChat
        && let Some((_, what)) = of_rooms.iter().find(|(asked, _)| *asked)
    {
        return wrong(format!("{what}: only with SimplestChat, not with WHIP and WHEP"));
    }
    let scheme = match config.target {
        Target::SimplestChat => "ws",
        Target::Whip | Target::Whep => "http",
    };
    let url = config.server.parse::<Uri>().ok().filter(has_host_and_port);
    match url {
        Some(url) if url.scheme_str() == Some(scheme) => Ok(()),
        _ => wrong(format!("{:?} is no server for this target: {scheme}://HOST:PORT is expected", config.server)),
    }
}

/// Whether there is a host, and a port that is one if there is any.
fn has_host_and_port(url: &Uri) -> bool {
    let has_port = |host: &str| url.authority().is_some_and(|authority| !authority.as_str().ends_with(host));
    url.host().is_some_and(|host| url.port_u16().is_some() || !has_port(host))
}

/// Where a server is.
fn resolve(url: &str) -> Result<SocketAddr, String> {
    let url: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut found = (host.as_str(), url.port_u16().unwrap_or(80))
        .to_socket_addrs()
        .map_err(|error| format!("cannot resolve {host}: {error}"))?;
    // A name that has both is most often a local one whose server listens on IPv4.
    let all: Vec<SocketAddr> = found.by_ref().collect();
    let first = all.iter().find(|address| address.is_ipv4()).or_else(|| all.first());
    first.copied().ok_or_else(|| format!("{host} has no address"))
}

/// The threads that handle media.
struct Workers {
    handles: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<WorkerReport>>,
}

impl Workers {
    fn start(config: &LoadConfig, progress: &Progress, log: Option<&PacketLog>) -> Result<Self, LoadError> {
        let count = config.workers.unwrap_or_else(resources::cpus).clamp(1, config.clients.max(1));
        let mut workers = Self { handles: Vec::new(), threads: Vec::new() };
        let began = std::time::Instant::now();
        for index in 0..count {
            let start = worker::Start {
                index,
                clock: Clock::start(),
                began,
                log: log.map(PacketLog::batch),
                progress: Arc::clone(progress),
                faults: config.faults.clone(),
            };
            let name = "load";
            let (handle, thread) = worker::start(start).map_err(|source| LoadError::Thread { name, source })?;
            workers.handles.push(handle);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    fn finish(mut self) -> Result<Vec<WorkerReport>, LoadError> {
        for handle in &self.handles {
            handle.send(Command::Stop);
        }
        let died = |_| LoadError::Thread { name: "load", source: io::Error::other("it has ended by itself") };
        std::mem::take(&mut self.threads).into_iter().map(|thread| thread.join().map_err(died)).collect()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for handle in &self.handles {
            handle.send(Command::Stop);
        }
    }
}

/// What is known when all clients have ended.
struct Ended {
    signalled: Vec<Signalled>,
    sent_for: Duration,
    interrupted: bool,
    /// Descriptors when sending ended.
    fds: u64,
}

/// Runs all clients.
async fn signalling(common: &Arc<Common>, stop: &Stop) -> Ended {
    let config = &common.config;
    let start = Instant::now();
    let (ending, is_over) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut churns = Vec::new();
    let parts = parts(config);
    for (index, part) in parts.iter().cloned().enumerate() {
        // Who is away already is not asked twice.
        let (churn, asked) = channel(1);
        churns.push(churn);
        let client = Client::new(Arc::clone(common), index, part, is_over.clone(), asked);
        tasks.spawn(client.run(start));
    }
    let until = start + config.ramp_up() + config.duration;
    let mut stopped = stop.0.subscribe();
    let interrupted = tokio::select! {
        () = sleep_until(until) => false,
        () = over(&mut stopped) => true,
        () = churn(config.churn_per_second, start + config.ramp_up(), &churns) => false,
    };
    for worker in &common.workers {
        worker.send(Command::StopSending);
    }
    let (sent_for, fds) = (start.elapsed(), resources::fds());
    sleep(DRAIN).await;
    // Who ends it early, or while packets may still come, does not wait for that.
    let interrupted = tokio::select! {
        biased;
        () = over(&mut stopped) => true,
        () = sleep(config.drain) => interrupted,
    };
    ending.send_replace(true);
    let mut told: HashMap<usize, Signalled> = HashMap::new();
    let leaving = async {
        while let Some(ended) = tasks.join_next().await {
            if let Ok(signalled) = ended {
                told.insert(signalled.client, signalled);
            }
        }
    };
    let _ = timeout(GOODBYE, leaving).await;
    // Whoever has not come to an end has that for its error.
    let missing = |index: usize, room: &str, publishes: bool| Signalled {
        client: index,
        room: room.to_owned(),
        publishes,
        failed_stage: Some(super::failure::Stage::Signalling),
        errors: vec!["signalling: it did not come to its end".to_owned()],
        ..Signalled::default()
    };
    let all = parts.iter().enumerate();
    let all =
        all.map(|(index, part)| told.remove(&index).unwrap_or_else(|| missing(index, &part.room, part.publishes)));
    Ended { signalled: all.collect(), sent_for, interrupted, fds }
}

/// Lets clients leave and come back, one after the other, for ever.
async fn churn(per_second: f64, from: Instant, clients: &[Sender<()>]) {
    if per_second <= 0.0 {
        return std::future::pending().await;
    }
    let every = Duration::try_from_secs_f64(1.0 / per_second).unwrap_or(Duration::MAX);
    sleep_until(from).await;
    for client in clients.iter().cycle() {
        sleep(every).await;
        // One that has ended does not come back.
        let _ = client.try_send(());
    }
}
