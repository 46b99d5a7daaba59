//! The engine's threads.

use std::thread::{self, JoinHandle};

use crate::error::Error;

/// Starts one.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|error| Error::Thread { thread: name, what: format!("could not be started: {error}") })
}

/// Waits for its end.
pub(crate) fn join<T>(name: &'static str, handle: Option<JoinHandle<T>>) -> Result<T, Error> {
    match handle.map(JoinHandle::join) {
        Some(Ok(value)) => Ok(value),
        Some(Err(_)) => Err(Error::Thread { thread: name, what: "ended by a panic".into() }),
        None => Err(Error::Thread { thread: name, what: "was stopped twice".into() }),
    }
}
