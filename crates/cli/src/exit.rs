//! What the exit code of the process means.

use std::process::ExitCode;

/// Shown at the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    everything asked for was done; a pipeline that was stopped by a signal and drained counts
  1    a pipeline failed, could not be started, or could not deliver everything before it ended; or the
       admin listener could not be started
  2    wrong usage or a mistake in a file; nothing was started
  130  a second SIGINT stopped the process at once (143: a second SIGTERM)";

/// Shown at the end of `request --help`.
pub(crate) const REQUEST_HELP: &str = "\
Examples:
  eventflux request ws://edge-7:8080/federation status
  eventflux request ws://edge-7:8080/federation replay '{\"count\":10}' --follow --count 10
  eventflux request wss://hub/federation backpressure --param rate_limit=100 --param unit=msg/sec --bearer-env HUB_TOKEN

Exit codes:
  0    the request was carried out; with --follow, the messages asked for have come, or a signal ended it
  1    the peer replied with an error, or with something that is no reply
  2    wrong usage; nothing was sent
  3    no connection, no reply in time, or, with --follow, the connection ended";

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Success,
    /// A pipeline failed, could not be started, or could not deliver everything before it ended.
    PipelineFailed,
    /// Wrong usage, or a mistake in a file; nothing was started.
    Usage,
    /// A peer replied with an error.
    Refused,
    /// A peer cannot be reached, or does not reply.
    Unreachable,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::PipelineFailed | Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
        })
    }
}
