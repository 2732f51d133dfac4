//! Sources and sinks that need no network: replay, generator, log, file, blackhole.
