//! How long the proofs take: short among the tests, long when the environment asks for it.

use std::env;

/// How many seconds events flow while the network misbehaves.
pub(crate) fn seconds(short: u64) -> u64 {
    from_environment("EVENTFLUX_PROVE_SECONDS").unwrap_or(short)
}

/// How many times a process is killed.
pub(crate) fn kills(short: u64) -> u64 {
    from_environment("EVENTFLUX_PROVE_KILLS").unwrap_or(short)
}

/// What is random: the same each time with EVENTFLUX_PROVE_SEED. Printed, so that it can be had again.
pub(crate) fn random(proof: &str) -> fastrand::Rng {
    let seed = from_environment("EVENTFLUX_PROVE_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32));
    eprintln!("{proof}: EVENTFLUX_PROVE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// What a proof found, for whoever collects figures.
pub(crate) fn figures(proof: &str, found: &str) {
    eprintln!("figures | {proof} | {found}");
}

fn from_environment(key: &str) -> Option<u64> {
    let text = env::var(key).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{key}='{text}' is no whole number")))
}
