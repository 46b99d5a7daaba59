//! What a load counts.

use super::{config, load, serve};
use crate::load::LoadConfig;
use crate::load::results::stats::Stat;
use crate::load::results::{ClientResult, Summary};
use crate::serve::{Faults, ServeConfig};

#[test]
fn five_clients_publish_and_get_everything_from_all_others() {
    let server = serve(ServeConfig::default());
    let outcome = load(config(&server));
    let summary = &outcome.summary;
    let context = format!("{summary:#?}");
    assert_eq!((summary.total_clients, summary.successful_connections), (5, 5), "{context}");
    assert_eq!(summary.total_errors, 0, "{context}");
    assert_eq!((summary.total_producers_created, summary.total_consumers_created), (10, 40), "{context}");
    assert!(summary.media_flowed && summary.packets_expected > 0);
    assert_eq!((summary.packets_lost, summary.received_of_expected), (0, Some(1.0)), "{context}");
    assert!(summary.e2e.unwrap().count == summary.total_packets_received);
    let read: Vec<ClientResult> = serde_json::from_str(&serde_json::to_string(&outcome.clients).unwrap()).unwrap();
    let stats = |clients: &[ClientResult]| clients.iter().map(|client| client.stats.len()).collect::<Vec<_>>();
    assert_eq!(stats(&read), stats(&outcome.clients));
    let read: Summary = serde_json::from_str(&serde_json::to_string(summary).unwrap()).unwrap();
    assert_eq!(read.total_packets_received, summary.total_packets_received);
    for client in &outcome.clients {
        assert!(client.connection_successful && client.total_packets_sent > 0);
        assert_eq!(client.subscriptions.len(), 8);
        assert!(client.subscriptions.iter().all(|subscription| subscription.received > 0), "{client:#?}");
        let has = |wanted: fn(&Stat) -> bool| client.stats.iter().any(wanted);
        assert!(has(|stat| matches!(stat, Stat::OutboundRtp { .. })));
        assert!(has(|stat| matches!(stat, Stat::InboundRtp { .. })));
        assert!(has(|stat| matches!(stat, Stat::CandidatePair { .. })));
        assert!(client.time_series.iter().map(|second| second.sent).sum::<u64>() == client.total_packets_sent);
    }
}

#[test]
fn a_server_that_forwards_nothing_is_no_media_whatever_is_connected() {
    let server = serve(ServeConfig { faults: Faults { drop_media_ppm: 1_000_000, seed: 1 }, ..ServeConfig::default() });
    let outcome = load(LoadConfig { clients: 2, ..config(&server) });
    let summary = &outcome.summary;
    assert!(!summary.media_flowed && summary.total_packets_sent > 0, "{summary:#?}");
    assert_eq!(summary.total_packets_received, 0);
    assert!(summary.packets_expected > 0, "{summary:#?}");
    assert_eq!(summary.successful_connections, 0, "{:#?}", outcome.clients);
    assert!(summary.findings.iter().any(|finding| finding.starts_with("no media")), "{:?}", summary.findings);
    assert!(!summary.findings.iter().any(|finding| finding.starts_with("one-way")), "{:?}", summary.findings);
}
