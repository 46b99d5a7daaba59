//! The WebRTC workload's two ends as their user starts them, on loopback: what a packet, a handshake and a client cost, how
//! many packets a second one core sends on, and a browser's cost beside ours.
//!
//! The server has one processor to itself, with the one thread that forwards and all its others; the tester has the rest.

mod browser;
mod call;
mod ends;
mod load;
mod process;
mod search;
mod table;
mod trial;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::report::{Aim, Figure};
use crate::{Session, peers};
use call::Cost;
use load::{Load, Media};
use process::Places;
use search::Most;
use table::{Column, Table};
use trial::{Bound, Phases, RECEIVED, SLIP_MS, Taken};

const SUITE: &str = "webrtc";
/// Rooms, and clients in each, at each size.
const SIZES: [(u32, u32); 3] = [(1, 10), (2, 50), (20, 50)];
/// Who receives video needs 20 times the bytes: 1,000 of them are more than a core sends.
const SIZES_WITH_VIDEO: [(u32, u32); 2] = [(1, 10), (2, 50)];
/// Clients of a room for one that publishes.
const FOR_A_PUBLISHER: u32 = 10;
/// How many begin in a second at most.
const STARTS_PER_SECOND: u32 = 50;
const PHASES: Phases = Phases { settle: Duration::from_secs(1), window: Duration::from_secs(5) };
/// What transports cost that are merely there.
const IDLE: Phases = Phases { settle: Duration::ZERO, window: Duration::from_secs(3) };
/// The search: one room of 100 clients, and tracks that each of them receives, 5,000 packets a second for each.
const SEARCHED: Load = Load {
    media: Media::Audio,
    rooms: 1,
    clients: 100,
    publishers: 40,
    received: 1,
    fps: 30,
    ramp_up: Duration::from_secs(2),
};
const FIRST: u32 = 4;
/// Nobody receives itself.
const MOST: u32 = SEARCHED.publishers - 1;
/// Pages of a browser, in pairs.
const PAGES: [u32; 2] = [2, 4];
/// Descriptors that the server of 1,000 clients and its tester need, and some room.
const DESCRIPTORS: u64 = 8_192;

const KIB: f64 = 1024.0;

const SERVER_MEMORY: Column<Taken> = Column {
    name: "server, memory a client",
    unit: "KiB",
    of: |taken| taken.a_client(taken.server_grew) / KIB,
    aim: None,
};
const TESTER_MEMORY: Column<Taken> = Column {
    name: "tester, memory a client",
    unit: "KiB",
    of: |taken| taken.a_client(taken.tester_grew) / KIB,
    aim: None,
};

const MEDIA: [Column<Taken>; 9] = [
    Column { name: "server, a forwarded packet", unit: "ns", of: |taken| taken.steady.server_a_packet(), aim: None },
    Column {
        name: "tester, a packet sent or received",
        unit: "ns",
        of: |taken| taken.steady.tester_a_packet(),
        aim: None,
    },
    SERVER_MEMORY,
    TESTER_MEMORY,
    Column {
        name: "forwarded",
        unit: "packets/s",
        of: |taken| taken.steady.forwarded / taken.steady.seconds,
        aim: None,
    },
    Column {
        name: "server, processor time a second",
        unit: "ms",
        of: |taken| 1e3 * taken.steady.server / taken.steady.seconds,
        aim: None,
    },
    Column {
        name: "until media, the median client",
        unit: "ms",
        of: |taken| taken.summary.connection_time.map_or(f64::NAN, |time| time.p50_ms),
        aim: None,
    },
    Column {
        name: "received of what was to come",
        unit: "%",
        of: |taken| 100.0 * taken.summary.received_of_expected.unwrap_or(0.0),
        aim: Some(Aim::Above(100.0 * RECEIVED)),
    },
    Column { name: "slip at p99", unit: "ms", of: Taken::slip, aim: Some(Aim::Below(SLIP_MS)) },
];

const HANDSHAKES: [Column<Taken>; 4] = [
    Column { name: "server, a handshake", unit: "us", of: Taken::server_a_handshake, aim: None },
    Column { name: "tester, a handshake", unit: "us", of: Taken::tester_a_handshake, aim: None },
    // Also of as many as this host cannot carry with media.
    SERVER_MEMORY,
    TESTER_MEMORY,
];

/// What a search found, with a load that was carried.
struct Found {
    carried: Taken,
    bound: Bound,
}

