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

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Success,
    /// A pipeline failed, could not be started, or could not deliver everything before it ended.
    PipelineFailed,
    /// Wrong usage, or a mistake in a file; nothing was started.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::PipelineFailed => 1,
            Exit::Usage => 2,
        })
    }
}
