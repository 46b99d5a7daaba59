//! `shaper webrtc serve` as a process of its own.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A server, killed when the test fails.
pub(crate) struct Server {
    process: Option<Child>,
    out: BufReader<ChildStdout>,
    pub(crate) http: String,
    pub(crate) media: String,
}

impl Server {
    /// Starts one at a free port of an address.
    pub(crate) fn start(address: &str, arguments: &[&str]) -> Self {
        let listen = format!("{address}:0");
        let fixed = ["webrtc", "serve", "--listen", &listen, "--no-pin", "--json"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_shaper"));
        let mut process = command.args(fixed).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(started["event"], "listening");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (http, media) = (text(&started["http"]), text(&started["media"][0]));
        Self { process: Some(process), out, http, media }
    }

    /// Stops it by a signal: what it said last.
    pub(crate) fn stop(mut self, signal: Signal) -> Value {
        let mut process = self.process.take().unwrap();
        kill(Pid::from_raw(process.id().try_into().unwrap()), signal).unwrap();
        let mut last = String::new();
        self.out.read_to_string(&mut last).unwrap();
        assert!(process.wait().unwrap().success());
        serde_json::from_str(&last).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
