//! WebRTC: what peers of a server send, and logs of servers and testers.
//!
//! The server is one shard that no thread runs, at times that the input says, and its crypto encrypts nothing: so the
//! bytes of an input are RTP, RTCP and SCTP as an authenticated peer may send them, and damage to them is not rejected
//! for a wrong tag. Panics of str0m's are caught by the server, end one transport and are no failure here: that all
//! others go on is what must hold.

mod clear;
mod logs;
mod media;
mod offer;
mod peer;
mod signal;

pub use logs::read as logs;
pub use media::exchange as media;
pub use offer::read as offer;
pub use signal::read as signal;

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use shaper_webrtc::serve::LoneShard;

/// Whether anything of this repository has panicked, also where the server caught it.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// A server. A host that gives it no socket tests nothing, which is a failure.
fn server() -> Option<LoneShard> {
    static HOOK: Once = Once::new();
    // libFuzzer's hook ends the process before a panic is caught, also one that the server catches. What nobody catches
    // ends it all the same.
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let is_ours = !of_dependency(panic);
            PANICKED.fetch_or(is_ours, Ordering::Relaxed);
            if is_ours || std::env::var_os("SHAPER_FUZZ_PANICS").is_some() {
                eprintln!("{panic}");
            }
        }));
    });
    let server = LoneShard::new(clear::provider());
    assert!(server.is_ok(), "this host gives a server no socket: {:?}", server.as_ref().err());
    server.ok()
}

/// The server catches panics of str0m's. One of ours is a failure wherever it was caught.
fn nothing_of_ours_panicked() {
    assert!(!PANICKED.load(Ordering::Relaxed), "something of this repository panicked, and the server caught it");
}

/// Whether a panic comes from no file of this repository.
fn of_dependency(panic: &std::panic::PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|at| at.file().starts_with('/'))
}
