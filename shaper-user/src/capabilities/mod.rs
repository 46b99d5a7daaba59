//! Which capabilities each command needs, and that it keeps no others: [`Task`] has the table, `held` what the process
//! has and gives up.

mod held;

use std::fmt;

pub use caps::Capability;
use caps::Capability::{
    CAP_BPF, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_IPC_LOCK, CAP_KILL, CAP_NET_ADMIN,
    CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE,
};

/// What a process of `shaper` is for, as far as its capabilities go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `shaper apply`.
    Apply,
    /// `shaper apply --change` and `shaper bridge --change`.
    Change,
    /// `shaper bridge`.
    Bridge,
    /// `shaper exec`.
    Exec,
    /// `shaper run`.
    Run,
    /// `shaper lab up`, and the process that keeps the lab.
    LabUp,
    /// `shaper lab exec`.
    LabExec,
    /// `shaper lab down`.
    LabDown,
    /// `shaper clear`.
    Clear,
    /// `shaper capture`.
    Capture,
    /// `shaper status`.
    Status,
    /// `shaper doctor`: tries what it can.
    Doctor,
    /// `shaper doctor --verifier`.
    Verifier,
    /// `shaper toast`, `shaper webrtc`, and the ends of a workload that a run starts.
    Workload,
    /// `shaper webrtc load --netns`.
    WorkloadInside,
    /// What reads files and writes files: `analyze`, `compare`, `fit`, `report`, `profile`, `lab list`.
    Files,
    /// The process that undoes what another one cannot undo any more.
    Guard,
}

/// For whatever impairs links: tried on Linux 6.18 one by one. CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON.
const IMPAIRS: &[Capability] = &[CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK, CAP_SYS_PTRACE, CAP_SYS_ADMIN];
/// For whatever takes back what others changed.
const UNDOES: &[Capability] = &[CAP_KILL, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN];
/// For files that are named, and directories that are handed over.
const HANDS_OVER: &[Capability] = &[CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID];
/// The same, and what dead processes left is taken back first.
const STARTS: &[Capability] = &[CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL];
/// For interfaces of other namespaces, and for files that are named.
const CAPTURES: &[Capability] = &[CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_SYS_PTRACE, CAP_SYS_ADMIN];
/// For files that are named, wherever they are.
const FILES: &[Capability] = &[CAP_DAC_OVERRIDE];

/// A row of the table.
struct Row {
    task: Task,
    /// What people type.
    name: &'static str,
    /// Without one of these it is not tried.
    needs: &'static [Capability],
    /// Kept where they are there.
    uses: &'static [Capability],
}

const fn row(task: Task, name: &'static str, needs: &'static [Capability], uses: &'static [Capability]) -> Row {
    Row { task, name, needs, uses }
}

const TABLE: [Row; 17] = [
    row(Task::Apply, "apply", IMPAIRS, STARTS),
    row(Task::Bridge, "bridge", IMPAIRS, STARTS),
    row(Task::Exec, "exec", IMPAIRS, STARTS),
    row(Task::Run, "run", IMPAIRS, STARTS),
    row(Task::LabUp, "lab up", IMPAIRS, STARTS),
    row(Task::LabExec, "lab exec", &[CAP_SYS_ADMIN], FILES),
    row(Task::LabDown, "lab down", UNDOES, HANDS_OVER),
    row(Task::Clear, "clear", UNDOES, HANDS_OVER),
    row(Task::Capture, "capture", &[CAP_NET_RAW], CAPTURES),
    row(Task::Verifier, "doctor --verifier", &[CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF], &[]),
    // Takes part of whatever it is given, and says what is missing.
    row(Task::Doctor, "doctor", &[], ALL),
    row(Task::Change, "apply --change, bridge --change", &[], &[CAP_DAC_OVERRIDE, CAP_SYS_PTRACE]),
    row(Task::Status, "status", &[], FILES),
    row(Task::Workload, "toast, webrtc", &[], &[CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE]),
    row(Task::WorkloadInside, "webrtc load --netns", &[CAP_SYS_ADMIN], &[CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE]),
    row(Task::Files, "analyze, compare, fit, report, profile, lab list", &[], FILES),
    row(Task::Guard, "the guard of what is changed", &[], GUARDS),
];

/// All of the above.
const ALL: &[Capability] = &[
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_KILL,
    CAP_NET_ADMIN,
    CAP_NET_RAW,
    CAP_IPC_LOCK,
    CAP_SYS_PTRACE,
    CAP_SYS_ADMIN,
    CAP_PERFMON,
    CAP_BPF,
];
const GUARDS: &[Capability] =
    &[CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_SYS_ADMIN];

