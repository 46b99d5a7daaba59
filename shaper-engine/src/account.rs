//! The account of one direction: every packet that came in is somewhere.

use std::collections::BTreeMap;

use shaper_common::fate::Cause;
use shaper_common::layout::{EdgeCounts, State};

use crate::hold::{Left, Lost};

/// `in + copies = out + dropped by cause + held`, or by how much not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Packets that came: those that took an index, and those that were lost on the way to where they would have, under
    /// [`Cause::Entry`].
    pub arrived: u64,
    /// Copies of packets that were to be made here. Those that found no free frame stand in `dropped` too, under
    /// [`Cause::FillRing`].
    pub copies: u64,
    /// Packets that the output device took.
    pub out: u64,
    /// Packets dropped, by cause; causes without any are left out.
    pub dropped: BTreeMap<Cause, u64>,
    /// Packets in the delay line.
    pub held: u64,
    /// Control packets that passed unimpaired; they are not in the counts above.
    pub bypassed: u64,
    /// Packets that no rule was asked about, for their headers could not be read: they went by the direction's own
    /// settings, and are in the counts above.
    pub unread: u64,
    /// Flows that were forgotten for others, where each has draws of its own.
    pub flows_evicted: u64,
}

/// What the different places counted for one direction.
pub(crate) struct Sources {
    /// Of all channels of the direction.
    pub(crate) states: Vec<State>,
    pub(crate) edge: EdgeCounts,
    pub(crate) left: Left,
    pub(crate) lost: Lost,
    /// What the output device did with packets that went straight on.
    pub(crate) straight: Option<SentStraight>,
    /// How packets were led here, where they do not come in at ports.
    pub(crate) led: Option<Led>,
    /// Control packets that left the delay line.
    pub(crate) control_sent: u64,
    /// Control packets that the output device refused.
    pub(crate) control_refused: u64,
}

/// What a device counted of the packets that went straight on to it, control packets among them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SentStraight {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
}

/// What happened to packets that were led here, on their way and back, control packets among them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Led {
    /// Dropped before anything was decided: of them nobody knows which were control packets.
    pub(crate) lost: u64,
    /// Came back, and were sent on.
    pub(crate) returned: u64,
}

impl Account {
    /// Puts the counts of all places together.
    pub(crate) fn of(sources: &Sources) -> Self {
        let Sources { states, edge, left: line, lost, straight, led, control_sent, control_refused } = sources;
        let on_entry = led.map_or(0, |led| led.lost);
        // Counted where they come back, behind whatever could still lose them.
        let left = led.map_or(line.released, |led| led.returned);
        // The rings do not tell control packets from others. What the program passed on as control and
        // the delay line never saw was lost in the rings, and is taken out of their counts.
        // Nor does the device that packets went straight on to: what it counted is of both.
        let control_straight = straight.map_or(0, |_| edge.bypassed.saturating_sub(edge.control_dropped));
        let SentStraight { sent, dropped } = straight.unwrap_or_default();
        let control_found = control_sent + control_refused + edge.control_dropped + control_straight;
        let mut control_lost = edge.bypassed.saturating_sub(control_found);
        let mut without_control = |count: u64| {
            let taken = control_lost.min(count);
            control_lost -= taken;
            count - taken
        };
        let mut decided = BTreeMap::new();
        for (cause, count) in states.iter().flat_map(|state| state.counts.dropped()) {
            *decided.entry(cause).or_default() += count;
        }
        let behind = [
            (Cause::Entry, on_entry),
            (Cause::Metadata, edge.metadata + line.no_metadata),
            (Cause::Redirect, edge.redirect),
            (Cause::RxRing, without_control(lost.socket.rx_ring_full)),
            (Cause::FillRing, without_control(lost.socket.rx_dropped) + line.copies_dropped),
            (Cause::Scheduler, without_control(lost.scheduler) + edge.copies_dropped),
            (
                Cause::Transmit,
                line.transmit_errors.saturating_sub(*control_refused) + without_control(lost.refused) + dropped,
            ),
        ];
        Self {
            arrived: states.iter().map(|state| state.next_sequence).sum::<u64>() + on_entry,
            copies: line.copies + edge.copies,
            out: left.saturating_sub(*control_sent) + sent.saturating_sub(control_straight),
            dropped: decided.into_iter().chain(behind).filter(|(_, count)| *count > 0).collect(),
            held: line.held + lost.held,
            bypassed: edge.bypassed,
            unread: edge.unread,
            flows_evicted: states.iter().map(|state| state.counts.flows_evicted).sum(),
        }
    }