const CORE: [Column<Found>; 6] = [
    Column {
        name: "forwarded",
        unit: "packets/s",
        of: |found| found.carried.steady.forwarded / found.carried.steady.seconds,
        aim: None,
    },
    Column {
        name: "forwarded in a second of processor time",
        unit: "packets/s",
        of: |found| found.carried.steady.forwarded / found.carried.steady.server,
        aim: None,
    },
    Column {
        name: "server, processor time a second",
        unit: "ms",
        of: |found| 1e3 * found.carried.steady.server / found.carried.steady.seconds,
        aim: None,
    },
    Column {
        name: "tester, processor time a second",
        unit: "ms",
        of: |found| 1e3 * found.carried.steady.tester / found.carried.steady.seconds,
        aim: None,
    },
    Column { name: "slip at p99", unit: "ms", of: |found| found.carried.slip(), aim: None },
    Column {
        name: "searches that the server ended",
        unit: "%",
        of: |found| if found.bound == Bound::Server { 100.0 } else { 0.0 },
        aim: None,
    },
];

const COSTS: [Column<Cost>; 4] = [
    Column { name: "processor time a client and second", unit: "ms", of: |cost| cost.processor, aim: None },
    Column { name: "memory a client", unit: "MiB", of: |cost| cost.memory / KIB / KIB, aim: None },
    Column { name: "packets of a client, both ways", unit: "packets/s", of: |cost| cost.packets, aim: None },
    Column { name: "pictures decoded by a client", unit: "pictures/s", of: |cost| cost.decoded, aim: None },
];

/// Where the programs are.
struct Programs<'a> {
    shaper: &'a Path,
    chromium: Result<std::path::PathBuf, String>,
}

pub(crate) fn measure(session: &Session, shaper: Option<&Path>) -> Result<Vec<Figure>> {
    let shaper = peers::shaper_program(shaper).map_err(|why| anyhow!(why))?;
    let chromium = peers::on_path("chromium")
        .ok_or_else(|| "missing: chromium is not on the path (Debian's package chromium)".to_owned());
    match &chromium {
        Ok(path) => {
            let version = peers::version(path).unwrap_or_else(|| "of a version that it does not say".to_owned());
            session.tell(&format!("{}: {version}", path.display()));
        }
        Err(why) => session.tell(&format!("{why}: its rows have no figures")),
    }
    let places = Places::find()?;
    session.tell(&format!("the server has processor {} to itself", places.processor));
    if !places.are_apart {
        session.tell("there is one processor: the server shares it with the tester");
    }
    descriptors()?;
    let programs = Programs { shaper: &shaper, chromium };
    let mut table = Table::default();
    for repeat in 1..=session.repeats {
        let tell = |what: &str| session.tell(&format!("{what} ({repeat} of {})", session.repeats));
        once(session, &programs, &places, &mut table, &tell)?;
    }
    Ok(table.figures(SUITE))
}

/// Everything, one after the other.
fn once(
    session: &Session,
    programs: &Programs<'_>,
    places: &Places,
    table: &mut Table,
    tell: &dyn Fn(&str),
) -> Result<()> {
    let run = |load: &Load, phases| {
        let taken = trial::run(session, programs.shaper, places, load, phases).and_then(Taken::carried);
        if let Err(why) = &taken {
            session.tell(&format!("{why:#}"));
        }
        // A trial that failed because somebody asked to stop is no trial.
        session.check().map(|()| taken)
    };
    for (media, sizes) in
        [(Media::AudioWithPauses, SIZES.as_slice()), (Media::Audio, &SIZES), (Media::AudioAndVideo, &SIZES_WITH_VIDEO)]
    {
        let name = |(rooms, clients): (u32, u32)| format!("{} clients, {}", rooms * clients, media.name());
        for size in sizes {
            tell(&name(*size));
            let taken = run(&of_size(media, *size), PHASES)?;
            table.add(&name(*size), &MEDIA, &taken, sizes.first().map(|first| name(*first)).as_deref());
        }
    }
    let name = |(rooms, clients): (u32, u32)| format!("{} clients, without media", rooms * clients);
    for size in SIZES {
        tell(&name(size));
        let taken = run(&Load { publishers: 0, ..of_size(Media::Audio, size) }, IDLE)?;
        table.add(&name(size), &HANDSHAKES, &taken, Some(&name(SIZES[0])));
    }
    core(session, programs, places, table, tell)?;
    calls(session, programs, places, table, tell)
}

/// One in ten publishes, and everybody receives one.
fn of_size(media: Media, (rooms, clients): (u32, u32)) -> Load {
    let seconds = (rooms * clients).div_ceil(STARTS_PER_SECOND).max(2);
    Load {
        media,
        rooms,
        clients,
        publishers: clients.div_ceil(FOR_A_PUBLISHER),
        received: 1,
        fps: 30,
        ramp_up: Duration::from_secs(seconds.into()),
    }
}

