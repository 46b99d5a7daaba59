//! TOAST sessions in one capture.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::Serialize;

use super::{
    super::flow::FlowKey,
    numbers::{Numbers, Seen},
};
use crate::toast::{self, Checksum, Recognised};

/// TOAST senders followed one by one.
pub(super) const SENDERS: usize = 4_096;
const TRANSPORT: u8 = 5;
const HEARTBEAT: u8 = 7;
const REDUNDANT_TRANSPORT: u8 = 9;
const BURST_TRANSPORT: u8 = 10;
const COMMANDS: [&str; 5] = ["PLAY", "STOP", "PAUSE", "POSITION", "BPM"];
const STATES: [&str; 3] = ["PLAYING", "STOPPED", "PAUSED"];

/// One sender in a TOAST session, as it looks at this point: what an application behind it could
/// have seen, not what it made of it.
#[derive(Clone, Debug, Serialize)]
pub struct ToastSession {
    /// Session id.
    pub session: u32,
    /// The sender's flow.
    pub sender: FlowKey,
    /// Frames, copies in bursts included.
    pub frames: u64,
    /// Frames by message type.
    pub kinds: BTreeMap<u8, u64>,
    /// Sequence numbers from the first to the last: messages that were sent, as far as can be told.
    pub messages_expected: u64,
    /// Different sequence numbers: messages of which one copy or more passed.
    pub messages: u64,
    /// Sequence numbers never seen between the first and the last.
    pub missing: u64,
    /// Messages over messages expected; `None` without messages.
    pub seen_ratio: Option<f64>,
    /// Most sequence numbers missing in a row.
    pub longest_missing_run: u64,
    /// Bursts: messages of more than one copy of which one or more passed.
    pub bursts: u64,
    /// Copies that those bursts consist of, as their frames say.
    pub copies_expected: u64,
    /// Different copies of them that passed.
    pub copies_seen: u64,
    /// Bursts by the number of their copies that passed.
    pub bursts_by_copies: BTreeMap<u8, u64>,
    /// Frames that passed before: the same copy of the same message.
    pub frames_repeated: u64,
    /// Frames so far behind that they are not told apart from copies: counted in no burst.
    pub frames_late: u64,
    /// Heartbeats, each once.
    pub heartbeats: u64,
    /// Longest time from one heartbeat to the next, in nanoseconds.
    pub heartbeat_gap_max_ns: Option<i64>,
    /// Transport commands by name, each message once.
    pub commands: BTreeMap<&'static str, u64>,
    /// Answers to commands by the state they tell, each message once.
    pub states: BTreeMap<&'static str, u64>,
    /// Frames whose checksum is the legacy sum.
    pub legacy_checksums: u64,
    /// Frames whose checksum is wrong.
    pub wrong_checksums: u64,
    #[serde(skip)]
    numbers: Numbers,
    #[serde(skip)]
    last_heartbeat: Option<i64>,
}

/// All senders, and what else goes under the name.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    senders: BTreeMap<(u32, FlowKey), ToastSession>,
    /// Frames of senders beyond those that are followed.
    pub(super) untracked: u64,
    /// Discovery texts.
    pub(super) discovery: u64,
    /// Datagrams of the other protocol of that name.
    pub(super) incompatible: u64,
}

impl Sessions {
    /// Looks at a UDP payload.
    #[inline]
    pub(super) fn see(&mut self, flow: FlowKey, payload: &[u8], length: u32, ts: Option<i64>) {
        match toast::recognise(payload) {
            Some(Recognised::Discovery) => self.discovery += 1,
            Some(Recognised::Incompatible) => self.incompatible += 1,
            Some(Recognised::Frame(frame)) => {
                let room = self.senders.len() < SENDERS;
                let session = match self.senders.entry((frame.session, flow)) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) if room => new.insert(ToastSession::new(frame.session, flow)),
                    Entry::Vacant(_) => {
                        self.untracked += 1;
                        return;
                    }
                };
                session.add(&frame, toast::verify(payload, length as usize), ts);
            }
            None => {}
        }
    }

    /// Sessions with their senders, in order.
    pub(super) fn finished(&mut self) -> Vec<ToastSession> {
        std::mem::take(&mut self.senders).into_values().map(ToastSession::finished).collect()
    }
}

impl ToastSession {
    fn new(session: u32, sender: FlowKey) -> Self {
        Self {
            session,
            sender,
            frames: 0,
            kinds: BTreeMap::new(),
            messages_expected: 0,
            messages: 0,
            missing: 0,
            seen_ratio: None,
            longest_missing_run: 0,
            bursts: 0,
            copies_expected: 0,
            copies_seen: 0,
            bursts_by_copies: BTreeMap::new(),
            frames_repeated: 0,
            frames_late: 0,
            heartbeats: 0,
            heartbeat_gap_max_ns: None,
            commands: BTreeMap::new(),
            states: BTreeMap::new(),
            legacy_checksums: 0,
            wrong_checksums: 0,
            numbers: Numbers::default(),
            last_heartbeat: None,
        }
    }

    fn add(&mut self, frame: &toast::Frame<'_>, checksum: Checksum, ts: Option<i64>) {
        self.frames += 1;
        match checksum {
            Checksum::Crc | Checksum::Unknown => {}
            Checksum::Sum => self.legacy_checksums += 1,
            // Nothing else in a damaged frame can be believed.
            Checksum::Wrong => {
                self.wrong_checksums += 1;
                return;
            }
        }
        *self.kinds.entry(frame.kind).or_default() += 1;
        let seen = self.numbers.see(frame.sequence, frame.burst_total, frame.burst_index);
        match seen {
            Seen::New => self.messages += 1,
            Seen::Copy => return,
            Seen::Repeated => {
                self.frames_repeated += 1;
                return;
            }
            Seen::Late => {
                self.frames_late += 1;
                return;
            }
        }
        match frame.kind {
            HEARTBEAT => self.heartbeat(ts),
            TRANSPORT | REDUNDANT_TRANSPORT | BURST_TRANSPORT => self.transport(frame.payload),
            _ => {}
        }
    }

