//! Simulcast: how much each layer carries, and which of them a consumer is to get.

use std::time::{Duration, Instant};

/// How long a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);
/// A layer on which nothing came for so long does not count as sent.
const SILENT: Duration = Duration::from_secs(2);
/// A higher layer is taken only if it would still fit were it so much larger, in percent: rates and
/// estimates both waver, and each switch costs a key frame.
const HEADROOM: u64 = 115;

/// The rate of one layer.
#[derive(Debug)]
pub(crate) struct RateMeter {
    since: Instant,
    bytes: u64,
    last: Option<Instant>,
    rate: Option<u64>,
}

impl RateMeter {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0, last: None, rate: None }
    }

    /// Counts a packet.
    pub(crate) fn count(&mut self, bytes: usize, now: Instant) {
        self.roll(now);
        self.bytes += bytes as u64;
        self.last = Some(now);
    }

    /// Bits a second in the last whole window; before one has passed, none. None too when nothing
    /// comes any more.
    pub(crate) fn rate(&mut self, now: Instant) -> Option<u64> {
        self.roll(now);
        self.last.filter(|last| now.saturating_duration_since(*last) < SILENT)?;
        self.rate
    }

    /// Whether anything came lately.
    pub(crate) fn active(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < SILENT)
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= WINDOW {
            let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).max(1);
            self.rate = Some(self.bytes.saturating_mul(8_000_000) / micros);
            self.bytes = 0;
            self.since = now;
        }
    }
}

/// A layer, as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerState {
    /// Whether it is being sent.
    pub(crate) active: bool,
    /// Its rate in bits a second, once that is known.
    pub(crate) rate: Option<u64>,
}

/// The layer that a consumer is to get: the largest up to `preferred` that is sent and fits into
/// `budget`, else the smallest that is sent. With no budget all fit. Up from `current` some headroom is
/// asked for; a layer whose rate is not known yet fits only where there is no budget.
pub(crate) fn choose(
    layers: &[LayerState],
    preferred: usize,
    current: Option<usize>,
    budget: Option<u64>,
) -> Option<usize> {
    let sent = || layers.iter().enumerate().filter(|(_, layer)| layer.active);
    let fits = |index: usize, layer: &LayerState| match (budget, layer.rate) {
        (None, _) => true,
        (Some(_), None) => current == Some(index),
        (Some(budget), Some(rate)) if current.is_some_and(|current| index > current) => {
            rate.saturating_mul(HEADROOM) / 100 <= budget
        }
        (Some(budget), Some(rate)) => rate <= budget,
    };
    sent()
        .take_while(|(index, _)| *index <= preferred)
        .filter(|(index, layer)| fits(*index, layer))
        .last()
        .or_else(|| sent().next())
        .map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(rates: [Option<u64>; 3]) -> [LayerState; 3] {
        rates.map(|rate| LayerState { active: rate.is_some(), rate })
    }

    #[test]
    fn a_rate_is_that_of_the_last_whole_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut meter = RateMeter::new(start);
        assert_eq!(meter.rate(at(0)), None);
        for index in 0..100 {
            meter.count(125, at(index * 10));
        }
        assert_eq!(meter.rate(at(1000)), Some(100_000));
        assert!(meter.active(at(2500)));
        assert_eq!(meter.rate(at(3000)), None, "nothing has come for two seconds");
        assert!(!meter.active(at(3000)));
    }

    #[test]
    fn the_largest_layer_that_fits_is_chosen_and_never_one_above_the_preference() {
        let all = layers([Some(100_000), Some(400_000), Some(1_500_000)]);
        assert_eq!(choose(&all, 2, None, None), Some(2));
        assert_eq!(choose(&all, 1, None, None), Some(1));
        assert_eq!(choose(&all, 9, None, Some(1_000_000)), Some(1));
        assert_eq!(choose(&all, 2, None, Some(50_000)), Some(0), "one always flows");
    }

    #[test]
    fn going_up_needs_headroom_and_staying_does_not() {
        let all = layers([Some(100_000), Some(400_000), Some(1_000_000)]);
        assert_eq!(choose(&all, 2, Some(1), Some(1_100_000)), Some(1));
        assert_eq!(choose(&all, 2, Some(1), Some(1_150_000)), Some(2));
        assert_eq!(choose(&all, 2, Some(2), Some(1_000_000)), Some(2));
        assert_eq!(choose(&all, 2, Some(2), Some(999_999)), Some(1));
    }

    #[test]
    fn what_is_not_sent_is_not_chosen() {
        assert_eq!(choose(&layers([Some(1), None, None]), 2, Some(2), None), Some(0));
        assert_eq!(
            choose(&layers([None, None, Some(1)]), 0, None, None),
            Some(2),
            "above the preference, but all there is"
        );
        assert_eq!(choose(&layers([None, None, None]), 2, None, None), None);
        let unknown = [LayerState { active: true, rate: Some(1) }, LayerState { active: true, rate: None }];
        assert_eq!(choose(&unknown, 1, Some(0), Some(1_000_000)), Some(0), "a rate that is not known yet");
        assert_eq!(choose(&unknown, 1, Some(0), None), Some(1));
    }
}
