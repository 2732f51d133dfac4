//! SIGINT and SIGTERM: the first one asks for a drain, the second one ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Added to a signal's number, this is the exit code of a process that the signal ended.
const SIGNAL_EXIT_BASE: i32 = 128;

/// Calls `on_first` (on a thread of its own) when the first signal arrives. From then on the next signal ends the process
/// from within the signal handler, whatever the rest of the process is busy with.
///
/// # Errors
/// When the system refuses the handlers or the thread.
pub(crate) fn handle(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let draining = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: at the first signal the flag is still down when the shutdown looks at it.
        flag::register_conditional_shutdown(signal, SIGNAL_EXIT_BASE + signal, draining.clone())?;
        flag::register(signal, draining.clone())?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            on_first();
        }
    })?;
    Ok(())
}
