//! `shaper run webrtc`: clients behind impaired access links, the server between them, one level of load after the other.

use std::io::{self, Write};
use std::time::{self, SystemTime};

use anyhow::Context;
use clap::Args as ClapArgs;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::scenario::{Unfit, WebRtcSettings};
use shaper_report::text;
use shaper_webrtc::load::LoadConfig;

use super::{Common, Shown, perform, plan, show};
use crate::cli::Outcome;
use crate::cli::webrtc::media_flags::MediaFlags;
use crate::run::{Plan, RunError, ServerKill, WebRtcPlan, Workload, default_directory};

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
    /// Kill the server so long after the first client began, as a crash would
    #[arg(long, value_name = "TIME")]
    kill_server_at: Option<Duration>,
    /// Start another in its place so long after that [default: none]
    #[arg(long, value_name = "TIME", requires = "kill_server_at")]
    server_back_after: Option<Duration>,
    #[command(flatten, next_help_heading = "Media")]
    media: MediaFlags,
}

impl WebRtcArgs {
    fn plan(&self, clients: usize) -> anyhow::Result<Plan> {
        let links = self.links.unwrap_or(clients.min(WebRtcSettings::MOST_LINKS));
        let ramp_up = ramp_up(clients, self.ramp_up);
        let Duration(sending) = self.duration;
        if self.duration.is_zero() {
            return Err(RunError::NoDuration(self.duration.to_string()).into());
        }
        let back_after_ns = self.server_back_after.map(|after| after.0.0);
        let kill = self.kill_server_at.map(|at| ServerKill { at_ns: at.0.0, back_after_ns });
        let tester = self.media.arguments();
        let lasts = ramp_up.saturating_add(sending);
        for (client, at) in self.media.kills() {
            let at = Duration(Nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)));
            if *client >= clients || at.0 >= lasts {
                return Err(RunError::Unfit(Unfit {
                    key: "kill-client",
                    value: format!("{client}@{at}"),
                    want: format!("want a client from 0 to {}, before the run is over", clients.saturating_sub(1)),
                    example: format!("0@{}", Duration(Nanos(lasts.0 / 2))),
                })
                .into());
            }
        }
        let workload = Workload::WebRtc(WebRtcPlan { clients, links, sending_ns: sending.0, tester, kill });
        let plan = plan(&self.common, workload, Duration(lasts))?;
        plan.check()?;
        plan.check_expectations(&plan.scene.expect).context("--expect")?;
        Ok(plan)
    }
}

/// From the first of so many clients to the last, as asked for or by their number.
pub(in crate::cli) fn ramp_up(clients: usize, asked: Option<Duration>) -> Nanos {
    let ramp_up = asked.map(|Duration(Nanos(ns))| time::Duration::from_nanos(ns));
    let ramp_up = LoadConfig { clients, ramp_up, ..LoadConfig::default() }.ramp_up();
    Nanos(u64::try_from(ramp_up.as_nanos()).unwrap_or(u64::MAX))
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
