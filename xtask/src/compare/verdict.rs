//! Who is better in a run, figure by figure: our engines against netem.

use super::{floor, results::Run};

/// How much better or worse counts as neither.
const EVEN: f64 = 0.1;

/// One figure of one of our engines, beside netem's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) setting: String,
    pub(super) what: &'static str,
    pub(super) engine: String,
    pub(super) netem: String,
    /// How many times as good as netem's, 1 for the same.
    pub(super) ratio: f64,
}

/// A figure, what it is called, and whether more of it is better.
const FIGURES: [(&str, &str, bool); 6] = [
    ("median_us", "median deviation", false),
    ("p99_us", "deviation at p99", false),
    ("ks", "distance from the distribution asked for", false),
    ("pps", "packets a second", true),
    ("cpu_ns", "processor time a packet", false),
    ("setup_s", "time until it is set up", false),
];

impl Verdict {
    pub(super) fn is_better(&self) -> bool {
        self.ratio > 1.0 + EVEN
    }

    pub(super) fn is_worse(&self) -> bool {
        self.ratio < 1.0 / (1.0 + EVEN)
    }
}

/// All that can be said, against netem by each kind of filter.
pub(super) fn all(run: &Run) -> Vec<Verdict> {
    let mut found = Vec::new();
    for setting in run.settings() {
        let contenders = run.contenders(|name| name == setting);
        let (netems, engines): (Vec<&str>, Vec<&str>) = contenders
            .into_iter()
            .filter(|name| name.starts_with("netem") || floor::is_engine(name))
            .partition(|name| name.starts_with("netem"));
        for (figure, what, more_is_better) in FIGURES {
            // A quantile of jitter is a draw: how far it is off says more of chance than of anybody.
            if setting.contains("jitter") && figure.ends_with("_us") {
                continue;
            }
            // How long a single qdisc takes is nothing to compare.
            if figure == "setup_s" && !setting.contains("rule") {
                continue;
            }
            let goodness = |contender: &str| {
                let value = run.figure(setting, contender, figure)?.abs();
                // Nearer than this two distributions cannot be told apart.
                let least = run.figure(setting, contender, "ks_chance").filter(|_| figure == "ks").unwrap_or(1e-9);
                Some(if more_is_better { value } else { 1.0 / value.max(least) })
            };
            for (netem, engine) in netems.iter().flat_map(|netem| engines.iter().map(move |engine| (netem, engine))) {
                if let (Some(theirs), Some(ours)) = (goodness(netem), goodness(engine)) {
                    found.push(Verdict {
                        setting: setting.to_owned(),
                        what,
                        engine: (*engine).to_owned(),
                        netem: (*netem).to_owned(),
                        ratio: ours / theirs,
                    });
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::run;
    use super::*;

    #[test]
    fn what_is_lost_is_told_as_what_is_won() {
        let all = all(&run());
        let find = |what| all.iter().find(|one| one.setting == "delay 20 ms" && one.what == what).unwrap();
        assert!(find("median deviation").is_better());
        assert!(find("deviation at p99").is_worse());
        assert!(find("packets a second").is_worse());
        assert_eq!(find("processor time a packet").ratio, 0.5);
        assert!(all.iter().any(|one| one.setting == "16 rules" && one.netem == "netem, u32"));
        assert!(all.iter().all(|one| one.engine == "xsk"), "who is not there is not judged");
    }
}
