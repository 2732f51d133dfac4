//! Two and more ends of links in simulated time: random scenarios of what can go wrong, and what has to hold all the same.
//!
//! `SIM_SEEDS=100000 cargo test -p eventflux-federation --test sim` runs more of them; a seed that fails is named, cut
//! down to as few faults as it needs, and told step by step.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, and says how"
)]

mod coverage;
mod faults;
mod model;
mod network;
mod process;
mod scenario;
mod store;
mod wire;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

use coverage::Coverage;
use scenario::{Family, Scenario};
use world::World;

const CUT: &str = "cut with something under way";
const UNREAD: &str = "arrived and not handed over";

/// Seeds of each family where nobody asks for more.
const SEEDS: u64 = 150;

fn seeds() -> u64 {
    std::env::var("SIM_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().expect("SIM_SEEDS is a number"))
}

fn simulate(family: Family, seed: u64, max_faults: Option<usize>, traced: bool) -> Coverage {
    let mut rng = Rng::with_seed(seed);
    let mut scenario = Scenario::draw(family, &mut rng);
    scenario.max_faults = max_faults.unwrap_or(scenario.max_faults);
    World::new(scenario, seed, traced).run()
}

/// Runs a seed; where it fails, tells how with as few faults as it takes.
fn check(family: Family, seed: u64) -> Coverage {
    let run = |faults, traced| catch_unwind(AssertUnwindSafe(|| simulate(family, seed, faults, traced)));
    if let Ok(coverage) = run(None, false) {
        return coverage;
    }
    let fewest = (0..16).find(|faults| run(Some(*faults), false).is_err());
    let again = run(fewest, true);
    panic!("{family:?}, seed {seed}, fails with {fewest:?} faults: {}", again.is_err());
}

/// Runs a family of scenarios, in which everything `needed` has to happen: what never happens proves nothing.
fn check_all(family: Family, needed: &[&str]) {
    let mut coverage = Coverage::default();
    (0..seeds()).for_each(|seed| coverage.merge(&check(family, seed)));
    assert_eq!(coverage.never(needed), Vec::<&str>::new(), "{coverage:?}");
}

#[test]
fn nothing_is_lost_when_connections_are_cut_or_only_half_of_them_is() {
    let needed =
        [CUT, "half-open connection", UNREAD, "settled", "acknowledged after a delay", "publisher waited for room"];
    check_all(Family::Cuts, &needed);
}

#[test]
fn a_connection_takes_over_from_another_that_still_delivers() {
    check_all(Family::TakeOvers, &["connection taken over", "duplicate recognised", "given again", CUT, UNREAD]);
}

#[test]
fn what_a_pipeline_does_not_take_comes_again_and_nothing_else() {
    check_all(Family::NotTaken, &["not taken", "given again", "duplicate recognised"]);
}

#[test]
fn a_receiver_that_forgot_everything_gets_what_it_had_not_taken() {
    check_all(Family::Receivers, &["receiver restarted", "not taken", CUT]);
}

#[test]
fn a_sender_without_a_store_begins_anew() {
    check_all(Family::Senders, &["sender restarted without a store", CUT]);
}

#[test]
fn a_sender_with_a_store_goes_on_and_sends_nothing_that_is_not_stored() {
    let needed =
        ["sender restarted with its store", "published, not stored, and gone", "loaded from the store", "settled"];
    check_all(Family::Stores, &needed);
}

#[test]
fn a_store_that_is_full_or_fails_makes_the_pipeline_wait() {
    check_all(
        Family::FullStores,
        &["store full", "store failed", "publisher waited for room", "connection taken over"],
    );
}

#[test]
fn the_oldest_make_room_and_receivers_are_told() {
    check_all(Family::DropOldest, &["dropped, oldest", "gap told", "missing", CUT]);
}

#[test]
fn the_oldest_make_room_in_a_store() {
    let needed =
        ["dropped, oldest", "gap told", "store failed", "loaded from the store", "sender restarted with its store"];
    check_all(Family::DropOldestStored, &needed);
}

#[test]
fn the_newest_are_dropped_and_counted() {
    check_all(Family::DropNewest, &["dropped, newest", CUT]);
}

#[test]
fn receivers_are_waited_for_until_they_are_away_for_too_long() {
    check_all(
        Family::Absent,
        &["receiver forgotten", "receiver gone", "publisher waited for room", "loaded from the store"],
    );
}

#[test]
fn sources_and_sinks_come_and_go() {
    check_all(Family::Wants, &["wants changed", "stream replaced", CUT]);
}

#[test]
fn for_a_plain_peer_what_was_sent_counts() {
    check_all(Family::Plain, &["plain events", CUT, "half-open connection"]);
}

#[test]
fn what_is_too_large_for_a_receiver_is_told_and_holds_up_nothing() {
    check_all(Family::TooLarge, &["gap told", "missing", "receiver restarted", CUT]);
}

#[test]
fn filters_rates_and_replays_lose_nothing_that_is_wanted() {
    check_all(Family::Filtered, &["filtered", "repeated on request", "request answered", "connection taken over"]);
}

#[test]
fn nothing_is_lost_when_everything_goes_wrong_at_once() {
    let needed = [
        CUT,
        "receiver restarted",
        "sender restarted with its store",
        "sender restarted without a store",
        "store failed",
        "wants changed",
        "stream replaced",
        "given again",
        "duplicate recognised",
    ];
    check_all(Family::Everything, &needed);
}
