//! The flags that describe a link, the same for every command that impairs one.

use clap::Args;
use shaper_profile::effect::{
    Aqm, Cell, Corrupt, Distribution, Duplicate, Ecn, Flap, Given, Held, LossPosition, Order, OutageLength, Overhead,
    Policer, Reorder, Scope, Slot, TraceRef,
};
use shaper_profile::quantity::{Duration, EventRate, QueueLimit, Rate};
use shaper_profile::{Loss, Overrides, Patch, Profile};

/// Where these flags stand in a command's help. Given to each: a heading for the group would go on behind it.
const HEADING: &str = "Link";

/// A profile, and what is changed of it. Values are read by their own types, so that what is wrong is said
/// with an example of what is right; those that begin with a minus are let through to be told so.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LinkFlags {
    /// The link: a preset's name (see `shaper profile list`) or a TOML file
    #[arg(long, help_heading = HEADING, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// Base delay of each direction, such as 20ms
    #[arg(long, help_heading = HEADING, visible_alias = "delay", value_name = "TIME", allow_hyphen_values = true)]
    latency: Option<Duration>,
    /// Jitter around it, such as 5ms: half-width if uniform, else standard deviation
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    jitter: Option<Duration>,
    /// Distribution of the jitter: uniform, normal, pareto, paretonormal, or "table FILE"
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    distribution: Option<Distribution>,
    /// Time constant of jitter that is correlated from packet to packet, such as 50ms
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    correlation_time: Option<Duration>,
    /// Whether jitter may reorder packets: free or keep
    #[arg(long, help_heading = HEADING, value_name = "free|keep")]
    order: Option<Order>,
    /// Loss: 0.5% of packets, each on its own; or "5% burst 3 max 10", "5% correlation 25%", "gemodel P R 1-H 1-K", "state
    /// P13 P31 P32 P23 P14", "every 10", "pattern 0001"
    #[arg(long, help_heading = HEADING, value_name = "LOSS", allow_hyphen_values = true)]
    loss: Option<Loss>,
    /// On which side of the bottleneck packets are lost: before or after
    #[arg(long, help_heading = HEADING, value_name = "before|after")]
    loss_position: Option<LossPosition>,
    /// Whether ECT packets are marked CE instead of being lost: on or off
    #[arg(long, help_heading = HEADING, value_name = "on|off")]
    ecn: Option<Ecn>,
    /// Packets that come more than once, such as 1% or "1% copies 2 delay 5ms"
    #[arg(long, help_heading = HEADING, value_name = "DUPLICATE", allow_hyphen_values = true)]
    duplicate: Option<Duplicate>,
    /// Packets whose bytes are changed, such as 0.1% or "0.1% bytes 2 in payload repaired"
    #[arg(long, help_heading = HEADING, value_name = "CORRUPT", allow_hyphen_values = true)]
    corrupt: Option<Corrupt>,
    /// Packets that leave without the delay, such as 25% or "25% correlation 50% gap 5"
    #[arg(long, help_heading = HEADING, value_name = "REORDER", allow_hyphen_values = true)]
    reorder: Option<Reorder>,
    /// Slots in which packets leave, such as 10ms or "10ms +-2ms normal packets 32"; none for none
    #[arg(long, help_heading = HEADING, value_name = "SLOT", allow_hyphen_values = true)]
    slot: Option<Given<Slot>>,
    /// Bottleneck of each direction, such as 10mbit; unlimited for none
    #[arg(long, help_heading = HEADING, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<Rate>,
    /// Bytes that the bottleneck counts beside each packet's own, such as 24B, -14B or ethernet
    #[arg(long, help_heading = HEADING, value_name = "SIZE", allow_hyphen_values = true)]
    overhead: Option<Overhead>,
    /// Cells that the bottleneck cuts packets into, payload and header, such as "48B 5B"; none for none
    #[arg(long, help_heading = HEADING, value_name = "CELL", allow_hyphen_values = true)]
    cell: Option<Given<Cell>>,
    /// What waits before the bottleneck, such as 64kB, 100p or 50ms; default for what the rate serves in 100ms
    #[arg(long, help_heading = HEADING, value_name = "LIMIT", allow_hyphen_values = true)]
    queue: Option<Given<QueueLimit>>,
    /// Management of that queue, such as codel, "codel target 5ms interval 100ms", pie, pi2 or "step 1ms"; none for none
    #[arg(long, help_heading = HEADING, value_name = "AQM", allow_hyphen_values = true)]
    aqm: Option<Aqm>,
    /// A rate without a queue, such as "10mbit burst 64kB"; none for none
    #[arg(long, help_heading = HEADING, value_name = "POLICER", allow_hyphen_values = true)]
    policer: Option<Given<Policer>>,
    /// Whether all packets share draws, chains and order, or those of each flow: link, flow or "flow 4096"
    #[arg(long, help_heading = HEADING, value_name = "SCOPE")]
    scope: Option<Scope>,
    /// Settings over time from a CSV file, such as lte.csv or "lte.csv loop"; none for none
    #[arg(long, help_heading = HEADING, value_name = "FILE")]
    trace: Option<Given<TraceRef>>,
    /// How often the link goes down at random, such as 1%/s: once in a hundred seconds
    #[arg(long, help_heading = HEADING, value_name = "RATE", allow_hyphen_values = true)]
    outages: Option<EventRate>,
    /// How long each of those lasts, such as 500ms, "500ms exponential" or "100ms to 2s"
    #[arg(long, help_heading = HEADING, value_name = "LENGTH", allow_hyphen_values = true)]
    outage_duration: Option<OutageLength>,
    /// The link is up and down in turn, such as "9s up 1s down"; none for none
    #[arg(long, help_heading = HEADING, value_name = "FLAP", allow_hyphen_values = true)]
    outage_flap: Option<Given<Flap>>,
    /// What becomes of packets on their way when the link goes down: kept or lost
    #[arg(long, help_heading = HEADING, value_name = "kept|lost")]
    outage_held: Option<Held>,
    /// When the link goes down on schedule, such as 10s after the start; may be given again
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    outage_at: Vec<Duration>,
    /// How long each of those lasts
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    outage_length: Option<Duration>,
}

