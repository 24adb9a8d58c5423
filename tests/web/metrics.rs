//! The metrics: the format, the names, what stands in docs/metrics.md.

use std::collections::{BTreeMap, BTreeSet};

use cutover::web::METRICS;

use crate::client::Site;
use crate::stage;

const DOCS: &str = include_str!("../../docs/metrics.md");
const RULES: &str = include_str!("../../docs/alerts.example.rules.yml");

/// One line with a value.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads the text format as its specification says, and refuses what is not in it.
fn read(text: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let (mut kinds, mut samples, mut seen) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.split_once(' ').is_some_and(|(_, help)| help.ends_with('.')), "{line}");
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let sample = sample(line);
            assert!(kinds.contains_key(&sample.name), "{line}: before its TYPE");
            assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "{line}: comes twice");
            samples.push(sample);
        }
    }
    (kinds, samples)
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').expect("a value");
    let (name, inside) = match head.split_once('{') {
        Some((name, inside)) => (name, inside.strip_suffix('}').expect("closed")),
        None => (head, ""),
    };
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
    let (mut labels, mut rest) = (BTreeMap::new(), inside);
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut text = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().expect("closed") {
                (_, '\\') => text.push(match chars.next().expect("escaped").1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => panic!("{line}: \\{c}"),
                }),
                (at, '"') => break at,
                (_, c) => text.push(c),
            }
        };
        labels.insert(label.trim_start_matches(',').to_owned(), text);
        rest = &after[end + 1..];
    }
    Sample { name: name.to_owned(), labels, value: value.parse().expect("a number") }
}

#[tokio::test]
async fn every_metric_is_there_with_its_kind_and_labels() {
    let reply = Site::of(stage::five()).await.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let (kinds, samples) = read(&reply.body);
    for metric in &METRICS {
        assert!(metric.name.starts_with("cutover_"), "{}", metric.name);
        assert_eq!(metric.kind == "counter", metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(kinds.get(metric.name).map(String::as_str), Some(metric.kind), "{}", metric.name);
        let of_it: Vec<_> = samples.iter().filter(|sample| sample.name == metric.name).collect();
        assert!(!of_it.is_empty(), "{} has no value", metric.name);
        let labels: BTreeSet<_> = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        assert!(of_it.iter().all(|sample| sample.labels.keys().cloned().collect::<BTreeSet<_>>() == labels), "{}", metric.name);
    }
    assert_eq!(kinds.len(), METRICS.len());
    let value = |name: &str, labels: &[(&str, &str)]| {
        let is_it = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(label, text)| sample.labels.get(*label).is_some_and(|is| is == text))
        };
        samples.iter().find(is_it).unwrap_or_else(|| panic!("{name} {labels:?}")).value
    };
    let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
        let found = value(name, labels);
        assert!((found - expected).abs() < 1e-9, "{name} {labels:?}: {found}");
    };
    is("cutover_rotations_held", &[("reason", "doubt")], 1.0);
    is("cutover_rotations_held", &[("reason", "store")], 0.0);
    is("cutover_rotations_in_phase", &[("phase", "observe")], 2.0);
    is("cutover_policy_grace_left_seconds", &[("policy", "pay")], 10_800.0);
    is("cutover_policy_grace_left_ratio", &[("policy", "pay")], 0.12);
    is("cutover_policy_until_due_seconds", &[("policy", "erp")], 950_400.0);
    is("cutover_channel_failing_seconds", &[("channel", "ops")], 18_000.0);
    is("cutover_alerts_waiting", &[("channel", "ops")], 2.0);
    is("cutover_config_last_load_successful", &[], 0.0);
    is("cutover_clock_frozen", &[], 1.0);
    is("cutover_start_time_seconds", &[], 1_794_484_800.0);
}

#[tokio::test]
async fn labels_are_bounded_by_the_configuration() {
    let stage = stage::thousands();
    let names: BTreeSet<String> = stage.picture.policies.iter().map(|status| status.policy.clone()).collect();
    let body = Site::of(stage).await.get("/metrics").await.body;
    println!("3000 policies: {} bytes, {} lines", body.len(), body.lines().count());
    let (_, samples) = read(&body);
    for sample in samples {
        for (label, text) in &sample.labels {
            let known = match label.as_str() {
                "policy" => names.contains(text),
                "phase" | "reason" | "end" => text.len() < 20 && text.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "channel" | "version" => true,
                other => panic!("{other} is no label of ours"),
            };
            assert!(known, "{sample:?}");
            assert!(!text.contains("rot_") && !text.contains("def_42") && !text.contains("sha256"), "{sample:?}");
        }
    }
}

#[tokio::test]
async fn beyond_ten_thousand_policies_the_idle_ones_are_left_out_and_that_is_told() {
    let mut policies: Vec<_> = (0..10_010).map(|n| stage::idle(&format!("p{n:05}"), 1, 1)).collect();
    policies.push(stage::in_doubt("zz-held"));
    let (_, samples) = read(&Site::of(stage::stage(policies)).await.get("/metrics").await.body);
    let phases = samples.iter().filter(|sample| sample.name == "cutover_policy_phase");
    assert_eq!(phases.count(), 10_000);
    let left = samples.iter().find(|sample| sample.name == "cutover_policies_left_out").expect("there");
    assert!((left.value - 11.0).abs() < 1e-9);
    assert!(samples.iter().any(|sample| sample.labels.get("policy").is_some_and(|policy| policy == "zz-held")));
}

#[test]
fn docs_and_code_agree() {
    let rows = DOCS.lines().filter(|line| line.starts_with("| `cutover_"));
    let documented: Vec<String> = rows.map(ToOwned::to_owned).collect();
    let code: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", metric.name, metric.kind, labels.join(", "), metric.help)
        })
        .collect();
    assert_eq!(documented, code, "the table of docs/metrics.md");
}

#[test]
fn rules_name_only_metrics_that_exist() {
    let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let mut named = 0;
    for (at, _) in RULES.match_indices("cutover_") {
        let name: String = RULES[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        assert!(names.contains(&name.as_str()), "{name}");
        named += 1;
    }
    assert!(named > 8);
}
