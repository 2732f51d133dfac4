//! The checks for sinks: what they are called, and what a connector has to be able to do for each.

mod bench;
mod checks;
mod secrets;
mod settled;

use super::{
    SinkHarness,
    properties::{self, Table},
    report::Check,
};

type Harness = dyn SinkHarness;
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
    check("starts_and_stops", always, checks::starts_and_stops),
    check("stopping_before_the_start_is_harmless", always, checks::stopping_before_the_start_is_harmless),
    check("stopping_twice_is_harmless", always, checks::stopping_twice_is_harmless),
    check("a_second_start_is_refused", always, checks::a_second_start_is_refused),
    check("a_start_after_a_stop_is_refused", always, checks::a_start_after_a_stop_is_refused),
    check("a_clone_is_independent", always, checks::a_clone_is_independent),
    check("delivers_everything", always, checks::delivers_everything),
    check("keeps_the_order", needs_order, checks::keeps_the_order),
    check("delivers_what_it_accepted_before_stop_returns", always, checks::delivers_before_stop_returns),
    check("settles_what_it_accepted", always, settled::settles_what_it_accepted),
    check("settles_neither_early_nor_late", needs_backpressure, settled::settles_neither_early_nor_late),
    check("settles_nothing_it_gives_up", needs_peer, settled::settles_nothing_it_gives_up),
    check("a_publish_after_stop_is_refused", always, checks::a_publish_after_stop_is_refused),
    check(
        "accounts_for_every_payload_of_an_absent_peer",
        needs_peer,
        checks::accounts_for_every_payload_of_an_absent_peer,
    ),
    check("stop_while_connecting_returns_in_time", needs_peer, checks::stop_while_connecting_returns_in_time),
    check("stop_during_backoff_returns_at_once", needs_reconnect, checks::stop_during_backoff_returns_at_once),
    check("reconnects_after_the_connection_is_cut", needs_reconnect, checks::reconnects_after_the_connection_is_cut),
    check("delivers_when_the_peer_comes_up_later", needs_reconnect, checks::delivers_when_the_peer_comes_up_later),
    check("connectivity_is_told_truthfully", needs_peer, checks::connectivity_is_told_truthfully),
    check("is_not_ready_while_the_peer_takes_nothing", needs_backpressure, checks::is_not_ready_while_full),
    check("a_panicking_callback_is_contained", needs_failure, checks::a_panicking_callback_is_contained),
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
        metadata: &[],
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

fn needs_order(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().ordered).then_some("it does not keep the order")
}

fn needs_peer(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().connects).then_some("it has no peer to connect to")
}

fn needs_reconnect(harness: &Harness) -> Option<&'static str> {
    needs_peer(harness).or((!harness.capabilities().reconnects).then_some("it does not reconnect"))
}

fn needs_backpressure(harness: &Harness) -> Option<&'static str> {
    (!harness.capabilities().backpressure).then_some("it has no backpressure")
}

fn needs_failure(harness: &Harness) -> Option<&'static str> {
    harness.giving_up_properties().is_none().then_some("it never gives up")
}
