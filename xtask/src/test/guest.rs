//! Test binaries on one of Debian's kernels, in qemu: those that need a kernel and nothing else of a host.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    libtest::Reader,
    summary::{Counts, Outcome},
};
use crate::{
    Repo,
    cargo_messages::Artifact,
    compare, matrix, process,
    vm::{self, Guest},
};

/// The binaries: programs against the oracle, the whole data path between the hosts of a lab, each effect on it, one
/// interface, and the commands.
const BINARIES: [&str; 15] = [
    "bpf_frames",
    "bpf_oracle",
    "bpf_ports",
    "bpf_rules",
    "bpf_traces",
    "ns_link",
    "ns_effects",
    "ns_interface",
    "ns_apply",
    "ns_apply_safety",
    "ns_apply_kill",
    "ns_apply_change",
    "ns_apply_traffic",
    "ns_bridge",
    "ns_exec",
];
/// Those of them that a kernel of its own tells less about: they have their turn in the long form.
const LONG: [&str; 12] = [
    "bpf_frames",
    "bpf_ports",
    "bpf_rules",
    "bpf_traces",
    "ns_effects",
    "ns_interface",
    "ns_apply",
    "ns_apply_kill",
    "ns_apply_change",
    "ns_apply_traffic",
    "ns_bridge",
    "ns_exec",
];
/// What they start, beside `shaper`.
const TOOLS: [&str; 9] = ["bash", "cat", "date", "iperf3", "seq", "sh", "sleep", "tc", "true"];
/// The longest that one of them may take, software emulation included.
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Runs them, each in a guest of its own: what tries programs alone beside what needs hosts and time.
pub(crate) fn run(repo: &Repo, tests: &[Artifact], series: &str, full: bool) -> Result<Outcome> {
    let kernel = match vm::get(repo, series) {
        Ok(kernel) => kernel,
        Err(error) => {
            return Ok(Outcome::CannotRun { reason: format!("{error:#}"), tests: BINARIES.len() as u64 });
        }
    };
    let tools = TOOLS.iter().map(|name| process::find(name).with_context(|| format!("no {name} in PATH")));
    let beside: Vec<PathBuf> = [Ok(repo.shaper())].into_iter().chain(tools).collect::<Result<_>>()?;
    let one = |name: &str, told: &mut dyn FnMut(&str)| {
        told(&format!("--- {name}"));
        let built = tests.iter().find(|artifact| artifact.kind == "test" && artifact.name == name);
        let Some(artifact) = built else {
            told("was not built");
            return Ok(Counts::check(false));
        };
        let mut reader = Reader::default();
        let arguments = ["--test-threads=1".into()];
        let guest = Guest { beside: &beside, ..Guest::new(&artifact.executable, &arguments, LIMIT) };
        let code = vm::boot(repo, &kernel, &guest, |line| {
            told(line);
            reader.line(line);
        })?;
        Ok(reader.finish(code == 0))
    };
    let chosen = BINARIES.into_iter().filter(|name| full || !LONG.contains(name));
    let (programs, hosts): (Vec<&str>, Vec<&str>) = chosen.partition(|name| name.starts_with("bpf_"));
    thread::scope(|scope| {
        let programs = scope.spawn(|| {
            let mut said = String::new();
            let counts = programs.into_iter().map(|name| one(name, &mut |line| said.extend([line, "\n"]))).sum();
            (counts, said)
        });
        let hosts: Result<Counts> = hosts.into_iter().map(|name| one(name, &mut |line| println!("{line}"))).sum();
        let (programs, said): (Result<Counts>, _) =
            programs.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        print!("{said}");
        println!("--- drivers");
        Ok(Outcome::Ran([hosts?, programs?, drivers(repo, &kernel)?].into_iter().sum()))
    })
}

/// What our engines do on the devices of a guest: each feature that is to work is a test.
fn drivers(repo: &Repo, kernel: &vm::Kernel) -> Result<Counts> {
    let mut counts = Counts::default();
    let whole = matrix::guest(repo, kernel, |finding| {
        if let Some(works) = finding.works() {
            counts += Counts::check(works);
        }
    })?;
    if counts.failed == 0 && (!whole || counts.passed == 0) {
        counts.failed = 1;
    }
    Ok(counts)
}

/// netem and our engines beside each other, in short: that it runs, not what it comes to.
pub(crate) fn comparison(repo: &Repo, series: &str) -> Result<Outcome> {
    let kernel = match vm::get(repo, series) {
        Ok(kernel) => kernel,
        Err(error) => return Ok(Outcome::CannotRun { reason: format!("{error:#}"), tests: 1 }),
    };
    let extra = ["--rules", "1,256", "--probes", "200", "--repeats", "1"].map(String::from);
    let run = compare::guest(repo, &kernel, &extra, false)?;
    println!("{} results", run.rows.len());
    let measured = |name: &str| {
        let mut rows = run.rows.iter().filter(|row| row.contender == name).peekable();
        rows.peek().is_some() && rows.all(|row| row.reason.is_none())
    };
    Ok(Outcome::Ran(Counts::check(run.whole && measured("netem") && measured("xsk"))))
}
