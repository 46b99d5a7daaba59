//! What a link will do, without root: a steady stream through the oracle, or a run's arrivals decided again.

mod channels;
mod figures;
mod replay;
mod source;
mod stream;
mod text;

use anyhow::{Context, bail};
use serde::Serialize;
use shaper_channel::ChannelSpec;
use shaper_common::fate::Cause;
use shaper_common::outage;
use shaper_common::units::Nanos;
use shaper_profile::quantity::Duration;
use shaper_profile::shift::Stream;
use shaper_profile::{Compile, CompiledDirection, Expected, Held, Link, Outages, Profile, RuleProfile};
use shaper_report::html::{DirectionPlot, Outcome, PacketPoint, Treated, Treatment, preview};
use shaper_report::summary::Window;

pub(crate) use crate::stored::configured_cdf;
pub(crate) use crate::stored::records::{FILE as RECORDS, write as write_records};
pub(crate) use figures::Figures;
pub(crate) use replay::Run;
pub(crate) use stream::Offered;

use channels::{Came, Through, spec_of};
use replay::{Agreed, Chosen};
use source::{Recorded, Source};

use crate::run::sizing;

/// One of a link's directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// From the first end to the second.
    AToB,
    /// Back.
    BToA,
}

/// What decides a run's arrivals in place of the run's own settings.
#[derive(Debug)]
pub(crate) struct Instead {
    pub(crate) profile: Profile,
    /// Whether that is another profile, and not the run's own, as it is or with some settings changed.
    pub(crate) is_named: bool,
    pub(crate) seed: Option<u64>,
}

/// Which of a run's arrivals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which<'a> {
    /// The link's number, from 0.
    pub(crate) link: u32,
    pub(crate) direction: Way,
    /// A rule's name.
    pub(crate) rule: Option<&'a str>,
}

/// What packets come to in one direction of a link.
#[derive(Debug, Serialize)]
pub(crate) struct Preview {
    pub(crate) profile: String,
    pub(crate) direction: Way,
    pub(crate) seed: u64,
    /// What came to the link.
    #[serde(flatten)]
    pub(crate) source: Source,
    /// The rule that decides, by name; null where none matches, or not the same for all.
    pub(crate) rule: Option<String>,
    /// Flows of a stream, or packets of a run, that go by a rule.
    pub(crate) by_rules: u64,
    /// Flows that were put out of a full table for others, and begin anew if they come again.
    pub(crate) flows_evicted: u64,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// What the settings do to themselves and to this stream.
    pub(crate) warnings: Vec<String>,
    /// What was configured, in words.
    pub(crate) configured: Option<String>,
    /// The profile's rules, by name.
    #[serde(skip)]
    rules: Vec<String>,
    #[serde(skip)]
    came: Vec<Came>,
    #[serde(skip)]
    expected: Option<Expected>,
    #[serde(skip)]
    configured_cdf: Vec<(f64, f64)>,
}

/// Which rules packets go by.
#[derive(Clone, Copy, Debug)]
struct Ruled {
    /// How many by any.
    count: u64,
    /// The rule, or none, that all of them go by; none of these where they differ.
    all_by: Option<Option<u32>>,
}

impl Ruled {
    fn of(mut rules: impl Iterator<Item = Option<u32>>) -> Self {
        let first = rules.next().unwrap_or_default();
        let mut ruled = Self { count: u64::from(first.is_some()), all_by: Some(first) };
        for rule in rules {
            ruled.count += u64::from(rule.is_some());
            ruled.all_by = ruled.all_by.filter(|all_by| *all_by == rule);
        }
        ruled
    }
}

/// A profile on its way through a preview.
struct Setting<'p> {
    profile: &'p Profile,
    direction: Way,
    run: Compile,
    compiled: CompiledDirection,
}