    /// Packets in that are nowhere (positive), or somewhere without having come in (negative). Other than
    /// zero after a drain means that the harness does not know what it did.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let into = self.arrived + self.copies;
        let found = self.out + self.dropped.values().sum::<u64>() + self.held;
        into.wrapping_sub(found) as i64
    }

    /// Packets dropped for one cause.
    #[must_use]
    pub fn dropped_by(&self, cause: Cause) -> u64 {
        self.dropped.get(&cause).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand packets in: ten lost on the link for each of its causes, and the rest out; a hundred control packets
    /// beside them, which all got through.
    fn sound() -> Sources {
        let mut state = State { next_sequence: 1_000, ..State::default() };
        state.counts.outage = 10;
        state.counts.loss = 10;
        state.counts.queue = 10;
        state.counts.forwarded = 970;
        Sources {
            states: vec![state],
            edge: EdgeCounts { bypassed: 100, ..EdgeCounts::default() },
            left: Left { received: 1_070, released: 1_070, ..Left::default() },
            lost: Lost::default(),
            straight: None,
            led: None,
            control_sent: 100,
            control_refused: 0,
        }
    }

    #[test]
    fn control_packets_are_beside_the_account() {
        let account = Account::of(&sound());
        assert_eq!((account.arrived, account.out, account.bypassed), (1_000, 970, 100));
        assert_eq!(account.dropped.values().sum::<u64>(), 30);
        assert_eq!(account.difference(), 0);
    }

    /// What is lost on the way to and in the delay line: `lose` takes so many packets and so many control packets.
    fn loses(cause: Cause, lose: fn(&mut Sources, u64, u64)) {
        for (packets, control) in [(7, 0), (0, 3), (7, 3)] {
            let mut sources = sound();
            sources.left.released -= packets + control;
            sources.control_sent -= control;
            lose(&mut sources, packets, control);
            let account = Account::of(&sources);
            assert_eq!(account.dropped_by(cause), packets, "{cause:?}, {control} control packets beside: {account:?}");
            assert_eq!(account.difference(), 0, "{cause:?}: {account:?}");
        }
    }

    #[test]
    fn every_loss_of_the_harness_is_a_cause_of_its_own_and_closes_the_account() {
        loses(Cause::Metadata, |sources, packets, control| {
            sources.edge.metadata = packets;
            sources.edge.control_dropped = control;
        });
        loses(Cause::Metadata, |sources, packets, control| {
            sources.left.no_metadata = packets;
            sources.edge.control_dropped = control;
        });
        loses(Cause::Redirect, |sources, packets, control| {
            sources.edge.redirect = packets;
            sources.edge.control_dropped = control;
        });
        loses(Cause::RxRing, |sources, packets, control| sources.lost.socket.rx_ring_full = packets + control);
        loses(Cause::FillRing, |sources, packets, control| sources.lost.socket.rx_dropped = packets + control);
        loses(Cause::Transmit, |sources, packets, control| {
            sources.left.transmit_errors = packets + control;
            sources.control_refused = control;
        });
    }

    #[test]
    fn packets_that_went_straight_on_are_counted_by_the_device() {
        for dropped in [0, 9] {
            let mut sources = sound();
            (sources.left, sources.control_sent) = (Left::default(), 0);
            sources.straight = Some(SentStraight { sent: 1_070 - dropped, dropped });
            let account = Account::of(&sources);
            assert_eq!((account.out, account.dropped_by(Cause::Transmit)), (970 - dropped, dropped));
            assert_eq!(account.difference(), 0);
            // What the device has not seen is nowhere.
            sources.straight = Some(SentStraight { sent: 1_069 - dropped, dropped });
            assert_eq!(Account::of(&sources).difference(), 1);
        }
    }

    #[test]
    fn packets_that_were_led_here_are_counted_where_they_come_back() {
        let mut sources = sound();
        sources.led = Some(Led { lost: 5, returned: 1_070 });
        let account = Account::of(&sources);
        assert_eq!((account.arrived, account.out, account.dropped_by(Cause::Entry)), (1_005, 970, 5));
        assert_eq!(account.difference(), 0);
        // What left the delay line and did not come back is nowhere.
        sources.led = Some(Led { lost: 5, returned: 1_069 });
        assert_eq!(Account::of(&sources).difference(), 1);
    }

    #[test]
    fn copies_come_in_beside_the_packets_and_those_not_made_are_dropped_for_want_of_a_frame() {
        let mut sources = sound();
        sources.left.copies = 40;
        sources.left.copies_dropped = 15;
        sources.left.released += 25;
        let account = Account::of(&sources);
        assert_eq!((account.arrived, account.copies, account.out), (1_000, 40, 995));
        assert_eq!(account.dropped_by(Cause::FillRing), 15);
        assert_eq!(account.difference(), 0, "{account:?}");
        // A copy that is nowhere is missed like a packet, and control packets lost in the ring are none of copies.
        sources.left.released -= 1;
        assert_eq!(Account::of(&sources).difference(), 1);
        sources.left.released += 1;
        sources.lost.socket.rx_dropped = 3;
        sources.control_sent -= 3;
        sources.left.released -= 3;
        let account = Account::of(&sources);
        assert_eq!((account.dropped_by(Cause::FillRing), account.difference()), (15, 0), "{account:?}");
    }

    #[test]
    fn a_packet_that_is_nowhere_leaves_a_difference() {
        let mut sources = sound();
        sources.left.released -= 1;
        assert_eq!(Account::of(&sources).difference(), 1);
    }
}