/// The most that one core sends on.
fn core(
    session: &Session,
    programs: &Programs<'_>,
    places: &Places,
    table: &mut Table,
    tell: &dyn Fn(&str),
) -> Result<()> {
    tell("the most packets on one core");
    let found = search::most(FIRST, MOST, |received| {
        let load = Load { received, ..SEARCHED };
        let taken = trial::run(session, programs.shaper, places, &load, PHASES)?;
        let rate = taken.steady.forwarded / taken.steady.seconds;
        let came = match taken.bound() {
            Bound::Carried => "carried".to_owned(),
            Bound::Server => format!("the server could not: {}", taken.gravest()),
            Bound::Tester => format!("the tester could not: {}", taken.gravest()),
        };
        let late = 1e3 * taken.steady.skew;
        session
            .tell(&format!("{received} tracks a client, {rate:.0} packets a second, told within {late:.0} ms: {came}"));
        Ok(taken)
    });
    session.check()?;
    let found = found.and_then(|Most { carried, bound }| {
        let carried = carried.with_context(|| format!("no load was carried, and the last by the {bound:?} not"))?;
        Ok(Found { carried, bound })
    });
    if let Err(why) = &found {
        session.tell(&format!("{why:#}"));
    }
    table.add("the most on one core", &CORE, &found, None);
    Ok(())
}

/// A browser's clients, and ours in the same rooms.
fn calls(
    session: &Session,
    programs: &Programs<'_>,
    places: &Places,
    table: &mut Table,
    tell: &dyn Fn(&str),
) -> Result<()> {
    for clients in PAGES {
        let [theirs, ours] =
            [format!("a call, {clients} pages of Chromium"), format!("a call, {clients} clients of the tester")];
        tell(&theirs);
        let cost = match &programs.chromium {
            Ok(chromium) => call::by_browser(session, (programs.shaper, chromium), places, clients),
            Err(why) => Err(anyhow!(why.clone())),
        };
        if let Err(why) = &cost {
            session.tell(&format!("{why:#}"));
        }
        session.check()?;
        table.add(&theirs, &COSTS, &cost, None);
        tell(&ours);
        let cost = call::by_tester(session, programs.shaper, places, clients);
        if let Err(why) = &cost {
            session.tell(&format!("{why:#}"));
        }
        session.check()?;
        table.add(&ours, &COSTS[..3], &cost, Some(&theirs));
    }
    Ok(())
}

/// Raises the limit on descriptors, which what is started has from here: what is not allowed, the tester says.
fn descriptors() -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    if soft < DESCRIPTORS {
        setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS.min(hard), hard)
            .context("cannot raise the limit of open files")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;
    use crate::report::Report;

    #[test]
    fn every_size_has_a_publisher_in_ten_and_a_track_for_everybody_else() {
        let loads = SIZES.map(|size| of_size(Media::Audio, size));
        assert_eq!(loads.map(|load| load.all_clients()), [10, 100, 1000]);
        assert_eq!(loads.map(|load| load.rooms * load.publishers), [1, 10, 100]);
        assert_eq!(loads.map(|load| load.subscriptions()), [9, 100, 1000]);
        assert_eq!(loads.map(|load| load.ramp_up.as_secs()), [2, 2, 20]);
    }

    #[test]
    fn a_missing_browser_has_rows_that_say_so_beside_ours() {
        let mut table = Table::default();
        table.add("theirs", &COSTS, &Err::<Cost, _>(anyhow!("missing: chromium")), None);
        let cost = Cost { processor: 12.5, memory: 3.0 * KIB * KIB, packets: 328.0, decoded: 0.0 };
        table.add("ours", &COSTS[..3], &Ok(cost), Some("theirs"));
        let mut report = Report::new(Host::read());
        report.add(table.figures(SUITE));
        let json = serde_json::to_value(report.json()).unwrap();
        let figures = &json["figures"];
        assert_eq!(figures.as_array().unwrap().len(), 7);
        assert_eq!(figures[0]["missing"], "missing: chromium");
        assert_eq!((&figures[4]["median"], &figures[4]["unit"]), (&12.5.into(), &"ms".into()));
        assert_eq!((&figures[5]["median"], &figures[5]["ratio"]), (&3.0.into(), &serde_json::Value::Null));
        assert!(report.table().contains("missing: chromium"));
    }

    #[test]
    fn figures_of_a_load_are_of_what_was_taken() {
        let taken = trial::tests::taken();
        let values: Vec<f64> = MEDIA.iter().map(|column| (column.of)(&taken)).collect();
        // 10 ms for 900 packets sent on, 20 ms for 1,000 sent or received, 1 and 2 MB for 10 clients, 900 in 5 s.
        let expected = [11_111.1, 20_000.0, 97.656, 195.31, 180.0, 2.0, 1.0, 100.0, 2.0];
        for ((value, expected), column) in values.iter().zip(expected).zip(&MEDIA) {
            assert!((value - expected).abs() <= expected * 1e-4, "{}: {value}", column.name);
        }
        let found = Found { carried: taken, bound: Bound::Server };
        let values: Vec<f64> = CORE.iter().map(|column| (column.of)(&found)).collect();
        let expected = [180.0, 90_000.0, 2.0, 4.0, 2.0, 100.0];
        for ((value, expected), column) in values.iter().zip(expected).zip(&CORE) {
            assert!((value - expected).abs() <= expected * 1e-4, "{}: {value}", column.name);
        }
    }
}
