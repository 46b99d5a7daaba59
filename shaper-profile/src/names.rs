//! Unknown names: which known one was meant.

/// Words of other tools, and ours for the same thing.
const SYNONYMS: [(&str, &str); 27] = [
    ("latency", "delay"),
    ("base_delay", "delay"),
    ("variation", "jitter"),
    ("drop", "loss"),
    ("packet_loss", "loss"),
    ("bandwidth", "rate"),
    ("throughput", "rate"),
    ("limit", "queue"),
    ("buffer", "queue"),
    ("reordering", "reorder"),
    ("duplication", "duplicate"),
    ("corruption", "corrupt"),
    ("slots", "slot"),
    ("police", "policer"),
    ("qdisc", "aqm"),
    ("flow", "scope"),
    ("correlation", "correlation_time"),
    ("outage", "outages"),
    ("duration", "length"),
    ("start", "at"),
    ("time", "at"),
    ("period", "every"),
    ("repeat", "loop"),
    ("changes", "change"),
    ("rules", "rule"),
    ("filter", "match"),
    ("preset", "profile"),
];

/// The known name that `wrong` most likely stands for, where one is near enough.
pub(crate) fn suggest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let wrong = wrong.to_ascii_lowercase();
    let synonym = SYNONYMS.iter().find(|(word, _)| *word == wrong).map(|(_, ours)| *ours);
    if let Some(found) = synonym.and_then(|ours| known.iter().find(|name| **name == ours)) {
        return Some(found);
    }
    let (distance, nearest) = known.iter().map(|name| (distance(&wrong, name), *name)).min()?;
    (distance <= 1 + nearest.len() / 4).then_some(nearest)
}

/// Levenshtein's distance, in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (place, r) in row.iter_mut().skip(1).zip(right.bytes()) {
            let cost = diagonal + usize::from(l != r);
            diagonal = *place;
            before = cost.min(before + 1).min(diagonal + 1);
            *place = before;
        }
    }
    row.last().copied().unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_other_tools_words_lead_to_ours() {
        let known = ["delay", "jitter", "loss", "rate", "queue"];
        assert_eq!(suggest("jiter", &known), Some("jitter"));
        assert_eq!(suggest("Delay", &known), Some("delay"));
        assert_eq!(suggest("latency", &known), Some("delay"));
        assert_eq!(suggest("los", &known), Some("loss"));
        assert_eq!(suggest("checksum", &known), None);
    }

    #[test]
    fn distance_counts_insertions_removals_and_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
