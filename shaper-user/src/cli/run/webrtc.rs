//! `shaper run webrtc`: clients behind impaired access links, the server between them, one level of load after the other.

use std::io::{self, Write};
use std::time::{self, SystemTime};

use anyhow::Context;
use clap::Args as ClapArgs;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_report::text;
use shaper_webrtc::load::LoadConfig;

use super::{Common, Shown, perform, plan, show};
use crate::cli::Outcome;
use crate::cli::webrtc::media_flags::MediaFlags;
use crate::run::{Plan, RunError, WebRtcPlan, Workload, default_directory};

/// As many access links as a lab has: more clients than that share them.
const MOST_LINKS: usize = 63;

#[derive(Debug, ClapArgs)]
pub(super) struct WebRtcArgs {
    #[command(flatten)]
    common: Common,
    /// How long all clients send
    #[arg(short, long, default_value = "30s")]
    duration: Duration,
    /// From the first client to the last, before that [default: 5s up to 100 clients, 20 clients a second beyond]
    #[arg(short, long, value_name = "TIME")]
    ramp_up: Option<Duration>,
    /// Clients
    #[arg(short, long, value_name = "N", default_value_t = 5, conflicts_with = "levels")]
    clients: usize,
    /// Numbers of clients, one run after the other, each with a server of its own and a directory in that of --out
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    levels: Vec<usize>,
    /// Access links that the clients take turns on [default: one each, as far as the lab goes]
    #[arg(long, value_name = "N")]
    links: Option<usize>,
    #[command(flatten, next_help_heading = "Media")]
    media: MediaFlags,
}

impl WebRtcArgs {
    fn plan(&self, clients: usize) -> anyhow::Result<Plan> {
        let links = self.links.unwrap_or(clients.min(MOST_LINKS));
        let ramp_up = self.ramp_up.map(|Duration(Nanos(ns))| time::Duration::from_nanos(ns));
        let ramp_up = LoadConfig { clients, ramp_up, ..LoadConfig::default() }.ramp_up();
        let ramp_up = Nanos(u64::try_from(ramp_up.as_nanos()).unwrap_or(u64::MAX));
        let Duration(sending) = self.duration;
        if self.duration.is_zero() {
            return Err(RunError::NoDuration(self.duration.to_string()).into());
        }
        let workload =
            Workload::WebRtc(WebRtcPlan { clients, links, sending_ns: sending.0, tester: self.media.arguments() });
        let plan = plan(&self.common, workload, Duration(ramp_up.saturating_add(sending)))?;
        plan.check()?;
        plan.check_expectations(&plan.scene.expect).context("--expect")?;
        Ok(plan)
    }
}

/// Runs one level, or all: a level that does not hold says so, and does not end those that follow.
pub(super) fn run(args: &WebRtcArgs) -> anyhow::Result<Outcome> {
    let shown = Shown { json: args.common.flags.json };
    if args.levels.is_empty() {
        return super::carry_out(&args.plan(args.clients)?, shown);
    }
    let plans = args.levels.iter().map(|clients| args.plan(*clients)).collect::<anyhow::Result<Vec<Plan>>>()?;
    let started = SystemTime::now();
    let mut reached = Vec::new();
    for (mut plan, clients) in plans.into_iter().zip(&args.levels) {
        let all = plan.out.take().unwrap_or_else(|| default_directory(started, &plan.name));
        plan.out = Some(all.join(format!("clients-{clients}")));
        let finished = perform(&plan, &shown)?;
        show(&plan, &finished, &shown)?;
        let interrupted = finished.interrupted;
        reached.push(finished.summary);
        if interrupted {
            break;
        }
    }
    if !shown.json {
        io::stdout().lock().write_all(text::levels(&reached).as_bytes())?;
    }
    let held = reached.len() == args.levels.len() && reached.iter().all(|summary| summary.exit_code == 0);
    Ok(if held { Outcome::Held } else { Outcome::Failed })
}