impl<'p> Setting<'p> {
    fn new(profile: &'p Profile, direction: Way, run: Compile) -> anyhow::Result<Self> {
        let compiled = profile.link.compile(&run).with_context(|| format!("profile {}", profile.name))?;
        let compiled = match direction {
            Way::AToB => compiled.a_to_b,
            Way::BToA => compiled.b_to_a,
        };
        Ok(Self { profile, direction, run, compiled })
    }
}

impl Preview {
    /// Sends the stream through a direction of the profile; with the name of a rule, through that rule's link, whatever
    /// the rule matches.
    ///
    /// # Errors
    ///
    /// When the profile cannot be compiled, or has no such rule.
    pub(crate) fn of(
        profile: &Profile,
        direction: Way,
        seed: u64,
        stream: Offered,
        rule: Option<&str>,
    ) -> anyhow::Result<Self> {
        let asked = rule.map(|name| number_of(profile, name)).transpose()?;
        let length = stream.interval_ns.saturating_mul(stream.packets.into());
        let run = Compile { seed, link: 0, horizon: Duration(Nanos(length)) };
        let setting = Setting::new(profile, direction, run)?;
        let mut flows = stream.of(&setting.compiled.rules, direction == Way::AToB);
        if asked.is_some() {
            flows.iter_mut().for_each(|flow| flow.rule = asked);
        }
        let through = stream.through(&setting.compiled, &flows);
        let ruled = Ruled::of(flows.iter().map(|flow| flow.rule));
        Self::made(&setting, Source::Stream(stream), ruled, through)
    }

    /// Decides the arrivals of a run again, in one direction of a link; with the name of a rule, those of that rule
    /// alone. With a profile or a seed that are not the run's, these decide instead, and nothing can agree. A
    /// profile that was named has rules of its own, which do not know the headers of packets: one of them, by its
    /// name, decides all, or none does.
    ///
    /// # Errors
    ///
    /// When a profile cannot be compiled, or has no such rule; and when the records are not those of the run.
    pub(crate) fn from_run(run: &Run, instead: &Instead, which: Which<'_>) -> anyhow::Result<Self> {
        let Which { link, direction, rule } = which;
        if link >= run.links() {
            bail!("--link {}: the run has {} of them: try --link 1", link.saturating_add(1), run.links());
        }
        let profile = &instead.profile;
        let seed = instead.seed.unwrap_or(run.seed);
        let is_own = !instead.is_named && profile.link == run.profile.link && seed == run.seed;
        let asked = rule.map(|name| number_of(profile, name)).transpose()?;
        let setting = Setting::new(profile, direction, Compile { seed, link, horizon: run.horizon })?;
        let chosen = Chosen { direction: 2 * link + u32::from(direction == Way::BToA), rule: asked };
        let (agreed, through) = if is_own {
            let (agreed, through) = run.again(chosen)?;
            (Some(agreed), through)
        } else {
            (None, run.by_other(&setting.compiled, chosen, !instead.is_named)?)
        };
        let ruled = match asked {
            Some(_) => Ruled { count: through.came.len() as u64, all_by: Some(asked) },
            None if instead.is_named => Ruled { count: 0, all_by: Some(None) },
            None => Ruled::of(run.rules(chosen.direction)),
        };
        let last = through.came.last().map_or(0, |came| came.at_ns);
        let source = Source::Run(Recorded {
            directory: run.name.clone(),
            link: link + 1,
            packets: through.came.len() as u64,
            agreed,
            length_ns: run.lead().0.saturating_add(run.horizon.0.0).max(last),
            lead_ns: run.lead().0,
        });
        Self::made(&setting, source, ruled, through)
    }

    /// Whether a run that was decided again came out as it was; also where there is nothing to agree with.
    pub(crate) fn is_agreed(&self) -> bool {
        self.agreed().is_none_or(Agreed::is_whole)
    }

    fn agreed(&self) -> Option<&Agreed> {
        match &self.source {
            Source::Stream(_) => None,
            Source::Run(run) => run.agreed.as_ref(),
        }
    }

