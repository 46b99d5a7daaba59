//! A distribution of times.

use std::time::Duration;

use hdrhistogram::Histogram;

/// From 1 us to 60 s, with two significant figures; what is beyond counts as the limit.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    /// None only where there is no memory for one.
    micros: Option<Histogram<u32>>,
    most: Duration,
}

const MOST_MICROS: u64 = 60_000_000;

impl Default for Latency {
    fn default() -> Self {
        Self { micros: Histogram::new_with_bounds(1, MOST_MICROS, 2).ok(), most: Duration::ZERO }
    }
}

impl Latency {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.most = self.most.max(latency);
        if let Some(micros) = &mut self.micros {
            micros.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.most = self.most.max(other.most);
        if let (Some(ours), Some(theirs)) = (&mut self.micros, &other.micros) {
            // The bounds are the same, so all of it fits.
            let _ = ours.add(theirs);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.most = Duration::ZERO;
        if let Some(micros) = &mut self.micros {
            micros.reset();
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.micros.as_ref().map_or(0, Histogram::len)
    }

    /// In milliseconds; none where nothing was recorded.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<f64> {
        let micros = self.micros.as_ref().filter(|micros| !micros.is_empty())?;
        // The upper end of the last bucket may lie beyond the largest value.
        let most = self.most.as_secs_f64() * 1e3;
        Some((micros.value_at_quantile(quantile) as f64 / 1e3).min(most))
    }

    /// In milliseconds.
    pub(crate) fn mean(&self) -> Option<f64> {
        let micros = self.micros.as_ref().filter(|micros| !micros.is_empty())?;
        Some(micros.mean() / 1e3)
    }

    /// In milliseconds.
    pub(crate) fn most(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.most.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_hundredth_and_the_largest_is_exact() {
        let mut latency = Latency::default();
        assert_eq!((latency.quantile(0.5), latency.most()), (None, None));
        for millis in 1..=1000 {
            latency.record(Duration::from_millis(millis));
        }
        for (quantile, wanted) in [(0.5, 500.0), (0.99, 990.0)] {
            let got = latency.quantile(quantile).unwrap();
            assert!((got / wanted - 1.0).abs() < 0.01, "{got}");
        }
        assert_eq!(latency.most(), Some(1000.0));
        let mut both = Latency::default();
        both.record(Duration::from_secs(100));
        both.add(&latency);
        assert_eq!(both.count(), 1001);
        assert_eq!(both.most(), Some(100_000.0));
        both.clear();
        assert_eq!(both.count(), 0);
    }
}
