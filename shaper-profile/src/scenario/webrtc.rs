//! Audio and video between clients, by a server between them.

use super::Unfit;
use crate::quantity::Duration;
use shaper_common::units::Nanos;

/// As the flags of `shaper run webrtc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRtcSettings {
    /// Clients.
    pub clients: usize,
    /// Access links that they take turns on.
    pub links: usize,
    /// From the first client to the last; by their number where nothing is said.
    pub ramp_up: Option<Duration>,
    /// When the server is killed.
    pub kill_server_at: Option<Duration>,
    /// How long after that another is started in its place.
    pub server_back_after: Option<Duration>,
    /// Clients by number, and when they are killed.
    pub kill_clients: Vec<(usize, Duration)>,
    /// Who sends what to whom, as flags of `shaper webrtc load`.
    pub media: Vec<String>,
}

impl WebRtcSettings {
    /// The host that the server is on.
    pub const SERVER: &'static str = "server";
    /// Most access links: as many as a lab has, but for the server's own.
    pub const MOST_LINKS: usize = shaper_common::layout::DIRECTIONS as usize / 2 - 1;
    /// Clients where nobody says how many.
    pub const CLIENTS: usize = 5;

    /// The hosts of its lab: the server's, and one for each access link.
    #[must_use]
    pub fn host_names(links: usize) -> Vec<String> {
        let clients = (1..=links).map(|number| format!("c{number}"));
        std::iter::once(Self::SERVER.to_owned()).chain(clients).collect()
    }

    /// Whether all of it fits into this time.
    ///
    /// # Errors
    ///
    /// The first setting that does not.
    pub fn check(&self, duration: Duration) -> Result<(), Unfit> {
        let half = Duration(Nanos(duration.0.0 / 2));
        let unfit = |key, value: String, want: String, example: String| Err(Unfit { key, value, want, example });
        if let Some(ramp_up) = self.ramp_up.filter(|ramp_up| *ramp_up >= duration) {
            let want = format!("clients are to send for what is left of {duration:#}");
            return unfit("ramp_up", ramp_up.to_string(), want, half.to_string());
        }
        let over = format!("the run is over by then, after {duration:#}");
        if let Some(at) = self.kill_server_at.filter(|at| *at >= duration) {
            return unfit("kill_server_at", at.to_string(), over, half.to_string());
        }
        if let (None, Some(after)) = (self.kill_server_at, self.server_back_after) {
            let want = "no server is killed: write kill_server_at beside it, or leave it out".to_owned();
            return unfit("server_back_after", after.to_string(), want, after.to_string());
        }
        if let Some((at, after)) = self.kill_server_at.zip(self.server_back_after)
            && at.0.saturating_add(after.0) >= duration.0
        {
            let left = Duration(Nanos(duration.0.0.saturating_sub(at.0.0) / 2));
            return unfit("server_back_after", after.to_string(), over, left.to_string());
        }
        for (client, at) in &self.kill_clients {
            let value = format!("{client}@{at}");
            if *client >= self.clients {
                let want = format!("clients are 0 to {}", self.clients.saturating_sub(1));
                return unfit("kill_client", value, want, format!("0@{half}"));
            }
            if *at >= duration {
                return unfit("kill_client", value, over, format!("{client}@{half}"));
            }
        }
        Ok(())
    }
}