    fn heartbeat(&mut self, ts: Option<i64>) {
        self.heartbeats += 1;
        let gap = ts.zip(self.last_heartbeat).map(|(ts, last)| ts.saturating_sub(last));
        self.heartbeat_gap_max_ns = self.heartbeat_gap_max_ns.max(gap);
        self.last_heartbeat = self.last_heartbeat.max(ts);
    }

    fn transport(&mut self, payload: &[u8]) {
        // Any other name counts too, but under one: what a file claims must not fill a table.
        let named = |names: &[&'static str], value: &[u8]| {
            names.iter().copied().find(|name| name.as_bytes() == value).unwrap_or("other")
        };
        if let Some(command) = text_of(payload, b"command") {
            *self.commands.entry(named(&COMMANDS, command)).or_default() += 1;
        } else if let Some(state) = text_of(payload, b"state") {
            *self.states.entry(named(&STATES, state)).or_default() += 1;
        }
    }

    fn finished(mut self) -> Self {
        let numbers = std::mem::take(&mut self.numbers).finished();
        self.messages_expected = numbers.span();
        self.missing = self.messages_expected.saturating_sub(self.messages);
        self.seen_ratio = (self.messages_expected > 0).then(|| self.messages as f64 / self.messages_expected as f64);
        self.longest_missing_run = numbers.longest_missing;
        self.bursts = numbers.bursts;
        self.copies_expected = numbers.copies_expected;
        self.copies_seen = numbers.copies_seen;
        self.bursts_by_copies = numbers.by_copies;
        self
    }
}

/// The value of a key of a JSON object, if it is a text without escapes; nothing else of it is read.
fn text_of<'a>(json: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|&byte| byte == b'"') {
        rest = rest.get(at + 1..)?;
        let Some(after) = rest.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"\"")) else { continue };
        let Some(value) = after.trim_ascii_start().strip_prefix(b":") else { continue };
        let Some(text) = value.trim_ascii_start().strip_prefix(b"\"") else { continue };
        return text.get(..text.iter().position(|&byte| byte == b'"')?);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet;

    fn flow() -> FlowKey {
        FlowKey::of(&packet::parse(1, &[0; 60], 60).unwrap())
    }

    fn frame(kind: u8, sequence: u32, copy: (u8, u8), payload: &[u8]) -> toast::Frame<'_> {
        toast::Frame {
            kind,
            flags: 1,
            sequence,
            timestamp: 0,
            payload_size: payload.len() as u32,
            burst_id: 1,
            burst_index: copy.0,
            burst_total: copy.1,
            checksum: 0,
            session: 7,
            payload,
        }
    }

    #[test]
    fn a_message_counts_once_and_its_copies_by_burst() {
        let mut session = ToastSession::new(7, flow());
        let play = br#"{"type":"transport","command" : "PLAY","timestamp":1}"#;
        // All of three, one of three, none of the next two messages, two of three.
        for (sequence, index) in [(10, 0), (10, 1), (10, 2), (11, 2), (14, 0), (14, 2), (14, 2)] {
            session.add(&frame(TRANSPORT, sequence, (index, 3), play), Checksum::Crc, None);
        }
        let found = session.finished();
        assert_eq!((found.messages_expected, found.messages, found.missing), (5, 3, 2));
        assert_eq!((found.longest_missing_run, found.frames_repeated), (2, 1));
        assert_eq!((found.bursts, found.copies_expected, found.copies_seen), (3, 9, 6));
        assert_eq!(found.bursts_by_copies, BTreeMap::from([(1, 1), (2, 1), (3, 1)]));
        assert_eq!(found.commands, BTreeMap::from([("PLAY", 3)]));
        assert!((found.seen_ratio.unwrap() - 0.6).abs() < 1e-12);
    }

    #[test]
    fn answers_are_told_from_commands_and_heartbeats_have_gaps() {
        let mut session = ToastSession::new(7, flow());
        let state = br#"{"type":"transport_state","peer_id":"a","ack_seq":9,"state":"PLAYING","bpm":90.0}"#;
        session.add(&frame(TRANSPORT, 1, (0, 1), state), Checksum::Crc, None);
        session.add(&frame(TRANSPORT, 2, (0, 1), br#"{"state":"\u0000"}"#), Checksum::Crc, None);
        session.add(&frame(TRANSPORT, 3, (0, 1), b"{\"command\":\"PLA"), Checksum::Unknown, None);
        for (sequence, second) in [(4, 0), (5, 1), (7, 3), (8, 4)] {
            session.add(&frame(HEARTBEAT, sequence, (0, 1), b""), Checksum::Crc, Some(second * 1_000_000_000));
        }
        session.add(&frame(HEARTBEAT, 100_000, (0, 1), b""), Checksum::Wrong, None);
        let found = session.finished();
        assert_eq!(found.states, BTreeMap::from([("PLAYING", 1), ("other", 1)]));
        assert_eq!((found.commands.len(), found.bursts), (0, 0));
        assert_eq!((found.heartbeats, found.heartbeat_gap_max_ns), (4, Some(2_000_000_000)));
        assert_eq!((found.messages_expected, found.wrong_checksums), (8, 1));
    }
}
