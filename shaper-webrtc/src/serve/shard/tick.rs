//! What is looked at from time to time: key frames that are still owed, layers, legs that are down,
//! who speaks, and what is told of each leg.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;

use super::Shard;
use super::command::{Flow, LegNumber, Owner, ShardEvent};
use crate::serve::ids::Id;
use crate::serve::layers::choose;
use crate::serve::metrics::{add, take};
use crate::signal::rtp::MediaKind;

/// From one report to the next.
const SECOND: Duration = Duration::from_secs(1);
/// Quieter than this, in decibels below full scale, is no speech.
const SPEECH: i8 = -50;

impl Shard {
    /// Called about ten times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(log) = &mut self.log {
            log.flush();
            self.metrics.map_log_lost.store(log.lost_in_all(), Ordering::Relaxed);
        }
        self.owed_key_frames(now);
        let numbers: Vec<LegNumber> = self.legs.iter().flatten().map(|leg| leg.number).collect();
        for number in numbers {
            self.choose_layers(number, now);
            self.give_up(number, now);
        }
        if now >= self.next_second {
            self.next_second = now + SECOND;
            self.tell_stats();
            self.tell_speakers();
        }
    }

    fn owed_key_frames(&mut self, now: Instant) {
        let mut due = Vec::new();
        for (id, producer) in &mut self.producers {
            for (index, layer) in producer.layers.iter_mut().enumerate() {
                if layer.pli.due(now) {
                    due.push((*id, index));
                }
            }
        }
        for (producer, layer) in due {
            self.send_pli(producer, layer, None);
        }
    }

    /// Chooses the layer of each video consumer of a leg: each gets an equal share of what the
    /// estimate leaves beside audio.
    pub(super) fn choose_layers(&mut self, number: LegNumber, now: Instant) {
        let Some(leg) = self.leg(number).filter(|leg| leg.flow == Flow::Out && leg.connected) else { return };
        let (estimate, ids) = (leg.estimate, leg.consumers.clone());
        let mut video = Vec::new();
        let mut audio = 0_u64;
        for id in ids {
            match self.consumers.get_mut(&id) {
                Some(consumer) if consumer.kind == MediaKind::Audio => {
                    audio += consumer.rate.rate(now).unwrap_or(0);
                }
                Some(consumer) if !consumer.paused => video.push(id),
                _ => {}
            }
        }
        let share = estimate.map(|estimate| estimate.saturating_sub(audio) / video.len().max(1) as u64);
        let mut desired = audio;
        for id in &video {
            let Some(consumer) = self.consumers.get_mut(id) else { continue };
            let Some(producer) = self.producers.get_mut(&consumer.producer) else { continue };
            let states = producer.layer_states(now);
            let wanted = states.get(consumer.preferred.min(states.len().saturating_sub(1)));
            desired += wanted.and_then(|layer| layer.rate).unwrap_or(0);
            // Where there is one layer there is no choice, whatever the estimate.
            let budget = share.filter(|_| states.len() > 1);
            if let Some(target) = choose(&states, consumer.preferred, consumer.current, budget) {
                consumer.target = Some(target);
            }
            self.want_key_frame(*id, None, now);
        }
        // Some more than is needed now, so that probes find out whether the next layer would fit.
        let desired = Bitrate::from(desired.saturating_mul(5) / 4);
        if let Some(leg) = self.leg(number) {
            leg.rtc.bwe().set_desired_bitrate(desired);
        }
    }

    /// Ends a leg that has not been connected for too long.
    fn give_up(&mut self, number: LegNumber, now: Instant) {
        let limit = self.config.limits.connect;
        let Some(leg) = self.leg(number) else { return };
        let down = leg.down_since.is_some_and(|since| now.saturating_duration_since(since) >= limit);
        if down || !leg.rtc.is_alive() {
            let why = match (leg.connected, leg.rtc.is_alive()) {
                (_, false) => "DTLS has ended".to_owned(),
                (true, true) => format!("no connectivity check for {} s", limit.as_secs()),
                (false, true) => format!("not connected within {} s", limit.as_secs()),
            };
            self.ending.push((number, why));
        }
    }

    fn tell_stats(&mut self) {
        for leg in self.legs.iter().flatten().filter(|leg| leg.flow == Flow::Out && leg.connected) {
            // Bits a second, far below 2^53.
            let available_bitrate = leg.estimate.map(|estimate| estimate as f64);
            let participant = leg.owner.participant;
            self.tell(ShardEvent::Stats { participant, available_bitrate, rtt: leg.rtt });
        }
    }

    /// Tells each room whose loudest participant is another than before.
    fn tell_speakers(&mut self) {
        let mut loudest = std::collections::HashMap::<Id, (i8, Id)>::new();
        let mut rooms = Vec::new();
        let numbers: Vec<(Id, LegNumber, Option<i8>)> =
            self.producers.iter_mut().map(|(id, producer)| (*id, producer.leg, producer.loudest.take())).collect();
        for (_, number, level) in numbers {
            let Some(owner) = self.leg(number).map(|leg| leg.owner) else { continue };
            rooms.push(owner.room);
            let Some(level) = level.filter(|level| *level > SPEECH) else { continue };
            let entry = loudest.entry(owner.room).or_insert((level, owner.participant));
            if level > entry.0 {
                *entry = (level, owner.participant);
            }
        }
        rooms.sort_unstable();
        rooms.dedup();
        self.speakers.retain(|room, _| rooms.binary_search(room).is_ok());
        for room in rooms {
            let now = loudest.get(&room).map(|(_, participant)| *participant);
            let before = match now {
                Some(participant) => self.speakers.insert(room, participant),
                None => self.speakers.remove(&room),
            };
            if before != now {
                self.tell(ShardEvent::Speaker { room, participant: now });
            }
        }
    }

    /// Ends the legs that are listed, with all that is on them.
    pub(super) fn bury(&mut self) {
        while let Some((number, reason)) = self.ending.pop() {
            let Some(owner) = self.remove_leg(number) else { continue };
            add(&self.metrics.legs_lost, 1);
            let (participant, transport) = (owner.participant, owner.transport);
            self.tell(ShardEvent::LegDown { participant, transport, reason });
        }
    }

    /// Takes a leg out, one that has failed too, and its producers and consumers.
    pub(super) fn remove_leg(&mut self, number: LegNumber) -> Option<Owner> {
        let slot = self.slot(number);
        let leg = self.legs.get_mut(slot)?.take()?;
        for (_, producer) in &leg.producers {
            self.remove_producer(*producer);
        }
        for consumer in &leg.consumers {
            self.forget_consumer(*consumer);
        }
        for ufrag in [Some(&leg.local_ufrag), leg.restart.as_ref().map(|new| &new.ufrag)].into_iter().flatten() {
            self.by_ufrag.remove(ufrag);
        }
        for address in &leg.addresses {
            if self.by_address.get(address) == Some(&number) {
                self.by_address.remove(address);
            }
        }
        take(&self.metrics.legs, 1);
        Some(leg.owner)
    }
}
