//! `shaper webrtc load`: its flags, and what is told in the end.

mod told;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use anyhow::Context;
use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;
use shaper_common::units::Nanos;
use shaper_profile::Expectation;
use shaper_profile::expectation::{Figure, Judged, Known, Measured, NoExpectation, Statistic};
use shaper_profile::quantity::Duration;
use shaper_webrtc::load::results::{Percentiles, RESULTS_FILE, SUMMARY_FILE, Summary};
use shaper_webrtc::load::{HostSockets, LoadConfig, Quality, Sockets, Target, run_until_signal};

use super::super::Outcome;

/// `shaper webrtc load`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Frames are sent by a schedule that nothing delays; how late they were is told as the slip. Each packet \
                  carries who sent it and when, so that latency is from payload to payload. The results of each client go \
                  to load_test_results.json, their sums to load_test_summary.json."
)]
pub(super) struct Load {
    /// How many clients
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// How long is sent behind the ramp-up: seconds, or a time such as 2min
    #[arg(short, long, value_name = "TIME", default_value = "30s", value_parser = seconds)]
    duration: StdDuration,
    /// From the first client to the last [default: 5s up to 100 clients, and 20 clients a second beyond]
    #[arg(short, long, value_name = "TIME", value_parser = seconds)]
    ramp_up: Option<StdDuration>,
    /// The server: ws://HOST:PORT/ws, for WHIP and WHEP http://HOST:PORT
    #[arg(short, long, value_name = "URL", default_value = "ws://localhost:3000/ws")]
    server: String,
    /// What clients speak
    #[arg(long, value_enum, default_value_t = Spoken::Simplestchat)]
    target: Spoken,
    /// The bearer token of WHIP and WHEP requests
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The room
    #[arg(long, value_name = "NAME", default_value = "load")]
    room: String,
    /// Rooms, named NAME-0, NAME-1, …; clients take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// The share of clients that publish, from 0 to 1: in each room at least one [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "mode")]
    publish_ratio: Option<f64>,
    /// Who publishes
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Audio tracks that a client subscribes to at most [default: all]
    #[arg(long, value_name = "N")]
    max_audio: Option<usize>,
    /// Video tracks that a client subscribes to at most
    #[arg(long, value_name = "N", default_value_t = 4)]
    max_video: usize,
    /// No video
    #[arg(long, conflicts_with = "video_only")]
    audio_only: bool,
    /// No audio
    #[arg(long)]
    video_only: bool,
    /// Size and rate of video: 1, 2.5 and 4.5 Mbit/s
    #[arg(long, value_enum, default_value_t = Size::P720)]
    quality: Size,
    /// Frames of video a second
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Take no notice of the bandwidth estimate
    #[arg(long)]
    fixed_bitrate: bool,
    /// Send video in three layers
    #[arg(long)]
    simulcast: bool,
    /// Speak half of the time, and send a frame of comfort noise each 400 ms in the other
    #[arg(long)]
    dtx: bool,
    /// Send audio with in-band error correction
    #[arg(long)]
    fec: bool,
    /// Clients a second that leave and come back, once all are there
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = rate)]
    churn_rate: f64,
    /// Restart ICE on each transport so often
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    ice_restart_every: Option<StdDuration>,
    /// How long each stage of a client may take
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = seconds)]
    timeout: StdDuration,
    /// How much longer than a second packets may come in behind the last that is sent
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = seconds)]
    drain: StdDuration,
    /// Threads that handle media [default: as many as CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Network namespaces that clients are in, in turn; several with commas, or the flag again
    #[cfg(feature = "live")]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    netns: Vec<String>,
    /// Write down each packet that is sent or received; a file that exists is replaced
    #[arg(long, value_name = "FILE")]
    packet_log: Option<PathBuf>,
    /// The directory that both files of results go to; it is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// What is demanded, such as 'p95(e2e) < 200ms', 'connected >= 95%', 'received >= 99.9%' or 'slip < 20ms'; exit
    /// code 1 if it does not hold
    #[arg(long, value_name = "EXPECTATION", value_parser = expectation)]
    expect: Vec<Expectation>,
    /// Print the summary alone, as a line of JSON; a line with the time is on standard error when the ramp-up begins
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Spoken {
    Simplestchat,
    Whip,
    Whep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// 1 % publish
    Webinar,
    /// 10 %
    Panel,
    /// 20 %
    Classroom,
    /// All
    Conference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    #[value(name = "480p")]
    P480,
    #[value(name = "720p")]
    P720,
    #[value(name = "1080p")]
    P1080,
}

