use std::sync::mpsc::channel;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::command::{Flow, Owner};
use super::*;
use crate::signal::transport::{DtlsParameters, DtlsRole};

/// A shard that no thread runs, and what it tells.
fn shard() -> (Shard, UnboundedReceiver<ShardEvent>) {
    let (events, told) = unbounded_channel();
    let start = Start {
        index: 0,
        config: ServeConfig::default(),
        identity: Identity::generate().unwrap(),
        metrics: Arc::default(),
        log: None,
        clock: Clock::start(),
        events,
    };
    let socket = socket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let local = socket.local_addr().unwrap();
    let (_, woken) = UnixDatagram::pair().unwrap();
    (Shard::new(start, socket, local, channel().1, woken), told)
}

#[test]
fn a_leg_that_has_failed_is_not_found_any_more_and_is_buried() {
    let (mut shard, mut told) = shard();
    let now = Instant::now();
    let owner = Owner { room: Id(1), participant: Id(2), transport: Id(3) };
    let opened = shard.open(owner, Flow::In, now).unwrap();
    shard.mark(opened.leg);
    let mut leg = shard.take_leg(opened.leg).unwrap();
    shard.fail(&mut leg, "broken".to_owned());
    shard.put_leg(leg);
    // What else comes for it in the same batch.
    assert!(shard.leg(opened.leg).is_none() && shard.take_leg(opened.leg).is_none());
    shard.drive_dirty(now);
    assert!(told.try_recv().is_err());
    shard.bury();
    let event = told.try_recv().unwrap();
    assert!(matches!(&event, ShardEvent::LegDown { transport: Id(3), reason, .. } if reason == "broken"), "{event:?}");
    assert!(shard.legs.iter().all(Option::is_none) && shard.by_ufrag.is_empty());
    assert_eq!(shard.metrics.legs.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// When a transport ends at which nothing ever comes, and why.
fn given_up(role: Option<DtlsRole>) -> (Duration, String) {
    let (mut shard, mut told) = shard();
    let start = Instant::now();
    let owner = Owner { room: Id(1), participant: Id(2), transport: Id(3) };
    let opened = shard.open(owner, Flow::In, start).unwrap();
    if let Some(role) = role {
        shard.connect(opened.leg, &DtlsParameters { role, ..opened.dtls }).unwrap();
    }
    for tick in 0..600 {
        let passed = Duration::from_millis(100) * tick;
        let now = start + passed;
        shard.expire(now);
        shard.drive_dirty(now);
        shard.tick(now);
        shard.drive_dirty(now);
        shard.bury();
        if let Ok(ShardEvent::LegDown { reason, .. }) = told.try_recv() {
            return (passed, reason);
        }
    }
    panic!("never");
}

#[test]
fn a_transport_that_never_connects_ends_after_the_limit_whoever_is_to_begin_dtls() {
    for role in [None, Some(DtlsRole::Auto), Some(DtlsRole::Client), Some(DtlsRole::Server)] {
        let (passed, reason) = given_up(role);
        assert_eq!((passed, &*reason), (Duration::from_secs(30), "not connected within 30 s"), "{role:?}");
    }
}

#[test]
fn a_client_may_come_from_many_addresses_and_not_from_any_number() {
    let (mut shard, _told) = shard();
    let owner = Owner { room: Id(1), participant: Id(2), transport: Id(3) };
    let number = shard.open(owner, Flow::In, Instant::now()).unwrap().leg;
    let leg = shard.leg(number).unwrap();
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let taken = (1..1000).take_while(|port| {
        let may = leg.may_come_from(address(*port));
        leg.remember(address(*port));
        may
    });
    let last = taken.last().unwrap();
    assert_eq!(last, 256);
    assert!(leg.may_come_from(address(last)), "a known one");
}
