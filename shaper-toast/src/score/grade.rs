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
    /// Of the spread's 95 % percentile; none with fewer than two peers.
    pub spread: Option<Grade>,
    /// Of the share of outages after which all were right within a beat, on delivery's lines;
    /// none without outages.
    pub convergence: Option<Grade>,
    /// Of all peers' sync failures together.
    pub sync: Option<SyncGrade>,
    /// The worst of delivery, spread and convergence.
    pub overall: Option<Grade>,
    /// Why no grade is given.
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
            convergence: None,
            sync: None,
            overall: None,
            withheld: Some(reason),
        };
    }
    let delivery = peers.iter().map(|p| by_share(p.delivery.share)).max();
    // A command that never reached everybody has no spread; when none did, there is nothing to
    // praise.
    let spread = match spread.times.p95 {
        Some(p95) => Some(by_spread(p95)),
        None => (peers.len() >= 2).then_some(Grade::Poor),
    };
    let within = convergence.iter().filter(|c| c.within_a_beat).count();
    let convergence = (!convergence.is_empty()).then(|| by_share(within as f64 / convergence.len() as f64));
    Grades {
        delivery,
        spread,
        convergence,
        sync: Some(by_failures(peers.iter().map(|p| p.sync.failures).sum())),
        overall: [delivery, spread, convergence].into_iter().flatten().max(),
        withheld: None,
    }
}

fn withheld(peers: &[PeerScore], schedule: &Schedule) -> Option<String> {
    if peers.is_empty() {
        return Some("no peer was expected and none left a log".to_owned());
    }
    if let Some(few) = peers.iter().find(|p| p.intended < COMMANDS_FOR_A_GRADE) {
        return Some(format!(
            "{} commands were meant for {}, a grade needs {COMMANDS_FOR_A_GRADE} a peer: run longer",
            few.intended, few.peer
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
