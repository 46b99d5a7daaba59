//! Which engine holds the packets of an interface, and why that one.

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use shaper_engine::{Engine, EngineKind, Error, Options, SiteSpec};
use shaper_net::journal::Journal;
use shaper_net::netns::NetNs;

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

impl EngineChoice {
    /// Puts up the engine that is asked for, and says why it is that one.
    ///
    /// # Errors
    ///
    /// Engines that cannot do what is asked for, and whatever keeps one from coming up.
    pub(super) fn start(
        self,
        netns: &NetNs,
        journal: &Journal,
        spec: SiteSpec,
        options: Options,
    ) -> anyhow::Result<(Engine, &'static str)> {
        let start = |spec, engine| Engine::start_at(netns, journal, spec, Options { engine, ..options });
        match self {
            Self::Edt if options.busy_poll => {
                bail!("--busy-poll is of engine xsk's delay line: leave it out, or use --engine xsk")
            }
            Self::Edt => Ok((start(spec, EngineKind::Edt)?, "as you said")),
            Self::Xsk => Ok((start(spec, EngineKind::Xsk)?, "as you said")),
            Self::Auto if options.busy_poll => Ok((start(spec, EngineKind::Xsk)?, "its delay line can spin")),
            Self::Auto => match start(spec.clone(), EngineKind::Edt) {
                Err(Error::NoFq) => Ok((start(spec, EngineKind::Xsk)?, "this kernel has no fq, which edt needs")),
                started => Ok((started?, "this kernel has fq, which needs no process to hold packets")),
            },
        }
    }
}
