//! What the page's controls change: the settings of an interface that `shaper apply` impairs.

use anyhow::{Context, bail};
use serde::Deserialize;
use shaper_engine::{Recording, Site};
use shaper_profile::{Overrides, Patch, Profile, load, presets};
use shaper_webrtc::serve::Shape;

use crate::apply::{EngineChoice, HookChoice, Request, Target, change_running};

/// The page's fields, as texts. Nothing here names a file: who may change a link may not read this host by it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    profile: String,
    delay: String,
    jitter: String,
    loss: String,
    rate: String,
}

/// Controls for an interface of this process's namespace.
pub(super) fn of_interface(interface: &str) -> Shape {
    let name = interface.to_owned();
    let profiles = presets::names().map(str::to_owned).collect();
    Shape::new(interface.to_owned(), profiles, move |settings| {
        change(&name, settings).map_err(|error| format!("{error:#}"))
    })
}

fn change(interface: &str, settings: &str) -> anyhow::Result<String> {
    let settings: Settings = serde_json::from_str(settings).context("the settings")?;
    let profile = settings.profile()?;
    let request = Request {
        site: Site::Interface(interface.to_owned()),
        target: Target::Own,
        command: None,
        forward: profile.clone(),
        backward: profile,
        seed: 1,
        duration: None,
        allow_default_route: false,
        engine: EngineChoice::default(),
        hook: HookChoice::Tc,
        busy_poll: false,
        recording: Recording::All,
        expected: Vec::new(),
    };
    Ok(change_running(&request)?.join("\n"))
}

impl Settings {
    /// What they come to; a clean link where nothing is said.
    fn profile(&self) -> anyhow::Result<Profile> {
        let name = match self.profile.as_str() {
            "" => "clean",
            preset if presets::names().any(|known| known == preset) => preset,
            other => bail!("there is no preset {other:?}"),
        };
        let direction = Patch {
            delay: read("delay", &self.delay)?,
            jitter: read("jitter", &self.jitter)?,
            loss: read("loss", &self.loss)?,
            rate: read("rate", &self.rate)?,
            ..Patch::default()
        };
        Ok(Overrides { direction, ..Overrides::default() }.apply(&load(name)?)?)
    }
}

/// One field; none where nothing is said.
fn read<T>(name: &'static str, text: &str) -> anyhow::Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).context(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &str) -> Result<Profile, String> {
        let settings: Settings = serde_json::from_str(settings).map_err(|error| error.to_string())?;
        settings.profile().map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn fields_are_read_as_flags_are_and_hold_for_both_directions() {
        let link =
            read(r#"{"profile":"","delay":"20ms","jitter":"","loss":"5% burst 3","rate":"2mbit"}"#).unwrap().link;
        assert_eq!(link.a_to_b, link.b_to_a);
        let direction = link.a_to_b;
        assert_eq!(
            (direction.delay.to_string(), direction.loss.to_string()),
            ("20ms".to_owned(), "5% burst 3".to_owned())
        );
        assert_eq!(read("{}").unwrap().link, load("clean").unwrap().link);
        let wifi = read(r#"{"profile":"wifi","delay":"1ms"}"#).unwrap().link.a_to_b;
        assert_eq!(wifi.loss, load("wifi").unwrap().link.a_to_b.loss);
        assert_eq!(wifi.delay.to_string(), "1ms");
    }

    #[test]
    fn what_is_wrong_is_said_and_no_file_is_read() {
        for (settings, words) in [
            (r#"{"delay":"20"}"#, "delay: "),
            (r#"{"loss":"200%"}"#, "loss: "),
            (r#"{"profile":"/etc/passwd"}"#, "no preset"),
            (r#"{"profile":"mine.toml"}"#, "no preset"),
            (r#"{"trace":"/etc/passwd"}"#, "unknown field"),
            ("[", "EOF"),
        ] {
            let error = read(settings).unwrap_err();
            assert!(error.contains(words), "{settings}: {error}");
        }
    }
}
