//! Which engine holds the packets of an interface, where they are taken, and why so.

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use shaper_engine::{Engine, EngineKind, Error, Options, Site, SiteSpec};
use shaper_net::journal::Journal;
use shaper_net::rtnl::Link;

use super::place::Place;

/// Which engine is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EngineChoice {
    /// edt where the kernel has fq, else xsk
    #[default]
    Auto,
    /// The kernel's fq holds packets, by departure times
    Edt,
    /// A delay line in userspace holds packets
    Xsk,
}

/// Where packets of a bridge are to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HookChoice {
    /// With engine xsk by XDP where both interfaces are hardware, else by TC
    #[default]
    Auto,
    /// By TC programs, which lead them to a pair of devices of ours
    Tc,
    /// By XDP at the interfaces themselves: the driver's, or else the generic one
    Xdp,
}

/// What was chosen.
pub(super) struct Chosen {
    pub(super) engine: Engine,
    /// Why.
    pub(super) why: String,
}

/// Puts up the engine that is asked for.
///
/// # Errors
///
/// Engines that cannot do what is asked for, and whatever keeps one from coming up.
pub(super) fn start(
    (engine, hook): (EngineChoice, HookChoice),
    place: &Place,
    journal: &Journal,
    spec: SiteSpec,
    options: Options,
) -> anyhow::Result<Chosen> {
    let start =
        |spec, engine, at_ports| Engine::start_at(&place.netns, journal, spec, Options { engine, at_ports, ..options });
    let by_xsk = |why: &str| {
        let between = matches!(spec.site, Site::Between(..));
        match hook {
            HookChoice::Xdp => Ok(Chosen { engine: start(spec.clone(), EngineKind::Xsk, true)?, why: why.into() }),
            HookChoice::Auto if between && place.links.iter().all(is_hardware) => {
                match start(spec.clone(), EngineKind::Xsk, true) {
                    Ok(engine) => Ok(Chosen { engine, why: why.into() }),
                    Err(error) => {
                        let why = format!("{why}; not by XDP at the interfaces: {error}");
                        Ok(Chosen { engine: start(spec.clone(), EngineKind::Xsk, false)?, why })
                    }
                }
            }
            HookChoice::Auto | HookChoice::Tc => {
                Ok(Chosen { engine: start(spec.clone(), EngineKind::Xsk, false)?, why: why.into() })
            }
        }
    };
    let by_edt = || start(spec.clone(), EngineKind::Edt, false);
    match engine {
        EngineChoice::Edt if options.busy_poll => {
            bail!("--busy-poll is of engine xsk's delay line: leave it out, or use --engine xsk")
        }
        EngineChoice::Edt if hook == HookChoice::Xdp => {
            bail!("engine edt takes packets by TC: leave --hook xdp out, or use --engine xsk")
        }
        EngineChoice::Edt => Ok(Chosen { engine: by_edt()?, why: "as you said".into() }),
        EngineChoice::Xsk => by_xsk("as you said"),
        EngineChoice::Auto if options.busy_poll => by_xsk("its delay line can spin"),
        EngineChoice::Auto if hook == HookChoice::Xdp => by_xsk("it takes packets by XDP"),
        EngineChoice::Auto => match by_edt() {
            Ok(engine) => {
                Ok(Chosen { engine, why: "this kernel has fq, which needs no process to hold packets".into() })
            }
            Err(Error::NoFq) => by_xsk("this kernel has no fq, which edt needs"),
            // What is wrong with the interface is wrong for both.
            Err(error @ (Error::Site { .. } | Error::TooManyDirections { .. })) => Err(error.into()),
            Err(error) => by_xsk(&format!("edt does not come up here: {error}")),
        },
    }
}

/// Whether a driver of hardware is behind an interface, whose XDP is free. What is only software has a kind.
fn is_hardware(link: &Link) -> bool {
    link.kind.is_empty() && !link.xdp
}
