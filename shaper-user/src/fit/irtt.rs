//! What `irtt client -o FILE.json` writes: a round trip a packet, with the delay of each way.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use shaper_offline::fit::{Fate, Series};

use super::measured::{Measured, Packets};

#[derive(Deserialize)]
struct Output {
    round_trips: Vec<RoundTrip>,
}

#[derive(Deserialize)]
struct RoundTrip {
    /// `false`, `true_up`, `true_down`, or `true` where the direction is not known.
    lost: String,
    timestamps: Timestamps,
    #[serde(default)]
    delay: Delay,
}

#[derive(Deserialize)]
struct Timestamps {
    client: Ends,
    #[serde(default)]
    server: Ends,
}

#[derive(Default, Deserialize)]
struct Ends {
    #[serde(default)]
    send: Stamp,
    #[serde(default)]
    receive: Stamp,
}

/// Nanoseconds since 1970, and since any time.
#[derive(Default, Deserialize)]
struct Stamp {
    wall: Option<i64>,
    monotonic: Option<i64>,
}

impl Stamp {
    fn known(&self) -> Option<i64> {
        [self.wall, self.monotonic].into_iter().flatten().find(|stamp| *stamp != 0)
    }
}

/// Nanoseconds.
#[derive(Default, Deserialize)]
struct Delay {
    send: Option<i64>,
    receive: Option<i64>,
}

pub(super) fn read(path: &Path, same_clock: bool) -> anyhow::Result<Measured> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name}: cannot be read"))?;
    let output: Output = serde_json::from_reader(BufReader::new(file)).with_context(|| {
        format!("{name}: no output of irtt's: want round_trips, as `irtt client -o FILE.json` writes them")
    })?;
    let mut ways = [Packets::default(), Packets::default()];
    let (mut undirected, mut timed) = (0u64, 0u64);
    let mut first_ns = None;
    for (number, trip) in output.round_trips.iter().enumerate() {
        let client = &trip.timestamps.client;
        let Some(sent) = client.send.known() else {
            bail!("{name}: round_trips[{number}] has no time of sending: let the client keep its timestamps");
        };
        first_ns = first_ns.or(client.send.wall);
        let delays = [trip.delay.send, trip.delay.receive];
        timed += u64::from(delays.iter().any(Option::is_some));
        let [up, down] = delays.map(|delay| delay.map_or(Fate::Untimed, Fate::Arrived));
        let fates = match trip.lost.as_str() {
            "false" => [up, down],
            "true_up" => [Fate::Lost, Fate::Unknown],
            "true_down" => [up, Fate::Lost],
            "true" => {
                undirected += 1;
                [Fate::Unknown, Fate::Unknown]
            }
            other => bail!("{name}: round_trips[{number}].lost is \"{other}\": want false, true, true_up or true_down"),
        };
        let [a_to_b, b_to_a] = &mut ways;
        let [up, down] = fates;
        a_to_b.push(sent, up, None);
        // To a request that was lost there was no reply. One that came is as old as the server says.
        let server = &trip.timestamps.server;
        let replied =
            server.send.wall.or(server.receive.wall).filter(|_| trip.lost == "false" && client.send.wall.is_some());
        if trip.lost != "true_up" {
            b_to_a.push(replied.unwrap_or(sent), down, None);
        }
    }
    if timed > 0 && !same_clock {
        bail!(
            "{name}: irtt's delays of one way are differences of two hosts' clocks, and half a round trip is no delay of one \
             way: if both clocks are synchronised (or are one) say so by --same-clock"
        );
    }
    let mut notes = vec![
        "delays of one way are irtt's send_delay and receive_delay, as exact as both hosts' clocks are synchronised"
            .to_owned(),
    ];
    notes.extend(ways.iter().filter_map(Packets::left_out));
    if undirected > 0 {
        notes.push(format!(
            "{undirected} packets were lost nobody knows which way, and count in neither: let the server tell it, by \
             --stats=both"
        ));
    }
    let series = ways.map(|packets| Series::sorted(packets.all, true, true));
    let from = format!("irtt's output {name}, from client (a) to server (b)");
    Ok(Measured { from, series, first_ns, notes, cuts: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("irtt.json");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    const TRIPS: &str = r#"{"version":{},"round_trips":[
      {"seqno":0,"lost":"false","timestamps":{"client":{"receive":{"wall":1030,"monotonic":60},"send":{"wall":1000,"monotonic":30}},
       "server":{"receive":{"wall":1010},"send":{"wall":1012}}},"delay":{"receive":18,"rtt":28,"send":10}},
      {"seqno":1,"lost":"true_up","timestamps":{"client":{"receive":{},"send":{"wall":2000}},"server":{"receive":{},"send":{}}},"delay":{}},
      {"seqno":2,"lost":"true_down","timestamps":{"client":{"receive":{},"send":{"wall":3000}},"server":{"receive":{},"send":{}}},"delay":{}},
      {"seqno":3,"lost":"true","timestamps":{"client":{"receive":{},"send":{"wall":4000}},"server":{"receive":{},"send":{}}}}]}"#;

    #[test]
    fn each_way_has_its_delays_and_its_losses() {
        let (_folder, path) = written(TRIPS);
        let measured = read(&path, true).unwrap();
        let of =
            |series: &Series| series.packets.iter().map(|packet| (packet.sent_ns, packet.fate)).collect::<Vec<_>>();
        let [a_to_b, b_to_a] = &measured.series;
        assert_eq!(
            of(a_to_b),
            [(1000, Fate::Arrived(10)), (2000, Fate::Lost), (3000, Fate::Untimed), (4000, Fate::Unknown)]
        );
        assert_eq!(of(b_to_a), [(1012, Fate::Arrived(18)), (3000, Fate::Lost), (4000, Fate::Unknown)]);
        assert_eq!(measured.first_ns, Some(1000));
        assert!(measured.notes.iter().any(|note| note.starts_with("1 packets were lost nobody knows which way")));
    }

    #[test]
    fn clocks_that_nobody_vouches_for_and_other_json_are_refused() {
        let (_folder, path) = written(TRIPS);
        let error = read(&path, false).unwrap_err().to_string();
        assert!(error.contains("half a round trip is no delay of one way"), "{error}");
        let (_folder, path) = written("{}");
        assert!(read(&path, true).unwrap_err().to_string().contains("want round_trips"));
        let (_folder, path) = written(&TRIPS.replace("true_down", "maybe"));
        let error = read(&path, true).unwrap_err().to_string();
        assert!(error.contains("round_trips[2].lost is \"maybe\""), "{error}");
    }
}
