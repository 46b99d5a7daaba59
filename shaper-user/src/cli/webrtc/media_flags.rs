//! Who sends what to whom: flags of `shaper webrtc load`, and of `shaper run webrtc`, which hands them on.

use std::time::Duration as StdDuration;

use clap::builder::PossibleValue;
use clap::{Args as ClapArgs, ValueEnum};
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_webrtc::load::{Faults, LoadConfig, Quality};

/// Who sends what to whom, and how.
#[derive(Clone, Debug, PartialEq, ClapArgs)]
pub(in crate::cli) struct MediaFlags {
    /// The room
    #[arg(long, value_name = "NAME", default_value = "load")]
    room: String,
    /// Rooms, named NAME-0, NAME-1, …; clients take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// The share of clients that publish, from 0 to 1: in each room at least one [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "mode")]
    publish_ratio: Option<f64>,
    /// Who publishes
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Audio tracks that a client subscribes to at most [default: all]
    #[arg(long, value_name = "N")]
    max_audio: Option<usize>,
    /// Video tracks that a client subscribes to at most
    #[arg(long, value_name = "N", default_value_t = 4)]
    max_video: usize,
    /// No video
    #[arg(long, conflicts_with = "video_only")]
    audio_only: bool,
    /// No audio
    #[arg(long)]
    video_only: bool,
    /// Size and rate of video: 1, 2.5 and 4.5 Mbit/s
    #[arg(long, value_enum, default_value_t = Size::P720)]
    quality: Size,
    /// Frames of video a second
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Take no notice of the bandwidth estimate
    #[arg(long)]
    fixed_bitrate: bool,
    /// Send video in three layers
    #[arg(long)]
    simulcast: bool,
    /// Speak half of the time, and send a frame of comfort noise each 400 ms in the other
    #[arg(long)]
    dtx: bool,
    /// Send audio with in-band error correction
    #[arg(long)]
    fec: bool,
    /// Clients a second that leave and come back, once all are there
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = rate)]
    churn_rate: f64,
    /// Restart ICE on each transport so often
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    ice_restart_every: Option<StdDuration>,
    /// Kill a client so long after the first one began, such as 3@5s: its sockets are closed without a goodbye; clients
    /// count from 0, and the flag may be given again
    #[arg(long, value_name = "CLIENT@TIME", value_parser = kill)]
    kill_client: Vec<(usize, StdDuration)>,
    /// How long each stage of a client may take
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = seconds)]
    timeout: StdDuration,
    /// How much longer than a second packets may come in behind the last that is sent
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = seconds)]
    drain: StdDuration,
    /// Threads that handle media [default: as many as CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// 1 % publish
    Webinar,
    /// 10 %
    Panel,
    /// 20 %
    Classroom,
    /// All
    Conference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    #[value(name = "480p")]
    P480,
    #[value(name = "720p")]
    P720,
    #[value(name = "1080p")]
    P1080,
}

impl Mode {
    const fn publish_ratio(self) -> f64 {
        match self {
            Self::Webinar => 0.01,
            Self::Panel => 0.1,
            Self::Classroom => 0.2,
            Self::Conference => 1.0,
        }
    }
}

/// A time, or whole seconds as other load testers have them.
pub(super) fn seconds(text: &str) -> Result<StdDuration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(StdDuration::from_secs(u64::from(seconds)));
    }
    let Duration(Nanos(nanos)) = text.parse::<Duration>().map_err(|error| error.to_string())?;
    Ok(StdDuration::from_nanos(nanos))
}

/// A client and a time.
fn kill(text: &str) -> Result<(usize, StdDuration), String> {
    let wanted = || "a client and a time are expected, such as 3@5s".to_owned();
    let (client, at) = text.split_once('@').ok_or_else(wanted)?;
    Ok((client.parse().map_err(|_| wanted())?, seconds(at)?))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a number from 0 to 1 is expected, such as 0.1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0 to 1000 is expected, such as 0.5".to_owned())
}

impl MediaFlags {
    /// A load of this kind; all else is as by default.
    pub(super) fn config(&self) -> anyhow::Result<LoadConfig> {
        Ok(LoadConfig {
            drain: self.drain,
            timeout: self.timeout,
            room: self.room.clone(),
            rooms: self.rooms.try_into()?,
            audio: !self.video_only,
            video: !self.audio_only,
            publish_ratio: self.mode.map(Mode::publish_ratio).or(self.publish_ratio).unwrap_or(1.0),
            max_audio: self.max_audio.unwrap_or(usize::MAX),
            max_video: self.max_video,
            quality: match self.quality {
                Size::P480 => Quality::P480,
                Size::P720 => Quality::P720,
                Size::P1080 => Quality::P1080,
            },
            fps: self.fps,
            fixed_bitrate: self.fixed_bitrate,
            simulcast: self.simulcast,
            dtx: self.dtx,
            fec: self.fec,
            churn_per_second: self.churn_rate,
            ice_restart_every: self.ice_restart_every,
            workers: self.workers.map(usize::from),
            faults: Faults { kills: self.kill_client.clone(), ..Faults::default() },
            ..LoadConfig::default()
        })
    }

