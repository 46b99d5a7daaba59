//! Headless Chromium as a client, told what to do by its DevTools protocol, and what it uses with all its processes.

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, killpg};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::process::{self, Memory, Places, pause, processor_time, spawn_on};
use crate::Session;

/// How long it may take for anything: without a graphics processor, beside other work, it is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// What tests start it with, too: without a screen, and without saving on pages that nobody sees.
const FLAGS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
];
/// Keeps all connections of a page where they can be asked.
const KEEP: &str = "globalThis.connections = []; globalThis.RTCPeerConnection = class extends RTCPeerConnection { \
                    constructor(...all) { super(...all); connections.push(this); } };";
/// All that getStats says, of all connections of a page.
const STATS: &str = "(async () => { const all = []; for (const one of globalThis.connections ?? []) \
                     all.push(...(await one.getStats()).values()); return all; })()";

/// A browser; it is killed with all its processes when this is dropped.
pub(super) struct Browser {
    socket: WebSocket<TcpStream>,
    asked: u64,
    group: Group,
    // Its profile.
    _folder: TempDir,
}

/// Nobody waits for the first of them before the others are killed: the group's number could be another's then.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // They may have ended.
        let _ = killpg(process::pid(self.0.id()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// A page, by its session.
pub(super) struct Page(String);

/// What a page has sent and received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Media {
    /// Pictures.
    pub(super) encoded: f64,
    pub(super) decoded: f64,
    /// Packets of sound.
    pub(super) heard: f64,
}

impl Media {
    fn of(stats: &Value) -> Self {
        let all = stats.as_array().map(Vec::as_slice).unwrap_or_default();
        let sum = |of: &str, kind: &str, name: &str| {
            let is_it = |one: &&Value| one["type"] == of && one["kind"] == kind;
            all.iter().filter(is_it).filter_map(|one| one[name].as_f64()).sum()
        };
        Self {
            encoded: sum("outbound-rtp", "video", "framesEncoded"),
            decoded: sum("inbound-rtp", "video", "framesDecoded"),
            heard: sum("inbound-rtp", "audio", "packetsReceived"),
        }
    }

    /// Whether it sends and receives everything.
    pub(super) fn flows(&self) -> bool {
        self.encoded > 0.0 && self.decoded > 0.0 && self.heard > 0.0
    }
}

/// Processor time of each process.
pub(super) struct Used(HashMap<u32, Duration>);

impl Used {
    /// Seconds since another look. What has ended in between is left out, and what has begun is counted from its begin.
    pub(super) fn since(&self, before: &Self) -> f64 {
        let used = |(process, now): (&u32, &Duration)| {
            now.saturating_sub(before.0.get(process).copied().unwrap_or_default()).as_secs_f64()
        };
        self.0.iter().map(used).sum()
    }
}

/// Port and path at which it listens.
fn devtools(file: &Path) -> Option<(u16, String)> {
    let text = fs::read_to_string(file).ok()?;
    let (port, path) = text.split_once('\n')?;
    Some((port.parse().ok()?, path.trim().to_owned()))
}

impl Browser {
    pub(super) fn start(session: &Session, program: &Path, places: &Places) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let profile: PathBuf = folder.path().join("profile");
        let mut command = Command::new(program);
        command.args(FLAGS).arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = spawn_on(&mut command, &places.all).with_context(|| format!("cannot start {}", program.display()));
        let group = Group(child?);
        let until = Instant::now() + PATIENCE;
        let (port, path) = loop {
            if let Some(there) = devtools(&profile.join("DevToolsActivePort")) {
                break there;
            }
            if let Some(status) = process::ended(group.0.id())? {
                bail!("{} ended at once: {status:?}", program.display());
            }
            ensure!(Instant::now() < until, "{} is not up within {} s", program.display(), PATIENCE.as_secs());
            pause(session, Duration::from_millis(50))?;
        };
        let stream =
            TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).context("the browser is not there")?;
        stream.set_read_timeout(Some(PATIENCE)).context("cannot limit how long the browser may take")?;
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream)
            .map_err(|error| anyhow::anyhow!("the browser does not speak DevTools: {error}"))?;
        Ok(Self { socket, asked: 0, group, _folder: folder })
    }

    /// Asks, of one page or of the browser, and waits for the answer.
    fn ask(&mut self, page: Option<&Page>, method: &str, params: &Value) -> Result<Value> {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": params});
        if let Some(Page(session)) = page {
            question["sessionId"] = json!(session);
        }
        let failed = || format!("the browser does not answer {method}");
        self.socket.send(Message::text(question.to_string())).with_context(failed)?;
        loop {
            let Message::Text(text) = self.socket.read().with_context(failed)? else { continue };
            let message: Value = serde_json::from_str(&text).with_context(failed)?;
            if message["id"] == self.asked {
                ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
                return Ok(message["result"].clone());
            }
        }
    }

    /// Opens an address in a window of its own.
    pub(super) fn open(&mut self, address: &str) -> Result<Page> {
        let target = self.ask(None, "Target.createTarget", &json!({"url": "about:blank", "newWindow": true}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.ask(None, "Target.attachToTarget", &attach)?;
        let page = Page(attached["sessionId"].as_str().context("the browser names no session")?.to_owned());
        self.ask(Some(&page), "Page.enable", &json!({}))?;
        self.ask(Some(&page), "Page.addScriptToEvaluateOnNewDocument", &json!({"source": KEEP}))?;
        self.ask(Some(&page), "Page.navigate", &json!({"url": address}))?;
        Ok(page)
    }

    pub(super) fn media(&mut self, page: &Page) -> Result<Media> {
        let params = json!({"expression": STATS, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask(Some(page), "Runtime.evaluate", &params)?;
        ensure!(answer["exceptionDetails"].is_null(), "getStats: {}", answer["exceptionDetails"]);
        Ok(Media::of(&answer["result"]["value"]))
    }

    /// Waits until a page sends and receives.
    pub(super) fn until_media(&mut self, session: &Session, page: &Page) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let media = self.media(page)?;
            if media.flows() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "a page has no media within {} s: {media:?}", PATIENCE.as_secs());
            pause(session, Duration::from_millis(250))?;
        }
    }

    /// Of all its processes.
    pub(super) fn used(&self) -> Used {
        let processes = process::group(self.group.0.id());
        Used(processes.into_iter().filter_map(|one| Some((one, processor_time(one).ok()?))).collect())
    }

    /// Bytes of all its processes: pages that several have are counted once.
    pub(super) fn memory(&self) -> f64 {
        let processes = process::group(self.group.0.id());
        processes.into_iter().filter_map(|one| Memory::of(one).ok()).map(|memory| memory.proportional as f64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_summed_over_connections_and_kinds_are_apart() {
        let stats = json!([
            {"type": "outbound-rtp", "kind": "video", "framesEncoded": 40, "ssrc": 1},
            {"type": "outbound-rtp", "kind": "audio", "packetsSent": 90},
            {"type": "inbound-rtp", "kind": "video", "framesDecoded": 30, "ssrc": 2},
            {"type": "inbound-rtp", "kind": "video", "framesDecoded": 12, "ssrc": 3},
            {"type": "inbound-rtp", "kind": "audio", "packetsReceived": 80},
            {"type": "transport"},
        ]);
        let media = Media::of(&stats);
        assert_eq!(media, Media { encoded: 40.0, decoded: 42.0, heard: 80.0 });
        assert!(media.flows());
        assert!(!Media { heard: 0.0, ..media }.flows() && !Media::of(&Value::Null).flows());
    }

    #[test]
    fn what_was_used_is_that_of_all_processes() {
        let used = |all: &[(u32, u64)]| {
            Used(all.iter().map(|(process, millis)| (*process, Duration::from_millis(*millis))).collect())
        };
        // 2 has ended, 3 has begun.
        let since = used(&[(1, 700), (3, 50)]).since(&used(&[(1, 500), (2, 900)]));
        assert!((since - 0.25).abs() < 1e-9, "{since}");
    }

    #[test]
    fn where_it_listens_is_read_once_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("DevToolsActivePort");
        assert_eq!(devtools(&file), None);
        fs::write(&file, "41235\n/devtools/browser/7d0c\n").unwrap();
        assert_eq!(devtools(&file), Some((41_235, "/devtools/browser/7d0c".to_owned())));
    }
}
