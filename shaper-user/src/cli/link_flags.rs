//! The flags that describe a link, the same for every command that impairs one.

use clap::Args;
use shaper_profile::quantity::{Duration, EventRate, QueueLimit, Rate, Size};
use shaper_profile::{Distribution, Loss, Order, Overrides, Profile};

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
    /// Jitter around it: half-width if uniform, sigma if normal
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    jitter: Option<Duration>,
    /// Distribution of the jitter: uniform or normal
    #[arg(long, help_heading = HEADING, value_name = "NAME")]
    distribution: Option<Distribution>,
    /// Whether jitter may reorder packets: free or keep
    #[arg(long, help_heading = HEADING, value_name = "free|keep")]
    order: Option<Order>,
    /// Loss: 0.5% of packets, each on its own; or "5% burst 3", "5% correlation 25%", "gemodel P R 1-H 1-K", "state P13
    /// P31 P32 P23 P14", "every 10", "pattern 0001"
    #[arg(long, help_heading = HEADING, value_name = "LOSS", allow_hyphen_values = true)]
    loss: Option<Loss>,
    /// Bottleneck of each direction, such as 10mbit; unlimited for none
    #[arg(long, help_heading = HEADING, value_name = "RATE", allow_hyphen_values = true)]
    rate: Option<Rate>,
    /// Bytes that the bottleneck counts beside each packet's own, such as 24B
    #[arg(long, help_heading = HEADING, value_name = "SIZE", allow_hyphen_values = true)]
    overhead: Option<Size>,
    /// What waits before the bottleneck, such as 64kB, 100p or 50ms
    #[arg(long, help_heading = HEADING, value_name = "LIMIT", allow_hyphen_values = true)]
    queue: Option<QueueLimit>,
    /// How often the link goes down at random, such as 1%/s: once in a hundred seconds
    #[arg(long, help_heading = HEADING, value_name = "RATE", allow_hyphen_values = true)]
    outages: Option<EventRate>,
    /// How long each of those lasts
    #[arg(long, help_heading = HEADING, value_name = "TIME", allow_hyphen_values = true)]
    outage_duration: Option<Duration>,
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

    fn overrides(&self) -> Overrides {
        Overrides {
            loss: self.loss,
            jitter: self.jitter,
            latency: self.latency,
            outages: self.outages,
            outage_duration: self.outage_duration,
            order: self.order,
            distribution: self.distribution,
            rate: self.rate,
            overhead: self.overhead,
            queue: self.queue,
            outage_at: self.outage_at.clone(),
            outage_length: self.outage_length,
        }
    }
}
