//! A lab with an impaired link, built to see whether it can be: step by step, so that it is known which one
//! fails.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Context;
use shaper_engine::{Engine, EngineKind, Error, Keep, Options, Recording, Site, SiteSpec};
use shaper_net::lab::LabSpec;
use shaper_profile::quantity;
use shaper_profile::{Compile, Link};

use super::{Finding, in_full};
use crate::run::{Bed, BedOptions, Ground};

const BED: &str = "namespaces, veth";
const CAPTURE: &str = "libpcap";
const ENGINE: &str = "AF_XDP link";
const CROSSING: &str = "packets cross";
/// The engine that needs fq.
pub(super) const EDT: &str = "engine edt";

/// Tries each step as far as the one before it went.
pub(super) fn findings(privileged: bool) -> Vec<Finding> {
    let untried = |items: &[&'static str], why: &str| -> Vec<Finding> {
        items.iter().map(|item| Finding::unknown(*item, why)).collect()
    };
    if !privileged {
        return untried(&[BED, CAPTURE, EDT, ENGINE, CROSSING], "tried where the capabilities for it are there");
    }
    let built = Ground::prepare("doctor").and_then(|ground| Ok((Bed::up(&LabSpec::pair(), &ground)?, ground)));
    let (mut bed, ground) = match built {
        Ok(built) => built,
        Err(error) => {
            let advice = "the kernel needs CONFIG_NET_NS and CONFIG_VETH, a container the right to make namespaces";
            let mut all = vec![Finding::no(BED, in_full(&error), advice)];
            all.extend(untried(&[CAPTURE, EDT, ENGINE, CROSSING], "there is no lab to try it in"));
            return all;
        }
    };
    let mut all = vec![Finding::yes(BED, "a lab of two hosts stood"), capture(&bed), edt(&bed, &ground)];
    match impair(&mut bed) {
        Ok(()) => all.extend([Finding::yes(ENGINE, "XDP in driver mode and AF_XDP sockets on veth"), crossing(&bed)]),
        Err(error) => {
            let advice = "the kernel needs CONFIG_XDP_SOCKETS and CONFIG_BPF_SYSCALL";
            all.push(Finding::no(ENGINE, in_full(&error), advice));
            all.extend(untried(&[CROSSING], "there is no link to try it on"));
        }
    }
    if let Err(error) = bed.down().and_then(|()| ground.clear()) {
        all.push(Finding::no("clean-up", in_full(&error), "shaper clear"));
    }
    all
}

fn capture(bed: &Bed) -> Finding {
    let tried = || -> anyhow::Result<()> {
        let lab = bed.lab()?;
        let host = lab.hosts().first().context("a lab without hosts")?;
        lab.netns(&host.name)?.run(|| {
            pcap::Capture::from_device(host.ifname.as_str())?.precision(pcap::Precision::Nano).open().map(drop)
        })??;
        Ok(())
    };
    match tried() {
        Ok(()) => Finding::yes(CAPTURE, "captures in nanoseconds"),
        Err(error) => Finding::no(CAPTURE, in_full(&error), "install libpcap 1.5 or later (Debian: libpcap0.8)"),
    }
}

fn edt(bed: &Bed, ground: &Ground) -> Finding {
    let tried = || -> anyhow::Result<Option<Error>> {
        let lab = bed.lab()?;
        let host = lab.hosts().first().context("a lab without hosts")?;
        let spec = SiteSpec {
            site: Site::Interface(host.ifname.clone()),
            directions: Default::default(),
            led: [false, false],
        };
        let options = Options { engine: EngineKind::Edt, keep: Keep::Nothing, ..Options::default() };
        Ok(Engine::start_at(lab.netns(&host.name)?, ground.journal(), spec, options).err())
    };
    let advice = "nothing: engine xsk does without";
    match tried() {
        Ok(None) => Finding::yes(EDT, "fq holds packets by departure times"),
        Ok(Some(error @ Error::NoFq)) => Finding::no(EDT, error.to_string(), advice),
        Ok(Some(error)) => Finding::no(EDT, error.to_string(), "engine xsk may do: shaper apply --engine xsk"),
        Err(error) => Finding::unknown(EDT, in_full(&error)),
    }
    .optional()
}

fn impair(bed: &mut Bed) -> anyhow::Result<()> {
    const FRAMES: u32 = 1 << 13;
    let horizon = quantity::Duration::from_millis(60_000);
    let link = Link::default().compile(&Compile { seed: 1, link: 0, horizon })?;
    let engine = Options { frames: FRAMES, recording: Recording::Off, keep: Keep::Nothing, ..Options::default() };
    bed.impair(&[link], &BedOptions { engine, straight: false })
}

fn crossing(bed: &Bed) -> Finding {
    let advice = "please report it with the output of `shaper doctor --json`";
    match round_trip(bed) {
        Ok(took) => Finding::yes(CROSSING, format!("there and back in {:.2} ms", took.as_secs_f64() * 1e3)),
        Err(error) => Finding::no(CROSSING, in_full(&error), advice),
    }
}

/// The shortest of some round trips of a datagram between the hosts: the first one waits for ARP.
fn round_trip(bed: &Bed) -> anyhow::Result<Duration> {
    const PATIENCE: Duration = Duration::from_secs(2);
    const TRIPS: usize = 5;
    let lab = bed.lab()?;
    let bound = |name: &str| -> anyhow::Result<(UdpSocket, SocketAddr)> {
        let address = SocketAddr::from((lab.host(name)?.ipv4, 0));
        let socket = lab.netns(name)?.run(|| UdpSocket::bind(address))??;
        socket.set_read_timeout(Some(PATIENCE))?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    let (a, at_a) = bound("a")?;
    let (b, at_b) = bound("b")?;
    let mut shortest = Duration::MAX;
    let mut buffer = [0u8; 16];
    for _ in 0..TRIPS {
        let start = Instant::now();
        a.send_to(b"there", at_b)?;
        b.recv_from(&mut buffer).context("a datagram from a did not reach b")?;
        b.send_to(b"back", at_a)?;
        a.recv_from(&mut buffer).context("a datagram from b did not reach a")?;
        shortest = shortest.min(start.elapsed());
    }
    Ok(shortest)
}
