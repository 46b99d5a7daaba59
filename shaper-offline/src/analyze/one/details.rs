//! What recognised protocols say of themselves, where it is cheap to read.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::{
    recognise::{self, Protocol, StunMessage},
    stats::{Distribution, Summary},
};

/// STUN transactions that wait for their answers at the same time.
const WAITING: usize = 4_096;
/// How long one waits, in nanoseconds: 39.5 s, when a client gives up (RFC 8489 section 6.2.1).
const PATIENCE: i64 = 39_500_000_000;
/// Samples kept one by one.
const SAMPLES: usize = 4_096;
/// Sessions of Ableton Link told apart.
const SESSIONS: usize = 64;
/// Entries of one message of Ableton Link that are looked at.
const ENTRIES: usize = 16;

/// STUN Binding transactions, those of all flows together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StunSeen {
    /// Requests, each transaction once.
    pub requests: u64,
    /// Requests that were sent again.
    pub repeated: u64,
    /// Transactions with a success response.
    pub successes: u64,
    /// Transactions with an error response.
    pub errors: u64,
    /// Transactions given up within 39.5 s of their first request, as more than 4,096 waited: an answer to
    /// one is none, and its next request another transaction.
    pub given_up: u64,
    /// From request to success response at this point, in nanoseconds, without transactions whose
    /// request was sent again.
    pub rtt_ns: Option<Summary>,
}

/// One session of Ableton Link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LinkSession {
    /// Session id, as 16 hexadecimal digits.
    pub session: String,
    /// Announcements.
    pub announcements: u64,
    /// The tempo that was announced first, in beats a minute.
    pub first_bpm: Option<f64>,
    /// The tempo that was announced last.
    pub last_bpm: Option<f64>,
}

/// PTP messages of one domain, by the names of their types.
pub type PtpMessages = BTreeMap<&'static str, u64>;

/// A transaction without an answer.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// When its first request passed.
    since: Option<i64>,
    /// The same, while it was not sent again.
    once: Option<i64>,
    /// Which of the requests that began a transaction.
    number: u64,
}

#[derive(Debug)]
pub(super) struct Details {
    stun: StunSeen,
    waiting: BTreeMap<u128, Waiting>,
    /// Those in the order in which they began, and some that were answered.
    order: VecDeque<(u128, u64)>,
    round_trips: Distribution,
    link: BTreeMap<u64, LinkSession>,
    pub(super) ptp: BTreeMap<u8, PtpMessages>,
}

impl Default for Details {
    fn default() -> Self {
        Self {
            stun: StunSeen::default(),
            waiting: BTreeMap::new(),
            order: VecDeque::new(),
            round_trips: Distribution::with_capacity(SAMPLES),
            link: BTreeMap::new(),
            ptp: BTreeMap::new(),
        }
    }
}

impl Details {
    /// Looks at a packet of which the protocol is known.
    pub(super) fn see(&mut self, protocol: Protocol, payload: &[u8], length: u32, ts: Option<i64>) {
        match protocol {
            Protocol::Stun => {
                if let Some(message) = recognise::stun_message(payload, length).filter(|message| message.method == 1) {
                    self.binding(&message, ts);
                }
            }
            Protocol::Ptp => {
                if let Some((kind, domain)) = recognise::ptp_message(payload, length) {
                    *self.ptp.entry(domain).or_default().entry(ptp_name(kind)).or_default() += 1;
                }
            }
            Protocol::AbletonLink => self.announced(payload),
            _ => {}
        }
    }

    fn binding(&mut self, message: &StunMessage, ts: Option<i64>) {
        match message.class {
            0 => self.requested(message.transaction, ts),
            class @ (2 | 3) => {
                let Some(waiting) = self.waiting.remove(&message.transaction) else { return };
                if class == 3 {
                    self.stun.errors += 1;
                    return;
                }
                self.stun.successes += 1;
                let round_trip = ts.zip(waiting.once).and_then(|(ts, sent)| ts.checked_sub(sent));
                if let Some(round_trip) = round_trip.filter(|&rtt| rtt >= 0) {
                    self.round_trips.push(round_trip);
                }
            }
            _ => {}
        }
    }

