//! A browser without a screen that is told what to do: Debian's package `chromium`, by its DevTools protocol.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests panic with their context")]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// Until what must happen has happened. A browser that draws by the processor, beside other work, is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Whether there is a browser; where there must be one, its absence fails.
pub(crate) fn there_is_a_browser() -> bool {
    let found = Command::new("chromium").arg("--version").output().is_ok_and(|output| output.status.success());
    let must = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(found || !must, "chromium is needed (Debian package chromium)");
    if !found {
        eprintln!("skipped: there is no chromium (Debian package chromium)");
    }
    found
}

/// A few lines of script that publish by WHIP and play by WHEP, in a page of the server's that has joined nothing:
/// `publish` and `play` make a session at an address, and say where it is; `publish` may be given layers.
const SMALL_PAGE: &str = "
    globalThis.negotiate = async (connection, address) => {
      await connection.setLocalDescription();
      const { sdp } = connection.localDescription;
      const answer = await fetch(address, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: sdp });
      if (answer.status !== 201) throw new Error(await answer.text());
      await connection.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
      return new URL(answer.headers.get('location'), address).href;
    };
    globalThis.publish = (address, layers) => {
      const canvas = document.createElement('canvas');
      [canvas.width, canvas.height] = layers ? [640, 360] : [160, 120];
      const context = canvas.getContext('2d');
      let count = 0;
      setInterval(() => {
        context.fillStyle = `hsl(${(count += 7)} 60% 50%)`;
        context.fillRect(0, 0, canvas.width, canvas.height);
      }, 100);
      const sound = new AudioContext();
      const [tone, out] = [sound.createOscillator(), sound.createMediaStreamDestination()];
      tone.connect(out);
      tone.start();
      const connection = new RTCPeerConnection();
      for (const stream of [out.stream, canvas.captureStream(10)]) {
        const [track] = stream.getTracks();
        const sendEncodings = (track.kind === 'video' && layers) || [{}];
        connection.addTransceiver(track, { direction: 'sendonly', sendEncodings });
      }
      return negotiate(connection, address);
    };
    globalThis.play = (address) => {
      const connection = new RTCPeerConnection();
      for (const kind of ['audio', 'video']) connection.addTransceiver(kind, { direction: 'recvonly' });
      connection.ontrack = ({ track }) => {
        const element = document.body.appendChild(document.createElement(track.kind));
        element.autoplay = true;
        element.srcObject = new MediaStream([track]);
      };
      return negotiate(connection, address);
    };
    true";

/// A browser, ended with all its processes.
pub(crate) struct Browser {
    socket: WebSocket<TcpStream>,
    asked: u64,
    /// What pages said on their consoles.
    complaints: Vec<String>,
    // Before its profile, which it writes to.
    _process: Group,
    _profile: TempDir,
}

/// One page of a browser's.
#[derive(PartialEq, Eq)]
pub(crate) struct Tab(String);

