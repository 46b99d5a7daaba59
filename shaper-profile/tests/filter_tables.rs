//! What filters compile to agrees with what they say, for one rule and for many.
#![expect(clippy::panic, reason = "a helper of tests says what went wrong by a panic")]

mod dialect;
mod traffic;

use std::cell::RefCell;

use dialect::{conditions, filter};
use proptest::prelude::*;
use shaper_common::rules::{Key, SHAPES, flags, key};
use shaper_profile::filter::{Brings, ENTRIES, Filter, LowerError, MATCHES, RULES, RuleSet, RuleSetError};
use traffic::{Kinds, common_filter, frame, runner};

const ALL: Kinds = Kinds { tags: true, extensions: true };

fn parsed(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn keys(count: usize) -> impl Strategy<Value = Vec<Key>> {
    prop::collection::vec(frame(ALL).prop_filter_map("no key", |frame| key(frame.as_slice())), count)
}

#[test]
fn matches_of_any_filter_agree_with_its_words() {
    // Packets that match and that do not, filters that never match, and such as are too large.
    let seen = RefCell::new([0usize; 4]);
    runner(4_000)
        .run(&(filter(), keys(30)), |(filter, keys)| {
            let mut seen = seen.borrow_mut();
            let matches = match filter.matches_of_rule() {
                Ok(matches) => matches,
                Err(LowerError::Never) => {
                    seen[2] += 1;
                    Vec::new()
                }
                Err(LowerError::TooMany { count }) => {
                    prop_assert!(count > MATCHES as u64);
                    seen[3] += 1;
                    return Ok(());
                }
            };
            for key in &keys {
                let says = filter.matches(key);
                let compiled = matches.iter().any(|one| one.matches(key));
                prop_assert_eq!(compiled, says, "{}: {:x?}", filter, key);
                seen[usize::from(says)] += 1;
            }
            Ok(())
        })
        .unwrap();
    let [no, yes, never, large] = seen.into_inner();
    assert!(yes > 20_000 && no > 20_000 && never > 20 && large < 500, "{yes} {no} {never} {large}");
}

#[test]
fn every_condition_and_its_negation_compiles_and_matches_something() {
    let keys = RefCell::new(Vec::new());
    runner(500)
        .run(&self::keys(10), |some| {
            keys.borrow_mut().extend(some);
            Ok(())
        })
        .unwrap();
    let keys = keys.into_inner();
    // Frames of these are not among those that are made.
    let absent = ["rarp", "esp"];
    for text in conditions() {
        let filter = parsed(text);
        let denied = parsed(&format!("not ({text})"));
        let found = keys.iter().filter(|key| filter.matches(key)).count();
        assert_eq!(found == 0, absent.contains(&text), "{text} matches {found} of {}", keys.len());
        for filter in [filter, denied] {
            if filter.text() == "not (host 2001:db8::1)" {
                assert!(matches!(filter.matches_of_rule(), Err(LowerError::TooMany { count }) if count >= 128 * 128));
                continue;
            }
            let matches = filter.matches_of_rule().unwrap_or_else(|error| panic!("{filter}: {error}"));
            assert!(keys.iter().all(|key| filter.matches(key) == matches.iter().any(|one| one.matches(key))), "{text}");
        }
    }
}

#[test]
fn the_table_of_many_rules_gives_the_lowest_that_matches() {
    let seen = RefCell::new((0, 0, 0));
    runner(300)
        .run(&(prop::collection::vec(filter(), 1..8), keys(30)), |(filters, keys)| {
            let filters: Vec<Filter> = filters.into_iter().filter(|one| one.matches_of_rule().is_ok()).collect();
            let mut seen = seen.borrow_mut();
            let compiled = match RuleSet::compile(&filters) {
                Ok(compiled) => compiled,
                Err(RuleSetError::TooManyShapes { shapes, .. }) => {
                    prop_assert!(shapes > SHAPES);
                    seen.2 += 1;
                    return Ok(());
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            };
            prop_assert!(compiled.shapes.count as usize <= SHAPES && compiled.entries.len() <= ENTRIES);
            let matcher = compiled.matcher();
            for key in &keys {
                let says = filters.iter().position(|filter| filter.matches(key)).map(|rule| rule as u32);
                prop_assert_eq!(matcher.rule(key), says, "{:?}: {:x?}", filters, key);
                if says.is_some() { seen.0 += 1 } else { seen.1 += 1 }
            }
            Ok(())
        })
        .unwrap();
    let (some, none, refused) = seen.into_inner();
    assert!(some > 3_000 && none > 300 && refused < 100, "{some} with a rule, {none} without, {refused} refused");
}

#[test]
fn control_packets_match_only_what_names_them() {
    let seen = RefCell::new([0; 2]);
    runner(3_000)
        .run(&(common_filter(), keys(40)), |(text, keys)| {
            // None of the common conditions but these two names any.
            let names = text.contains("arp") || text.contains("igmp");
            let filter = parsed(&text);
            for key in keys.iter().filter(|key| key.has(flags::CONTROL)) {
                prop_assert!(names || !filter.matches(key), "{}: {:x?}", text, key);
                seen.borrow_mut()[usize::from(filter.matches(key))] += 1;
            }
            Ok(())
        })
        .unwrap();
    let [no, yes] = seen.into_inner();
    assert!(no > 5_000 && yes > 30, "{no} {yes}");
}

#[test]
fn a_condition_takes_as_few_matches_as_its_kind_allows() {
    for (text, matches, shapes) in [
        ("udp", 1, 1),
        ("not udp", 1, 1),
        ("host 10.0.0.1", 2, 2),
        ("port 80", 2, 2),
        ("udp dst port 5004", 1, 1),
        ("dst port 80 or 443 or 8080", 3, 1),
        ("tcp dst port 80 or udp dst port 443", 2, 1),
        ("tcp dst port 80 or dst port 443 and udp", 1, 1),
        ("not host 10.0.0.1", 1025, 1025),
        ("not (src host 10.0.0.1 or 10.0.0.2)", 33, 32),
        ("not dst port 80", 17, 17),
        ("dst portrange 0-1023", 1, 1),
        ("dst portrange 1024-65535", 6, 6),
        ("dst portrange 1-65534", 30, 15),
        ("dst portrange 0-65535", 1, 1),
        ("ip or ip6", 2, 1),
        ("ip or udp or ip", 2, 2),
        ("udp or (udp and port 53)", 1, 1),
        ("dscp ef", 1, 1),
        ("not (ip and tcp)", 2, 2),
    ] {
        let found = parsed(text).matches_of_rule().unwrap();
        let mut masks: Vec<Key> = found.iter().map(|one| one.mask).collect();
        masks.sort_unstable();
        masks.dedup();
        assert_eq!((found.len(), masks.len()), (matches, shapes), "{text}: {found:x?}");
    }
}

#[test]
fn conditions_that_exclude_each_other_are_refused() {
    for text in
        ["ip and ip6", "tcp and udp", "arp and port 80", "vlan 5 and not vlan", "port 80 and not (tcp or not tcp)"]
    {
        let filter = parsed(text);
        assert_eq!(filter.matches_of_rule(), Err(LowerError::Never), "{text}");
        let error = RuleSet::compile(&[parsed("udp"), filter]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("rule 1, `{text}`: no packet can match it")), "{error}");
    }
}

#[test]
fn a_rule_of_too_many_matches_says_how_many() {
    let ports: Vec<String> = (0..=MATCHES).map(|port| (2 * port).to_string()).collect();
    let filter = parsed(&format!("dst port ({})", ports.join(" or ")));
    assert_eq!(filter.matches_of_rule(), Err(LowerError::TooMany { count: MATCHES as u64 + 1 }));
    let filter = parsed(&format!("dst port ({})", ports[1..].join(" or ")));
    assert_eq!(filter.matches_of_rule().unwrap().len(), MATCHES);
    let hosts = "not host 2001:db8::1 and not host 2001:db8::2 and not host 2001:db8::3";
    assert!(matches!(parsed(hosts).matches_of_rule(), Err(LowerError::TooMany { count }) if count > MATCHES as u64));
    let error = RuleSet::compile(&[parsed(hosts)]).unwrap_err().to_string();
    assert!(error.contains("masked matches, and a rule may have 4096"), "{error}");
}

#[test]
fn more_masks_than_shapes_are_put_together_where_the_table_has_room() {
    for text in
        ["not dst port 53", "not port 53", "not port 53 and not port 80", "portrange 1000-2000", "not net 10.0.0.0/8"]
    {
        let compiled = RuleSet::compile(&[parsed(text)]).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(
            compiled.shapes.count as usize <= SHAPES && compiled.entries.len() < 50_000,
            "{}",
            compiled.entries.len()
        );
        let filter = parsed(text);
        let matcher = compiled.matcher();
        let (mut yes, mut no) = (0, 0);
        runner(200)
            .run(&keys(20), |keys| {
                for key in &keys {
                    let says = filter.matches(key);
                    prop_assert_eq!(matcher.rule(key), says.then_some(0), "{}: {:x?}", text, key);
                }
                Ok(())
            })
            .unwrap();
        // And at the borders of what is denied.
        for port in (0..=65535u32).step_by(7).chain([52, 53, 54, 79, 80, 81, 999, 1000, 2000, 2001]) {
            let mut key = Key::ZERO;
            key.words = [
                0x0800_1100,
                flags::PORTS | flags::IPV4 | flags::UDP,
                0,
                port << 16 | 53,
                port << 24,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ];
            for swap in [16, 0] {
                key.words[3] = key.words[3].rotate_left(swap);
                let says = filter.matches(&key);
                assert_eq!(matcher.rule(&key), says.then_some(0), "{text}: {key:x?}");
                if says { yes += 1 } else { no += 1 }
            }
        }
        assert!(yes + no > 10_000);
    }
}

#[test]
fn rules_of_too_many_shapes_are_refused_with_what_they_bring_and_cost() {
    let error = RuleSet::compile(&[parsed("udp"), parsed("not host 10.0.0.1"), parsed("tcp")]).unwrap_err();
    let RuleSetError::TooManyShapes { shapes, brings, entries } = &error else { panic!("{error}") };
    assert_eq!(brings.iter().map(|brings| brings.shapes).sum::<usize>(), *shapes);
    assert_eq!(brings[0].rule, 1);
    assert_eq!(brings[1..], [Brings { rule: 0, shapes: 1 }], "`tcp` looks at what `udp` does");
    assert_eq!(*entries, None);
    assert!(
        error.to_string().contains("; rule 1 brings 1025, rule 0 brings 1; more than 512 are not put together;"),
        "{error}"
    );
    let lengths = || (32..=128).step_by(6);
    let nets = |source, destination| format!("src net 2001:db8::/{source} and dst net 2001:db8::/{destination}");
    let prefixes: Vec<Filter> =
        lengths().flat_map(|source| lengths().map(move |destination| parsed(&nets(source, destination)))).collect();
    let error = RuleSet::compile(&prefixes).unwrap_err();
    let RuleSetError::TooManyShapes { entries: Some(entries), .. } = &error else { panic!("{error}") };
    assert!(*entries > ENTRIES as u64);
    assert!(
        error.to_string().contains("in 16 ways they would take over 10^12 entries of a table that holds"),
        "{error}"
    );
}

#[test]
fn as_many_rules_as_there_are_numbers_compile_and_are_found() {
    let filters: Vec<Filter> = (0..RULES as u32)
        .map(|rule| {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + rule);
            parsed(&format!("udp and host {address} and port {}", rule % 60_000))
        })
        .collect();
    let compiled = RuleSet::compile(&filters).unwrap();
    assert_eq!((compiled.shapes.count, compiled.entries.len()), (4, 4 * RULES));
    let matcher = compiled.matcher();
    for rule in (0..RULES as u32).step_by(97) {
        let mut key = Key::ZERO;
        key.words[1] = flags::IPV4 | flags::UDP | flags::PORTS;
        key.words[0] = 0x0800_1100;
        key.words[3] = (60_002 << 16) | (rule % 60_000);
        key.words[4] = 0x0a00_0000 + rule;
        assert!(filters[rule as usize].matches(&key));
        assert_eq!(matcher.rule(&key), Some(rule));
        key.words[3] = 60_002 << 16 | 60_001;
        assert_eq!(matcher.rule(&key), None);
    }
    let more: Vec<Filter> = filters.iter().chain(&filters[..1]).cloned().collect();
    assert_eq!(RuleSet::compile(&more), Err(RuleSetError::TooManyRules { count: RULES + 1 }));
}

#[test]
fn rules_compile_to_the_same_table_each_time() {
    let filters: Vec<Filter> = conditions().map(parsed).collect();
    let filters = &filters[..20];
    let compiled = RuleSet::compile(filters).unwrap();
    assert_eq!(compiled, RuleSet::compile(filters).unwrap());
    assert!(compiled.shapes.least[..compiled.shapes.count as usize].is_sorted());
    let mut keys: Vec<_> = compiled.entries.iter().map(|entry| entry.key(7)).collect();
    keys.dedup();
    assert_eq!(keys.len(), compiled.entries.len());
    assert!(keys.is_sorted());
}

#[test]
fn no_rules_are_a_table_without_entries() {
    let compiled = RuleSet::compile(&[]).unwrap();
    assert_eq!((compiled.shapes.count, compiled.entries.len()), (0, 0));
    assert_eq!(compiled.matcher().rule(&Key::ZERO), None);
}
