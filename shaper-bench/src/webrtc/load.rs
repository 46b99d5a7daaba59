//! Who sends what to whom: what the tester is told, and what there must be once all are there.

use std::time::Duration;

/// What clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// Opus of 48 kbit/s, 50 packets a second.
    Audio,
    /// The same, silent half of the time, in which a packet is sent each 400 ms.
    AudioWithPauses,
    /// Audio without pauses, and VP8 of 1 Mbit/s, whatever the estimate of the bandwidth.
    AudioAndVideo,
}

impl Media {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::AudioWithPauses => "audio with pauses",
            Self::AudioAndVideo => "audio and video",
        }
    }

    const fn tracks(self) -> u64 {
        match self {
            Self::Audio | Self::AudioWithPauses => 1,
            Self::AudioAndVideo => 2,
        }
    }
}

/// A load whose rooms are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) media: Media,
    pub(super) rooms: u32,
    /// Of each room.
    pub(super) clients: u32,
    /// Of each room's clients.
    pub(super) publishers: u32,
    /// Publishers that a client receives at most.
    pub(super) received: u32,
    /// Pictures a second.
    pub(super) fps: u32,
    /// From the first client to the last.
    pub(super) ramp_up: Duration,
}

impl Load {
    pub(super) const fn all_clients(&self) -> u32 {
        self.rooms * self.clients
    }

    /// Transports, each with a handshake: everybody has one to receive by, and who publishes another.
    pub(super) fn transports(&self) -> u64 {
        u64::from(self.rooms) * u64::from(self.clients + self.publishers)
    }

    /// Subscriptions, once everybody has as many as allowed: nobody receives itself.
    pub(super) fn subscriptions(&self) -> u64 {
        let Self { clients, publishers, received, .. } = *self;
        let of_room = publishers * received.min(publishers.saturating_sub(1))
            + clients.saturating_sub(publishers) * received.min(publishers);
        u64::from(self.rooms) * u64::from(of_room) * self.media.tracks()
    }

    /// Flags of `shaper webrtc load`.
    pub(super) fn arguments(&self) -> Vec<String> {
        let Self { media, rooms, clients, publishers, received, fps, ramp_up } = *self;
        // The share is rounded up to whole publishers.
        let share = (f64::from(publishers) - 0.5).max(0.0) / f64::from(clients.max(1));
        let mut arguments = vec![
            format!("--clients={}", self.all_clients()),
            format!("--rooms={rooms}"),
            format!("--publish-ratio={share}"),
            format!("--max-audio={received}"),
            format!("--max-video={received}"),
            format!("--ramp-up={}ms", ramp_up.as_millis()),
            "--timeout=60".to_owned(),
        ];
        match media {
            Media::Audio => arguments.push("--audio-only".to_owned()),
            Media::AudioWithPauses => arguments.extend(["--audio-only".to_owned(), "--dtx".to_owned()]),
            Media::AudioAndVideo => {
                arguments.extend(["--fixed-bitrate".to_owned(), "--quality=480p".to_owned(), format!("--fps={fps}")]);
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        media: Media::Audio,
        rooms: 20,
        clients: 50,
        publishers: 5,
        received: 1,
        fps: 30,
        ramp_up: Duration::from_secs(20),
    };

    #[test]
    fn what_must_be_there_follows_from_who_receives_whom() {
        assert_eq!((LOAD.all_clients(), LOAD.transports(), LOAD.subscriptions()), (1000, 1100, 1000));
        // The only publisher receives nobody.
        let one = Load { rooms: 1, clients: 10, publishers: 1, media: Media::AudioAndVideo, ..LOAD };
        assert_eq!((one.transports(), one.subscriptions()), (11, 18));
        let all = Load { rooms: 2, clients: 3, publishers: 3, received: 9, ..LOAD };
        assert_eq!((all.transports(), all.subscriptions()), (12, 12));
        let none = Load { publishers: 0, ..LOAD };
        assert_eq!((none.transports(), none.subscriptions()), (1000, 0));
    }

    #[test]
    fn the_share_of_publishers_is_rounded_up_to_what_is_wanted() {
        for (clients, publishers) in [(10, 1), (50, 5), (100, 40), (3, 3), (2, 2), (7, 3), (50, 0)] {
            let arguments = Load { clients, publishers, ..LOAD }.arguments();
            let share = arguments.iter().find_map(|argument| argument.strip_prefix("--publish-ratio=")).unwrap();
            let share: f64 = share.parse().unwrap();
            assert_eq!((f64::from(clients) * share).ceil() as u32, publishers, "{publishers} of {clients}");
            assert!((0.0..=1.0).contains(&share));
        }
    }
}
