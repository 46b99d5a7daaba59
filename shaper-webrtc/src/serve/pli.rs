//! How often a publisher is asked for a key frame.

use std::time::{Duration, Instant};

/// Lets one request through in each interval. One that comes too early is kept, not dropped: whoever
/// asked for it still needs a key frame.
#[derive(Debug)]
pub(crate) struct PliLimiter {
    interval: Duration,
    last: Option<Instant>,
    waiting: bool,
}

impl PliLimiter {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, last: None, waiting: false }
    }

    /// Somebody asks: whether the request goes out now.
    pub(crate) fn ask(&mut self, now: Instant) -> bool {
        self.waiting = true;
        self.due(now)
    }

    /// Whether a request that was kept goes out now.
    pub(crate) fn due(&mut self, now: Instant) -> bool {
        let free = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.interval);
        if !self.waiting || !free {
            return false;
        }
        self.last = Some(now);
        self.waiting = false;
        true
    }

    /// A key frame came: nothing is asked for any more.
    pub(crate) fn answered(&mut self) {
        self.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_requests_one_goes_out_in_each_interval_and_none_is_forgotten() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut limiter = PliLimiter::new(Duration::from_millis(500));
        assert!(limiter.ask(at(0)));
        assert!(!limiter.ask(at(1)));
        assert!(!limiter.ask(at(400)));
        assert!(!limiter.due(at(499)));
        assert!(limiter.due(at(500)));
        assert!(!limiter.due(at(2000)), "nobody has asked again");
        assert!(limiter.ask(at(2000)));
    }

    #[test]
    fn a_key_frame_answers_requests_that_wait() {
        let start = Instant::now();
        let mut limiter = PliLimiter::new(Duration::from_millis(500));
        assert!(limiter.ask(start));
        assert!(!limiter.ask(start));
        limiter.answered();
        assert!(!limiter.due(start + Duration::from_secs(1)));
    }
}
