//! `packets.parquet` of a run: a row for each packet, with what was decided and what both captures saw.

use std::fs::File;

use anyhow::Context;
use shaper_offline::join::{ClockMap, EngineLog, Joined, Point};
use shaper_offline::pcapfile::Reader;
use shaper_offline::rows::run::{Flows, LinkRows, RunRows};
use shaper_report::summary::Run;

use crate::capture::Captured;
use crate::run::directory::{RunDirectory, run_name};
use crate::run::execute::Evidence;
use crate::run::plan::Plan;

/// Its name in a run directory.
const FILE: &str = "packets.parquet";

/// The table, to be filled link by link.
pub(super) struct Packets<'a> {
    rows: RunRows<File>,
    directory: &'a RunDirectory,
    clock: &'a ClockMap,
}

/// One link, as it was joined.
pub(super) struct Of<'a> {
    pub(super) link: usize,
    pub(super) directions: [&'a str; 2],
    pub(super) captured: [Option<&'a Captured>; 2],
    pub(super) log: &'a EngineLog<'a>,
    pub(super) joined: &'a Joined,
}

impl<'a> Packets<'a> {
    /// Begins the file.
    pub(super) fn begin(
        plan: &Plan,
        evidence: &Evidence,
        run: &Run,
        clock: &'a ClockMap,
        directory: &'a RunDirectory,
    ) -> anyhow::Result<Self> {
        let about = [
            ("name", run.name.clone()),
            ("workload", run.workload.clone()),
            ("profile", run.profile.clone()),
            ("seed", run.seed.to_string()),
            ("started", run.started.clone()),
            ("start_ns", clock.to_epoch(evidence.start.0).to_string()),
            ("records", plan.recording.to_string()),
        ];
        let file = directory.make(FILE)?;
        let name = run_name(evidence.started, &plan.name);
        let creator = concat!("shaper ", env!("CARGO_PKG_VERSION"));
        let rows = RunRows::new(file, &name, creator, about.into_iter()).with_context(|| directory.unwritten(FILE))?;
        Ok(Self { rows, directory, clock })
    }

    /// Adds the packets of a link. The captures are read once more: they know what flow a packet is of.
    pub(super) fn add(&mut self, of: &Of<'_>) -> anyhow::Result<()> {
        let mut flows = Flows::default();
        for (point, captured) in [Point::A, Point::B].into_iter().zip(of.captured) {
            let Some(captured) = captured else { continue };
            flows.read(&mut Reader::open(&captured.spool)?, point, of.log, of.joined)?;
        }
        let link = LinkRows {
            number: u32::try_from(of.link).unwrap_or(u32::MAX),
            directions: of.directions,
            captured: of.captured.map(|captured| captured.is_some()),
            log: of.log,
            joined: of.joined,
            clock: self.clock,
            flows: &flows,
        };
        self.rows.add(&link).with_context(|| self.directory.unwritten(FILE))
    }

    /// Ends the file.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let directory = self.directory;
        self.rows.finish().map(drop).with_context(|| directory.unwritten(FILE))
    }
}
