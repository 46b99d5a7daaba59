//! Clients who talk in pairs, by a browser's pages and by our tester: the same rooms, the same kinds of media, one server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::browser::Browser;
use super::ends::Server;
use super::load::{Load, Media};
use super::process::Places;
use super::process::pause;
use super::trial::{self, Moment, Phases, Window};
use crate::Session;

/// Clients of a room.
const ROOM: u32 = 2;
/// Pictures a second.
const FPS: u32 = 20;
/// The browser's estimate of the bandwidth has to rise first.
const PHASES: Phases = Phases { settle: Duration::from_secs(5), window: Duration::from_secs(5) };

/// What a client of a call costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Processor time in milliseconds, each second.
    pub(super) processor: f64,
    /// Bytes, with its share of what all have together.
    pub(super) memory: f64,
    /// RTP packets that it sends, and those that the server sends to it, a second.
    pub(super) packets: f64,
    /// Pictures that it decodes a second; ours looks at none.
    pub(super) decoded: f64,
}

/// Pages of one browser.
pub(super) fn by_browser(
    session: &Session,
    (shaper, chromium): (&Path, &Path),
    places: &Places,
    pages: u32,
) -> Result<Cost> {
    let server = Server::start(shaper, &places.server)?;
    let mut browser = Browser::start(session, chromium, places)?;
    let mut opened = Vec::new();
    for page in 0..pages {
        let room = page / ROOM;
        let address =
            format!("http://{}/?room=call-{room}&name=page-{page}&fake=1&join=1&size=640x480&fps={FPS}", server.http);
        opened.push(browser.open(&address)?);
    }
    for page in &opened {
        browser.until_media(session, page)?;
    }
    pause(session, PHASES.settle)?;
    let decoded = |browser: &mut Browser| -> Result<f64> {
        let mut decoded = 0.0;
        for page in &opened {
            decoded += browser.media(page)?.decoded;
        }
        Ok(decoded)
    };
    let pictures = decoded(&mut browser)?;
    let (from, used, at) = (Moment::now(&server, None)?, browser.used(), Instant::now());
    pause(session, PHASES.window)?;
    let (to, used, seconds) = (Moment::now(&server, None)?, browser.used().since(&used), at.elapsed().as_secs_f64());
    let pictures = decoded(&mut browser)? - pictures;
    let memory = browser.memory();
    drop(browser);
    server.running.end(session)?;
    Ok(cost(used / seconds, memory, pictures / seconds, &Window::between(&from, &to), pages))
}

/// Clients of one tester.
pub(super) fn by_tester(session: &Session, shaper: &Path, places: &Places, clients: u32) -> Result<Cost> {
    let load = Load {
        media: Media::AudioAndVideo,
        rooms: clients / ROOM,
        clients: ROOM,
        publishers: ROOM,
        received: 1,
        fps: FPS,
        ramp_up: Duration::from_secs(1),
    };
    let taken = trial::run(session, shaper, places, &load, PHASES)?.carried()?;
    let steady = taken.steady;
    Ok(cost(steady.tester / steady.seconds, taken.tester_memory, 0.0, &steady, clients))
}

/// What each of `clients` costs, where all of them together use so many seconds of processor time a second.
fn cost(processor: f64, memory: f64, decoded: f64, window: &Window, clients: u32) -> Cost {
    let each = f64::from(clients);
    Cost {
        processor: 1e3 * processor / each,
        memory: memory / each,
        packets: (window.received + window.forwarded) / window.seconds / each,
        decoded: decoded / each,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_use_is_divided_among_them() {
        let window = Window { seconds: 5.0, server: 0.1, tester: 0.0, received: 3000.0, forwarded: 2000.0 };
        let cost = cost(1.2, 8e8, 80.0, &window, 4);
        assert!((cost.processor - 300.0).abs() < 1e-9, "{cost:?}");
        assert_eq!((cost.memory, cost.packets, cost.decoded), (2e8, 250.0, 20.0));
    }
}
