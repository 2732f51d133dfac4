//! The contract suite tested by itself: a source and a sink in memory that keep the contract, and broken ones that
//! prove that every check can fail.

#![allow(clippy::unwrap_used, reason = "the helpers of a test")]

mod hub;
mod properties;
mod sink;
mod source;

use std::{collections::BTreeSet, thread, time::Duration};

use eventflux_testkit::contract::{self, Limits};

use crate::{properties::TableFault, sink::SinkFault, source::SourceFault};

/// Limits for runs that are expected to fail at one of them.
const SHORT: Limits = Limits {
    stop: Duration::from_millis(300),
    promptly: Duration::from_millis(200),
    arrival: Duration::from_millis(600),
    observation: Duration::from_millis(100),
    check: Duration::from_secs(3),
};

const BROKEN_SOURCES: &[(SourceFault, &str)] = &[
    (SourceFault::Table(TableFault::RefusesEverything), "base_properties_work"),
    (SourceFault::Table(TableFault::ForgetsTheRequired), "a_missing_required_property_is_named"),
    (SourceFault::Table(TableFault::AcceptsTheUnknown), "an_unknown_property_is_refused_with_the_nearest"),
    (
        SourceFault::Table(TableFault::AcceptsTheInvalid),
        "an_invalid_value_is_refused_with_key_value_and_what_is_allowed",
    ),
    (SourceFault::Table(TableFault::Undocumented), "every_property_is_documented_and_its_values_parse"),
    (SourceFault::Table(TableFault::Panics), "no_allowed_value_makes_the_factory_panic"),
    (SourceFault::EndsTwice, "starts_stops_and_ends_once"),
    (SourceFault::StopNeedsStart, "stopping_before_the_start_is_harmless"),
    (SourceFault::SecondStopHangs, "stopping_twice_is_harmless"),
    (SourceFault::StartsTwice, "a_second_start_is_refused"),
    (SourceFault::Restarts, "a_start_after_a_stop_is_refused"),
    (SourceFault::ClonesShareTheirState, "a_clone_is_independent"),
    (SourceFault::LosesOne, "delivers_everything"),
    (SourceFault::SwapsTwo, "keeps_the_order"),
    (SourceFault::DiscardsAtClose, "delivers_what_was_sent_before_a_clean_close"),
    (SourceFault::DeliversAfterStop, "delivers_nothing_after_stop"),
    (SourceFault::ConnectIgnoresStop, "stop_while_connecting_returns_in_time"),
    (SourceFault::BackoffIgnoresStop, "stop_during_backoff_returns_at_once"),
    (SourceFault::NeverReconnects, "reconnects_after_the_connection_is_cut"),
    (SourceFault::GivesUpAtOnce, "connects_when_the_peer_comes_up_later"),
    (SourceFault::AlwaysReachable, "connectivity_is_told_truthfully"),
    (SourceFault::NeverAsksWhetherReady, "waits_until_the_pipeline_is_ready"),
    (SourceFault::WaitsForReadyForEver, "stop_while_the_pipeline_is_not_ready_returns_in_time"),
    (SourceFault::IgnoresRefusals, "a_refused_delivery_ends_the_source"),
    (SourceFault::AcknowledgesFirst, "acknowledges_only_what_was_taken"),
    (SourceFault::AcknowledgesUnsettled, "acknowledges_only_what_is_settled"),
    (SourceFault::HidesPanics, "a_panicking_callback_is_contained"),
    (SourceFault::ShowsSecretInDebug, "secrets_are_never_shown"),
    (SourceFault::ShowsSecretInLog, "secrets_are_never_shown"),
    (SourceFault::ShowsSecretInError, "secrets_are_never_shown"),
    (SourceFault::ShowsSecretInHealth, "secrets_are_never_shown"),
];

