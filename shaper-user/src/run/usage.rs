//! What a process uses: CPU, memory and file descriptors, as `/proc` has them.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};
use shaper_common::units::Nanos;

/// From one look to the next.
const EVERY: Nanos = Nanos(1_000_000_000);

/// What one process used over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// What people call it.
    pub(super) name: String,
    /// In the order of time.
    pub(super) samples: Vec<Sample>,
}

/// What a process used up to a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// CLOCK_MONOTONIC.
    pub(super) at: Nanos,
    /// The time that its threads have had a CPU so far, in the kernel and out of it.
    pub(super) cpu: Nanos,
    /// Resident memory in bytes.
    pub(super) memory: u64,
    /// Open file descriptors.
    pub(super) descriptors: u64,
}

/// A process that is looked at once a second.
#[derive(Debug)]
pub(super) struct Watched {
    pid: u32,
    ticks_per_second: u64,
    page: u64,
    usage: Usage,
}

impl Watched {
    pub(super) fn new(name: &str, pid: u32) -> Self {
        let of_system =
            |what, usual| sysconf(what).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(usual);
        Self {
            pid,
            ticks_per_second: of_system(SysconfVar::CLK_TCK, 100).max(1),
            page: of_system(SysconfVar::PAGE_SIZE, 4096),
            usage: Usage { name: name.to_owned(), samples: Vec::new() },
        }
    }

    /// Looks, if it is time. A process that is gone uses nothing any more, and is not written down.
    pub(super) fn look(&mut self, now: Nanos) {
        let last = self.usage.samples.last();
        if last.is_none_or(|last| now.saturating_sub(last.at) >= EVERY) {
            self.usage.samples.extend(self.read(now));
        }
    }

    fn read(&self, at: Nanos) -> Option<Sample> {
        let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.pid)).ok();
        // The name may hold blanks and brackets of its own: what follows its last one is of fixed order (proc(5)).
        let stat = of("stat")?;
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
        let ticks = times.next()?.ok()?.saturating_add(times.next()?.ok()?);
        let pages: u64 = of("statm")?.split_whitespace().nth(1)?.parse().ok()?;
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count() as u64;
        Some(Sample {
            at,
            cpu: Nanos(ticks.saturating_mul(1_000_000_000 / self.ticks_per_second)),
            memory: pages.saturating_mul(self.page),
            descriptors,
        })
    }

    pub(super) fn finish(self) -> Usage {
        self.usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_to_use_what_it_does() {
        let mut watched = Watched::new("this", std::process::id());
        watched.look(Nanos(1));
        // Too soon.
        watched.look(Nanos(2));
        let kept = vec![7_u8; 64 << 20];
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let begun = std::time::Instant::now();
        let mut spun = 0_u64;
        while spun.is_multiple_of(1024) || begun.elapsed().as_millis() < 300 {
            spun += 1;
        }
        watched.look(Nanos(1_000_000_001));
        let usage = watched.finish();
        let [first, second] = usage.samples[..] else { panic!("{usage:?}") };
        assert!(second.cpu.0 - first.cpu.0 >= 50_000_000, "{usage:?}");
        assert!(second.memory >= first.memory + (32 << 20), "{usage:?}");
        assert!(second.descriptors >= files.len() as u64, "{usage:?}");
        assert_eq!(kept[spun as usize % kept.len()], 7);
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_written_down() {
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let mut watched = Watched::new("gone", gone.id());
        watched.look(Nanos(1));
        assert_eq!(watched.finish().samples, []);
    }
}
