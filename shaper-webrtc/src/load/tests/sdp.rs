//! WHIP and WHEP.

use std::time::Duration;

use super::{config, load, serve};
use crate::load::{LoadConfig, Stage, Target};
use crate::serve::{ServeConfig, Server};

fn by_sdp(server: &Server, target: Target) -> LoadConfig {
    LoadConfig { target, server: format!("http://{}", server.listening()), clients: 2, ..config(server) }
}

#[test]
fn what_whip_publishes_whep_receives_with_its_latency() {
    let server = serve(ServeConfig::default());
    let publishers = LoadConfig { duration: Duration::from_secs(8), ..by_sdp(&server, Target::Whip) };
    let publishing = std::thread::spawn(move || load(publishers));
    let viewers = load(by_sdp(&server, Target::Whep));
    let published = publishing.join().unwrap();
    let (summary, viewed) = (&published.summary, &viewers.summary);
    assert!(summary.media_flowed && summary.total_packets_sent > 0, "{summary:#?}");
    assert_eq!((summary.successful_connections, summary.total_producers_created), (2, 4), "{summary:#?}");
    assert!(published.clients.iter().all(|client| client.acknowledged == Some(true)), "{:#?}", published.clients);
    assert_eq!((viewed.successful_connections, viewed.total_consumers_created), (2, 8), "{viewed:#?}");
    assert_eq!((viewed.total_errors, viewed.packets_lost), (0, 0), "{viewed:#?}");
    assert_eq!(viewed.e2e.unwrap().count, viewed.total_packets_received);
}

#[test]
fn a_token_is_needed_where_there_are_some() {
    let server = serve(ServeConfig { bearer_tokens: vec!["secret".to_owned()], ..ServeConfig::default() });
    let quick = LoadConfig { clients: 1, duration: Duration::from_secs(3), ..by_sdp(&server, Target::Whip) };
    let refused = load(quick.clone());
    assert_eq!(refused.clients[0].failed_stage, Some(Stage::Join));
    assert!(refused.clients[0].errors[0].contains("401"), "{:?}", refused.clients[0].errors);
    let let_in = load(LoadConfig { token: Some("secret".to_owned()), ..quick });
    assert_eq!(let_in.summary.successful_connections, 1, "{:#?}", let_in.clients);
}