impl LinkFlags {
    /// The profile with what the other flags say; `default_profile` where none was named.
    ///
    /// # Errors
    ///
    /// An unknown name, an unreadable or wrong file, and flags that do not go together.
    pub(crate) fn resolve(&self, default_profile: &str) -> anyhow::Result<Profile> {
        let profile = shaper_profile::load(self.profile.as_deref().unwrap_or(default_profile))?;
        Ok(self.overrides().apply(&profile)?)
    }

    /// The profile that was named.
    pub(crate) fn named(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// A profile with what the other flags say.
    ///
    /// # Errors
    ///
    /// Flags that do not go together, or with the profile.
    pub(crate) fn apply(&self, profile: &Profile) -> anyhow::Result<Profile> {
        Ok(self.overrides().apply(profile)?)
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            direction: Patch {
                delay: self.latency,
                jitter: self.jitter,
                distribution: self.distribution.clone(),
                correlation_time: self.correlation_time,
                order: self.order,
                loss: self.loss,
                loss_position: self.loss_position,
                ecn: self.ecn,
                duplicate: self.duplicate,
                corrupt: self.corrupt,
                reorder: self.reorder,
                slot: self.slot,
                rate: self.rate,
                overhead: self.overhead,
                cell: self.cell,
                queue: self.queue,
                aqm: self.aqm,
                policer: self.policer,
                scope: self.scope,
                trace: self.trace.clone(),
            },
            outages: self.outages,
            outage_duration: self.outage_duration,
            outage_flap: self.outage_flap,
            outage_held: self.outage_held,
            outage_at: self.outage_at.clone(),
            outage_length: self.outage_length,
        }
    }
}
