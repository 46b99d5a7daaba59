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
use shaper_profile::Expectation;
use shaper_profile::expectation::{Figure, Judged, Known, Measured, NoExpectation, Statistic};
use shaper_webrtc::load::results::{Percentiles, RESULTS_FILE, SUMMARY_FILE, Summary};
use shaper_webrtc::load::{HostSockets, LoadConfig, Sockets, Target, run_until_signal};

use super::super::Outcome;
use super::media_flags::{MediaFlags, seconds};

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
    #[command(flatten)]
    media: MediaFlags,
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
            packet_log: self.packet_log.clone(),
            sockets: self.sockets()?,
            ..self.media.config()?
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
