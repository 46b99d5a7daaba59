//! What this process uses.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

/// Descriptors of a client: a WebSocket, two transports, and some room.
const FDS_PER_CLIENT: u64 = 4;
/// Those of the process itself.
const FDS: u64 = 256;

/// User and system time so far.
pub(crate) fn cpu_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    [usage.user_time(), usage.system_time()].into_iter().map(duration).sum()
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
}

/// The largest resident set so far, in bytes.
pub(crate) fn memory() -> u64 {
    // In KiB on Linux.
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024)
}

/// Open file descriptors.
pub(crate) fn fds() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// CPUs that this process may use.
pub(crate) fn cpus() -> usize {
    let Ok(allowed) = sched_getaffinity(Pid::from_raw(0)) else { return 1 };
    (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).count().max(1)
}

/// Raises the limit on descriptors to what so many clients need: what is missing, if that is not
/// allowed.
pub(crate) fn allow_descriptors(clients: usize) -> Result<(), (u64, u64)> {
    let needed = FDS + FDS_PER_CLIENT * clients as u64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= needed {
        return Ok(());
    }
    let raised = needed.min(hard);
    let allowed = setrlimit(Resource::RLIMIT_NOFILE, raised, hard).map_or(soft, |()| raised);
    if allowed >= needed { Ok(()) } else { Err((needed, allowed)) }
}