    fn made(setting: &Setting<'_>, source: Source, ruled: Ruled, through: Through) -> anyhow::Result<Self> {
        let Setting { profile, direction, run, compiled } = setting;
        let number = ruled.all_by.flatten();
        let rule = number.and_then(|number| profile.link.rules.get(number as usize));
        let channel = spec_of(compiled, number).unwrap_or(&compiled.channel);
        let expected = match (ruled.all_by, rule) {
            (Some(_), Some(rule)) => Some(of_rule(rule, *direction, run, channel)?),
            (Some(_), None) => Some(compiled.expected.clone()),
            (None, _) => None,
        };
        let inflation = expected.as_ref().map_or(1.0, |expected| expected.loss.inflation);
        let Through { came, flows_evicted } = through;
        let mut preview = Self {
            profile: profile.name.clone(),
            direction: *direction,
            seed: run.seed,
            source,
            rule: rule.map(|rule| rule.name.clone()),
            by_rules: ruled.count,
            flows_evicted,
            figures: Figures::of(&came, inflation),
            warnings: Vec::new(),
            rules: profile.link.rules.iter().map(|rule| rule.name.clone()).collect(),
            configured: expected.as_ref().map(ToString::to_string),
            configured_cdf: expected.as_ref().map_or_else(Vec::new, |expected| configured_cdf(expected, channel)),
            came,
            expected,
        };
        preview.warnings = preview.warned(compiled, number);
        Ok(preview)
    }

    fn warned(&self, direction: &CompiledDirection, rule: Option<u32>) -> Vec<String> {
        let mut warnings = match (&self.expected, &self.source) {
            // How a kept order shifts delays is reckoned from plain settings alone.
            (Some(expected), Source::Stream(stream))
                if rule.is_none() && !direction.channel.varies() && stream.flows == 1 =>
            {
                let Offered { interval_ns, packet_bytes, packets, .. } = *stream;
                expected.warnings_on(Stream { interval: Nanos(interval_ns), len: packet_bytes, packets })
            }
            (Some(expected), _) => expected.warnings(),
            (None, _) => Vec::new(),
        };
        let held = match rule.and_then(|rule| direction.rules.channels.get(rule as usize)) {
            Some(channel) => Held::of(channel),
            None if self.by_rules == 0 => Held::of(&direction.channel),
            None => direction.held(),
        };
        warnings.extend(self.beyond_the_frames(held));
        if self.flows_evicted > 0 {
            warnings.push(format!(
                "{} times a flow was put out of the full table for another, and begins anew if it comes again: a larger \
                 table, such as scope = \"flow 16384\", forgets fewer",
                self.flows_evicted
            ));
        }
        warnings
    }

    /// More frames under way than an engine of default size has: what comes then is lost in the harness.
    fn beyond_the_frames(&self, held: Held) -> Option<String> {
        let frames = shaper_engine::Options::default().frames;
        let drawn = self.came.iter().filter_map(|came| came.delay_ns).max().unwrap_or(0);
        let longest = held.frames.later_of(Nanos(drawn));
        let rate = 1_000_000_000u64.div_ceil(self.source.interval_ns().max(1));
        let sizing = sizing(1);
        let lossless = sizing.lossless_delay(frames, rate).unwrap_or(Nanos::ZERO);
        (longest > lossless).then(|| {
            format!(
                "a delay line of {frames} frames holds {rate} packets/s without loss for {:.1} ms, and the longest \
                 delay{} is {:.1} ms: it takes {} frames",
                lossless.0 as f64 / 1e6,
                if held.frames > held.longest { ", with that of copies added," } else { "" },
                longest.0 as f64 / 1e6,
                sizing.frames_for(rate, longest)
            )
        })
    }

