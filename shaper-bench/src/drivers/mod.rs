//! What the drivers of a kernel can do, and what our engines do on each: the rows of docs/kernel-matrix.md.
//!
//! veth in namespaces of our own, and devices of a guest that nobody uses yet, whose other end answers echo requests.

mod echo;
mod feature;

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use shaper_net::netns::NetNs;
use shaper_net::rtnl::Rtnl;

use crate::Session;
use crate::host::Host;
use crate::netem::bed::{Bed, DEVICE, TO};
use crate::netem::engine::Shaper;
use feature::Finding;

/// What the lines begin with that hold results.
const LINE: &str = "SHAPER-DRIVER ";

/// What a caller may ask for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The `shaper` that is tried; that beside this program where nothing is said.
    #[arg(long, value_name = "FILE")]
    shaper: Option<PathBuf>,
    /// Our engines, by the names that `shaper apply --engine` knows; one that cannot be put up is reported with the reason.
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "xsk,edt")]
    engines: Vec<String>,
    /// Drivers of devices beside veth, of each the first device that is down: that of the first gets 10.78.0.2, that of the
    /// second 10.78.1.2, and 10.78.0.1 and 10.78.1.1 answer at their other ends.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    nics: Vec<String>,
}

/// A device under test.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) netns: NetNs,
    /// Who answers at the other end.
    pub(crate) peer: Ipv4Addr,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    kernel: &'a str,
    driver: &'a str,
    /// None for what the driver does by itself.
    engine: Option<&'a str>,
    #[serde(flatten)]
    finding: &'a Finding,
}

pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<()> {
    let shaper = Shaper::find(arguments.shaper.as_deref())?;
    let kernel = Host::read().kernel;
    let bed = Bed::up(session)?;
    let mut devices =
        vec![("veth", Device { name: DEVICE.into(), index: bed.device, netns: bed.near.another()?, peer: TO })];
    for (number, driver) in arguments.nics.iter().enumerate() {
        devices.push((driver, taken(driver, u8::try_from(number)?)?));
    }
    let mut failed = 0;
    for (driver, device) in &devices {
        let mut say = |engine: Option<&str>, finding: &Finding| {
            failed += u32::from(finding.is_failure());
            let line = Line { kernel: &kernel, driver, engine, finding };
            let mut out = std::io::stdout().lock();
            writeln!(out, "{LINE}{}", serde_json::to_string(&line)?)?;
            anyhow::Ok(out.flush()?)
        };
        session.check()?;
        for finding in feature::of_driver(device)? {
            say(None, &finding)?;
        }
        for engine in &arguments.engines {
            session.check()?;
            for finding in feature::of_engine(device, &shaper, engine)? {
                say(Some(engine), &finding)?;
            }
        }
    }
    drop(devices);
    bed.down()?;
    ensure!(failed == 0, "{failed} features do not work as they should");
    Ok(())
}

/// The first device of a driver that is down, taken into use.
fn taken(driver: &str, number: u8) -> Result<Device> {
    let rtnl = Rtnl::open()?;
    let is_its = |name: &str| {
        fs::read_link(format!("/sys/class/net/{name}/device/driver"))
            .is_ok_and(|link| link.file_name().is_some_and(|last| last == driver))
    };
    let link = rtnl.links()?.into_iter().find(|link| !link.up && is_its(&link.name));
    let link = link.with_context(|| format!("{driver}: no device of this driver here that is down"))?;
    rtnl.set_up(link.index, true)?;
    rtnl.add_address(link.index, IpAddr::V4(Ipv4Addr::new(10, 78, number, 2)), 24)?;
    let peer = Ipv4Addr::new(10, 78, number, 1);
    Ok(Device { name: link.name, index: link.index, netns: NetNs::current()?, peer })
}