impl Mode {
    const fn publish_ratio(self) -> f64 {
        match self {
            Self::Webinar => 0.01,
            Self::Panel => 0.1,
            Self::Classroom => 0.2,
            Self::Conference => 1.0,
        }
    }
}

/// A time, or whole seconds as other load testers have them.
fn seconds(text: &str) -> Result<StdDuration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(StdDuration::from_secs(u64::from(seconds)));
    }
    let Duration(Nanos(nanos)) = text.parse::<Duration>().map_err(|error| error.to_string())?;
    Ok(StdDuration::from_nanos(nanos))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is expected, such as 0.1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0 to 1000 is expected, such as 0.5".to_owned())
}

const KNOWN: Known<'_> = Known {
    figures: &Figure::OF_A_LOAD,
    statistics: &[Statistic::Mean, Statistic::P50, Statistic::P90, Statistic::P95, Statistic::P99, Statistic::Max],
    ..Known::NOTHING
};

fn expectation(text: &str) -> Result<Expectation, NoExpectation> {
    let expectation: Expectation = text.parse()?;
    expectation.among(&KNOWN)?;
    Ok(expectation)
}

/// The summary, and what came of what was expected.
#[derive(Serialize)]
struct Told<'t> {
    #[serde(flatten)]
    summary: &'t Summary,
    expectations: &'t [Judged],
}

impl Load {
    /// Whether sockets are made in namespaces.
    #[cfg(feature = "live")]
    pub(super) const fn is_inside(&self) -> bool {
        !self.netns.is_empty()
    }

    fn config(&self) -> anyhow::Result<LoadConfig> {
        Ok(LoadConfig {
            target: match self.target {
                Spoken::Simplestchat => Target::SimplestChat,
                Spoken::Whip => Target::Whip,
                Spoken::Whep => Target::Whep,
            },
            server: self.server.clone(),
            token: self.token.clone(),
            clients: self.clients.try_into()?,
            duration: self.duration,
            ramp_up: self.ramp_up,
            drain: self.drain,
            timeout: self.timeout,
            room: self.room.clone(),
            rooms: self.rooms.try_into()?,
            audio: !self.video_only,
            video: !self.audio_only,
            publish_ratio: self.mode.map(Mode::publish_ratio).or(self.publish_ratio).unwrap_or(1.0),
            max_audio: self.max_audio.unwrap_or(usize::MAX),
            max_video: self.max_video,
            quality: match self.quality {
                Size::P480 => Quality::P480,
                Size::P720 => Quality::P720,
                Size::P1080 => Quality::P1080,
            },
            fps: self.fps,
            fixed_bitrate: self.fixed_bitrate,
            simulcast: self.simulcast,
            dtx: self.dtx,
            fec: self.fec,
            churn_per_second: self.churn_rate,
            ice_restart_every: self.ice_restart_every,
            workers: self.workers.map(usize::from),
            packet_log: self.packet_log.clone(),
            sockets: self.sockets()?,
            ..LoadConfig::default()
        })
    }

    #[cfg(feature = "live")]
    fn sockets(&self) -> anyhow::Result<Arc<dyn Sockets>> {
        Ok(if self.is_inside() { Arc::new(inside::Inside::open(&self.netns)?) } else { Arc::new(HostSockets) })
    }

    #[cfg(not(feature = "live"))]
    fn sockets(&self) -> anyhow::Result<Arc<dyn Sockets>> {
        Ok(Arc::new(HostSockets))
    }
}

/// Runs the load, and writes and tells what it measured.
pub(super) fn run(args: &Load) -> anyhow::Result<Outcome> {
    #[cfg(feature = "live")]
    if args.is_inside() {
        crate::capabilities::Task::WorkloadInside.demand()?;
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make the directory {}", args.out.display()))?;
    let outcome = run_until_signal(args.config()?, |started| {
        if args.json {
            let line = serde_json::json!({"started": started.realtime_ns, "monotonic_ns": started.monotonic_ns});
            // Where nobody listens, the summary has it too.
            let _ = writeln!(io::stderr(), "{line}");
        }
    })?;
    let summary = &outcome.summary;
    let judged: Vec<Judged> = args.expect.iter().map(|one| one.judge(measure(one, summary))).collect();
    let told = Told { summary, expectations: &judged };
    write_json(&args.out.join(RESULTS_FILE), &outcome.clients)?;
    write_json(&args.out.join(SUMMARY_FILE), &told)?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string(&told)?)?;
    } else {
        told::tell(summary, &judged, &args.out)?;
    }
    let held = summary.media_flowed && judged.iter().all(|judged| judged.held);
    Ok(if held { Outcome::Held } else { Outcome::Failed })
}

