//! How an expectation is written: `FIGURE[.OF][.STATISTIC] COMPARISON VALUE`, or with the statistic in front,
//! `STATISTIC(FIGURE[.OF])`.

use std::str::FromStr;

use super::figure::{Subject, Value};
use super::{Comparison, Expectation, Figure, Known, Of, Statistic};
use crate::quantity::{Duration, Percent};

/// The words for the two directions of a link: of an interface, of a command's link, and of any link.
const DIRECTIONS: [[&str; 3]; 2] = [["egress", "up", "a_to_b"], ["ingress", "down", "b_to_a"]];
/// The longer ones first.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::More),
];

/// Why a text is no expectation, or none that can be judged here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; write for example \"loss.a_to_b < 6%\", \"out.down >= 1000\" or \"lateness.up.p99 < 1ms\"")]
pub struct NoExpectation {
    problem: String,
}

impl NoExpectation {
    /// What is wrong, without an example.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

fn wrong(problem: String) -> NoExpectation {
    NoExpectation { problem }
}

/// Each once, with commas between.
fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

impl FromStr for Expectation {
    type Err = NoExpectation;

    fn from_str(text: &str) -> Result<Self, NoExpectation> {
        let compared = COMPARISONS.iter().find_map(|(sign, comparison)| {
            let (figure, value) = text.split_once(sign)?;
            Some((figure.trim(), *comparison, value.trim()))
        });
        let Some((words, comparison, value)) = compared else {
            return Err(wrong(format!("{text:?} compares nothing: <, <=, >, >= or == is missing")));
        };
        let (words, in_front) = match words.split_once('(') {
            Some((statistic, rest)) => match rest.strip_suffix(')') {
                Some(inner) => (inner.trim(), Some(statistic.trim())),
                None => return Err(wrong(format!("{words:?} has no closing parenthesis"))),
            },
            None => (words, None),
        };
        let mut parts = words.split('.');
        let name = parts.next().unwrap_or_default();
        let Some(figure) = Figure::ALL.into_iter().find(|figure| figure.name() == name) else {
            return Err(unknown_figure(name, &Figure::ALL));
        };
        let of = if figure.subject() == Subject::Whole { None } else { parts.next() };
        let of = match (of, figure.subject()) {
            (None, Subject::Peer) | (_, Subject::Whole) => Of::All,
            (None | Some(""), Subject::Direction) => {
                return Err(wrong(format!("{words:?} does not say which direction")));
            }
            (None | Some(""), _) => return Err(wrong(format!("{words:?} does not say of what"))),
            (Some(of), Subject::Direction) => match DIRECTIONS.iter().position(|names| names.contains(&of)) {
                Some(direction) => Of::Direction(direction),
                None => Of::Named(of.to_owned()),
            },
            (Some(of), Subject::Peer | Subject::Command) => Of::Named(of.to_owned()),
        };
        let behind = parts.next();
        if let (Some(front), Some(behind)) = (in_front, behind) {
            return Err(wrong(format!("{words:?} names two statistics, {front:?} and {behind:?}")));
        }
        let statistic = match in_front.or(behind) {
            None => Statistic::P99,
            Some(name) if figure.is_distribution() => {
                let found = Statistic::ALL.into_iter().find(|statistic| statistic.name() == name);
                let known = || listed(Statistic::ALL.map(Statistic::name));
                let unknown = || wrong(format!("{name:?} is no figure of {}; known: {}", figure.name(), known()));
                found.ok_or_else(unknown)?
            }
            Some(name) => return Err(wrong(format!("{} is one figure, and has no {name:?}", figure.name()))),
        };
        if let Some(more) = parts.next() {
            return Err(wrong(format!("{more:?} is too much in {words:?}")));
        }
        let value = match figure.value() {
            Value::Share => value.parse::<Percent>().ok().map(Percent::fraction),
            Value::Count => value.parse::<u64>().ok().map(|count| count as f64),
            Value::Time => value.parse::<Duration>().ok().map(|duration| duration.0.0 as f64),
        }
        .ok_or_else(|| wrong(format!("{value:?} is no value of {}, such as {}", figure.name(), figure.example())))?;
        Ok(Self { text: text.to_owned(), figure, of, statistic, comparison, value })
    }
}

fn unknown_figure(name: &str, known: &[Figure]) -> NoExpectation {
    let known = listed(known.iter().map(|figure| figure.name()));
    wrong(format!("{name:?} is no figure that is known here; known: {known}"))
}

impl Expectation {
    /// Whether it can be judged where these are known.
    ///
    /// # Errors
    ///
    /// What is not known, and what is.
    pub fn among(&self, known: &Known<'_>) -> Result<(), NoExpectation> {
        let Self { figure, of, statistic, .. } = self;
        if !known.figures.contains(figure) {
            return Err(unknown_figure(figure.name(), known.figures));
        }
        if figure.is_distribution() && !known.statistics.contains(statistic) {
            let known = listed(known.statistics.iter().map(|statistic| statistic.name()));
            return Err(wrong(format!("{:?} is not measured here; known: {known}", statistic.name())));
        }
        let among = |name: &str, what: &str, names: &[String]| {
            let known = listed(names.iter().map(String::as_str));
            let found = names.iter().any(|known| known == name);
            if found { Ok(()) } else { Err(wrong(format!("{name:?} is no {what}; known: {known}"))) }
        };
        match (of, figure.subject(), known.directions) {
            (Of::All, ..) | (Of::Direction(_), _, None) => Ok(()),
            (Of::Named(name), Subject::Peer, _) => among(name, "peer", known.peers),
            (Of::Named(name), Subject::Command, _) => among(name, "command", known.commands),
            (Of::Named(_), Subject::Whole, _) => Ok(()),
            (Of::Named(name), Subject::Direction, Some(directions)) => among(name, "direction", directions),
            (Of::Named(name), Subject::Direction, None) => {
                Err(wrong(format!("{name:?} is no direction; known: {}", listed(DIRECTIONS.concat()))))
            }
            (Of::Direction(number), _, Some(directions)) => {
                let word = DIRECTIONS.get(*number).and_then(|words| words.get(2)).copied().unwrap_or_default();
                among(word, "direction of one link alone", directions)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an interface's shaper knows.
    const KNOWN: Known<'_> = Known {
        figures: &[Figure::Loss, Figure::Arrived, Figure::Out, Figure::Lateness],
        statistics: &[Statistic::P50, Statistic::P99, Statistic::Max],
        ..Known::NOTHING
    };

    fn refused(text: &str, known: &Known<'_>) -> String {
        let read = text.parse::<Expectation>();
        read.and_then(|expectation| expectation.among(known)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_expectation_is_refused_with_an_example() {
        for (text, words) in [
            ("loss.egress", "compares nothing"),
            ("loss < 6%", "which direction"),
            ("loss. < 6%", "which direction"),
            ("exit == 0", "of what"),
            ("loos.egress < 6%", "known: loss, arrived, out, "),
            ("loss.sideways < 6%", "known: egress, up, a_to_b, ingress"),
            ("loss.egress.p99 < 6%", "one figure"),
            ("lateness.up.p98 < 1ms", "known: min, mean, p50"),
            ("lateness.up.p95 < 1ms", "known: p50, p99, max"),
            ("lateness.up.p99.p50 < 1ms", "too much"),
            ("delay.up < 1ms", "known: loss, arrived, out, lateness"),
            ("loss.egress < 6", "such as 6%"),
            ("lateness.up < 5", "such as 1ms"),
            ("out.up > 5%", "such as 1000"),
        ] {
            let error = refused(text, &KNOWN);
            assert!(error.contains(words) && error.contains("for example"), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_those_that_are_known() {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let (links, peers, commands) = (names(&["a_up", "a_down"]), names(&["b", "c"]), names(&["ping"]));
        let known = Known {
            figures: &Figure::ALL,
            statistics: &Statistic::ALL,
            directions: Some(&links),
            peers: &peers,
            commands: &commands,
        };
        for text in ["loss.a_up < 6%", "delay.a_down.p50 < 1ms", "delivery > 95%", "delivery.c > 95%", "exit.ping == 1"]
        {
            text.parse::<Expectation>().unwrap().among(&known).unwrap();
        }
        for (text, words) in [
            ("loss.b_up < 6%", "known: a_up, a_down"),
            ("loss.up < 6%", "known: a_up, a_down"),
            ("delivery.a > 1%", "known: b, c"),
            ("exit.iperf == 0", "known: ping"),
        ] {
            assert!(refused(text, &known).contains(words), "{text}: {}", refused(text, &known));
        }
    }

    #[test]
    fn figures_of_a_whole_load_name_nothing_and_a_statistic_may_stand_in_front() {
        let known = Known { figures: &Figure::OF_A_LOAD, statistics: &Statistic::ALL, ..Known::NOTHING };
        for (text, figure, statistic) in [
            ("p95(e2e) < 200ms", Figure::E2e, Statistic::P95),
            ("e2e.p95 < 200ms", Figure::E2e, Statistic::P95),
            ("connected >= 95%", Figure::Connected, Statistic::P99),
            ("received >= 99.9%", Figure::Received, Statistic::P99),
            ("slip < 20ms", Figure::Slip, Statistic::P99),
        ] {
            let expectation: Expectation = text.parse().unwrap();
            expectation.among(&known).unwrap();
            assert_eq!((expectation.figure, expectation.statistic, &expectation.of), (figure, statistic, &Of::All));
        }
        let delay: Expectation = "p50(delay.up) < 1ms".parse().unwrap();
        assert_eq!((delay.statistic, delay.of), (Statistic::P50, Of::Direction(0)));
        for (text, words) in [
            ("p95(e2e < 200ms", "no closing parenthesis"),
            ("p95(e2e.p50) < 200ms", "two statistics"),
            ("p95(connected) > 1%", "one figure"),
            ("p96(e2e) < 1ms", "known: min"),
            ("connected.a > 1%", "one figure"),
        ] {
            assert!(refused(text, &known).contains(words), "{text}: {}", refused(text, &known));
        }
    }

    #[test]
    fn directions_go_by_all_their_names() {
        for (text, of) in [("egress", 0), ("up", 0), ("a_to_b", 0), ("ingress", 1), ("down", 1), ("b_to_a", 1)] {
            let expectation: Expectation = format!("loss.{text}<=5%").parse().unwrap();
            assert_eq!(expectation.of, Of::Direction(of), "{text}");
        }
    }

    #[test]
    fn figures_are_held_against_what_is_expected() {
        use crate::expectation::Measured;
        let judged = |text: &str, measured| text.parse::<Expectation>().unwrap().judge(measured);
        let five = || Measured::share(50, 1000);
        for (text, measured, held) in [
            ("loss.up < 6%", five(), true),
            ("loss.up<=5%", five(), true),
            ("loss.up < 5%", five(), false),
            ("loss.up == 5%", five(), true),
            ("loss.up >= 5%", five(), true),
            ("loss.up > 5%", five(), false),
            ("exit.x == 3", Some(Measured::count(3)), true),
            ("delay.up.p50 < 1ms", Some(Measured::time(999_999.0, Statistic::P50)), true),
            ("delay.up.p50 < 1ms", Some(Measured::time(1e6, Statistic::P50)), false),
            // What is not known is not as it should be.
            ("loss.up < 100%", None, false),
            ("loss.up < 100%", Measured::share(0, 0), false),
        ] {
            let judged = judged(text, measured);
            assert_eq!(judged.held, held, "{judged}");
        }
        let told = judged("loss.up < 6%", five()).to_string();
        assert_eq!(told, "expected loss.up < 6%: held, measured 5.000 % (50 of 1000)");
    }
}
