//! The machine that the figures come from.

use std::fs;

use serde::Serialize;

/// What a reader needs to know of the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_kib: u64,
    /// Whether the processor says that it is a virtual one.
    pub(crate) virtual_machine: bool,
    /// Runnable tasks over the minute before, other than ours included.
    pub(crate) load_before: f64,
    /// The same over the last minute of the run, our own included.
    pub(crate) load_after: f64,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()))
}

/// The load average over the last minute.
pub(crate) fn load() -> f64 {
    read("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

impl Host {
    pub(crate) fn read() -> Self {
        let processor = read("/proc/cpuinfo");
        let memory = read("/proc/meminfo");
        Self {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: field(&processor, "model name").unwrap_or("unknown").to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_kib: field(&memory, "MemTotal")
                .and_then(|total| total.split_whitespace().next()?.parse().ok())
                .unwrap_or(0),
            virtual_machine: field(&processor, "flags")
                .is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")),
            load_before: load(),
            load_after: 0.0,
        }
    }
}