    /// The drawing: delay over time with what was dropped, and its distribution beside the configured one.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    pub(crate) fn svg(&self) -> anyhow::Result<String> {
        let lead = self.source.lead_ns();
        let mut plot = DirectionPlot::default();
        plot.configure(self.configured_cdf.clone());
        for came in &self.came {
            let at_ns = came.at_ns.saturating_sub(lead);
            let outcome = match came.delay_ns {
                Some(delay_ns) => Outcome::Delivered { delay_ns },
                None => Outcome::Dropped { cause: came.fate.cause.name().into() },
            };
            plot.push(&PacketPoint { at_ns, outcome });
            treated(came, lead).for_each(|treated| plot.treat(&treated));
            came.delay_ns.into_iter().for_each(|delay_ns| plot.intend(delay_ns));
        }
        let expected = self.expected.as_ref();
        let windows: Vec<Window> = expected
            .map(|expected| {
                let ms = |nanos: Nanos| nanos.0 as f64 / 1e6;
                expected.windows.iter().map(|w| Window { start_ms: ms(w.start), end_ms: ms(w.end) }).collect()
            })
            .unwrap_or_default();
        let end = self.source.end_ns() as f64 / 1e9;
        let name = format!("{} {}", self.profile, if self.direction == Way::AToB { "a_to_b" } else { "b_to_a" });
        Ok(preview(&name, &plot, &windows, end)?)
    }

    /// Delays in milliseconds, in any order.
    fn delays_ms(&self) -> impl Iterator<Item = f64> {
        self.came.iter().filter_map(|came| came.delay_ns).map(|ns| ns as f64 / 1e6)
    }

    /// The figures, for a terminal.
    pub(crate) fn text(&self) -> String {
        text::table(self)
    }
}

/// What was done to a packet that came through, and each of its copies; times count from `lead` on.
fn treated(came: &Came, lead: u64) -> impl Iterator<Item = Treated> {
    let Came { fate, delay_ns, .. } = *came;
    let at_ns = came.at_ns.saturating_sub(lead);
    let copies = (1..=u64::from(fate.copies)).map(move |number| (number, Treatment::Copied));
    let changed = (!fate.damage.is_none()).then_some((0, Treatment::Changed));
    let marked = fate.marked.then_some((0, Treatment::Marked));
    let all = copies.chain(changed).chain(marked);
    let apart = fate.spacing.0;
    delay_ns.into_iter().flat_map(move |delay_ns| {
        let late = move |number: u64| delay_ns.saturating_add(apart.saturating_mul(number));
        all.clone().map(move |(number, how)| Treated { at_ns, delay_ns: late(number), how })
    })
}

/// What a rule's own link will do. Its outages are those of its channel, for they are drawn from a stream of the rule's.
fn of_rule(rule: &RuleProfile, direction: Way, run: &Compile, channel: &ChannelSpec) -> anyhow::Result<Expected> {
    let link = Link { outages: Outages::default(), ..rule.link.clone() };
    let compiled = link.compile(run)?;
    let expected = match direction {
        Way::AToB => compiled.a_to_b.expected,
        Way::BToA => compiled.b_to_a.expected,
    };
    let windows =
        channel.schedule().windows.into_iter().take_while(|window| *window != outage::Window::NEVER).collect();
    Ok(expected.with_outages(rule.link.outages.clone(), windows))
}

/// The number of a rule, by its name.
fn number_of(profile: &Profile, name: &str) -> anyhow::Result<u32> {
    let mut rules = (0..).zip(&profile.link.rules);
    match rules.find(|(_, rule)| rule.name == name) {
        Some((number, _)) => Ok(number),
        None if profile.link.rules.is_empty() => bail!("--rule {name}: profile {} has no rules", profile.name),
        None => {
            let known: Vec<&str> = profile.link.rules.iter().map(|rule| rule.name.as_str()).collect();
            bail!("--rule {name}: profile {} has no such rule; it has: {}", profile.name, known.join(", "))
        }
    }
}

/// All causes that the link decides, in the order of their numbers.
fn causes() -> impl Iterator<Item = &'static str> {
    Cause::ALL.into_iter().filter(|cause| !matches!(cause, Cause::None)).map(Cause::name)
}
