//! A client's life with SimplestChat: it enters a room, stays, and leaves; comes back where it is to,
//! and takes up a WebSocket that was lost.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::chat::Room;
use super::wire::Wire;
use super::{Client, over};
use crate::dialect::ended_transport;
use crate::load::failure::{Failure, Stage};
use crate::load::worker::LegNumber;
use crate::load::worker::command::{Command, Happened, LegEvent};
use crate::signal::{ClientMessage, ServerMessage};

/// From one batch of subscriptions, and one look at deadlines, to the next.
const TICK: Duration = Duration::from_millis(100);
/// What a client has sent may still arrive before it leaves.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a client that leaves stays away.
const AWAY: Duration = Duration::from_secs(1);
/// From one attempt to take up a WebSocket to the next.
const AGAIN: Duration = Duration::from_millis(500);

/// Why a client left its room.
enum Left {
    Over,
    Churned,
    /// What it had there is lost.
    Lost,
}

impl Client {
    pub(super) async fn live_in_rooms(&mut self, server: SocketAddr) -> Result<(), Failure> {
        let mut ending = self.over.clone();
        let mut is_lost = false;
        loop {
            let entered = tokio::select! {
                entered = self.enter(server) => entered,
                () = over(&mut ending) => {
                    // One that comes back has been there.
                    if self.told.rejoins > 0 || self.out.is_some() {
                        return Ok(());
                    }
                    Err(Failure::new(self.at(), "not done when the run ended"))
                }
            };
            if entered.is_ok() && std::mem::take(&mut is_lost) {
                self.told.rejoins += 1;
            }
            let left = match entered {
                Ok(mut room) => match self.stay(&mut room, server).await {
                    Ok(left) => {
                        if matches!(left, Left::Churned) {
                            self.fall_silent(&room).await;
                        }
                        room.leave().await;
                        Ok(left)
                    }
                    // It was up, and comes back like somebody who opens the page again.
                    Err(failure) if room.connected && !self.is_over() => {
                        if self.out.is_some() {
                            // What was noticed first is the outage's reason; this is why it is not waited for any more.
                            self.note(&failure);
                        }
                        let since = self.signalling_lost.take().unwrap_or_else(Instant::now);
                        self.lost(&failure, since, room.heard);
                        self.come_back(since);
                        room.leave().await;
                        Ok(Left::Lost)
                    }
                    Err(failure) => Err(failure),
                },
                // A server that is coming back does not listen yet.
                Err(failure) if failure.stage == Stage::Connect && self.may_come_back(AGAIN) => Ok(Left::Lost),
                Err(failure) => Err(failure),
            };
            match left {
                Ok(Left::Over) => return Ok(()),
                Ok(Left::Churned) => self.close_legs(),
                Ok(Left::Lost) => {
                    is_lost = true;
                    self.close_legs();
                    if !self.may_come_back(AGAIN) {
                        return Ok(());
                    }
                    tokio::select! {
                        () = sleep(AGAIN) => {}
                        () = over(&mut ending) => return Ok(()),
                    }
                    continue;
                }
                Err(failure) => {
                    // At the end all legs are closed together.
                    if !self.is_over() {
                        self.close_legs();
                    }
                    return Err(failure);
                }
            }
            tokio::select! {
                () = sleep(AWAY) => {
                    self.told.rejoins += 1;
                    // Asked while it was away.
                    let _ = self.churn.try_recv();
                }
                () = over(&mut ending) => return Ok(()),
            }
        }
    }

    /// Sends nothing more, so that nothing is dropped on its way when tracks end.
    async fn fall_silent(&self, room: &Room) {
        if let Some(leg) = room.send {
            self.command(Command::Quiet { leg });
            sleep(LAST_WORDS).await;
        }
    }

    async fn stay(&mut self, room: &mut Room, server: SocketAddr) -> Result<Left, Failure> {
        let mut ending = self.over.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let restart_every = self.common.config.ice_restart_every;
        let mut restart = interval(restart_every.unwrap_or(Duration::from_secs(3600)).max(TICK));
        restart.set_missed_tick_behavior(MissedTickBehavior::Delay);
        restart.reset();
        loop {
            tokio::select! {
                biased;
                () = over(&mut ending) => return Ok(Left::Over),
                Some(event) = self.legs.events.recv() => self.happened(room, event)?,
                message = room.wire.next() => {
                    // Checks that a link has held up come too late for a server that has waited long enough for them.
                    if let Ok(ServerMessage::Error { message }) = &message
                        && let Some(leg) = self.ended_leg(message)
                    {
                        return Err(Failure::new(self.stage_of(leg), format!("by the server: {message}")));
                    }
                    let lost = match message {
                        Ok(message) => self.told_by_server(room, message).await.err(),
                        Err(lost) => Some(lost),
                    };
                    if let Some(lost) = lost {
                        self.take_up(room, server, &lost).await?;
                    }
                }
                _ = tick.tick() => {
                    if let Err(lost) = self.subscribe_batch(room).await {
                        self.take_up(room, server, &lost).await?;
                    }
                    self.check_deadlines(room)?;
                }
                Some(()) = self.churn.recv() => {
                    if self.told.connected_after.is_some() {
                        return Ok(Left::Churned);
                    }
                }
                _ = restart.tick(), if restart_every.is_some() => {
                    if let Err(lost) = self.restart_ice(room).await {
                        self.take_up(room, server, &lost).await?;
                    }
                }
            }
            self.check_connected(room);
        }
    }

