//! `cargo xtask compare-netem`: netem and our engines beside each other, on this kernel or on Debian's in qemu.
//!
//! `shaper-bench netem` measures and writes a line of JSON a result; here they are put together into a page.

mod floor;
mod line_rate;
mod page;
mod results;
mod verdict;

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use self::results::{Results, Run};
use crate::{
    Repo, bpf, build, process,
    root::Root,
    setup,
    stream::{self, End},
    vm::{self, Guest},
};

/// Where the page is.
const PAGE: &str = "docs/netem-comparison.md";
/// The kernel that this host runs.
const HOST: &str = "host";
/// The longest that a run may take: what is left after the measuring program begins nothing more is one setting.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// MiB of a guest: 65,534 rules, each with settings of its own, want some.
const MEMORY: u32 = 3_072;

/// What a caller may ask for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The kernel: host, or a series of Debian's kernels in qemu: 6.1, 6.12, all; may be given again.
    #[arg(long, default_value = HOST)]
    kernel: Vec<String>,
    /// In guests, let the clock go by instructions, on one processor: figures then say how many a packet takes, and do not
    /// depend on what else this machine does. It takes several times as long.
    #[arg(long)]
    instructions: bool,
    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Take figures from files that --json wrote, and measure nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "json"])]
    from: Vec<PathBuf>,
    /// Write docs/netem-comparison.md, for which the time of a decision is measured on this host too.
    #[arg(long)]
    write: bool,
    /// More arguments of `shaper-bench netem`.
    #[arg(last = true)]
    extra: Vec<String>,
}

/// Measures or reads, and prints or writes the page.
pub(crate) fn run(repo: &Repo, arguments: &Arguments) -> Result<ExitCode> {
    let results = if arguments.from.is_empty() { measure(repo, arguments)? } else { read(&arguments.from)? };
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&results)?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let page = page::of(&results);
    if arguments.write {
        let path = repo.root.join(PAGE);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        println!("compare-netem: wrote {}", path.display());
    } else {
        print!("{page}");
    }
    Ok(if results.runs.iter().all(|run| run.whole) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(files: &[PathBuf]) -> Result<Results> {
    let mut all = Results::default();
    for path in files {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let Results { runs, costs } =
            serde_json::from_str(&text).with_context(|| format!("{}: not what --json wrote", path.display()))?;
        all.runs.extend(runs);
        all.costs.extend(costs);
    }
    Ok(all)
}

fn measure(repo: &Repo, arguments: &Arguments) -> Result<Results> {
    let guests = arguments.kernel.iter().any(|kernel| kernel != HOST);
    setup::run(repo, if guests { setup::For::Test } else { setup::For::Demo })?;
    bpf::build(repo)?;
    build::shaper(repo)?;
    process::run(repo.cargo().args(["build", "--release", "--package", "shaper-bench"]))?;
    let mut results = Results::default();
    for kernel in &arguments.kernel {
        if kernel == HOST {
            results.runs.push(here(repo, &arguments.extra)?);
            continue;
        }
        let all = vm::series(kernel);
        for series in &all {
            match vm::get(repo, series) {
                Ok(kernel) => results.runs.push(guest(repo, &kernel, &arguments.extra, arguments.instructions)?),
                Err(error) if all.len() > 1 => println!("compare-netem: Linux {series} is skipped: {error:#}"),
                Err(error) => return Err(error),
            }
        }
    }
    if arguments.write {
        results.costs = costs(repo)?;
    }
    Ok(results)
}

/// The measuring program, which lies beside `shaper`.
fn program(repo: &Repo) -> PathBuf {
    repo.target.join("release/shaper-bench")
}

fn here(repo: &Repo, extra: &[String]) -> Result<Run> {
    let root = Root::find().context("cannot compare on this host")?;
    let mut command = root.command(program(repo), &[]);
    command.arg("netem").args(extra).current_dir(&repo.root);
    println!("compare-netem: {}", process::show(&command));
    let mut run = Run::default();
    let end = stream::run(&mut command, LIMIT, |line| take(&mut run, line))?;
    match end {
        End::Exited(status) => run.ended(status.code() == Some(0))?,
        End::TimedOut => bail!("the comparison did not finish within {} s", LIMIT.as_secs()),
    }
    Ok(run)
}

/// A comparison in a guest.
pub(crate) fn guest(repo: &Repo, kernel: &vm::Kernel, extra: &[String], counted: bool) -> Result<Run> {
    let (program, shaper) = (program(repo), [repo.shaper()]);
    // Where the clock goes by instructions it goes slowly.
    let limit = if counted { 4 * LIMIT } else { LIMIT };
    let words: Vec<_> =
        ["netem", "--emulated"].into_iter().map(Into::into).chain(extra.iter().map(Into::into)).collect();
    let guest = Guest { beside: &shaper, memory: MEMORY, counted, ..Guest::new(&program, &words, limit) };
    let mut run = Run { counted, ..Run::default() };
    let code = vm::boot(repo, kernel, &guest, |line| take(&mut run, line))?;
    run.ended(code == 0)?;
    Ok(run)
}

/// Takes a line of the measuring program: a result, or a word to those who wait.
fn take(run: &mut Run, line: &str) {
    if !run.line(line) {
        println!("{line}");
    }
}

/// What a packet costs on this host, by the benchmarks, in nanoseconds.
fn costs(repo: &Repo) -> Result<Vec<results::Cost>> {
    let root = Root::find().context("cannot run the benchmarks")?;
    let mut command: Command = root.command(program(repo), &[]);
    command.args(["--json", "--only", "decision", "--only", "link", "--repeats", "2"]).current_dir(&repo.root);
    println!("compare-netem: {}", process::show(&command));
    let text = process::stdout(&mut command)?;
    let costs = results::costs(&text)?;
    ensure!(!costs.is_empty(), "the benchmarks wrote none of the figures that are looked for");
    Ok(costs)
}
