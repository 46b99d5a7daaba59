//! How an impaired interface stands: told by its process on a socket of its own, `/run/shaper/<id>.sock`.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use shaper_net::journal::{self, Entry, Journal, Recorded};
use shaper_net::process::ProcessId;

use super::figures::Figures;
use super::follow::Followed;
use super::request::{FOR_A_COMMAND, Order, Request, Target};

/// How long a process may take over its answer, and whoever asks over reading it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon whoever asks has said what.
const AT_ONCE: Duration = Duration::from_millis(500);
/// Bytes of the longest question: two profiles with all their rules.
const LONGEST: u64 = 64 << 20;

/// An impaired interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Version of this layout.
    pub(crate) schema: u32,
    /// Identifier, as in the names of files in `/run/shaper`.
    pub(crate) id: String,
    /// The process that impairs it.
    pub(crate) pid: u32,
    /// The interface, or both with " and " between them.
    pub(crate) interface: String,
    /// The name of its namespace; absent for the process's own.
    pub(crate) netns: Option<String>,
    /// What tells that namespace from others, as long as it stands.
    pub(crate) netns_inode: u64,
    /// The engine: `edt` or `xsk`.
    pub(crate) engine: String,
    /// Why it is that one.
    pub(crate) engine_why: String,
    /// How packets come to it: `tcx`, `clsact` or `xdp`.
    pub(crate) hook: String,
    /// The mode that the XDP programs run in.
    pub(crate) xdp_mode: String,
    /// Queues of each interface that XDP takes packets from; absent where it does not do so there.
    pub(crate) queues: Option<u32>,
    /// The seed of every draw.
    pub(crate) seed: u64,
    /// Of which decisions a record is written: `all`, `drops`, `off`, or one in so many, such as `1/100`.
    pub(crate) records: String,
    /// For how long it has been impaired.
    pub(crate) running_s: f64,
    /// When it ends by itself; absent where it does not.
    pub(crate) ends_in_s: Option<f64>,
    /// How long it may take to end, until what is held is out.
    pub(crate) drains_s: f64,
    /// How many packets are held at once without loss, in words: who has room for so many.
    pub(crate) room: String,
    /// The same, all together.
    pub(crate) room_packets: u32,
    /// What was changed on the host, and will be put back.
    pub(crate) changed: Vec<String>,
    /// Egress and ingress.
    pub(crate) directions: Vec<DirectionStatus>,
}

/// One direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DirectionStatus {
    /// Its name.
    pub(crate) direction: String,
    /// What it does; absent where it is left alone.
    pub(crate) settings: Option<String>,
    /// Packets that came in the last second or so, per second.
    pub(crate) packets_per_s: f64,
    /// Its figures.
    #[serde(flatten)]
    pub(crate) figures: Figures,
}

impl Status {
    /// Whether an interface is among them.
    pub(crate) fn is_of(&self, interface: &str) -> bool {
        // That of a command is called after the command, whatever is in its name.
        let is_for_a_command = self.interface.starts_with(FOR_A_COMMAND);
        !is_for_a_command && self.interface.split(" and ").any(|name| name == interface)
    }
}

/// What a process can be asked, a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// How it stands.
    Status,
    /// To change its settings.
    Change(Box<Order>),
    /// The fate of each packet from now on.
    Fates,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// How it stands.
    Status(Box<Status>),
    /// What it does from now on, a line each.
    Changed(Vec<String>),
    /// Fates follow, as [`follow`](super::follow) has them.
    Following(Box<Followed>),
    /// It could not.
    Failed(String),
}

/// The socket of a process.
pub(super) struct Served {
    listener: UnixListener,
    path: PathBuf,
    recorded: Option<Recorded>,
}

impl Served {
    /// Opens it; root may ask, and who has CAP_DAC_OVERRIDE.
    pub(super) fn open(journal: &Journal) -> anyhow::Result<Self> {
        let path = of(journal.path());
        let recorded = journal.record(Entry::File { path: path.clone() })?;
        let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path, recorded: Some(recorded) })
    }

    /// Who asked meanwhile, and what. Who says nothing that is understood is let go.
    pub(super) fn asked(&self) -> anyhow::Result<Option<(UnixStream, Ask)>> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("cannot be asked how it stands"),
            };
            if let Ok(ask) = hear(&stream) {
                return Ok(Some((stream, ask)));
            }
        }
    }
}

/// Reads what is asked. Who may ask says so at once: nobody else waits meanwhile.
fn hear(stream: &UnixStream) -> anyhow::Result<Ask> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(AT_ONCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream).take(LONGEST).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Answers. That who asked goes away is nothing to us.
pub(super) fn answer(mut stream: UnixStream, answer: &Answer) -> anyhow::Result<()> {
    let _ = stream.write_all(&serde_json::to_vec(answer)?);
    Ok(())
}

impl Drop for Served {
    fn drop(&mut self) {
        if fs::remove_file(&self.path).is_ok()
            && let Some(recorded) = self.recorded.take()
        {
            recorded.taken_back();
        }
    }
}

/// The socket beside a journal.
fn of(journal: &Path) -> PathBuf {
    journal.with_extension("sock")
}

/// An interface that some process impairs.
pub(crate) struct Found {
    /// The journal of the process.
    pub(crate) journal: PathBuf,
    /// What it says.
    pub(crate) status: Status,
}

