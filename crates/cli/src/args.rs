//! The command line, as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use eventflux_core::PropertyKind;
use eventflux_core::property::PropertyValue;
use log::LevelFilter;

use crate::admin::Address;
use crate::exit;

/// Runs files, SQL or components as JSON, that say where events come from, what happens to them, and where they go.
#[derive(Debug, Parser)]
#[command(name = "eventflux", version, after_help = exit::HELP, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) logging: LoggingArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is written to standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct LoggingArgs {
    /// Least important log lines to show; without it, RUST_LOG decides, else info
    #[arg(long, global = true, value_name = "LEVEL", value_parser = parse_level)]
    pub(crate) log_level: Option<LevelFilter>,
    /// Show warnings and errors only: no progress, no summary
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run pipelines, one per file, until they end or a signal arrives
    #[command(after_help = exit::HELP)]
    Run(RunArgs),
    /// Report every mistake in files, without connecting to anything
    #[command(after_help = exit::HELP)]
    Check(CheckArgs),
    /// Print the SQL that says what a component file says
    #[command(after_help = exit::HELP)]
    Convert(ConvertArgs),
    /// Ask a running pipeline something, over a source or sink with websocket.protocol='federation' that listens
    #[command(after_help = exit::REQUEST_HELP)]
    Request(RequestArgs),
    /// List sources, sinks and formats, or the properties of one
    Connectors(ConnectorsArgs),
    /// List the SQL functions
    Functions(FunctionsArgs),
    /// List the kinds of components of component files, with their fields
    Components(ComponentsArgs),
    /// Print the version
    Version,
}

/// `eventflux run`
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// SQL files or component files (JSON); each is one pipeline
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: OverrideArgs,
    /// How long to deliver what is under way after the first signal: 500ms, 30s, 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) drain_timeout: Duration,
    /// Pause between two lines of progress where standard error is no terminal
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) progress_interval: Duration,
    /// Answer /metrics, /health, /ready and /stats by HTTP: 127.0.0.1:9090, or :9090 for this machine only; off by default
    #[arg(long, value_name = "HOST:PORT", env = "EVENTFLUX_ADMIN", hide_env_values = true, default_value = "off")]
    #[arg(hide_default_value = true)]
    pub(crate) admin: Address,
    /// Show no progress while running
    #[arg(long)]
    pub(crate) no_progress: bool,
}

/// `eventflux check`
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// SQL files or component files (JSON)
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: OverrideArgs,
}

/// `eventflux convert`
#[derive(Debug, clap::Args)]
pub(crate) struct ConvertArgs {
    /// A component file (JSON)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// `eventflux request`
// Headers, params and properties are parsed by us, not by clap, whose error message would show a value that may be secret.
#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    /// Where to ask: ws://host:port/path or wss://host/path
    pub(crate) url: String,
    /// What to ask for: backpressure, subscribe, unsubscribe, replay, status, announce, authenticate, or what the peer's
    /// pipeline answers
    pub(crate) method: String,
    /// The params, a JSON object
    pub(crate) params: Option<String>,
    /// One of the params: JSON where it is some, else a text; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub(crate) param: Vec<String>,
    /// How long to wait for the connection, and then for the reply
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
    /// Print the result as the peer wrote it, instead of indented
    #[arg(long)]
    pub(crate) json: bool,
    /// Then print the messages that come, one a line, until a signal arrives; the result goes to standard error. Without it
    /// no messages are wanted, and what replay or subscribe ask for does not come: it holds for this connection alone
    #[arg(long)]
    pub(crate) follow: bool,
    /// End after so many messages
    #[arg(long, value_name = "N", requires = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
}

/// How to reach a peer, and what to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct AccessArgs {
    /// The environment variable that holds a bearer token
    #[arg(long, value_name = "NAME")]
    pub(crate) bearer_env: Option<String>,
    /// A file that holds a bearer token
    #[arg(long, value_name = "FILE", conflicts_with = "bearer_env")]
    pub(crate) bearer_file: Option<PathBuf>,
    /// A header of the handshake; ${env:NAME} is replaced; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", action = ArgAction::Append)]
    pub(crate) headers: Vec<String>,
    /// Certificates (PEM) of the authorities to trust besides the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Trust any certificate; for tests only
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Any other property of a websocket source that connects, such as websocket.encoding=cbor; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", action = ArgAction::Append)]
    pub(crate) set: Vec<String>,
}

/// Properties given on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct OverrideArgs {
    // Parsed by us, not by clap, whose error message would show a value that may be secret.
    /// Give a stream's connector a property, instead of what the file says; may be repeated. A name with a point in it
    /// stands in double quotes
    #[arg(long = "set", value_name = "STREAM.KEY=VALUE", action = ArgAction::Append)]
    pub(crate) set: Vec<String>,
}

/// `eventflux connectors`
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectorsArgs {
    /// A source, sink or format; without it, all are listed
    pub(crate) name: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// `eventflux functions`
#[derive(Debug, clap::Args)]
pub(crate) struct FunctionsArgs {
    /// How to print them
    #[arg(long, value_enum, default_value_t = PageFormat::Markdown)]
    pub(crate) format: PageFormat,
}

/// `eventflux components`
#[derive(Debug, clap::Args)]
pub(crate) struct ComponentsArgs {
    /// How to print them
    #[arg(long, value_enum, default_value_t = PageFormat::Markdown)]
    pub(crate) format: PageFormat,
}

/// How a reference is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal
    Text,
    /// For programs
    Json,
    /// For documentation
    Markdown,
}

/// How functions and components are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PageFormat {
    /// For documentation
    Markdown,
}

fn parse_level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "use off, error, warn, info, debug or trace".to_owned())
}

/// Durations are written as in properties; a bare number counts seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    match PropertyKind::Duration.parse(text, Some("s")) {
        Some(PropertyValue::Duration(duration)) => Ok(duration),
        _ => Err(format!("use {}", PropertyKind::Duration.allowed())),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_drain_timeout_without_a_unit_counts_seconds() {
        assert_eq!(parse_duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn a_bad_drain_timeout_says_what_is_allowed() {
        assert_eq!(parse_duration("soon"), Err("use a duration such as 500ms, 5s, 2m or 1h".to_owned()));
    }

    #[test]
    fn log_levels_are_the_words_of_the_log_crate() {
        assert_eq!(parse_level("debug"), Ok(LevelFilter::Debug));
        assert!(parse_level("loud").is_err());
    }
}
