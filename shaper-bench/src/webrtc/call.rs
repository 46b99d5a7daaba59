//! Clients who talk in pairs, by a browser's pages and by our tester: the same rooms, the same kinds of media, one server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::browser::Browser;
use super::ends::Server;
use super::load::{Load, Media};
use super::process::{Places, pause};
use super::trial::{self, Moment, Phases, Window};
use crate::Session;

/// Clients of a room.
const ROOM: u32 = 2;
/// Pictures a second.
const FPS: u32 = 20;
/// The share of a room's pictures that a page decodes at least.
const LEAST_DECODED: f64 = 0.5;
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
    let look = |browser: &mut Browser| {
        let page = |page| -> Result<Look> { Ok(Look { decoded: browser.media(page)?.decoded, at: Instant::now() }) };
        opened.iter().map(page).collect::<Result<Vec<_>>>()
    };
    let before = look(&mut browser)?;
    let (from, used, at) = (Moment::now(&server, None)?, browser.used(), Instant::now());
    pause(session, PHASES.window)?;
    let (to, used, seconds) = (Moment::now(&server, None)?, browser.used().since(&used), at.elapsed().as_secs_f64());
    let pictures = decoded(&before, &look(&mut browser)?)?;
    let memory = browser.memory();
    drop(browser);
    server.end(session)?;
    let window = Window::between(&from, &to);
    ensure!(!window.is_skewed(), "{}", window.why_skewed());
    Ok(cost(used / seconds, memory, pictures, &window, pages))
}

/// What a page has decoded so far.
struct Look {
    decoded: f64,
    /// When it said so: pages answer one after the other.
    at: Instant,
}

/// Pictures that all pages decode a second. A page that stands still costs nothing, and is no client: an error.
fn decoded(before: &[Look], after: &[Look]) -> Result<f64> {
    let rate = |(before, after): (&Look, &Look)| {
        (after.decoded - before.decoded) / after.at.saturating_duration_since(before.at).as_secs_f64()
    };
    let rates: Vec<f64> = before.iter().zip(after).map(rate).collect();
    ensure!(
        rates.iter().all(|rate| *rate >= LEAST_DECODED * f64::from(FPS)),
        "a page stands still: {rates:.1?} of {FPS} pictures a second are decoded"
    );
    Ok(rates.iter().sum())
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
        let window = Window { seconds: 5.0, server: 0.1, tester: 0.0, received: 3000.0, forwarded: 2000.0, skew: 0.0 };
        let cost = cost(1.2, 8e8, 80.0, &window, 4);
        assert!((cost.processor - 300.0).abs() < 1e-9, "{cost:?}");
        assert_eq!((cost.memory, cost.packets, cost.decoded), (2e8, 250.0, 20.0));
    }

    #[test]
    fn pictures_are_divided_by_the_time_between_the_answers_of_their_page() {
        let at = Instant::now();
        let looks = |looks: [(f64, u64); 2]| {
            looks.map(|(decoded, millis)| Look { decoded, at: at + Duration::from_millis(millis) })
        };
        // 100 in 5 s, and 112 in 5.6 s.
        let rate = decoded(&looks([(40.0, 0), (30.0, 100)]), &looks([(140.0, 5_000), (142.0, 5_700)])).unwrap();
        assert!((rate - 40.0).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn a_page_that_stands_still_is_no_client() {
        let at = Instant::now();
        let look = |decoded, seconds| Look { decoded, at: at + Duration::from_secs(seconds) };
        let before = [look(40.0, 0), look(30.0, 0)];
        let why = decoded(&before, &[look(140.0, 5), look(30.0, 5)]).err().unwrap().to_string();
        assert_eq!(why, "a page stands still: [20.0, 0.0] of 20 pictures a second are decoded");
        assert!(decoded(&before, &[look(140.0, 5), look(79.0, 5)]).is_err(), "9.8 a second");
        assert!(decoded(&before, &[look(140.0, 5), look(80.0, 5)]).is_ok(), "10 a second");
    }
}
