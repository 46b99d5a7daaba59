//! Who is where, who publishes, and when each begins.

use std::time::Duration;

use super::config::{LoadConfig, Target};

/// What a client is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) room: String,
    pub(crate) publishes: bool,
    pub(crate) subscribes: bool,
    /// From the begin of the run.
    pub(crate) begins: Duration,
}

/// The parts of all clients.
pub(crate) fn parts(config: &LoadConfig) -> Vec<Part> {
    let rooms = config.rooms.max(1);
    let ramp_up = config.ramp_up();
    (0..config.clients)
        .map(|client| {
            let (room, within) = (client % rooms, client / rooms);
            // Clients of this room: those before this one are spread over the others too.
            let members = (config.clients - room).div_ceil(rooms);
            let name = if rooms == 1 { config.room.clone() } else { format!("{}-{room}", config.room) };
            let (publishes, subscribes) = match config.target {
                Target::SimplestChat => (is_publisher(within, members, config.publish_ratio), true),
                Target::Whip => (true, false),
                Target::Whep => (false, true),
            };
            // Neither is anywhere near 2^32.
            let begins = ramp_up.mul_f64(client as f64 / config.clients.max(1) as f64);
            Part { room: name, publishes, subscribes, begins }
        })
        .collect()
}

/// Whether the nth of a room's members publishes: the share of them, rounded up, spread evenly.
fn is_publisher(nth: usize, members: usize, ratio: f64) -> bool {
    let ratio = ratio.clamp(0.0, 1.0);
    let publishers = if ratio > 0.0 { ((members as f64 * ratio).ceil() as usize).clamp(1, members.max(1)) } else { 0 };
    // Bresenham's line: it rises by one at each publisher, the first of them at the first member.
    let rank = |nth: usize| (nth * publishers).div_ceil(members.max(1));
    rank(nth + 1) > rank(nth) && publishers > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishers(clients: usize, rooms: usize, publish_ratio: f64) -> Vec<usize> {
        let config = LoadConfig { clients, rooms, publish_ratio, ..LoadConfig::default() };
        let parts = parts(&config);
        let publishes = |(index, part): (usize, &Part)| part.publishes.then_some(index);
        parts.iter().enumerate().filter_map(publishes).collect()
    }

    #[test]
    fn the_share_publishes_and_at_least_one_in_each_room() {
        assert_eq!(publishers(5, 1, 1.0), [0, 1, 2, 3, 4]);
        assert_eq!(publishers(100, 1, 0.01), [0]);
        assert_eq!(publishers(10, 1, 0.2), [0, 5]);
        assert_eq!(publishers(10, 5, 0.01), [0, 1, 2, 3, 4]);
        assert_eq!(publishers(1000, 1, 0.1).len(), 100);
        assert_eq!(publishers(7, 3, 0.5).len(), 4);
        assert!(publishers(10, 1, 0.0).is_empty());
    }

    #[test]
    fn clients_begin_evenly_over_the_ramp_up() {
        let ramp_up = Some(Duration::from_secs(10));
        let config = LoadConfig { clients: 5, rooms: 2, ramp_up, ..LoadConfig::default() };
        let parts = parts(&config);
        let begins: Vec<u64> = parts.iter().map(|part| part.begins.as_secs()).collect();
        assert_eq!(begins, [0, 2, 4, 6, 8]);
        assert_eq!(parts[3].room, "load-1");
    }
}
