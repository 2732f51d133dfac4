//! The checks for sources: what they are called, and what a connector has to be able to do for each.

mod bench;
mod checks;
mod secrets;

use super::{
    Feed, SourceHarness,
    properties::{self, Table},
    report::Check,
};

type Harness = dyn SourceHarness;
type Outcome = Result<(), String>;

pub(super) const CHECKS: &[Check<Harness>] = &[
    check("base_properties_work", always, |h| with_table(h, properties::base_properties_work)),
    check("a_missing_required_property_is_named", always, |h| {
        with_table(h, properties::a_missing_required_property_is_named)
    }),
    check("an_unknown_property_is_refused_with_the_nearest", always, |h| {
        with_table(h, properties::an_unknown_property_is_refused_with_the_nearest)
    }),
    check("an_invalid_value_is_refused_with_key_value_and_what_is_allowed", always, |h| {
        with_table(h, properties::an_invalid_value_is_refused_with_key_value_and_what_is_allowed)
    }),
    check("every_property_is_documented_and_its_values_parse", always, |h| {
        with_table(h, properties::every_property_is_documented_and_its_values_parse)
    }),
    check("no_allowed_value_makes_the_factory_panic", always, |h| {
        with_table(h, properties::no_allowed_value_makes_the_factory_panic)
    }),
    check("starts_stops_and_ends_once", always, checks::starts_stops_and_ends_once),
    check("stopping_before_the_start_is_harmless", always, checks::stopping_before_the_start_is_harmless),
    check("stopping_twice_is_harmless", always, checks::stopping_twice_is_harmless),
    check("a_second_start_is_refused", always, checks::a_second_start_is_refused),
    check("a_start_after_a_stop_is_refused", always, checks::a_start_after_a_stop_is_refused),
    check("a_clone_is_independent", always, checks::a_clone_is_independent),
    check("delivers_everything", needs_messages, checks::delivers_everything),
    check("keeps_the_order", needs_order, checks::keeps_the_order),
    check(
        "delivers_what_was_sent_before_a_clean_close",
        needs_live_peer,
        checks::delivers_what_was_sent_before_a_clean_close,
    ),
    check("delivers_nothing_after_stop", needs_live_feed, checks::delivers_nothing_after_stop),
    check("stop_while_connecting_returns_in_time", needs_peer, checks::stop_while_connecting_returns_in_time),
    check("stop_during_backoff_returns_at_once", needs_reconnect, checks::stop_during_backoff_returns_at_once),
    check(
        "reconnects_after_the_connection_is_cut",
        needs_live_reconnect,
        checks::reconnects_after_the_connection_is_cut,
    ),
    check("connects_when_the_peer_comes_up_later", needs_live_reconnect, checks::connects_when_the_peer_comes_up_later),
    check("connectivity_is_told_truthfully", needs_peer, checks::connectivity_is_told_truthfully),
    check("waits_until_the_pipeline_is_ready", needs_backpressure, checks::waits_until_ready),
    check(
        "stop_while_the_pipeline_is_not_ready_returns_in_time",
        needs_backpressure,
        checks::stop_while_not_ready_returns_in_time,
    ),
    check("a_refused_delivery_ends_the_source", needs_messages, checks::a_refused_delivery_ends_the_source),
    check("acknowledges_only_what_was_taken", needs_acknowledgement, checks::acknowledges_only_what_was_taken),
    check("acknowledges_only_what_is_settled", needs_acknowledgement, checks::acknowledges_only_what_is_settled),
    check("a_panicking_callback_is_contained", needs_messages, checks::a_panicking_callback_is_contained),
    check("secrets_are_never_shown", always, secrets::secrets_are_never_shown),
];

const fn check(
    name: &'static str,
    skip: fn(&Harness) -> Option<&'static str>,
    run: fn(&Harness) -> Outcome,
) -> Check<Harness> {
    Check { name, skip, run }
}

fn with_table(harness: &Harness, check: fn(&Table<'_>) -> Outcome) -> Outcome {
    let factory = harness.factory();
    let peer = harness.peer();
    let create = |properties: &eventflux_core::Properties| {
        factory.create_initialized(properties, &bench::context(harness)).map(drop)
    };
    check(&Table {
        own: factory.properties(),
        metadata: factory.metadata(),
        required: factory.required_parameters(),
        optional: factory.optional_parameters(),
        base: peer.properties(),
        invalid: harness.invalid_values(),
        create: &create,
    })
}

fn always(_: &Harness) -> Option<&'static str> {
    None
}

fn needs_messages(harness: &Harness) -> Option<&'static str> {
    (harness.capabilities().feed == Feed::Own).then_some("its messages are its own")
}

fn needs_live_feed(harness: &Harness) -> Option<&'static str> {
    (harness.capabilities().feed != Feed::Live).then_some("nothing can be sent while it runs")
}

fn needs_order(harness: &Harness) -> Option<&'static str> {
    needs_messages(harness).or((!harness.capabilities().ordered).then_some("it does not keep the order"))
}

fn needs_peer(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().connects).then_some("it has no peer to connect to")
}

fn needs_live_peer(harness: &Harness) -> Option<&'static str> {
    needs_peer(harness).or(needs_live_feed(harness))
}

fn needs_reconnect(harness: &Harness) -> Option<&'static str> {
    needs_peer(harness).or((!harness.capabilities().reconnects).then_some("it does not reconnect"))
}

fn needs_live_reconnect(harness: &Harness) -> Option<&'static str> {
    needs_reconnect(harness).or(needs_live_feed(harness))
}

fn needs_backpressure(harness: &Harness) -> Option<&'static str> {
    needs_messages(harness).or((!harness.capabilities().backpressure).then_some("it has no backpressure"))
}

fn needs_acknowledgement(harness: &Harness) -> Option<&'static str> {
    needs_messages(harness).or((!harness.capabilities().acknowledges).then_some("it does not acknowledge"))
}
