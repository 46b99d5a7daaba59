//! What benchmarks do with the object: programs timed by test runs, and live frames sent on their way.

use std::time::Duration;

use aya::maps::{Array, DevMap, MapData};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use shaper_common::layout::Pace;

use super::object::{Error, Object, Program, failed, loaded, map};
use super::pod::PacePod;

/// Live frames that the kernel passes on at a time (`TEST_XDP_BATCH`, net/bpf/test_run.c).
const BATCH: u32 = 64;

/// What a test run answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestRun {
    /// The mean time of a run, as the kernel took it: it leaves out what it was interrupted for, and cuts off
    /// fractions of a nanosecond.
    pub mean: Duration,
    /// What the last run returned: an XDP action.
    pub action: u32,
}

impl Object {
    /// Runs a program `repeat` times over one frame, which is the same memory each time: what a run writes is there
    /// in the next, so that `link` piles up metadata until there is no room. The frame comes in at the loopback
    /// device of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the run, a frame shorter than an Ethernet header among others.
    pub fn time(&mut self, program: Program, frame: &[u8], repeat: u32) -> Result<TestRun, Error> {
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = repeat;
        let run = loaded(&mut self.ebpf, program)?.test_run(options).map_err(failed(program))?;
        Ok(TestRun { mean: run.duration, action: run.return_value })
    }

    /// Sets where the benchmark programs send to: `output` is one of `shaper_common::layout::OUTPUT_*`, the device
    /// one of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When there is no such device.
    pub fn set_output(&mut self, output: u32, ifindex: u32) -> Result<(), Error> {
        let mut devices: DevMap<&mut MapData> = map(&mut self.ebpf, "DEVICES")?;
        devices.set(output, ifindex, None, 0).map_err(|error| Error::Output { ifindex, what: error.to_string() })
    }

    /// Sets the pace of [`generate`](Self::generate), and the count of frames sent.
    ///
    /// # Errors
    ///
    /// When the map cannot be written.
    pub fn set_pace(&mut self, pace: Pace) -> Result<(), Error> {
        let mut paces: Array<&mut MapData, PacePod> = map(&mut self.ebpf, "PACE")?;
        paces.set(0, PacePod(pace), 0).map_err(|source| Error::Map { map: "PACE", source })
    }

    /// The pace as it stands, with the frames sent so far.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn pace(&mut self) -> Result<Pace, Error> {
        let paces: Array<&mut MapData, PacePod> = map(&mut self.ebpf, "PACE")?;
        paces.get(&0, 0).map(|PacePod(pace)| pace).map_err(|source| Error::Map { map: "PACE", source })
    }

    /// Passes `frames` live frames by the `generate` program, which sends those that are due and drops the others:
    /// called over and over, it sends at its pace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: live frames need 5.18.
    pub fn generate(&mut self, frame: &[u8], frames: u32) -> Result<(), Error> {
        let program = Program::Generate;
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = frames;
        options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
        let generator: &mut Xdp = loaded(&mut self.ebpf, program)?;
        generator.test_run(options).map(drop).map_err(failed(program))
    }
}
