//! Two and more ends of links in simulated time: random scenarios of what can go wrong, and what has to hold all the same.
//!
//! `SIM_SEEDS=100000 cargo test -p eventflux-federation --test sim` runs more of them; a seed that fails is named, cut
//! down to as few faults as it needs, and told step by step.

mod coverage;
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

fn family(family: Family) -> Coverage {
    let mut coverage = Coverage::default();
    (0..seeds()).for_each(|seed| coverage.merge(&check(family, seed)));
    coverage
}

#[test]
fn nothing_is_lost_and_nothing_is_invented() {
    let only = std::env::var("SIM_FAMILY").ok();
    let mut coverage = Coverage::default();
    for each in Family::ALL {
        if only.as_ref().is_none_or(|only| *only == format!("{each:?}")) {
            coverage.merge(&family(each));
        }
    }
    if only.is_none() {
        assert_eq!(coverage.never(), Vec::<&str>::new(), "{coverage:?}");
    }
}
