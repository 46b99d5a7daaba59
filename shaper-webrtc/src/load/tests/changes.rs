//! What changes while a load runs.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::{config, load, serve};
use crate::load::LoadConfig;
use crate::load::results::stats::Stat;
use crate::packet_log::{Record, read_packet_log};
use crate::serve::ServeConfig;

#[test]
fn clients_that_leave_and_come_back_lose_nothing_by_it() {
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 3, churn_per_second: 1.0, ..config(&server) });
    let summary = &outcome.summary;
    assert!(outcome.clients.iter().map(|client| client.rejoins).sum::<u64>() >= 1, "{:#?}", outcome.clients);
    assert_eq!((summary.total_errors, summary.packets_lost), (0, 0), "{summary:#?}");
    assert!(summary.total_producers_created > 6, "{summary:#?}");
}

#[test]
fn ice_is_restarted_and_nothing_is_lost_by_it() {
    let server = serve(ServeConfig::default());
    let ice_restart_every = Some(Duration::from_secs(1));
    let outcome = load(LoadConfig { clients: 2, ice_restart_every, ..config(&server) });
    assert!(outcome.clients.iter().all(|client| client.ice_restarts >= 2), "{:#?}", outcome.clients);
    assert_eq!((outcome.summary.total_errors, outcome.summary.packets_lost), (0, 0), "{:#?}", outcome.summary);
}

#[test]
fn layers_are_sent_and_one_of_them_is_received_without_gaps() {
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 2, simulcast: true, audio: false, ..config(&server) });
    assert_eq!((outcome.summary.total_errors, outcome.summary.packets_lost), (0, 0), "{:#?}", outcome.summary);
    for client in &outcome.clients {
        let rids: Vec<&str> = client
            .stats
            .iter()
            .filter_map(|stat| match stat {
                Stat::OutboundRtp { rid, packets_sent: 1.., .. } => rid.as_deref(),
                _ => None,
            })
            .collect();
        assert_eq!(rids, ["q", "h", "f"]);
        assert_eq!(client.subscriptions.len(), 1);
    }
}

#[test]
fn the_packet_log_has_each_packet_that_was_sent_and_received() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packets");
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 2, packet_log: Some(path.clone()), ..config(&server) });
    assert_eq!(outcome.summary.packet_log_lost, 0);
    let records: Vec<Record> = read_packet_log(&path).unwrap().map(Result::unwrap).collect();
    let sent = records.iter().filter(|record| matches!(record, Record::Sent(_))).count() as u64;
    let received: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Received(packet) => Some(packet),
            _ => None,
        })
        .collect();
    assert_eq!(sent, outcome.summary.total_packets_sent);
    for record in &records {
        if let Record::Stream(stream) = record {
            assert_eq!(stream.from == stream.client, stream.out, "{stream:?}");
        }
    }
    let reported =
        |wanted: bool| records.iter().any(|record| matches!(record, Record::Reported(of) if of.out == wanted));
    assert!(reported(true) && reported(false));
    let first = received.iter().filter(|packet| !packet.duplicate).count() as u64;
    assert_eq!(first, outcome.summary.total_packets_received);
    for packet in received {
        let origin = records.iter().find_map(|record| match record {
            Record::Sent(sent)
                if (sent.client, sent.track, sent.number) == (packet.from, packet.track, packet.number) =>
            {
                Some(sent)
            }
            _ => None,
        });
        let origin = origin.unwrap();
        assert_ne!(packet.client, packet.from);
        assert!(origin.time_ns <= packet.time_ns && origin.video == packet.video);
        assert_eq!(origin.payload_bytes, packet.payload_bytes);
    }
}

/// Passes connections on to a server; the first is cut after a while.
fn cutting_proxy(server: SocketAddr, after: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (index, client) in listener.incoming().flatten().enumerate() {
            let Ok(server) = TcpStream::connect(server) else { return };
            let ways = [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())];
            for (from, to) in ways {
                let (Ok(mut from), Ok(mut to)) = (from, to) else { return };
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
            if index == 0 {
                std::thread::spawn(move || {
                    std::thread::sleep(after);
                    let _ = client.shutdown(Shutdown::Both);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        }
    });
    address
}

#[test]
fn signalling_that_is_cut_is_taken_up_again_and_media_goes_on() {
    let server = serve(ServeConfig::default());
    let proxy = cutting_proxy(server.listening(), Duration::from_secs(2));
    let outcome = load(LoadConfig { server: format!("ws://{proxy}/ws"), clients: 2, ..config(&server) });
    assert_eq!(outcome.clients.iter().map(|client| client.reconnects).sum::<u64>(), 1, "{:#?}", outcome.clients);
    assert_eq!((outcome.summary.total_errors, outcome.summary.packets_lost), (0, 0), "{:#?}", outcome.summary);
    assert_eq!(outcome.summary.total_consumers_created, 4);
}

#[test]
fn where_the_rate_is_fixed_video_begins_with_it() {
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 2, audio: false, fixed_bitrate: true, ..config(&server) });
    let rates = outcome.clients.iter().flat_map(|client| &client.time_series);
    assert!(rates.filter_map(|second| second.target_bitrate).all(|rate| rate == 1_000_000));
}

#[test]
fn silence_is_hardly_sent_and_is_no_loss() {
    let server = serve(ServeConfig::default());
    let outcome = load(LoadConfig { clients: 2, video: false, dtx: true, fec: true, ..config(&server) });
    assert_eq!((outcome.summary.total_errors, outcome.summary.packets_lost), (0, 0), "{:#?}", outcome.summary);
    for client in &outcome.clients {
        // 100 frames of speech, and of silence a frame in 20.
        assert!(client.slip.frames > client.total_packets_sent && client.total_packets_sent < 150, "{client:#?}");
        assert!(client.total_packets_received > 0);
    }
}
