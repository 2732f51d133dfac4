//! Resident memory of all processes of a gateway.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::sleep;

/// Time between two looks; memory has settled when two of them differ by little.
const SETTLING: Duration = Duration::from_millis(200);

/// Largest difference between two looks at settled memory, in bytes.
const SETTLED_BYTES: u64 = 64 * 1024;

/// Most looks: a program with a garbage collector may never settle, then the last one counts.
const MAX_LOOKS: usize = 25;

/// The resident memory of a process group once it hardly changes, in bytes. What processes share counts once.
pub(crate) async fn settled_bytes(group: Pid) -> u64 {
    let mut last = resident_bytes(group);
    for _ in 1..MAX_LOOKS {
        sleep(SETTLING).await;
        let now = resident_bytes(group);
        if now.abs_diff(last) <= SETTLED_BYTES {
            return now;
        }
        last = now;
    }
    last
}

fn resident_bytes(group: Pid) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_group = processes.filter(|process| group_of(process) == Some(group.as_raw_nonzero().get()));
    of_group.filter_map(|process| proportional_bytes(&process)).sum()
}

fn group_of(process: &Path) -> Option<i32> {
    parse_group(&fs::read_to_string(process.join("stat")).ok()?)
}

/// The process group in `/proc/PID/stat`, three fields behind the name in parentheses; 0 for the kernel's own threads.
fn parse_group(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(2)?.parse().ok()
}

fn proportional_bytes(process: &Path) -> Option<u64> {
    parse_proportional(&fs::read_to_string(process.join("smaps_rollup")).ok()?)
}

/// `Pss` of `/proc/PID/smaps_rollup` in bytes: a page that several processes share counts for each in part.
fn parse_proportional(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_proportional_size() {
        assert_eq!(parse_proportional("Rss:   9 kB\nPss:     1234 kB\nPss_Dirty:  1 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_proportional("Rss:   9 kB\n"), None);
    }

    #[test]
    fn reads_the_group_behind_an_awkward_name() {
        assert_eq!(parse_group("42 (a ) b) S 1 77 77 0"), Some(77));
        assert_eq!(parse_group("42 (cut off"), None);
    }

    #[test]
    fn sees_the_memory_of_this_process() {
        assert!(resident_bytes(rustix::process::getpgrp()) > 0);
    }
}
