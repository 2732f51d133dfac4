//! Time that passes while a machine sleeps, too.

use std::time::Duration;

/// Time since some moment before the process began. Unlike [`std::time::Instant`] it goes on while the machine is suspended,
/// where the system says so (Linux), so that a holder that was away notices.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Time since it was first asked for.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn now() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;

    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    BEGINNING.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_passes() {
        let before = super::now();
        let later = std::iter::repeat_with(super::now).take(10_000_000).find(|now| *now > before);
        assert!(later.is_some());
    }
}
