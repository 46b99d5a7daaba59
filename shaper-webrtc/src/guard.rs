//! str0m, and a way out if it panics.
//!
//! What a peer sends must not end the server. str0m means never to panic on it; should it do so all
//! the same, one leg ends, and is counted, and not the thread that serves all others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use str0m::{Input, Output, Rtc};

/// Why a leg cannot go on.
pub(crate) type Failure = String;

/// `Rtc::handle_input`.
pub(crate) fn handle_input(rtc: &mut Rtc, input: Input<'_>) -> Result<(), Failure> {
    guarded(|| rtc.handle_input(input).map_err(|error| error.to_string()))
}

/// `Rtc::poll_output`.
pub(crate) fn poll_output(rtc: &mut Rtc) -> Result<Output, Failure> {
    guarded(|| rtc.poll_output().map_err(|error| error.to_string()))
}

/// Anything else that is done with what a peer sent. The `Rtc` is not used again after a failure: its
/// leg is marked as failed, and found no more.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("the WebRTC library has panicked".to_owned()))
}
