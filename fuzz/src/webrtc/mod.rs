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

use shaper_webrtc::serve::LoneShard;

/// A server; none if this host gives it no socket.
fn server() -> Option<LoneShard> {
    static HOOK: Once = Once::new();
    // libFuzzer's hook ends the process before a panic is caught, also one that the server catches. What nobody catches
    // ends it all the same.
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if std::env::var_os("SHAPER_FUZZ_PANICS").is_some() || !of_dependency(panic) {
                eprintln!("{panic}");
            }
        }));
    });
    LoneShard::new(clear::provider()).ok()
}

/// Whether a panic comes from no file of this repository.
fn of_dependency(panic: &std::panic::PanicHookInfo<'_>) -> bool {
    panic.location().is_some_and(|at| at.file().starts_with('/'))
}