const BROKEN_SINKS: &[(SinkFault, &str)] = &[
    (SinkFault::Table(TableFault::RefusesEverything), "base_properties_work"),
    (SinkFault::Table(TableFault::ForgetsTheRequired), "a_missing_required_property_is_named"),
    (SinkFault::Table(TableFault::AcceptsTheUnknown), "an_unknown_property_is_refused_with_the_nearest"),
    (SinkFault::Table(TableFault::AcceptsTheInvalid), "an_invalid_value_is_refused_with_key_value_and_what_is_allowed"),
    (SinkFault::Table(TableFault::Undocumented), "every_property_is_documented_and_its_values_parse"),
    (SinkFault::Table(TableFault::Panics), "no_allowed_value_makes_the_factory_panic"),
    (SinkFault::InventsLosses, "starts_and_stops"),
    (SinkFault::StopNeedsStart, "stopping_before_the_start_is_harmless"),
    (SinkFault::SecondStopHangs, "stopping_twice_is_harmless"),
    (SinkFault::StartsTwice, "a_second_start_is_refused"),
    (SinkFault::Restarts, "a_start_after_a_stop_is_refused"),
    (SinkFault::ClonesShareTheirState, "a_clone_is_independent"),
    (SinkFault::LosesOne, "delivers_everything"),
    (SinkFault::SwapsTwo, "keeps_the_order"),
    (SinkFault::StopDiscards, "delivers_what_it_accepted_before_stop_returns"),
    (SinkFault::NeverSettles, "settles_what_it_accepted"),
    (SinkFault::SettlesAtOnce, "settles_neither_early_nor_late"),
    (SinkFault::SettlesWhenEmpty, "settles_neither_early_nor_late"),
    (SinkFault::SettlesWhenStopped, "settles_nothing_it_gives_up"),
    (SinkFault::AcceptsAfterStop, "a_publish_after_stop_is_refused"),
    (SinkFault::HidesLosses, "accounts_for_every_payload_of_an_absent_peer"),
    (SinkFault::StopIgnoresItsDeadline, "stop_while_connecting_returns_in_time"),
    (SinkFault::BackoffIgnoresStop, "stop_during_backoff_returns_at_once"),
    (SinkFault::NeverReconnects, "reconnects_after_the_connection_is_cut"),
    (SinkFault::GivesUpAtOnce, "delivers_when_the_peer_comes_up_later"),
    (SinkFault::AlwaysReachable, "connectivity_is_told_truthfully"),
    (SinkFault::Unbounded, "is_not_ready_while_the_peer_takes_nothing"),
    (SinkFault::DiesOfPanics, "a_panicking_callback_is_contained"),
    (SinkFault::ShowsSecretInDebug, "secrets_are_never_shown"),
];

#[test]
fn a_source_that_keeps_the_contract_passes_every_check() {
    let report = contract::source_report(Box::new(source::Harness::sound()));
    report.assert_kept();
    assert_eq!(report.passed, contract::source_checks().collect::<Vec<_>>(), "{report}");
}

#[test]
fn a_sink_that_keeps_the_contract_passes_every_check() {
    let report = contract::sink_report(Box::new(sink::Harness::sound()));
    report.assert_kept();
    assert_eq!(report.passed, contract::sink_checks().collect::<Vec<_>>(), "{report}");
}

#[test]
fn each_broken_source_fails_its_check() {
    let passed = in_parallel(BROKEN_SOURCES, |&(fault, check)| {
        let report = contract::source_check(Box::new(source::Harness::broken(fault)), check);
        (!report.has_failed(check)).then(|| format!("{fault:?}: {report}"))
    });
    assert!(passed.is_empty(), "broken, and not noticed: {passed:#?}");
}

#[test]
fn each_broken_sink_fails_its_check() {
    let passed = in_parallel(BROKEN_SINKS, |&(fault, check)| {
        let report = contract::sink_check(Box::new(sink::Harness::broken(fault)), check);
        (!report.has_failed(check)).then(|| format!("{fault:?}: {report}"))
    });
    assert!(passed.is_empty(), "broken, and not noticed: {passed:#?}");
}

#[test]
fn every_check_has_something_broken_that_fails_it() {
    let proven: BTreeSet<&str> = BROKEN_SOURCES.iter().map(|(_, check)| *check).collect();
    assert_eq!(proven, contract::source_checks().collect());
    let proven: BTreeSet<&str> = BROKEN_SINKS.iter().map(|(_, check)| *check).collect();
    assert_eq!(proven, contract::sink_checks().collect());
}

#[test]
fn all_failures_are_reported_and_not_only_the_first() {
    let report = contract::source_report(Box::new(source::Harness::broken(SourceFault::LosesOne)));
    assert!(report.failed.len() > 1, "{report}");
    assert!(report.to_string().contains("FAILED delivers_everything: 500 messages (there are 499)"), "{report}");
    assert!(report.passed.len() > 10, "{report}");
}

fn in_parallel<T: Sync>(cases: &[T], run: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(|| run(case))).collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    })
}
