//! Log lines on standard error: one line each, safe to show, above the progress line.

use std::io::{self, Write};

use env_logger::{Builder, Env, Target, WriteStyle};
use eventflux_core::escape_control;
use log::LevelFilter;

use crate::args::LoggingArgs;
use crate::output;

/// What is shown when neither `--log-level` nor `RUST_LOG` says otherwise: everything of ours from `info`, of libraries
/// from `warn`.
const DEFAULT_FILTER: &str = "warn,eventflux=info";

/// Libraries whose more detailed levels print handshakes, messages or the text of queries, and with them credentials.
/// They are never shown below `info`.
const CREDENTIAL_LOGGERS: [&str; 3] = ["tungstenite", "tokio_tungstenite", "sqlparser"];

/// Starts logging for the life of the process.
pub(crate) fn start(args: &LoggingArgs) {
    let mut builder = builder(args);
    builder.target(Target::Pipe(Box::new(LineWriter)));
    builder.write_style(if output::has_color() { WriteStyle::Always } else { WriteStyle::Never });
    builder.init();
}

fn builder(args: &LoggingArgs) -> Builder {
    let mut builder = Builder::new();
    match (args.log_level, args.quiet) {
        (Some(level), _) => {
            builder.filter_level(level.min(LevelFilter::Warn)).filter_module("eventflux", level);
        }
        (None, true) => {
            builder.filter_level(LevelFilter::Warn);
        }
        (None, false) => {
            builder.parse_env(Env::default().default_filter_or(DEFAULT_FILTER));
        }
    }
    for module in CREDENTIAL_LOGGERS {
        builder.filter_module(module, LevelFilter::Info);
    }
    builder.format(|buffer, record| {
        let (level, message) = (record.level(), record.args().to_string());
        let style = buffer.default_level_style(level);
        let time = buffer.timestamp_millis();
        let message = escape_control(&message);
        writeln!(buffer, "{time} {style}{level:5}{style:#} {}: {message}", record.target())
    });
    builder
}

/// Hands each formatted record (the logger writes one at a time) to standard error.
struct LineWriter;

impl Write for LineWriter {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        output::note(&String::from_utf8_lossy(record));
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::{Level, Log, Metadata};

    fn enabled(args: &LoggingArgs, target: &str, level: Level) -> bool {
        builder(args).build().enabled(&Metadata::builder().target(target).level(level).build())
    }

    fn with_level(level: LevelFilter) -> LoggingArgs {
        LoggingArgs { log_level: Some(level), quiet: false }
    }

    #[test]
    fn a_level_applies_to_our_own_lines() {
        assert!(enabled(&with_level(LevelFilter::Trace), "eventflux_engine::runtime", Level::Trace));
        assert!(!enabled(&with_level(LevelFilter::Error), "eventflux_engine::runtime", Level::Warn));
    }

    #[test]
    fn libraries_that_would_log_credentials_stay_quiet_at_every_level() {
        assert!(!enabled(&with_level(LevelFilter::Trace), "tungstenite::handshake::client", Level::Trace));
        assert!(!enabled(&with_level(LevelFilter::Trace), "tokio_tungstenite", Level::Debug));
    }

    #[test]
    fn quiet_shows_warnings_only() {
        let args = LoggingArgs { log_level: None, quiet: true };
        assert!(enabled(&args, "eventflux_core", Level::Warn));
        assert!(!enabled(&args, "eventflux_core", Level::Info));
    }
}
