use eventflux_core::{PropertyKind, PropertySpec};

use super::ineffective;
use super::*;
use crate::{SINK_PROPERTIES, SOURCE_PROPERTIES};

/// A value of that kind.
fn some(spec: &PropertySpec) -> &'static str {
    match spec.kind {
        PropertyKind::Boolean => "true",
        PropertyKind::Choice(values) => values[0],
        PropertyKind::Integer { .. } => "3",
        PropertyKind::Duration => "3s",
        PropertyKind::Size => "3KiB",
        PropertyKind::Template => "${a}",
        _ => "a",
    }
}

/// What is said of these properties; those that only others bring into effect are left out of account.
fn verdict(
    specs: &[PropertySpec],
    refuse: fn(&Properties) -> Result<(), EventFluxError>,
    keys: &[&str],
) -> Option<Result<(), EventFluxError>> {
    let raw = keys.iter().map(|key| {
        let spec = specs.iter().find(|spec| spec.key == *key).unwrap_or_else(|| panic!("no property {key}"));
        (*key, some(spec))
    });
    Properties::from_pairs(specs, raw).ok().map(|properties| refuse(&properties))
}

/// Of each rule: every key is a property, is refused where the rule says so, and taken where it does not.
fn check_rules(
    specs: &[PropertySpec],
    rules: &[ineffective::Rule],
    refuse: fn(&Properties) -> Result<(), EventFluxError>,
    base: &[&str],
) {
    for rule in rules {
        for key in rule.keys {
            let with = |more: &[&str]| {
                let mut keys: Vec<_> = base.iter().copied().filter(|known| known != key).collect();
                keys.push(key);
                keys.extend(more.iter().filter(|more| !base.contains(more)));
                verdict(specs, refuse, &keys)
            };
            if !rule.needs.is_empty()
                && let Some(verdict) = with(&[])
            {
                let error = verdict.unwrap_err().to_string();
                assert!(error.contains(&format!("'{key}': has no effect without")), "{error}");
            }
            for conflict in rule.conflicts {
                if let Some(verdict) = with(&[conflict]) {
                    let error = verdict.unwrap_err().to_string();
                    assert!(error.contains("has no effect"), "{key} beside {conflict}: {error}");
                }
            }
        }
    }
}

#[test]
fn every_rule_of_a_source_is_about_properties_and_holds() {
    check_rules(SOURCE_PROPERTIES, ineffective::SOURCE, ineffective::refuse_of_source, &[]);
}

#[test]
fn every_rule_of_a_sink_is_about_properties_and_holds() {
    check_rules(SINK_PROPERTIES, ineffective::SINK, ineffective::refuse_of_sink, &["nats.url"]);
}

#[test]
fn what_belongs_together_is_taken() {
    for keys in [
        &["nats.url", "nats.subject", "nats.queue", "nats.pending.messages", "nats.pending.bytes"][..],
        &["nats.url", "nats.subject", "nats.stream", "nats.consumer", "nats.ack.wait", "nats.fetch.bytes"],
        &["nats.url", "nats.stream", "partition.count", "partition.group", "partition.lease", "nats.fetch.messages"],
        &["nats.url", "nats.stream", "nats.consumer", "nats.inbox.prefix"],
        &["nats.url", "nats.stream", "partition.count", "nats.inbox.prefix"],
        &["nats.replies"],
    ] {
        verdict(SOURCE_PROPERTIES, ineffective::refuse_of_source, keys).unwrap().unwrap();
    }
    for keys in [
        &["nats.url", "nats.subject", "nats.queue.bytes"][..],
        &["nats.url", "nats.reply"],
        &["nats.url", "nats.subject", "nats.stream", "nats.message.id", "nats.max.in.flight", "nats.ack.timeout"],
        &["nats.url", "nats.subject", "nats.request", "nats.correlation", "nats.request.timeout", "nats.max.requests"],
        &["nats.url", "nats.subject", "partition.by", "partition.count"],
    ] {
        verdict(SINK_PROPERTIES, ineffective::refuse_of_sink, keys).unwrap().unwrap();
    }
}

#[test]
fn a_subscription_has_no_answers_whose_subjects_could_be_named() {
    let keys = ["nats.url", "nats.subject", "nats.inbox.prefix"];
    let error = verdict(SOURCE_PROPERTIES, ineffective::refuse_of_source, &keys).unwrap().unwrap_err().to_string();
    assert!(error.contains("'nats.inbox.prefix': has no effect without nats.stream"), "{error}");
}

#[test]
fn a_name_is_more_than_white_space() {
    let named = |text| Properties::from_pairs(SOURCE_PROPERTIES, [("nats.replies", text)]).unwrap();
    assert_eq!(name(&named(" quotes "), "nats.replies").unwrap(), "quotes");
    assert!(name(&named("  "), "nats.replies").unwrap_err().to_string().contains("'nats.replies': is empty"));
}
