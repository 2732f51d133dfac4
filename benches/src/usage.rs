//! What a system under test costs: processor time and peak memory of all processes of its group.
//!
//! Read from `/proc` while the system runs, so that starting up and shutting down are not counted.

use std::fs;
use std::path::Path;

use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;

/// Where the fields after a process's name start counting in `/proc/PID/stat`, see proc(5).
const FIRST_FIELD_AFTER_NAME: usize = 3;
const GROUP_FIELD: usize = 5;
const USER_TICKS_FIELD: usize = 14;
const SYSTEM_TICKS_FIELD: usize = 15;

/// A sample over a process group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time since the processes started, in seconds.
    pub cpu_seconds: f64,
    /// Sum of the processes' peak resident sets, in bytes.
    pub peak_rss_bytes: u64,
}

/// Samples every process of `group` that is alive.
#[must_use]
pub fn sample(group: Pid) -> Usage {
    let group = i64::from(group.as_raw_nonzero().get());
    let mut usage = Usage::default();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((process_group, ticks)) = parse_stat(&stat) else {
            continue;
        };
        if process_group == group {
            // Ticks are coarse (10 ms each); the threads' nanoseconds forget those that have ended.
            let ticked_seconds = ticks as f64 / clock_ticks_per_second() as f64;
            usage.cpu_seconds += ticked_seconds.max(running_seconds(&entry.path()));
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            usage.peak_rss_bytes += parse_peak_rss(&status).unwrap_or(0);
        }
    }
    usage
}

/// The process group and the user and system time in clock ticks.
fn parse_stat(stat: &str) -> Option<(i64, u64)> {
    // The name stands in parentheses and may itself contain spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - FIRST_FIELD_AFTER_NAME);
    let user: u64 = field(USER_TICKS_FIELD)?.parse().ok()?;
    let system: u64 = field(SYSTEM_TICKS_FIELD)?.parse().ok()?;
    Some((field(GROUP_FIELD)?.parse().ok()?, user + system))
}

/// The processor time of a process's living threads; zero where the kernel does not count it.
fn running_seconds(process: &Path) -> f64 {
    let threads = fs::read_dir(process.join("task"));
    let running_ns: u64 = threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| parse_schedstat(&text))
        .sum();
    running_ns as f64 / 1e9
}

/// Nanoseconds on a processor, the first field of `schedstat`.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// `VmHWM` of `/proc/PID/status`, in bytes.
fn parse_peak_rss(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_group_and_ticks_behind_an_awkward_name() {
        let stat = "42 (a ) b) S 1 77 77 0 -1 4194560 1 0 0 0 300 45 9 9 20 0 1 0 100";
        assert_eq!(parse_stat(stat), Some((77, 345)));
        assert_eq!(parse_stat("42 (cut off) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn reads_the_high_water_mark() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmHWM:\t   1234 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(parse_peak_rss(status), Some(1234 * 1024));
        assert_eq!(parse_peak_rss("Name:\tkernel thread\n"), None);
    }

    #[test]
    fn reads_the_time_on_a_processor() {
        assert_eq!(parse_schedstat("1048713 18720 2\n"), Some(1_048_713));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn samples_the_group_of_this_process() {
        let usage = sample(rustix::process::getpgrp());
        assert!(usage.peak_rss_bytes > 0);
        assert!(usage.cpu_seconds > 0.0);
    }
}
