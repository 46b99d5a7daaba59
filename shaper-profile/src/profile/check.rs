//! Whether the settings of a direction can be beside each other.

use super::{Direction, FULL_PACKET};
use crate::effect::Order;
use crate::error::Invalid;
use crate::quantity::Duration;

const LONGEST_DELAY: Duration = Duration::from_millis(3_600_000);

impl Direction {
    /// Whether these settings can be.
    ///
    /// # Errors
    /// A delay, jitter or correlation time over an hour; a queue or its management without a rate; a queue or policer
    /// smaller than one packet of 1514 bytes and its overhead; a correlation time without jitter; reordering without a
    /// delay, or where the order is kept.
    pub fn check(&self) -> Result<(), Invalid> {
        self.check_times()?;
        self.check_reordering()?;
        self.check_queue()?;
        self.check_policer()
    }

    fn check_times(&self) -> Result<(), Invalid> {
        let times = [("delay", self.delay), ("jitter", self.jitter), ("correlation_time", self.correlation_time)];
        for (key, value) in times {
            if value > LONGEST_DELAY {
                return Err(Invalid {
                    key,
                    problem: format!("{value:#} is longer than an hour"),
                    hint: format!("write for example {key} = \"20ms\""),
                });
            }
        }
        if !self.correlation_time.is_zero() && !self.has_jitter() {
            return Err(Invalid {
                key: "correlation_time",
                problem: "there is no jitter that could be correlated".to_owned(),
                hint: "set a jitter too, for example jitter = \"5ms\", or leave the correlation time out".to_owned(),
            });
        }
        Ok(())
    }

    fn check_reordering(&self) -> Result<(), Invalid> {
        if self.reorder.is_none() {
            return Ok(());
        }
        let wrong = |problem: &str, hint: &str| {
            Err(Invalid { key: "reorder", problem: problem.to_owned(), hint: hint.to_owned() })
        };
        if !self.has_delay() {
            return wrong(
                "there is no delay that a packet could leave without",
                "set a delay too, for example delay = \"20ms\", or leave the reordering out",
            );
        }
        if self.order == Order::Keep {
            return wrong(
                "order = \"keep\" lets no packet leave before its predecessor",
                "write order = \"free\", or leave the reordering out",
            );
        }
        Ok(())
    }

    fn check_queue(&self) -> Result<(), Invalid> {
        if self.rate.is_unlimited() {
            let what = if self.queue.is_some() {
                "queue"
            } else if self.aqm.is_none() {
                return Ok(());
            } else {
                "aqm"
            };
            // Its trace may have one: that is seen when it is read.
            if self.trace.is_some() {
                return Ok(());
            }
            return Err(Invalid {
                key: what,
                problem: "there is no rate, and nothing waits before a link without a bottleneck".to_owned(),
                hint: format!("set a rate too, for example rate = \"10mbit\", or leave the {what} out"),
            });
        }
        let Some(queue) = self.queue else { return Ok(()) };
        let packet = self.wire_bytes(FULL_PACKET);
        let needed = self.service_time(packet);
        if self.queue_time() < needed {
            return Err(Invalid {
                key: "queue",
                problem: format!(
                    "{queue:#} is smaller than one packet ({packet} bytes, {:#} at {:#}): none would pass",
                    Duration(needed),
                    self.rate
                ),
                hint: "write for example queue = \"100p\" or queue = \"64kB\"".to_owned(),
            });
        }
        Ok(())
    }

    fn check_policer(&self) -> Result<(), Invalid> {
        let Some(policer) = self.policer else { return Ok(()) };
        let packet = self.wire_bytes(FULL_PACKET);
        let needed = policer.time(packet);
        if policer.burst_time() < needed {
            return Err(Invalid {
                key: "policer",
                problem: format!(
                    "the burst is smaller than one packet ({packet} bytes, {:#} at {:#}): none would pass",
                    Duration(needed),
                    policer.rate
                ),
                hint: format!("write for example policer = \"{} burst 64kB\"", policer.rate),
            });
        }
        Ok(())
    }
}