/// A process and all that it started, ended with this; also where the browser does not come up.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id().try_into().unwrap()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Starts one. Pages of `origin` may do what those from localhost may.
    pub(crate) fn start(origin: Option<&str>) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let told = profile.path().join("stderr");
        let mut command = Command::new("chromium");
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        // Two pages are on one screen that nobody sees.
        command.args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"]);
        command.args(["--disable-backgrounding-occluded-windows", "--autoplay-policy=no-user-gesture-required"]);
        command.args(["--disable-breakpad", "--disable-crash-reporter", "--remote-debugging-port=0"]);
        command.args(origin.map(|origin| format!("--unsafely-treat-insecure-origin-as-secure={origin}")));
        command.arg(format!("--user-data-dir={}", profile.path().join("profile").display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&told).unwrap()).process_group(0);
        let process = Group(command.spawn().unwrap());
        let port_file = profile.path().join("profile/DevToolsActivePort");
        let stderr = || fs::read_to_string(&told).unwrap_or_default();
        let (port, path) = wait_for(|| devtools(&port_file), || format!("no browser: {}", stderr()));
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        Self { socket, asked: 0, complaints: Vec::new(), _process: process, _profile: profile }
    }

    /// Asks, of one page or of the browser, and waits for the answer.
    fn ask(&mut self, tab: Option<&Tab>, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": params});
        if let Some(Tab(session)) = tab {
            question["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(question.to_string())).unwrap();
        loop {
            let message = self.socket.read().unwrap();
            let Message::Text(text) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &Value) {
        let params = &message["params"];
        let complaint = match message["method"].as_str().unwrap_or_default() {
            "Runtime.consoleAPICalled" => &params["args"],
            "Runtime.exceptionThrown" => &params["exceptionDetails"],
            "Log.entryAdded" => &params["entry"],
            _ => return,
        };
        self.complaints.push(complaint.to_string());
    }

    /// Opens an address; `connections` there are all that the page makes, and `sockets` all of its WebSockets.
    pub(crate) fn open(&mut self, address: &str) -> Tab {
        let target = self.ask(None, "Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attach = json!({"targetId": target, "flatten": true});
        let session = self.ask(None, "Target.attachToTarget", &attach)["sessionId"].as_str().unwrap().to_owned();
        let tab = Tab(session);
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            self.ask(Some(&tab), domain, &json!({}));
        }
        let source = "globalThis.connections = []; globalThis.RTCPeerConnection = class extends RTCPeerConnection { \
                      constructor(...all) { super(...all); connections.push(this); } }; \
                      globalThis.sockets = []; globalThis.WebSocket = class extends WebSocket { \
                      constructor(...all) { super(...all); sockets.push(this); } };";
        self.ask(Some(&tab), "Page.addScriptToEvaluateOnNewDocument", &json!({"source": source}));
        self.ask(Some(&tab), "Page.navigate", &json!({"url": address}));
        // What is asked before is asked of the empty page.
        self.until(&tab, "location.href !== 'about:blank' && document.readyState === 'complete'");
        tab
    }

    /// A page of a server's with a session at one of its endpoints, and the address of that session.
    pub(crate) fn session(&mut self, server: &str, endpoint: &str, does: &str, more: &str) -> (Tab, String) {
        let tab = self.open(&format!("{server}/"));
        self.evaluate(&tab, SMALL_PAGE);
        let made = self.evaluate(&tab, &format!("{does}('{server}/{endpoint}/room'{more})"));
        let address = made.as_str().unwrap().to_owned();
        (tab, address)
    }

    /// Makes the window of a page as wide as a phone or a desk.
    pub(crate) fn resize(&mut self, tab: &Tab, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask(Some(tab), "Emulation.setDeviceMetricsOverride", &size);
    }

    /// What an expression comes to, once it is settled.
    pub(crate) fn evaluate(&mut self, tab: &Tab, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.ask(Some(tab), "Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(crate) fn until(&mut self, tab: &Tab, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.evaluate(tab, expression) != json!(true) {
            if Instant::now() > end {
                let page = self.evaluate(tab, "document.body.innerText");
                let stats = self.stats(tab);
                panic!("never {expression}: {page}, {:?}, {stats:#?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a report of getStats is so.
    pub(crate) fn until_stats(&mut self, tab: &Tab, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats(tab);
            if holds(&stats) {
                return stats;
            }
            if Instant::now() > end {
                let page = self.evaluate(tab, "document.body.innerText");
                panic!("never {what}: {page}, {:?}, {stats:#?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// All that getStats says, of all connections of a page.
    pub(crate) fn stats(&mut self, tab: &Tab) -> Vec<Value> {
        let all = "(async () => { const all = []; for (const one of globalThis.connections ?? []) \
                   all.push(...(await one.getStats()).values()); return all; })()";
        self.evaluate(tab, all).as_array().cloned().unwrap_or_default()
    }

    /// What pages have said on their consoles so far.
    pub(crate) fn complaints(&mut self, tab: &Tab) -> &[String] {
        // What was said before this is answered has been heard.
        self.evaluate(tab, "0");
        &self.complaints
    }
}

/// A report of one type and kind. What probes the bandwidth, of SSRC 0, is no media.
pub(crate) fn report<'s>(stats: &'s [Value], of: &str, kind: &str) -> Option<&'s Value> {
    stats.iter().find(|one| one["type"] == of && one["kind"] == kind && one["ssrc"] != 0)
}

/// A figure of a report; 0 where it is not there.
pub(crate) fn figure(stats: &[Value], of: &str, kind: &str, name: &str) -> f64 {
    report(stats, of, kind).and_then(|one| one[name].as_f64()).unwrap_or_default()
}

/// Whether pictures are seen and a tone is heard.
pub(crate) fn plays(stats: &[Value]) -> bool {
    figure(stats, "inbound-rtp", "video", "framesDecoded") > 20.0
        && figure(stats, "inbound-rtp", "audio", "totalAudioEnergy") > 0.001
}

/// Port and path at which the browser listens.
fn devtools(file: &Path) -> Option<(u16, String)> {
    let text = fs::read_to_string(file).ok()?;
    let (port, path) = text.split_once('\n')?;
    Some((port.parse().ok()?, path.trim().to_owned()))
}

fn wait_for<T>(mut there: impl FnMut() -> Option<T>, otherwise: impl Fn() -> String) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(there) = there() {
            return there;
        }
        assert!(Instant::now() < end, "{}", otherwise());
        std::thread::sleep(Duration::from_millis(50));
    }
}
