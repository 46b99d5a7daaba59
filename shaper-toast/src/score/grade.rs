//! Grades, and the reasons for giving none.

use serde::{Deserialize, Serialize};

use super::{Convergence, PeerScore, Schedule, Spread};
use crate::plan::COMMANDS_FOR_A_GRADE;
use crate::units::Nanos;

/// Delivery's scale, used for the overall grade too; the worst sorts last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Grade {
    /// Delivery from 95 %; spread under 5 ms ("tight").
    Excellent,
    /// Delivery from 85 %; spread under 20 ms ("playable").
    Good,
    /// Delivery from 70 %; spread up to 30 ms ("the limit").
    Fair,
    /// Less.
    Poor,
}

/// Sync failures' scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncGrade {
    /// At most 1 failure.
    High,
    /// At most 3.
    Medium,
    /// More.
    Low,
}

/// All grades of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grades {
    /// Of the peer that got the smallest share.
    pub delivery: Option<Grade>,
    /// Of the spread's 95 % percentile over all commands meant for two peers or more. Where it
    /// falls among commands that not everybody followed it is beyond every line: [`Grade::Poor`].
    pub spread: Option<Grade>,
    /// Why the spread has no grade, or one that no time stands behind.
    pub spread_reason: Option<String>,
    /// Of the share of outages after which all were right within a beat, on delivery's lines, over
    /// the outages that tested somebody.
    pub convergence: Option<Grade>,
    /// Why re-convergence has no grade.
    pub convergence_reason: Option<String>,
    /// Of all peers' sync failures together.
    pub sync: Option<SyncGrade>,
    /// Why sync has no grade.
    pub sync_reason: Option<String>,
    /// The worst of delivery, spread and convergence.
    pub overall: Option<Grade>,
    /// Why no grade is given at all.
    pub withheld: Option<String>,
}

fn by_share(share: f64) -> Grade {
    match share {
        s if s >= 0.95 => Grade::Excellent,
        s if s >= 0.85 => Grade::Good,
        s if s >= 0.70 => Grade::Fair,
        _ => Grade::Poor,
    }
}

fn by_spread(spread: Nanos) -> Grade {
    match spread {
        s if s < Nanos::from_millis(5) => Grade::Excellent,
        s if s < Nanos::from_millis(20) => Grade::Good,
        s if s <= Nanos::from_millis(30) => Grade::Fair,
        _ => Grade::Poor,
    }
}

fn by_failures(failures: u64) -> SyncGrade {
    match failures {
        0..=1 => SyncGrade::High,
        2..=3 => SyncGrade::Medium,
        _ => SyncGrade::Low,
    }
}

pub(super) fn grades(peers: &[PeerScore], spread: &Spread, convergence: &[Convergence], schedule: &Schedule) -> Grades {
    if let Some(reason) = withheld(peers, schedule) {
        return Grades {
            delivery: None,
            spread: None,
            spread_reason: Some(reason.clone()),
            convergence: None,
            convergence_reason: Some(reason.clone()),
            sync: None,
            sync_reason: Some(reason.clone()),
            overall: None,
            withheld: Some(reason),
        };
    }
    let delivery = peers.iter().map(|p| by_share(p.delivery.share)).max();
    let (spread, spread_reason) = spread_grade(spread);
    let (convergence, convergence_reason) = convergence_grade(convergence);
    let (sync, sync_reason) = match too_few_judged(peers) {
        Some(reason) => (None, Some(reason)),
        None => (Some(by_failures(peers.iter().map(|p| p.sync.failures).sum())), None),
    };
    Grades {
        delivery,
        spread,
        spread_reason,
        convergence,
        convergence_reason,
        sync,
        sync_reason,
        overall: [delivery, spread, convergence].into_iter().flatten().max(),
        withheld: None,
    }
}

fn spread_grade(spread: &Spread) -> (Option<Grade>, Option<String>) {
    let all = &spread.times_all;
    match all.p95 {
        Some(p95) => (Some(by_spread(p95)), None),
        None if all.of == 0 => (None, Some("no command was meant for two peers".to_owned())),
        None => (
            Some(Grade::Poor),
            Some(format!(
                "the 95 % percentile falls among the {} of {} commands that did not change every peer's state",
                spread.times.missing, all.of
            )),
        ),
    }
}

fn convergence_grade(convergence: &[Convergence]) -> (Option<Grade>, Option<String>) {
    let tested = convergence.iter().filter(|c| c.tested).count();
    let within = convergence.iter().filter(|c| c.within_a_beat).count();
    match (convergence.len(), tested) {
        (0, _) => (None, Some("no outage ended within the run".to_owned())),
        (all, 0) => (None, Some(format!("not tested: none of {all} outages hid a command and left a beat to recover"))),
        (_, tested) => (Some(by_share(within as f64 / tested as f64)), None),
    }
}

fn too_few_judged(peers: &[PeerScore]) -> Option<String> {
    let few = peers.iter().min_by_key(|p| p.sync.judged)?;
    (few.sync.judged < COMMANDS_FOR_A_GRADE).then(|| {
        format!(
            "{} commands were judged at {}, a grade needs {COMMANDS_FOR_A_GRADE} a peer: {} came too soon before the \
             next and {} in an outage",
            few.sync.judged, few.peer, few.sync.too_close, few.sync.in_outage
        )
    })
}

fn withheld(peers: &[PeerScore], schedule: &Schedule) -> Option<String> {
    if peers.is_empty() {
        return Some("no peer was expected and none left a log".to_owned());
    }
    if let Some(few) = peers.iter().find(|p| p.intended < COMMANDS_FOR_A_GRADE) {
        return Some(match few.local_commands {
            0 => format!(
                "{} commands were meant for {}, a grade needs {COMMANDS_FOR_A_GRADE} a peer: run longer",
                few.intended, few.peer
            ),
            local => format!(
                "{} commands were meant for {} over a link, a grade needs {COMMANDS_FOR_A_GRADE} a peer; {local} more \
                 came from a controller on its own host: run longer, or put that controller on another host",
                few.intended, few.peer
            ),
        });
    }
    if let Some(deaf) = peers.iter().find(|p| p.receive_buffer_drops > 0) {
        return Some(format!(
            "the kernel of {} dropped {} datagrams at a full socket: what the link lost cannot be told from that",
            deaf.peer, deaf.receive_buffer_drops
        ));
    }
    if !schedule.kept {
        return Some(schedule.statement());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_where_they_are_stated() {
        assert_eq!(by_share(0.95), Grade::Excellent);
        assert_eq!(by_share(0.9499), Grade::Good);
        assert_eq!(by_share(0.85), Grade::Good);
        assert_eq!(by_share(0.70), Grade::Fair);
        assert_eq!(by_share(0.6999), Grade::Poor);
        assert_eq!(by_spread(Nanos(4_999_999)), Grade::Excellent);
        assert_eq!(by_spread(Nanos::from_millis(5)), Grade::Good);
        assert_eq!(by_spread(Nanos::from_millis(20)), Grade::Fair);
        assert_eq!(by_spread(Nanos::from_millis(30)), Grade::Fair);
        assert_eq!(by_spread(Nanos(30_000_001)), Grade::Poor);
        assert_eq!(
            [0, 1, 2, 3, 4].map(by_failures),
            [SyncGrade::High, SyncGrade::High, SyncGrade::Medium, SyncGrade::Medium, SyncGrade::Low]
        );
        assert!(Grade::Poor > Grade::Excellent);
    }
}
