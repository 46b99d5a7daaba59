//! Running other programs: every failure names the command line.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

/// Runs with inherited streams; anything but exit code 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", show(command));
    }
    Ok(())
}

/// What the command wrote to standard output, as text.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let bytes = stdout_bytes(command)?;
    String::from_utf8(bytes).with_context(|| format!("`{}` did not write UTF-8", show(command)))
}

/// What the command wrote to standard output; anything but exit code 0 is an
/// error that carries what it wrote to standard error.
pub(crate) fn stdout_bytes(command: &mut Command) -> Result<Vec<u8>> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}: {}", show(command), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(stdout)
}

/// True when the command can be started and ends with exit code 0; its output
/// goes nowhere.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Looks a program up in PATH, and in the sbin folders that a user's PATH may
/// lack.
pub(crate) fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let program = program.as_ref();
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}