fn write_json(path: &Path, what: &impl Serialize) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut file = io::BufWriter::new(fs::File::create(path).with_context(failed)?);
    serde_json::to_writer_pretty(&mut file, what).with_context(failed)?;
    writeln!(file).and_then(|()| file.flush()).with_context(failed)
}

fn measure(expectation: &Expectation, summary: &Summary) -> Option<Measured> {
    let time = |of: &Option<Percentiles>| {
        let of = of.as_ref()?;
        let millis = match expectation.statistic {
            Statistic::Mean => of.mean_ms,
            Statistic::P50 => of.p50_ms,
            Statistic::P90 => of.p90_ms,
            Statistic::P95 => of.p95_ms,
            Statistic::P99 => of.p99_ms,
            Statistic::Max => of.max_ms,
            Statistic::Min | Statistic::P999 => return None,
        };
        Some(Measured::time(millis * 1e6, expectation.statistic))
    };
    match expectation.figure {
        Figure::E2e => time(&summary.e2e),
        Figure::Slip => time(&summary.schedule_slip),
        Figure::Connected => Measured::share(summary.successful_connections, summary.total_clients),
        Figure::Received => Measured::share(summary.total_packets_received, summary.packets_expected),
        _ => None,
    }
}

#[cfg(feature = "live")]
mod inside {
    //! Sockets of clients in network namespaces: they stay in the one that they were made in.

    use std::io;
    use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
    use std::time::Duration;

    use anyhow::Context;
    use shaper_net::netns::NetNs;
    use shaper_webrtc::load::{HostSockets, Sockets};

    pub(super) struct Inside(Vec<NetNs>);

    impl Inside {
        pub(super) fn open(names: &[String]) -> anyhow::Result<Self> {
            let open = |name: &String| NetNs::open(name).with_context(|| format!("--netns {name}"));
            names.iter().map(open).collect::<anyhow::Result<_>>().map(Self)
        }

        fn of(&self, client: usize) -> io::Result<&NetNs> {
            let place = client.checked_rem(self.0.len()).and_then(|place| self.0.get(place));
            place.ok_or_else(|| io::Error::other("no namespace"))
        }
    }

    impl Sockets for Inside {
        fn tcp(&self, client: usize, server: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
            self.of(client)?.run(|| HostSockets.tcp(client, server, timeout)).map_err(io::Error::other)?
        }

        fn udp(&self, client: usize, server: IpAddr) -> io::Result<UdpSocket> {
            self.of(client)?.run(|| HostSockets.udp(client, server)).map_err(io::Error::other)?
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        assert_eq!(seconds("30").unwrap(), StdDuration::from_secs(30));
        assert_eq!(seconds("250ms").unwrap(), StdDuration::from_millis(250));
        assert!(seconds("-1").is_err() && seconds("soon").is_err());
        assert!(share("1.1").is_err() && rate("nan").is_err());
    }

    #[test]
    fn expectations_are_held_against_the_summary() {
        let percentiles = Percentiles { count: 1, p95_ms: 150.0, p99_ms: 250.0, ..Percentiles::default() };
        let summary = Summary {
            total_clients: 20,
            successful_connections: 19,
            packets_expected: 1000,
            total_packets_received: 998,
            e2e: Some(percentiles),
            ..Summary::default()
        };
        for (text, held) in [
            ("p95(e2e) < 200ms", true),
            ("e2e < 200ms", false),
            ("connected >= 95%", true),
            ("received >= 99.9%", false),
            // What was not measured is not as it should be.
            ("slip < 20ms", false),
        ] {
            let expectation = expectation(text).unwrap();
            assert_eq!(expectation.judge(measure(&expectation, &summary)).held, held, "{text}");
        }
        assert!(expectation("loss.up < 1%").is_err());
    }
}