    fn happened(&mut self, room: &mut Room, event: LegEvent) -> Result<(), Failure> {
        self.legs.note(&event);
        let of_room = room.send == Some(event.leg) || room.receive == Some(event.leg);
        match event.what {
            Happened::Ended { reason } if of_room => {
                return Err(Failure::new(self.stage_of(event.leg), format!("the transport has ended: {reason}")));
            }
            Happened::IceDown if of_room => {
                let failure = Failure::new(Stage::Ice, "connectivity checks are not answered any more");
                match room.connected {
                    true => self.lost(&failure, Instant::now(), room.heard),
                    false => self.fail(&failure),
                }
                if room.receive == Some(event.leg) {
                    room.heard = false;
                }
            }
            // What came before says nothing of what comes now.
            Happened::IceUp if room.receive == Some(event.leg) => room.heard = false,
            Happened::Sent if of_room => room.sent = true,
            Happened::Received { producer } if of_room => {
                room.heard = true;
                if let Some(subscribed) = room.subscribed.get_mut(&producer) {
                    subscribed.received = true;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The transport of ours of which the server says that it has ended.
    fn ended_leg(&self, error: &str) -> Option<LegNumber> {
        let transport = ended_transport(error)?;
        self.legs.all.iter().find(|(_, state)| state.transport_id == transport).map(|(leg, _)| *leg)
    }

    async fn restart_ice(&mut self, room: &mut Room) -> Result<(), String> {
        for leg in room.legs() {
            let Some(state) = self.legs.all.get(&leg).filter(|state| state.up) else { continue };
            let transport_id = state.transport_id.clone();
            room.wire.send(&ClientMessage::RestartIce { transport_id }).await?;
        }
        Ok(())
    }

    /// Takes up a WebSocket that was lost, as long as a stage may take.
    async fn take_up(&mut self, room: &mut Room, server: SocketAddr, lost: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout();
        self.signalling_lost = Some(Instant::now());
        let mut ending = self.over.clone();
        let mut last = "no attempt".to_owned();
        loop {
            let attempt = tokio::select! {
                attempt = self.reconnect(room, server, deadline) => attempt,
                () = over(&mut ending) => {
                    return Err(Failure::new(Stage::Signalling, format!("{lost}; not taken up when the run ended: {last}")));
                }
            };
            match attempt {
                Ok(()) => {
                    self.told.reconnects += 1;
                    self.signalling_lost = None;
                    return Ok(());
                }
                Err(failure) if failure.stage != Stage::Connect || Instant::now() + AGAIN >= deadline => {
                    return Err(Failure::new(
                        Stage::Signalling,
                        format!("{lost}; cannot be taken up: {}", failure.reason),
                    ));
                }
                Err(failure) => last = failure.reason,
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                () = over(&mut ending) => {
                    return Err(Failure::new(Stage::Signalling, format!("{lost}; not taken up when the run ended: {last}")));
                }
            }
        }
    }

    async fn reconnect(&mut self, room: &mut Room, server: SocketAddr, deadline: Instant) -> Result<(), Failure> {
        let mut wire = Wire::open(&self.common, self.index, server, deadline).await?;
        let request = ClientMessage::Reconnect {
            participant_id: room.participant.clone(),
            room_id: self.part.room.clone(),
            reconnect_token: room.token.clone(),
        };
        let answer = wire
            .ask(Stage::Signalling, &request, deadline, |message| match message {
                ServerMessage::ReconnectResult { success, participants, reconnect_token, message, .. } => {
                    Some((*success, participants.clone(), reconnect_token.clone(), message.clone()))
                }
                _ => None,
            })
            .await?;
        let (success, participants, token, message) = answer;
        if !success {
            let why = message.unwrap_or_else(|| "without a reason".to_owned());
            return Err(Failure::new(Stage::Signalling, format!("refused: {why}")));
        }
        room.wire = wire;
        room.token = token.unwrap_or_default();
        // Answers to what was asked on the old one do not come.
        room.forget_questions();
        if let Some(participants) = participants {
            let gone = room.resync(&participants);
            for producer in gone {
                self.producer_gone(room, &producer);
            }
        }
        Ok(())
    }
}