/// What a capability is good for here.
const fn purpose(capability: Capability) -> &'static str {
    match capability {
        CAP_NET_ADMIN => "devices, addresses, filters and XDP",
        CAP_NET_RAW => "AF_XDP sockets and captures",
        CAP_IPC_LOCK => "the memory that packets are held in, unless ulimit -l is unlimited",
        CAP_SYS_PTRACE => "the namespaces and environments of other processes",
        CAP_SYS_ADMIN => "network namespaces, mounts and BPF programs",
        CAP_BPF => "BPF programs and maps",
        CAP_PERFMON => "BPF programs that compare pointers",
        CAP_KILL => "ending processes of other users",
        CAP_DAC_OVERRIDE => "files of other users, and for others than root those in /run",
        CAP_CHOWN | CAP_FOWNER | CAP_FSETID => "giving files to who called sudo",
        CAP_NET_BIND_SERVICE => "ports below 1024",
        _ => "nothing",
    }
}

impl Task {
    fn row(self) -> &'static Row {
        // There is one for each; a test sees to it.
        TABLE.iter().find(|row| row.task == self).unwrap_or(&TABLE[0])
    }

    /// What people type for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it is not tried without.
    #[must_use]
    pub fn needs(self) -> &'static [Capability] {
        self.row().needs
    }

    /// What it keeps beside those where it has them.
    #[must_use]
    pub fn uses(self) -> &'static [Capability] {
        self.row().uses
    }

    /// Whether programs are started that are not ours: they are to have what they would have had without us.
    const fn starts_others(self) -> bool {
        // A run's own ends of a workload give up what they do not need by themselves.
        matches!(self, Self::Exec | Self::LabExec | Self::Run)
    }

    /// All tasks, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.task)
    }

    /// Gives up what is not needed. Before any thread is started, since each has its own.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn give_up_others(self) -> anyhow::Result<()> {
        held::keep(self)
    }

    /// What it needs and this process has not.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn missing(self) -> anyhow::Result<Vec<Capability>> {
        held::missing(self)
    }

    /// Nothing where it has all that it needs.
    ///
    /// # Errors
    ///
    /// What is missing, what for, and how to get it.
    pub fn demand(self) -> anyhow::Result<()> {
        let missing = self.missing()?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(Missing { task: self, missing }.into())
    }
}

/// The file to give capabilities to.
pub(crate) fn setcap(task: Task) -> String {
    let file = std::env::current_exe().map_or_else(|_| "shaper".to_owned(), |path| path.display().to_string());
    let mut all: Vec<String> = task.needs().iter().map(|capability| capability.to_string().to_lowercase()).collect();
    // With capabilities of a file nobody is root.
    all.push("cap_dac_override".to_owned());
    format!("sudo setcap {}=ep {file}", all.join(","))
}

/// A task that cannot be done.
#[derive(Debug, thiserror::Error)]
struct Missing {
    task: Task,
    missing: Vec<Capability>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = self.missing.iter().map(|missing| format!("{missing} ({})", purpose(*missing)));
        let missing = missing.collect::<Vec<_>>().join(", ");
        write!(f, "shaper {} needs {missing}, and this process does not have it: ", self.task.name())?;
        if nix::unistd::geteuid().is_root() {
            // In a container, or in a unit of systemd.
            let flags = self.missing.iter().map(|missing| missing.to_string().replace("CAP_", "--cap-add "));
            let flags = flags.collect::<Vec<_>>().join(" ");
            return write!(
                f,
                "this is root with fewer rights than root has: start the container with {flags}, or add it to the \
                 unit's CapabilityBoundingSet"
            );
        }
        write!(f, "run it as root, with sudo, or allow it to whoever may run this file: {}", setcap(self.task))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_has_a_row_and_each_capability_of_it_a_purpose() {
        for task in [
            Task::Apply,
            Task::Change,
            Task::Bridge,
            Task::Exec,
            Task::Run,
            Task::LabUp,
            Task::LabExec,
            Task::LabDown,
            Task::Clear,
            Task::Status,
            Task::Doctor,
            Task::Verifier,
            Task::Workload,
            Task::Files,
            Task::Guard,
        ] {
            assert_eq!(task.row().task, task);
            for capability in task.needs().iter().chain(task.uses()) {
                assert_ne!(purpose(*capability), "nothing", "{capability}");
            }
        }
        for capability in Task::all().flat_map(Task::needs) {
            assert!(ALL.contains(capability), "the doctor tries what needs {capability}");
        }
        let guards = HANDS_OVER.iter().chain(UNDOES);
        assert!(guards.into_iter().all(|capability| GUARDS.contains(capability)));
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let list = |all: &[Capability]| match all {
            [] => "none".to_owned(),
            all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        let mut table = "| command | needs | uses where it has them |\n| --- | --- | --- |\n".to_owned();
        for Row { name, needs, uses, .. } in &TABLE {
            let name = if name.contains("guard") {
                (*name).to_owned()
            } else {
                name.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            };
            table += &format!("| {name} | {} | {} |\n", list(needs), list(uses));
        }
        table += "\n| capability | what for |\n| --- | --- |\n";
        for capability in ALL.iter().chain(&[CAP_NET_BIND_SERVICE]) {
            table += &format!("| {capability} | {} |\n", purpose(*capability));
        }
        let documented = include_str!("../../../docs/capabilities.md");
        assert!(documented.contains(&table), "docs/capabilities.md must have this:\n{table}");
    }
}
