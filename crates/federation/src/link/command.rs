//! What others want of a link.

use crate::Ending;

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    /// To end.
    Close(Ending),
}
