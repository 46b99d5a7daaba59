//! Running a program under a time limit while its output passes through.

use std::{
    io::{self, BufRead as _, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{process, root::Root};

/// How a program under a time limit ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Exited(ExitStatus),
    /// It was stopped when the limit was reached.
    TimedOut,
}

impl End {
    /// True for exit code 0.
    pub(crate) fn succeeded(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }
}

/// How often the child is looked at while it is silent.
const LOOK: Duration = Duration::from_millis(50);
/// How long output may still come after the child has ended, from processes
/// it left behind.
const AFTERMATH: Duration = Duration::from_secs(1);
/// How long a child may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the command with both output streams in one, hands on each line as it
/// comes, and stops it at the limit.
pub(crate) fn run(command: &mut Command, limit: Duration, mut line: impl FnMut(&str)) -> Result<End> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let shown = process::show(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("cannot duplicate a pipe")?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    // The command keeps its ends of the pipe open until they are replaced.
    command.stdout(Stdio::null()).stderr(Stdio::null());

    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(reader);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&bytes);
            if sender.send(text.trim_end().to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });

    let start = Instant::now();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(text) => line(&text),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = child
                .try_wait()
                .with_context(|| format!("cannot wait for `{shown}`"))?
                .map(|status| (status, Instant::now()));
        }
        match ended {
            Some((_, at)) if at.elapsed() > AFTERMATH => break,
            None if start.elapsed() > limit => {
                stop(&mut child).with_context(|| format!("cannot stop `{shown}`"))?;
                return Ok(End::TimedOut);
            }
            _ => {}
        }
    }
    let status = match ended {
        Some((status, _)) => status,
        None => child.wait().with_context(|| format!("cannot wait for `{shown}`"))?,
    };
    Ok(End::Exited(status))
}

/// Ends the child: SIGTERM first, so that it, or sudo for it, can pass it on
/// and clean up.
fn stop(child: &mut Child) -> Result<()> {
    let pid = child.id().to_string();
    // sudo belongs to root, so that only root may signal it.
    if let Ok(root) = Root::find() {
        // The shell's own kill: the program is not everywhere.
        process::succeeds(root.command("sh", &[]).args(["-c", "kill -TERM \"$0\"", &pid]));
    }
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_arrive_in_order() {
        let mut seen = Vec::new();
        let end = run(&mut shell("echo one; echo two >&2; echo three; exit 3"), Duration::from_secs(60), |line| {
            seen.push(line.to_owned())
        })
        .unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
        assert!(matches!(end, End::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn a_program_is_stopped_at_the_limit() {
        let mut command = Command::new("sleep");
        let end = run(command.arg("600"), Duration::from_millis(10), |_| {}).unwrap();
        assert!(matches!(end, End::TimedOut));
    }

    #[test]
    fn a_process_left_behind_does_not_hold_us_up() {
        let start = Instant::now();
        let end = run(&mut shell("sleep 30 & echo $!"), Duration::from_secs(60), |pid| {
            assert!(shell(&format!("kill {pid}")).status().unwrap().success());
        })
        .unwrap();
        assert!(end.succeeded());
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
