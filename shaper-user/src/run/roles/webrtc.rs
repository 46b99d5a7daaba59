//! The processes of the WebRTC workload: a server on a host of its own, and one tester whose clients are on the others.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use shaper_common::units::Nanos;
use shaper_engine::clock;
use shaper_net::netns::NetNs;
use shaper_net::role::{Role, RoleSpec};
use shaper_net::signals::Signals;
use shaper_profile::quantity;

use super::Roles;
use super::second::{Second, State};
use crate::run::bed::Bed;
use crate::run::directory::RunDirectory;
use crate::run::execute::nanos;
use crate::run::interrupt::go_on_building;
use crate::run::plan::Plan;
use crate::run::programs::{error_name, output_name};
use crate::run::usage::Watched;
use crate::run::webrtc::{MAP_LOG, PACKET_LOG, SECOND_MAP_LOG};
use crate::run::workload::WebRtcPlan;

/// Where the server listens for HTTP and WebSockets.
const SIGNALLING_PORT: u16 = 3000;
/// Where it receives media.
const MEDIA_PORT: u16 = 40_000;
/// How long it may take until it listens.
const UP_WITHIN: Duration = Duration::from_secs(15);
/// From the decision when the run begins to the start of the tester.
const LEAD: Duration = Duration::from_millis(200);
/// Descriptors that a thousand clients and their server need, with room: two sockets each, and some.
const DESCRIPTORS: u64 = 1 << 16;
/// How long the tester may take beyond the run: clients that are late, packets on their way, and its files.
const OVERTIME: Nanos = Nanos(60_000_000_000);

impl Roles {
    pub(super) fn webrtc(
        webrtc: &WebRtcPlan,
        plan: &Plan,
        bed: &mut Bed,
        directory: &RunDirectory,
        signals: Signals,
    ) -> anyhow::Result<(Self, Nanos)> {
        raise_descriptors()?;
        let address = bed.lab()?.host(WebRtcPlan::SERVER)?.ipv4;
        let signalling = SocketAddr::from((address, SIGNALLING_PORT));
        let server = |map_log: &str| {
            vec![
                "webrtc".into(),
                "serve".into(),
                "--json".into(),
                "--listen".into(),
                signalling.to_string().into(),
                "--media-port".into(),
                MEDIA_PORT.to_string().into(),
                "--map-log".into(),
                directory.file(map_log).into(),
            ]
        };
        let on = bed.lab()?.netns(WebRtcPlan::SERVER)?.another()?;
        let arguments = server(SECOND_MAP_LOG);
        go_on_building(signals)?;
        let mut server = spawn(bed, directory, &on, WebRtcPlan::SERVER, server(MAP_LOG))?;
        wait_until_up(&mut server, &on, signalling, directory, signals)?;

        let start = Nanos(clock::monotonic().saturating_add(nanos(LEAD)));
        bed.begin(start)?;
        signals.wait(Some(LEAD))?;
        let hosts = plan.host_names();
        let of_clients = || hosts.iter().filter(|host| *host != WebRtcPlan::SERVER);
        let mut tester: Vec<OsString> = vec![
            "webrtc".into(),
            "load".into(),
            "--json".into(),
            "--server".into(),
            format!("ws://{signalling}/ws").into(),
            "--clients".into(),
            webrtc.clients.to_string().into(),
            "--duration".into(),
            time(webrtc.sending_ns),
            "--ramp-up".into(),
            time(plan.duration.0.0.saturating_sub(webrtc.sending_ns)),
            "--out".into(),
            directory.path().into(),
            "--packet-log".into(),
            directory.file(PACKET_LOG).into(),
        ];
        for host in of_clients() {
            tester.extend(["--netns".into(), bed.lab()?.netns(host)?.name().into()]);
        }
        tester.extend(webrtc.tester.iter().map(OsString::from));
        let first = of_clients().next().context("the lab has no host for a client")?;
        let of_tester = bed.lab()?.netns(first)?.another()?;
        go_on_building(signals)?;
        let leader = spawn(bed, directory, &of_tester, "tester", tester)?;
        let watched = vec![Watched::new(WebRtcPlan::SERVER, server.pid()), Watched::new("tester", leader.pid())];
        let end = start.saturating_add(plan.duration.0);
        let roles = Self {
            deadline: Some(end.saturating_add(OVERTIME)),
            watched,
            leader_judges: true,
            second: webrtc.kill.map(|kill| Second { kill, start, on, at: signalling, arguments, state: State::Due }),
            ..Self::new(Some(leader), vec![server], Vec::new())
        };
        Ok((roles, start))
    }
}

fn time(ns: u64) -> OsString {
    quantity::Duration(Nanos(ns)).to_string().into()
}

pub(super) fn spawn(
    bed: &Bed,
    directory: &RunDirectory,
    on: &NetNs,
    name: &str,
    arguments: Vec<OsString>,
) -> anyhow::Result<Role> {
    let mut spec = RoleSpec::new(name, arguments);
    spec.stdout = directory.make(&output_name(name))?.into();
    spec.stderr = directory.make(&error_name(name))?.into();
    Ok(Role::spawn(bed.journal(), on, spec)?)
}

/// Waits until the server takes connections.
fn wait_until_up(
    server: &mut Role,
    on: &NetNs,
    at: SocketAddr,
    directory: &RunDirectory,
    signals: Signals,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        go_on_building(signals)?;
        if let Some(status) = server.try_wait()? {
            bail!(
                "the server ended with {status} before it listened{}",
                words_of(&directory.file(&error_name(server.name())))
            );
        }
        if listens(on, at)? {
            return Ok(());
        }
        if begun.elapsed() > UP_WITHIN {
            bail!("the server does not listen at {at} after {} s", UP_WITHIN.as_secs());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether somebody takes connections there.
pub(super) fn listens(on: &NetNs, at: SocketAddr) -> anyhow::Result<bool> {
    const TRY_FOR: Duration = Duration::from_millis(200);
    Ok(on.run(|| TcpStream::connect_timeout(&at, TRY_FOR))?.is_ok())
}

/// The last line that a process wrote on its standard error, for an error of ours.
fn words_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().last().map_or_else(String::new, |line| format!(": {line}"))
}

/// Lets this process and those it starts open as many files as their clients need; fewer where the host allows no more.
fn raise_descriptors() -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    let (soft_wanted, hard_wanted) = (soft.max(DESCRIPTORS), hard.max(DESCRIPTORS));
    if setrlimit(Resource::RLIMIT_NOFILE, soft_wanted, hard_wanted).is_err() {
        // More than the host allows anybody (fs.nr_open).
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")?;
    }
    Ok(())
}