/// What is known of the interfaces that are impaired.
#[derive(Default)]
pub(crate) struct All {
    /// As their processes tell.
    pub(crate) found: Vec<Found>,
    /// What is to be said of the processes that told nothing, each in words.
    pub(crate) untold: Vec<String>,
}

impl All {
    /// What is to be said of those that told nothing, behind the words that something was not found.
    fn untold(&self) -> String {
        self.untold.iter().map(|words| format!("; {words}")).collect()
    }
}

/// All interfaces that are impaired, as their processes tell.
///
/// # Errors
///
/// When `/run/shaper` cannot be read.
pub(crate) fn all() -> anyhow::Result<All> {
    let mut all = All::default();
    for path in refused()? {
        let path = path.display();
        all.untold.push(format!("what {path} is of is told to root, or to who has CAP_DAC_OVERRIDE, alone"));
    }
    for summary in journal::list()?.into_iter().filter(|summary| summary.owner_runs) {
        let path = of(&summary.path);
        if !path.exists() {
            continue;
        }
        match patiently(&path, &summary.header.owner)? {
            Asked::Told(status) => all.found.push(Found { journal: summary.path, status: *status }),
            Asked::Ended => {}
            Asked::Mute => {
                let (command, pid) = (&summary.header.command, summary.header.owner.pid);
                all.untold
                    .push(format!("{command}: process {pid} does not say what it does: shaper clear --all ends it"));
            }
        }
    }
    all.found.sort_by(|one, other| one.status.interface.cmp(&other.status.interface));
    Ok(all)
}

/// The journals of interfaces that the caller may not read.
fn refused() -> anyhow::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(journal::RUN_DIR) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(format!("cannot look into {}", journal::RUN_DIR)),
    };
    let paths =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|is| is == "sock"));
    let is_refused =
        |path: &PathBuf| fs::File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    Ok(paths.map(|path| path.with_extension("journal")).filter(is_refused).collect())
}

/// Lets the process that impairs what is asked for change its settings; says what it does from now on.
///
/// # Errors
///
/// When there is none, and what that process says.
pub(crate) fn change(request: &Request) -> anyhow::Result<Vec<String>> {
    let (name, inode) = (request.name(), request.target.inode()?);
    let all = all()?;
    let is_it = |found: &&Found| found.status.interface == name && found.status.netns_inode == inode;
    let Some(one) = all.found.iter().find(is_it) else {
        bail!("{name} is not impaired: leave --change out{}", all.untold())
    };
    match ask(&of(&one.journal), &Ask::Change(Box::new(Order::of(request)?)))? {
        Answer::Changed(lines) => Ok(lines),
        Answer::Failed(why) => bail!(why),
        Answer::Status(_) | Answer::Following(_) => {
            bail!("process {} is of another version: clear and apply anew", one.status.pid)
        }
    }
}

/// Those that impair an interface of this name in the namespace that is meant.
///
/// # Errors
///
/// When there is none: says where there are others, and who does not answer.
pub(crate) fn of_interface(interface: &str, target: &Target) -> anyhow::Result<Vec<Found>> {
    let inode = target.inode()?;
    let all = all()?;
    let untold = all.untold();
    let (here, elsewhere): (Vec<Found>, Vec<Found>) = all
        .found
        .into_iter()
        .filter(|found| found.status.is_of(interface))
        .partition(|found| found.status.netns_inode == inode);
    if !here.is_empty() {
        return Ok(here);
    }
    let mut problem = format!("{interface} is not impaired by any shaper of this host in this namespace");
    for Found { status, .. } in elsewhere {
        let name = status.netns.unwrap_or_else(|| "another one".to_owned());
        problem += &format!("; one of that name in {name} is, by process {}: --netns or --pid", status.pid);
    }
    bail!(problem + &untold)
}

/// What came of asking.
enum Asked {
    Told(Box<Status>),
    /// It has nothing impaired any more.
    Ended,
    Mute,
}

/// Asks a process that may be about to listen, or to end.
fn patiently(path: &Path, owner: &ProcessId) -> anyhow::Result<Asked> {
    /// How long it is waited between two questions.
    const PAUSE: Duration = Duration::from_millis(20);
    let since = Instant::now();
    loop {
        if let Ok(status) = status(path) {
            return Ok(Asked::Told(Box::new(status)));
        }
        if !path.exists() || !owner.is_running()? {
            return Ok(Asked::Ended);
        }
        if since.elapsed() >= PATIENCE {
            return Ok(Asked::Mute);
        }
        thread::sleep(PAUSE);
    }
}

fn status(path: &Path) -> anyhow::Result<Status> {
    match ask(path, &Ask::Status)? {
        Answer::Status(status) => Ok(*status),
        Answer::Changed(_) | Answer::Following(_) | Answer::Failed(_) => bail!("it does not say how it stands"),
    }
}

/// Asks the process of a journal to go on telling: its first words, and the stream that it goes on by.
///
/// # Errors
///
/// When it does not answer.
pub(super) fn ask_to_go_on(journal: &Path, question: &Ask) -> anyhow::Result<(Answer, BufReader<UnixStream>)> {
    let mut stream = BufReader::new(put(&of(journal), question)?);
    let mut line = String::new();
    (&mut stream).take(LONGEST).read_line(&mut line)?;
    Ok((serde_json::from_str(&line)?, stream))
}

fn put(path: &Path, question: &Ask) -> anyhow::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(stream)
}

fn ask(path: &Path, ask: &Ask) -> anyhow::Result<Answer> {
    let mut stream = put(path, ask)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
