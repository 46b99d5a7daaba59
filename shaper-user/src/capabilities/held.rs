//! What this process has, and what it gives up.

use anyhow::Context;
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::geteuid;

use super::Task;

/// Keeps of all sets what the task needs or uses; where it starts programs that are not ours, of the effective set alone.
pub(super) fn keep(task: Task) -> anyhow::Result<()> {
    let failed = || "cannot give up capabilities that are not needed";
    let wanted: CapsHashSet = task.needs().iter().chain(task.uses()).copied().collect();
    let permitted = read(CapSet::Permitted)?;
    let kept: CapsHashSet = permitted.intersection(&wanted).copied().collect();
    if task.starts_others() {
        // A program that is permitted more than who started it is no longer killed when that one dies (`commit_creds`
        // in kernel/cred.c takes back PR_SET_PDEATHSIG).
        return set(CapSet::Effective, &kept).with_context(failed);
    }
    if permitted.contains(&Capability::CAP_SETPCAP) {
        set(CapSet::Effective, &permitted).with_context(failed)?;
        for other in read(CapSet::Bounding)?.difference(&wanted) {
            caps::drop(None, CapSet::Bounding, *other).with_context(failed)?;
        }
    }
    set(CapSet::Effective, &kept).with_context(failed)?;
    let inheritable = read(CapSet::Inheritable)?.intersection(&wanted).copied().collect();
    // With these two, ambient ones that are not kept are gone.
    set(CapSet::Inheritable, &inheritable).with_context(failed)?;
    set(CapSet::Permitted, &kept).with_context(failed)
}

/// What the task needs and is not permitted.
pub(super) fn missing(task: Task) -> anyhow::Result<Vec<Capability>> {
    let permitted = read(CapSet::Permitted)?;
    // What is in /run belongs to root.
    let writes_there = !task.needs().is_empty() && task.uses().contains(&Capability::CAP_DAC_OVERRIDE);
    let of_others = (writes_there && !geteuid().is_root()).then_some(Capability::CAP_DAC_OVERRIDE);
    let mut missing: Vec<Capability> =
        task.needs().iter().copied().chain(of_others).filter(|needed| !permitted.contains(needed)).collect();
    // The kernel asks for it only where the limit is passed.
    if missing.contains(&Capability::CAP_IPC_LOCK) && getrlimit(Resource::RLIMIT_MEMLOCK)?.0 == RLIM_INFINITY {
        missing.retain(|missing| *missing != Capability::CAP_IPC_LOCK);
    }
    Ok(missing)
}

fn read(set: CapSet) -> anyhow::Result<CapsHashSet> {
    caps::read(None, set).context("cannot find out which capabilities this process has")
}

fn set(set: CapSet, to: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    caps::set(None, set, to)
}