    fn requested(&mut self, transaction: u128, ts: Option<i64>) {
        if let Some(waiting) = self.waiting.get_mut(&transaction) {
            self.stun.repeated += 1;
            waiting.once = None;
            return;
        }
        self.make_room(ts);
        self.stun.requests += 1;
        let number = self.stun.requests;
        self.waiting.insert(transaction, Waiting { since: ts, once: ts, number });
        self.order.push_back((transaction, number));
    }

    /// Forgets those whose clients gave up, and where that is not enough the one that has waited longest.
    fn make_room(&mut self, now: Option<i64>) {
        while let Some(&(transaction, number)) = self.order.front() {
            if let Some(waiting) = self.waiting.get(&transaction).filter(|waiting| waiting.number == number) {
                let waited = now.zip(waiting.since).map_or(0, |(now, since)| now.saturating_sub(since));
                if waited < PATIENCE {
                    if self.waiting.len() < WAITING {
                        break;
                    }
                    self.stun.given_up += 1;
                }
                self.waiting.remove(&transaction);
            }
            self.order.pop_front();
        }
        if self.order.len() >= 2 * WAITING {
            let waiting = &self.waiting;
            self.order
                .retain(|(transaction, number)| waiting.get(transaction).is_some_and(|one| one.number == *number));
        }
    }

    /// Entries of a key, a size and a value: `sess` is the session, `tmln` begins with the
    /// microseconds of a beat.
    fn announced(&mut self, payload: &[u8]) {
        if !matches!(payload.get(..9), Some([b'_', b'a', b's', b'd', b'p', b'_', b'v', 1, 1 | 2])) {
            return;
        }
        let (mut session, mut beat) = (None, None);
        let mut rest = payload.get(20..).unwrap_or_default();
        for _ in 0..ENTRIES {
            let Some(&[a, b, c, d, e, f, g, h]) = rest.first_chunk::<8>() else { break };
            let value = rest.get(8..).unwrap_or_default();
            let first = value.first_chunk::<8>().map(|raw| u64::from_be_bytes(*raw));
            match &[a, b, c, d] {
                b"sess" => session = first,
                b"tmln" => beat = first.map(u64::cast_signed).filter(|&beat| beat > 0),
                _ => {}
            }
            let Some(next) = value.get(u32::from_be_bytes([e, f, g, h]) as usize..) else { break };
            rest = next;
        }
        let Some(session) = session else { return };
        if self.link.len() >= SESSIONS && !self.link.contains_key(&session) {
            return;
        }
        let known = self.link.entry(session).or_insert_with(|| LinkSession {
            session: format!("{session:016x}"),
            announcements: 0,
            first_bpm: None,
            last_bpm: None,
        });
        known.announcements += 1;
        if let Some(beat) = beat {
            let bpm = 60e6 / beat as f64;
            known.first_bpm.get_or_insert(bpm);
            known.last_bpm = Some(bpm);
        }
    }

    /// STUN's transactions, and the sessions of Ableton Link.
    pub(super) fn finished(&mut self) -> (Option<StunSeen>, Vec<LinkSession>) {
        self.stun.rtt_ns = self.round_trips.summary();
        let stun = (self.stun != StunSeen::default()).then_some(self.stun);
        (stun, std::mem::take(&mut self.link).into_values().collect())
    }
}

/// IEEE 1588-2019 table 36.
fn ptp_name(kind: u8) -> &'static str {
    match kind {
        0x0 => "sync",
        0x1 => "delay_req",
        0x2 => "pdelay_req",
        0x3 => "pdelay_resp",
        0x8 => "follow_up",
        0x9 => "delay_resp",
        0xa => "pdelay_resp_follow_up",
        0xb => "announce",
        0xc => "signaling",
        _ => "management",
    }
}
