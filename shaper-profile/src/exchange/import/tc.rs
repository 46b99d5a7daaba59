//! Commands of tc that set up netem: `tc qdisc add|replace|change dev DEVICE root|parent ID netem …`, one a line, in a
//! shell's way: `#` begins a comment, a backslash at its end goes on in the next line.
//!
//! One command is taken for both directions; two, of different devices, are up and down. Units are tc's own (a bare
//! time is in microseconds, `mbps` are bytes), and so are defaults: jitter is uniform where no distribution is named, a
//! queue has 1000 packets. netem's `limit` counts what is in the delay too; what that holds at the rate is taken off.

use super::super::error::{Notes, Wrong};
use super::super::{OneWay, Options, Settings};
use super::netem::{NetemWords, Word};
use crate::profile::{Direction, Link, Profile};

const HINT: &str = "write for example tc qdisc add dev eth0 root netem delay 20ms loss 1%";

pub(in super::super) fn read(text: &str, options: &Options, notes: &mut Notes) -> Result<Settings, Wrong> {
    let commands = commands(text);
    let mut found: Vec<(String, Direction)> = Vec::new();
    for command in commands {
        let line = command.first().map_or(1, |(line, _)| *line);
        let (device, direction) = read_command(command, options, notes)?;
        if found.iter().any(|(known, _)| *known == device) {
            return Err(Wrong::new(
                line,
                format!("{device} has two commands"),
                "keep one netem for a device, with all options",
            ));
        }
        if found.len() == 2 {
            return Err(Wrong::new(
                line,
                "there are more than two commands",
                "keep one for each direction of the link",
            ));
        }
        found.push((device, direction));
    }
    let mut directions = found.into_iter().map(|(_, direction)| direction);
    match (directions.next(), directions.next()) {
        (None, _) => Err(Wrong::new(1, "there is no command", HINT)),
        (Some(direction), None) => Ok(Settings::One(Box::new(OneWay { direction, ..OneWay::default() }))),
        (Some(a_to_b), Some(b_to_a)) => {
            let link = Link { a_to_b, b_to_a, ..Link::default() };
            Ok(Settings::Both(Box::new(Profile { link, ..Profile::default() })))
        }
    }
}

/// The words of each command.
fn commands(text: &str) -> Vec<Vec<Word>> {
    let mut commands = Vec::new();
    let mut command: Vec<Word> = Vec::new();
    for (line, written) in text.lines().enumerate().map(|(number, line)| (number + 1, line)) {
        let mut goes_on = false;
        for word in written.split_whitespace() {
            if word.starts_with('#') {
                break;
            }
            goes_on = word == "\\";
            if matches!(word, ";" | "&&") {
                commands.push(std::mem::take(&mut command));
            } else if !goes_on {
                command.push((line, word.trim_matches(['"', '\'']).to_owned()));
            }
        }
        if !goes_on {
            commands.push(std::mem::take(&mut command));
        }
    }
    commands.push(command);
    commands.retain(|command| !command.is_empty());
    commands
}

fn read_command(command: Vec<Word>, options: &Options, notes: &mut Notes) -> Result<(String, Direction), Wrong> {
    let line = command.first().map_or(1, |(line, _)| *line);
    let mut words = command.into_iter();
    let wrong = |line: usize, problem: String| Wrong::new(line, problem, HINT);
    let mut before = words.by_ref().skip_while(|(_, word)| word == "sudo").take(3).map(|(_, word)| word);
    let (program, object, verb) = (before.next(), before.next(), before.next());
    let is_tc = program.as_deref().is_some_and(|program| program == "tc" || program.ends_with("/tc"));
    if !is_tc || object.as_deref() != Some("qdisc") {
        return Err(wrong(line, "the command is no tc qdisc".into()));
    }
    match verb.as_deref() {
        Some("add" | "replace" | "change") => {}
        Some(other) => return Err(wrong(line, format!("tc qdisc {other} sets up nothing"))),
        None => return Err(wrong(line, "the command ends behind qdisc".into())),
    }
    let mut device = None;
    while let Some((line, word)) = words.next() {
        match word.as_str() {
            "root" => {}
            "dev" => device = words.next().map(|(_, device)| device),
            "parent" | "handle" => {
                words.next();
            }
            "netem" => {
                let device = device.ok_or_else(|| wrong(line, "the device is missing".into()))?;
                return Ok((device, NetemWords::new(words, line, notes).direction(options)?));
            }
            "tbf" | "htb" => {
                let hint = "write its rate as netem's: netem … rate 10mbit";
                return Err(Wrong::new(line, format!("{word} is no netem"), hint));
            }
            _ => return Err(wrong(line, format!("\"{word}\" is no netem"))),
        }
    }
    Err(wrong(line, "the command ends before netem".into()))
}
