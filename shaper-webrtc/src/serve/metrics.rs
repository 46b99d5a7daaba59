//! What a server counts, and Prometheus's text form of it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $field:ident, $name:literal, $kind:literal;)+) => {
        /// All that is counted. Threads add to it without order between fields.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[doc = $doc])+ pub(crate) $field: AtomicU64,)+
        }

        impl Metrics {
            /// The text format of Prometheus, version 0.0.4.
            pub(crate) fn text(&self) -> String {
                let mut text = String::new();
                $(
                    let help = concat!($($doc),+).trim();
                    let value = self.$field.load(Ordering::Relaxed);
                    let _ = writeln!(text, "# HELP {0} {help}\n# TYPE {0} {1}\n{0} {value}", $name, $kind);
                )+
                text
            }
        }
    };
}

metrics! {
    /// Rooms that there are.
    rooms, "shaper_webrtc_rooms", "gauge";
    /// Participants that there are, WHIP and WHEP clients among them.
    participants, "shaper_webrtc_participants", "gauge";
    /// Participants that were given up because their WebSocket was lost and not taken up again in time.
    participants_lost, "shaper_webrtc_participants_lost_total", "counter";
    /// HTTP connections and WebSockets that are open.
    connections, "shaper_webrtc_http_connections", "gauge";
    /// Transports that there are.
    legs, "shaper_webrtc_transports", "gauge";
    /// Transports whose ICE and DTLS came up.
    legs_connected, "shaper_webrtc_transports_connected_total", "counter";
    /// Transports that ended by themselves: never connected, lost, or closed by the client.
    legs_lost, "shaper_webrtc_transports_lost_total", "counter";
    /// Tracks that come in.
    producers, "shaper_webrtc_producers", "gauge";
    /// Tracks that go out.
    consumers, "shaper_webrtc_consumers", "gauge";
    /// Datagrams received.
    datagrams_in, "shaper_webrtc_datagrams_received_total", "counter";
    /// Bytes of UDP payload received.
    bytes_in, "shaper_webrtc_bytes_received_total", "counter";
    /// Datagrams sent.
    datagrams_out, "shaper_webrtc_datagrams_sent_total", "counter";
    /// Bytes of UDP payload sent.
    bytes_out, "shaper_webrtc_bytes_sent_total", "counter";
    /// Datagrams that belong to no transport, or are neither STUN, DTLS, RTP nor RTCP.
    datagrams_unknown, "shaper_webrtc_datagrams_unknown_total", "counter";
    /// Datagrams that the socket had no room for or the system refused: losses of the server's own.
    send_failed, "shaper_webrtc_datagrams_send_failed_total", "counter";
    /// RTP packets received, repairs by retransmission among them and duplicates not.
    rtp_in, "shaper_webrtc_rtp_received_total", "counter";
    /// RTP packets sent on, each consumer counted.
    rtp_forwarded, "shaper_webrtc_rtp_forwarded_total", "counter";
    /// RTP packets received for nobody, for a consumer that is paused, or of another layer.
    rtp_unwanted, "shaper_webrtc_rtp_unwanted_total", "counter";
    /// RTP packets with more payload than goes into a datagram with all that is written before it.
    rtp_too_long, "shaper_webrtc_rtp_too_long_total", "counter";
    /// RTP packets from before a consumer's stream began or changed its layer or SSRC, too late to be sent on.
    rtp_late, "shaper_webrtc_rtp_late_total", "counter";
    /// RTP packets that were not sent on because too many wait for a transport already: losses of the server's own.
    rtp_overflowed, "shaper_webrtc_rtp_overflowed_total", "counter";
    /// RTP packets sent again for a receiver's NACK.
    rtp_retransmitted, "shaper_webrtc_rtp_retransmitted_total", "counter";
    /// Key frames asked for by receivers.
    key_frames_asked, "shaper_webrtc_key_frame_requests_received_total", "counter";
    /// Key frames asked for from publishers.
    key_frames_forwarded, "shaper_webrtc_key_frame_requests_sent_total", "counter";
    /// Changes of simulcast layer that took effect.
    layer_switches, "shaper_webrtc_layer_switches_total", "counter";
    /// Records of the mapping log that found no room on their way to the file.
    map_log_lost, "shaper_webrtc_map_log_lost_total", "counter";
    /// Signalling messages received over WebSockets.
    messages_in, "shaper_webrtc_messages_received_total", "counter";
    /// Signalling messages and requests that were refused.
    refused, "shaper_webrtc_requests_refused_total", "counter";
    /// Messages refused because their client sent too many.
    rate_limited, "shaper_webrtc_messages_rate_limited_total", "counter";
    /// WHIP and WHEP requests without a valid token.
    unauthorized, "shaper_webrtc_requests_unauthorized_total", "counter";
    /// Transports that were given up because handling what came in failed.
    leg_errors, "shaper_webrtc_transport_errors_total", "counter";
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Takes from a gauge.
pub(crate) fn take(gauge: &AtomicU64, count: u64) {
    gauge.fetch_sub(count, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_help_type_and_value() {
        let metrics = Metrics::default();
        add(&metrics.rtp_in, 5);
        let text = metrics.text();
        assert!(text.contains("# TYPE shaper_webrtc_rtp_received_total counter\nshaper_webrtc_rtp_received_total 5\n"));
        assert_eq!(text.lines().count() % 3, 0);
        let mut names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
