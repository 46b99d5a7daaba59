//! What impairs the near host's interface, put up and taken down again.

use anyhow::{Context as _, Result, bail};
use shaper_bpf::{Exclusion, Object, Program, Room};
use shaper_net::rtnl::{FilterSpec, FqSettings, QdiscSpec, ROOT, Rtnl};

use super::bed::{Bed, DEVICE};
use super::engine::{Asked, Running, Shaper, WITH};
use super::setting::{BAD, DELAY, GOOD, JITTER, LOSS, RATE, Setting, addresses};
use super::tc::{self, Netem};

/// What leads packets to netem, where only some are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    U32,
    Flower,
}

/// Something that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    Nothing,
    /// Nothing, but the far host takes packets from the cable by an XDP program that lets all in: what that adds is what one
    /// of the crossings of a pair costs more than the other.
    NothingXdp,
    Netem(Option<Filter>),
    /// `fq` at the interface and nothing else: the sender says when each packet is to depart. What an engine costs that
    /// holds packets in an `fq`, it costs on top of this.
    Fq,
    Engine(String),
}

/// How the reason begins where something cannot be put up here: a kernel without netem, a `shaper` without an engine. That
/// is said, and is no error.
pub(super) const NOT_PUT_UP: &str = "cannot be put up";

/// Bytes of a ring of records that nobody writes.
const NO_RECORDS: u32 = 1 << 12;
/// As an engine sets its own: it is not to drop, nor to pace.
const FQ: FqSettings =
    FqSettings { limit: tc::LIMIT, buckets_log: 16, orphan_mask: 0x3ff, timer_slack: 1_000, horizon: u32::MAX };
/// Handles of our qdiscs.
const PRIO: u32 = 0x1_0000;
const NETEM: u32 = 0x30_0000;
/// The band that is impaired.
const IMPAIRED: u32 = PRIO + 3;

impl Contender {
    pub(super) fn all(setting: Setting, engines: &[String]) -> Vec<Self> {
        let mut all = match setting {
            Setting::Rules(_) => vec![Self::Netem(Some(Filter::U32)), Self::Netem(Some(Filter::Flower))],
            Setting::Delay => vec![Self::Nothing, Self::NothingXdp, Self::Netem(None), Self::Fq],
            _ => vec![Self::Netem(None)],
        };
        // A way of running one is about delays, not about decisions.
        let about_delay = !matches!(setting, Setting::Random | Setting::Bursts | Setting::Rules(_));
        all.extend(engines.iter().filter(|name| about_delay || !name.contains(WITH)).cloned().map(Self::Engine));
        all
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Nothing => "nothing".into(),
            Self::NothingXdp => "nothing, xdp".into(),
            Self::Netem(None) => "netem".into(),
            Self::Netem(Some(Filter::U32)) => "netem, u32".into(),
            Self::Netem(Some(Filter::Flower)) => "netem, flower".into(),
            Self::Fq => "fq".into(),
            Self::Engine(name) => name.clone(),
        }
    }

    /// Whether packets are to arrive at once.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing | Self::NothingXdp)
    }

    /// How far ahead the sender itself says when each packet is to depart, where it does.
    pub(super) fn ahead(&self) -> Option<u64> {
        (*self == Self::Fq).then_some((DELAY * 1e9) as u64)
    }

    pub(super) fn apply(&self, bed: &Bed, shaper: &Shaper, setting: Setting) -> Result<Applied> {
        match self {
            Self::Nothing => Ok(Applied { undo: Undo::Nothing }),
            Self::NothingXdp => {
                let mut object = Object::load(NO_RECORDS, Exclusion::Device, &Room::PLAIN)?;
                bed.far.run(|| object.attach_program(Program::Pass, bed.far_device))??;
                Ok(Applied { undo: Undo::Program(Box::new(object)) })
            }
            Self::Netem(filter) => {
                let applied = Applied { undo: Undo::Qdisc(bed.near.rtnl()?, bed.device) };
                let added = match filter {
                    None => add_netem(bed, ROOT, setting),
                    Some(filter) => add_filters(bed, *filter, setting),
                };
                added.context(NOT_PUT_UP)?;
                Ok(applied)
            }
            Self::Fq => {
                let rtnl = bed.near.rtnl()?;
                rtnl.set_fq(bed.device, &FQ).context(NOT_PUT_UP)?;
                Ok(Applied { undo: Undo::Qdisc(rtnl, bed.device) })
            }
            Self::Engine(name) => {
                let asked = Asked::Egress(setting.flags(), setting.profile());
                let running = shaper.apply(name, &bed.near, DEVICE, &asked).context(NOT_PUT_UP)?;
                Ok(Applied { undo: Undo::Engine(running) })
            }
        }
    }
}

fn add_netem(bed: &Bed, parent: u32, setting: Setting) -> Result<()> {
    let delayed = Netem { delay: DELAY, ..Netem::default() };
    let jittered = Netem { jitter: JITTER, ..delayed };
    let netem = match setting {
        Setting::Delay | Setting::Rules(_) => delayed,
        Setting::Uniform => jittered,
        Setting::Normal | Setting::Pareto => Netem { table: setting.shape(), ..jittered },
        Setting::Random => Netem { loss: LOSS, ..Netem::default() },
        Setting::Bursts => Netem { bursts: Some((BAD, GOOD)), ..Netem::default() },
        Setting::Rate => Netem { rate: Some(RATE), ..Netem::default() },
    };
    let options = netem.options();
    bed.near.rtnl()?.add_qdisc(bed.device, &QdiscSpec { kind: "netem", parent, handle: NETEM, options: &options })?;
    Ok(())
}

/// A `prio` with netem in its last band, and filters that lead there.
fn add_filters(bed: &Bed, filter: Filter, setting: Setting) -> Result<()> {
    let rtnl = bed.near.rtnl()?;
    let options = tc::prio();
    rtnl.add_qdisc(bed.device, &QdiscSpec { kind: "prio", parent: ROOT, handle: PRIO, options: &options })?;
    add_netem(bed, IMPAIRED, setting)?;
    let Setting::Rules(count) = setting else { bail!("filters without rules") };
    for (number, address) in addresses(count).enumerate() {
        let (kind, priority, options) = match filter {
            Filter::U32 => ("u32", 1 + number / tc::U32_FILTERS, tc::u32_filter(address, IMPAIRED)),
            Filter::Flower => ("flower", 1, tc::flower_filter(address, IMPAIRED)),
        };
        let priority = u16::try_from(priority).context("too many priorities")?;
        let spec = FilterSpec { kind, parent: PRIO, priority, protocol: tc::IPV4, options: &options };
        rtnl.add_filter(bed.device, &spec)?;
    }
    Ok(())
}

/// What stands until it is undone.
pub(super) struct Applied {
    undo: Undo,
}

enum Undo {
    Nothing,
    Qdisc(Rtnl, u32),
    Program(Box<Object>),
    Engine(Running),
}

impl Applied {
    /// Takes it down; whoever drops it instead does not hear of errors.
    pub(super) fn undo(mut self) -> Result<()> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.undo, Undo::Nothing) {
            Undo::Nothing => Ok(()),
            Undo::Qdisc(rtnl, device) => {
                for kind in ["prio", "netem", "fq"] {
                    rtnl.delete_qdisc(device, kind)?;
                }
                Ok(())
            }
            Undo::Program(mut object) => Ok(object.detach()?),
            Undo::Engine(running) => running.end(),
        }
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            eprintln!("bench: {error:#}");
        }
    }
}
