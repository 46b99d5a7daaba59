//! What benchmarks do with the object: programs timed by test runs, and live frames sent on their way.

use std::io::ErrorKind::Interrupted;
use std::time::Duration;

use aya::maps::{Array, DevMap, MapData};
use aya::programs::{ProgramError, TestRun as _, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::sys::SyscallError;
use shaper_common::layout::Pace;

use super::error::Error;
use super::object::{Object, failed, loaded, map_mut};
use super::pod::PacePod;
use super::program::Program;

/// Live frames that the kernel passes on at a time (`TEST_XDP_BATCH`, net/bpf/test_run.c).
const BATCH: u32 = 64;
/// Live frames of one call: more than anybody waits for.
const MANY: u32 = i32::MAX as u32;
/// The map of [`Pace`].
const PACE: &str = "PACE";

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

    /// Attaches a program as [`attach_program`](Self::attach_program) does, but above the driver, where every device has a
    /// place for one.
    ///
    /// # Errors
    ///
    /// When something else is attached there.
    pub fn attach_above_driver(&mut self, program: Program, ifindex: u32) -> Result<(), Error> {
        let link =
            loaded(&mut self.ebpf, program)?.attach_to_if_index(ifindex, XdpMode::Skb).map_err(failed(program))?;
        self.links.push((program, link));
        Ok(())
    }

    /// Sets where the benchmark programs send to: `output` is one of `shaper_common::layout::OUTPUT_*`, the device
    /// one of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When there is no such device.
    pub fn set_output(&mut self, output: u32, ifindex: u32) -> Result<(), Error> {
        let mut devices: DevMap<&mut MapData> = map_mut(&mut self.ebpf, "DEVICES")?;
        devices.set(output, ifindex, None, 0).map_err(|error| Error::Output { ifindex, what: error.to_string() })
    }

    /// Sets the pace of [`generate`](Self::generate), and the count of frames sent.
    ///
    /// # Errors
    ///
    /// When the map cannot be written, or the program not be loaded.
    pub fn set_pace(&mut self, pace: Pace) -> Result<(), Error> {
        loaded(&mut self.ebpf, Program::Generate)?;
        let mut paces: Array<&mut MapData, PacePod> = map_mut(&mut self.ebpf, PACE)?;
        paces.set(0, PacePod(pace), 0).map_err(|source| Error::Map { map: PACE, source })
    }

    /// The pace as it stands, with the frames sent so far.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn pace(&self) -> Result<Pace, Error> {
        let map = self.ebpf.map(PACE).ok_or(Error::Missing(PACE))?;
        let failed = |source| Error::Map { map: PACE, source };
        let paces: Array<&MapData, PacePod> = map.try_into().map_err(failed)?;
        paces.get(&0, 0).map(|PacePod(pace)| pace).map_err(failed)
    }

    /// Passes live frames by the `generate` program, which sends those that are due and drops the others, until this
    /// thread is interrupted by a signal. The pace must have been set.
    ///
    /// A call waits for all processors before it runs and after (`bpf_dispatcher_change_prog`): many short ones
    /// send next to nothing.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: live frames need 5.18.
    pub fn generate(&self, frame: &[u8]) -> Result<(), Error> {
        let program = Program::Generate;
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.repeat = MANY;
        options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
        let generator: &Xdp = self
            .ebpf
            .program(program.name())
            .ok_or(Error::Missing(program.name()))?
            .try_into()
            .map_err(failed(program))?;
        match generator.test_run(options) {
            Ok(_) => Ok(()),
            Err(ProgramError::SyscallError(SyscallError { io_error, .. })) if io_error.kind() == Interrupted => Ok(()),
            Err(error) => Err(failed(program)(error)),
        }
    }
}
