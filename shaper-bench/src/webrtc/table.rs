//! Samples of figures as repeats bring them, one after the other.

use anyhow::Result;

use crate::report::{Aim, Figure};

/// A figure of something that was taken.
pub(super) struct Column<T> {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) of: fn(&T) -> f64,
    pub(super) aim: Option<Aim>,
}

struct Row {
    name: String,
    unit: &'static str,
    baseline: Option<String>,
    aim: Option<Aim>,
    samples: Vec<f64>,
    /// Why the last sample is not there.
    missing: Option<String>,
}

/// All rows, in the order in which they came first.
#[derive(Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Adds a sample to each column's row, or why there is none. `baseline` has the same columns.
    pub(super) fn add<T>(&mut self, what: &str, columns: &[Column<T>], taken: &Result<T>, baseline: Option<&str>) {
        for column in columns {
            let full = |what: &str| format!("{what}: {}", column.name);
            let name = full(what);
            let place = self.0.iter().position(|row| row.name == name).unwrap_or_else(|| {
                self.0.push(Row {
                    name,
                    unit: column.unit,
                    baseline: baseline.map(full),
                    aim: column.aim,
                    samples: Vec::new(),
                    missing: None,
                });
                self.0.len() - 1
            });
            let Some(row) = self.0.get_mut(place) else { continue };
            match taken {
                Ok(taken) => row.samples.push((column.of)(taken)),
                Err(why) => row.missing = Some(format!("{why:#}")),
            }
        }
    }

    /// A row with samples is a figure of these, even where some repeats brought none.
    pub(super) fn figures(self, suite: &'static str) -> Vec<Figure> {
        let figure = |row: Row| {
            let figure = match row.missing {
                Some(why) if row.samples.is_empty() => Figure::missing(suite, row.name, row.unit, &why),
                _ => Figure::new(suite, row.name, row.unit, row.samples),
            };
            let figure = if let Some(baseline) = row.baseline { figure.against(baseline) } else { figure };
            if let Some(aim) = row.aim { figure.aim(aim) } else { figure }
        };
        self.0.into_iter().map(figure).collect()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::host::Host;
    use crate::report::Report;

    #[test]
    fn repeats_that_bring_nothing_leave_the_others_standing_and_say_why_where_all_do() {
        let columns = [
            Column { name: "time", unit: "ns", of: |value: &f64| *value, aim: Some(Aim::Below(5.0)) },
            Column { name: "rate", unit: "packets/s", of: |value: &f64| 10.0 * value, aim: None },
        ];
        let mut table = Table::default();
        for taken in [Ok(4.0), Err(anyhow!("a busy machine")), Ok(2.0)] {
            table.add("ours", &columns, &taken, Some("theirs"));
            table.add("theirs", &columns, &Err(anyhow!("missing: theirs")), None);
        }
        let mut report = Report::new(Host::read());
        report.add(table.figures("webrtc"));
        let json = serde_json::to_value(report.json()).unwrap();
        let figures = &json["figures"];
        assert_eq!(figures.as_array().unwrap().len(), 4);
        assert_eq!((&figures[0]["name"], &figures[0]["baseline"]), (&"ours: time".into(), &"theirs: time".into()));
        assert_eq!((&figures[0]["median"], &figures[0]["met"]), (&3.0.into(), &true.into()));
        assert_eq!(figures[1]["repeats"], serde_json::json!([40.0, 20.0]));
        assert_eq!(
            (&figures[2]["missing"], &figures[2]["median"]),
            (&"missing: theirs".into(), &serde_json::Value::Null)
        );
    }
}