    /// Clients that are killed, and when.
    pub(in crate::cli) fn kills(&self) -> &[(usize, StdDuration)] {
        &self.kill_client
    }

    /// The same as words of a command line.
    pub(in crate::cli) fn arguments(&self) -> Vec<String> {
        let Self {
            room,
            rooms,
            publish_ratio,
            mode,
            max_audio,
            max_video,
            audio_only,
            video_only,
            quality,
            fps,
            fixed_bitrate,
            simulcast,
            dtx,
            fec,
            churn_rate,
            ice_restart_every,
            kill_client,
            timeout,
            drain,
            workers,
        } = self;
        let name_of = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned());
        let valued = [
            ("room", Some(room.clone())),
            ("rooms", Some(rooms.to_string())),
            ("publish-ratio", publish_ratio.map(|share| share.to_string())),
            ("mode", mode.and_then(|mode| name_of(mode.to_possible_value()))),
            ("max-audio", max_audio.map(|tracks| tracks.to_string())),
            ("max-video", Some(max_video.to_string())),
            ("quality", name_of(quality.to_possible_value())),
            ("fps", Some(fps.to_string())),
            ("churn-rate", Some(churn_rate.to_string())),
            ("ice-restart-every", ice_restart_every.map(written)),
            ("timeout", Some(written(*timeout))),
            ("drain", Some(written(*drain))),
            ("workers", workers.map(|workers| workers.to_string())),
        ];
        let flags = [
            ("audio-only", audio_only),
            ("video-only", video_only),
            ("fixed-bitrate", fixed_bitrate),
            ("simulcast", simulcast),
            ("dtx", dtx),
            ("fec", fec),
        ];
        // One word each: a room may be called --json.
        let valued = valued.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
        let kills = kill_client.iter().map(|(client, at)| format!("--kill-client={client}@{}", written(*at)));
        valued
            .chain(kills)
            .chain(flags.into_iter().filter(|(_, set)| **set).map(|(name, _)| format!("--{name}")))
            .collect()
    }
}

/// A time as [`seconds`] reads it, whole.
fn written(time: StdDuration) -> String {
    format!("{}ns", time.as_nanos())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use shaper_profile::scenario::{self, BuiltIn};

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        media: MediaFlags,
    }

    #[test]
    fn what_is_handed_on_is_read_as_what_it_was() {
        for line in [
            "",
            "--mode webinar --quality 480p --audio-only --room --json --workers 3",
            "--publish-ratio 0.125 --video-only --fps 15 --max-audio 7 --max-video 2 --timeout 2.5s --drain 300ms",
            "--fixed-bitrate --simulcast --dtx --fec --churn-rate 0.25 --ice-restart-every 7 --rooms 4 --kill-client 3@5 --kill-client 0@1.5s",
        ] {
            let line = line.replace("--room --json", "--room=--json");
            let read = Line::try_parse_from(std::iter::once("x").chain(line.split_whitespace())).unwrap().media;
            let again = Line::try_parse_from(std::iter::once("x".to_owned()).chain(read.arguments())).unwrap().media;
            assert_eq!(read, again, "{line}");
        }
    }

    #[test]
    fn whatever_a_scenario_can_say_is_a_flag() {
        let text = "duration = \"20s\"\n[lab]\n[[workload]]\n[workload.webrtc]\nroom = \"--json\"\nrooms = 2\n\
                    max_audio = 3\nmax_video = 2\nquality = \"1080p\"\nfps = 15\nfixed_bitrate = true\nsimulcast = true\n\
                    dtx = true\nfec = true\nchurn_rate = 0.5\nice_restart_every = \"7s\"\ntimeout = \"5s\"\n\
                    drain = \"300ms\"\nkill_client = [\"3@5s\"]\n";
        for more in ["mode = \"panel\"\naudio_only = true\n", "publish_ratio = 0.5\nvideo_only = true\n"] {
            let (text, none) = (format!("{text}{more}"), std::path::Path::new(""));
            let scenario = scenario::parse("test.toml", none, "test", &text, &shaper_profile::presets::load).unwrap();
            let Some(BuiltIn::WebRtc(webrtc)) = &scenario.built_in else { panic!("{:?}", scenario.built_in) };
            let told = crate::run::WebRtcPlan::of(webrtc, 1).tester;
            let read = Line::try_parse_from(std::iter::once("x".to_owned()).chain(told.clone())).unwrap().media;
            // Each of them, and nothing else: what is left is as by default.
            assert_eq!(told.len(), 17, "{told:?}");
            assert!(told.iter().all(|flag| read.arguments().contains(flag)), "{told:?}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        assert_eq!(seconds("30").unwrap(), StdDuration::from_secs(30));
        assert_eq!(seconds("250ms").unwrap(), StdDuration::from_millis(250));
        assert!(kill("3").is_err() && kill("a@5").is_err() && kill("3@soon").is_err());
        assert!(seconds("-1").is_err() && seconds("soon").is_err());
        assert!(share("1.1").is_err() && rate("nan").is_err());
    }
}
