//! STUN transactions: which are answered, and what there are too many of to follow.

use super::details::{Details, StunSeen};
use crate::recognise::Protocol;

const SECOND: i64 = 1_000_000_000;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;

fn see(details: &mut Details, class: u16, transaction: u64, ts: i64) {
    let mut bytes = class.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0]);
    bytes.extend(transaction.to_be_bytes());
    details.see(Protocol::Stun, &bytes, bytes.len() as u32, Some(ts));
}

fn told(details: &mut Details) -> StunSeen {
    details.finished().0.unwrap()
}

#[test]
fn thousands_that_wait_at_a_time_are_all_answered() {
    let mut details = Details::default();
    for transaction in 0..4_096 {
        see(&mut details, REQUEST, transaction, 0);
    }
    for transaction in 0..4_096 {
        see(&mut details, REQUEST, transaction, SECOND / 2);
        see(&mut details, SUCCESS, transaction, SECOND);
    }
    let found = told(&mut details);
    assert_eq!((found.requests, found.repeated, found.successes, found.given_up), (4_096, 4_096, 4_096, 0));
    assert_eq!(found.rtt_ns, None, "all were sent again");
}

#[test]
fn those_beyond_are_told_and_their_answers_are_not_counted_for_others() {
    let mut details = Details::default();
    for transaction in 0..5_000 {
        see(&mut details, REQUEST, transaction, 0);
    }
    for transaction in 0..5_000 {
        see(&mut details, SUCCESS, transaction, SECOND);
    }
    let found = told(&mut details);
    assert_eq!((found.requests, found.successes, found.given_up), (5_000, 4_096, 904));
    assert_eq!(found.rtt_ns.unwrap().count, 4_096);
}

#[test]
fn what_nobody_answers_makes_room_when_its_client_gives_up() {
    let mut details = Details::default();
    // A request a second for three hours, with an answer to every second one, and some answers far too late.
    for transaction in 0..10_800 {
        let now = transaction as i64 * SECOND;
        see(&mut details, REQUEST, transaction, now);
        if transaction % 2 == 0 {
            see(&mut details, SUCCESS, transaction, now + SECOND / 10);
        } else if transaction > 100 {
            see(&mut details, SUCCESS, transaction - 100, now);
        }
    }
    let found = told(&mut details);
    assert_eq!((found.requests, found.successes, found.given_up), (10_800, 5_400, 0));
}
