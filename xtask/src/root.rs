//! How a built binary, or apt, gets root. cargo never does.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Command,
};

use anyhow::{Result, bail};
use nix::unistd::Uid;

use crate::process;

/// The way to root on this host.
#[derive(Clone, Debug)]
pub(crate) enum Root {
    /// This process is root.
    Already,
    /// Through sudo, which may ask for a password on the terminal.
    Sudo,
    /// Through `sudo -n`, which never asks.
    SudoWithoutPrompt,
}

impl Root {
    /// Finds the way to root, or says why there is none.
    pub(crate) fn find() -> Result<Self> {
        if Uid::effective().is_root() {
            return Ok(Self::Already);
        }
        if process::find("sudo").is_none() {
            bail!("needs root, and this host has no sudo: run the same command as root");
        }
        if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Ok(Self::SudoWithoutPrompt);
        }
        if io::stdin().is_terminal() {
            return Ok(Self::Sudo);
        }
        bail!(
            "needs root, and sudo asks for a password while there is no terminal to ask on: \
             run `sudo -v` first, or allow this user to run sudo without a password"
        );
    }

    /// A command that runs `program` as root with these variables set; sudo
    /// drops all others.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, env: &[(&str, OsString)]) -> Command {
        let mut command = match self {
            Self::Already => {
                let mut command = Command::new(program);
                command.envs(env.iter().map(|(key, value)| (key, value)));
                return command;
            }
            Self::Sudo => Command::new("sudo"),
            Self::SudoWithoutPrompt => {
                let mut command = Command::new("sudo");
                command.arg("-n");
                command
            }
        };
        if !env.is_empty() {
            command.arg("env");
            for (key, value) in env {
                let mut assignment = OsString::from(key);
                assignment.push("=");
                assignment.push(value);
                command.arg(assignment);
            }
        }
        command.arg(program);
        command
    }
}

/// Refuses to go on when somebody started cargo through sudo: it would leave
/// files of root in the caller's target folder and cargo home.
pub(crate) fn refuse_cargo_under_sudo(repository: &Path) -> Result<()> {
    let caller = env::var("SUDO_UID").ok().and_then(|uid| uid.parse::<u32>().ok()).unwrap_or(0);
    if caller == 0 || !Uid::effective().is_root() {
        return Ok(());
    }
    let owned_by_another = |path: &Path| path.metadata().is_ok_and(|meta| meta.uid() != 0);
    let home = env::var_os("HOME").unwrap_or_default();
    if owned_by_another(repository) || owned_by_another(Path::new(&home)) {
        bail!(
            "cargo runs under sudo here, which leaves files of root in the target folder and in \
             {}: run the same command without sudo; what needs root asks for it by itself",
            Path::new(&home).display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_gets_the_variables_through_env() {
        let command = Root::SudoWithoutPrompt.command("/bin/id", &[("KEY", "a b".into())]);
        assert_eq!(process::show(&command), "sudo -n env KEY=a b /bin/id");
    }

    #[test]
    fn root_runs_the_program_itself() {
        let command = Root::Already.command("/bin/id", &[("KEY", "value".into())]);
        assert_eq!(process::show(&command), "/bin/id");
    }
}
