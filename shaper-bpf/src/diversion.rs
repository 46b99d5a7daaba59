//! TC programs, which lead packets to the delay line and on from there.

use aya::Ebpf;
use aya::maps::{Array, MapData};
use aya::programs::tc::{NlOptions, TcAttachOptions, TcError};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use shaper_common::layout::Diversion;
use shaper_common::units::Nanos;

use super::error::Error;
use super::object::{Object, failed, map_mut, take};
use super::pod::DiversionPod;
use super::program::Program;

const DIVERSIONS: &str = "DIVERSIONS";
const HEARTBEAT: &str = "HEARTBEAT";

/// How TC programs are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// By a TCX link in front of all others (Linux 6.6): it needs no qdisc, and goes with the process.
    Tcx,
    /// By a filter of this priority at a `clsact` qdisc that is there: both stay until somebody deletes them.
    Clsact {
        /// Filters of a lower one come first.
        priority: u16,
    },
}

/// Tells the TC programs when the delay line came round.
pub struct Beat(Array<MapData, u64>);

impl Beat {
    /// Writes down when it did, CLOCK_MONOTONIC.
    ///
    /// # Errors
    ///
    /// When the map cannot be written.
    pub fn set(&mut self, at: Nanos) -> Result<(), Error> {
        self.0.set(0, at.0, 0).map_err(|source| Error::Map { map: HEARTBEAT, source })
    }
}

/// Gives a device of the calling thread's network namespace a `clsact` qdisc; one that is there stays as it is.
///
/// # Errors
///
/// When the kernel refuses.
pub fn add_clsact(device: &str) -> Result<(), Error> {
    match aya::programs::tc::qdisc_add_clsact(device) {
        Err(TcError::AlreadyAttached) => Ok(()),
        added => added.map_err(|error| Error::Qdisc { device: device.into(), what: error.to_string() }),
    }
}

impl Object {
    /// Takes what the heartbeat is written by; it can be taken once.
    ///
    /// # Errors
    ///
    /// When it was taken already.
    pub fn take_beat(&mut self) -> Result<Beat, Error> {
        take(&mut self.ebpf, HEARTBEAT).map(Beat)
    }

    /// Says where the packets of a direction, 0 or 1, are led.
    ///
    /// # Errors
    ///
    /// When the map cannot be written.
    pub fn set_diversion(&mut self, direction: u32, diversion: Diversion) -> Result<(), Error> {
        let mut map: Array<_, DiversionPod> = map_mut(&mut self.ebpf, DIVERSIONS)?;
        map.set(direction, DiversionPod(diversion), 0).map_err(|source| Error::Map { map: DIVERSIONS, source })
    }

    /// Attaches what sends packets on that come back out of the near end of a pair in the calling thread's network
    /// namespace: from the delay line, or where `held_by_fq` from that.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn attach_come_back(&mut self, near: &str, held_by_fq: bool, hook: Hook) -> Result<(), Error> {
        let program = if held_by_fq { Program::Released } else { Program::ComeBack };
        self.attach_tc(program, near, TcAttachType::Ingress, hook)
    }

    /// Attaches what gives packets to the `fq` at the far end of a pair in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses, with the verifier's words.
    pub fn attach_schedule(&mut self, far: &str, hook: Hook) -> Result<(), Error> {
        self.attach_tc(Program::Schedule, far, TcAttachType::Egress, hook)?;
        self.attach_tc(Program::TurnRound, far, TcAttachType::Ingress, hook)
    }

    /// Attaches what leads the packets of a direction, 0 or 1, away, where they leave or arrive at a device of the calling
    /// thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses: other than with [`Hook::Clsact`] it has no TCX before Linux 6.6.
    pub fn attach_diversion(&mut self, direction: u32, device: &str, egress: bool, hook: Hook) -> Result<(), Error> {
        let program = if direction == 0 { Program::DivertForward } else { Program::DivertBackward };
        let hooked = if egress { TcAttachType::Egress } else { TcAttachType::Ingress };
        self.attach_tc(program, device, hooked, hook)
    }

    fn attach_tc(&mut self, program: Program, device: &str, hooked: TcAttachType, hook: Hook) -> Result<(), Error> {
        let options = match hook {
            Hook::Tcx => TcAttachOptions::TcxOrder(LinkOrder::first()),
            Hook::Clsact { priority } => TcAttachOptions::Netlink(NlOptions { priority, ..NlOptions::default() }),
        };
        let link = loaded(&mut self.ebpf, program)?.attach_with_options(device, hooked, options);
        self.diversions.push((program, link.map_err(failed(program))?));
        Ok(())
    }

    /// Detaches what leads packets away: no further one comes in. What brings those back that did stays.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn detach_diversions(&mut self) -> Result<(), Error> {
        self.detach_tc(|program| matches!(program, Program::DivertForward | Program::DivertBackward))
    }

    /// Detaches those and what brings packets back.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn detach_all_diversions(&mut self) -> Result<(), Error> {
        self.detach_tc(|_| true)
    }

    fn detach_tc(&mut self, which: impl Fn(Program) -> bool) -> Result<(), Error> {
        let (gone, stay) = std::mem::take(&mut self.diversions).into_iter().partition(|(program, _)| which(*program));
        self.diversions = stay;
        let gone: Vec<_> = gone;
        // First what leads packets away, which was attached last: none is to come where nobody takes it on.
        gone.into_iter().rev().try_for_each(|(program, link)| {
            match classifier(&mut self.ebpf, program)?.detach(link) {
                // The device is gone, and the filter with it; or else the journal takes it back.
                Err(ProgramError::TcError(_) | ProgramError::NetlinkError(_)) => Ok(()),
                detached => detached.map_err(failed(program)),
            }
        })
    }
}

fn classifier(ebpf: &mut Ebpf, program: Program) -> Result<&mut SchedClassifier, Error> {
    ebpf.program_mut(program.name()).ok_or(Error::Missing(program.name()))?.try_into().map_err(failed(program))
}

/// The program, loaded if it was not.
pub(super) fn loaded(ebpf: &mut Ebpf, program: Program) -> Result<&mut SchedClassifier, Error> {
    let classifier = classifier(ebpf, program)?;
    if classifier.fd().is_err() {
        classifier.load().map_err(failed(program))?;
    }
    Ok(classifier)
}
