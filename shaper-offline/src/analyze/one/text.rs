//! The description of one capture for people.

use std::fmt;

use super::{
    super::{
        finding::Sentence,
        findings, rtp,
        text::{duration, percent, place},
    },
    Conversation, Description,
    flows::FLOWS,
    tables,
    toast::SENDERS,
};

/// Sentences on PTP domains and on sessions of Ableton Link, each; JSON has all.
const DETAILS: usize = 8;

impl Description {
    /// That there is no packet, and what to try; `filtered`: only some packets were to be looked at. Of a file that is damaged
    /// or cut off before its first one that is said instead.
    #[must_use]
    pub fn without_packets(&self, filtered: bool) -> Option<&'static str> {
        let is_whole = self.damage.is_none() && self.cut_at.is_none();
        let told = if filtered {
            "The filter leaves no packet: try it with fewer conditions, or without it to see which flows there are."
        } else {
            "The capture holds no packet: check its interface, its filter, and that it ran at that time."
        };
        (self.packets == 0 && (filtered || is_whole)).then_some(told)
    }

    /// Findings; `filtered`: only some packets were to be looked at.
    pub(super) fn sentences(&self, filtered: bool) -> Vec<Sentence> {
        let mut found = Vec::new();
        let damage = self.damage.as_ref().map(|damage| findings::damaged("The file", damage, self.compression));
        found.extend(damage.map(Sentence::error));
        found.extend(self.without_packets(filtered).map(Sentence::error));
        if let Some(at) = self.cut_at {
            found.push(Sentence::warning(format!(
                "The file is cut off at {}: read up to there.",
                place(at, self.compression)
            )));
        }
        if self.capture_drops > 0 {
            found.push(Sentence::warning(format!("The capture itself lost {} packets.", self.capture_drops)));
        }
        if self.flows_at_several_interfaces > 0 {
            found.push(Sentence::warning(format!(
                "{} flows have packets at more than one interface of the file: figures of them mix these, and what passed \
                 two is counted twice. --points compares two interfaces.",
                self.flows_at_several_interfaces
            )));
        }
        if self.seen_again > 0 {
            found.push(Sentence::note(findings::seen_again(&self.path, self.seen_again)));
        }
        if self.unparsed > 0 {
            found.push(Sentence::warning(match self.unparsed {
                1 => "1 packet of an unknown link type, or shorter than its link header, was left out.".to_owned(),
                all => {
                    format!("{all} packets of unknown link types, or shorter than their link headers, were left out.")
                }
            }));
        }
        if self.untracked > 0 {
            found.push(Sentence::warning(format!(
                "{} packets are of flows beyond the {FLOWS} that are followed.",
                self.untracked
            )));
        }
        if self.toast_untracked > 0 {
            found.push(Sentence::warning(format!(
                "{} TOAST frames are of senders beyond the {SENDERS} that are followed.",
                self.toast_untracked
            )));
        }
        if self.toast_incompatible > 0 {
            found.push(Sentence::note(format!(
                "{} datagrams are of the other protocol named TOAST, which is not compatible.",
                self.toast_incompatible
            )));
        }
        self.tcp_sentences(&mut found);
        found.extend(rtp::sentences(&self.rtp));
        self.round_trip_sentence(&mut found);
        self.protocol_sentences(&mut found);
        found
    }

    fn tcp_sentences(&self, found: &mut Vec<Sentence>) {
        let Some(tcp) = &self.tcp else { return };
        if tcp.data_retransmissions > 0 {
            let share = percent(tcp.data_retransmissions as f64 / tcp.data_segments as f64);
            found.push(Sentence::note(format!(
                "TCP: {share} of {} data segments are retransmissions: {} of what had passed here (lost behind this \
                 point, or needless), {} of what had not (lost before it).",
                tcp.data_segments,
                tcp.data_repeated,
                tcp.data_retransmissions - tcp.data_repeated
            )));
        }
        match tcp.retransmissions - tcp.data_retransmissions {
            0 => {}
            1 => found.push(Sentence::note("TCP: 1 SYN or FIN was sent again, as nothing answered it in time.")),
            again => found.push(Sentence::note(format!(
                "TCP: {again} SYN or FIN were sent again, as nothing answered them in time."
            ))),
        }
        if tcp.out_of_order > 0 {
            found.push(Sentence::note(format!("TCP: {} segments came out of order.", tcp.out_of_order)));
        }
        if tcp.unclear > 0 {
            found.push(Sentence::note(format!(
                "TCP: of {} segments behind their turn nothing tells whether they were late or sent again.",
                tcp.unclear
            )));
        }
        if tcp.unseen_bytes > 0 {
            found.push(Sentence::warning(format!(
                "TCP: {} bytes were acknowledged that are not in the capture: it missed them, or they took another \
                 path.",
                tcp.unseen_bytes
            )));
        }
        if tcp.zero_windows > 0 {
            let closed = i64::try_from(tcp.zero_window_ns).unwrap_or(i64::MAX);
            found.push(Sentence::note(format!(
                "TCP: receivers closed their windows in {} segments, for {} together: they did not keep up.",
                tcp.zero_windows,
                duration(closed)
            )));
        }
        if tcp.resets > 0 {
            found.push(Sentence::note(format!("TCP: {} segments reset a connection.", tcp.resets)));
        }
    }

    fn round_trip_sentence(&self, found: &mut Vec<Sentence>) {
        let Some(tcp) = &self.tcp else { return };
        if let Some((rtt, by, one)) = self.slowest() {
            let words = if tcp.conversations == 1 { "TCP round trip" } else { "Longest TCP round trip" };
            found.push(Sentence::note(format!("{words}: {} over both ends by {by}, {}.", duration(rtt), one.flow)));
        }
    }

    /// The conversation with the longest round trip over both ends: by the sum of medians, or by the
    /// handshake where data went one way only.
    fn slowest(&self) -> Option<(i64, &'static str, &Conversation)> {
        let both = |one: &Conversation| {
            let tcp = one.tcp.as_ref()?;
            let [there, back] = [&tcp.a_to_b, &tcp.b_to_a].map(|way| way.round_trip().map(|times| times.p50));
            let halves = there.zip(back).map(|(there, back)| (there.saturating_add(back), "its medians"));
            halves.or_else(|| Some((tcp.handshake?.whole_ns?, "its handshake")))
        };
        let times = self.conversations.iter().filter_map(|one| both(one).map(|(rtt, by)| (rtt, by, one)));
        times.max_by_key(|(rtt, ..)| *rtt)
    }

    fn protocol_sentences(&self, found: &mut Vec<Sentence>) {
        if !self.protocols.is_empty() {
            let all: Vec<_> = self.protocols.iter().map(|seen| (seen.protocol, seen.packets)).collect();
            found.push(Sentence::note(tables::protocols(&all)));
        }
        if let Some(stun) = &self.stun {
            let answered = stun.successes + stun.errors;
            let time = stun.rtt_ns.map_or(String::new(), |rtt| format!(", answered in {} (median)", duration(rtt.p50)));
            let beyond = match stun.given_up {
                0 => String::new(),
                all => format!("; {all} were given up, as too many waited at a time: their answers are not known"),
            };
            found.push(Sentence::note(format!(
                "STUN: {answered} of {} Binding requests were answered{time}{beyond}.",
                stun.requests
            )));
        }
        for (domain, messages) in self.ptp.iter().take(DETAILS) {
            let words: Vec<_> = messages.iter().map(|(name, count)| format!("{name} {count}")).collect();
            found.push(Sentence::note(format!("PTP domain {domain}: {}.", words.join(", "))));
        }
        for session in self.ableton_link.iter().take(DETAILS) {
            let tempo = match (session.first_bpm, session.last_bpm) {
                (Some(first), Some(last)) if (first - last).abs() >= 0.05 => format!(", {first:.1} to {last:.1} bpm"),
                (_, Some(last)) => format!(", {last:.1} bpm"),
                _ => String::new(),
            };
            found.push(Sentence::note(format!(
                "Ableton Link session {}: {} announcements{tempo}.",
                session.session, session.announcements
            )));
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} packets, {} bytes", self.path, self.packets, self.bytes)?;
        match self.duration_ns {
            Some(span) => writeln!(f, " in {}.", duration(span))?,
            None => writeln!(f, ".")?,
        }
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        tables::conversations(f, &self.conversations, self.conversations_left_out)?;
        tables::tcp(f, &self.conversations)?;
        rtp::table(f, &self.rtp)?;
        tables::toast(f, &self.toast)
    }
}
