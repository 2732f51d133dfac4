//! SIGINT and SIGTERM: the first one asks for a drain, the second one ends the process at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

/// Added to a signal's number, this is the exit code of a process that the signal ended.
const SIGNAL_EXIT_BASE: i32 = 128;

/// Signals this soon after the first one are the same one: programs such as timeout(1) send it to a process and to its
/// group, so that it arrives twice.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Calls `on_first` (on a thread of its own) when the first signal arrives. From shortly after that the next signal ends
/// the process from within the signal handler, whatever the rest of the process is busy with.
///
/// # Errors
/// When the system refuses the handlers or the thread.
pub(crate) fn handle(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let armed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, SIGNAL_EXIT_BASE + signal, armed.clone())?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            on_first();
            thread::sleep(SAME_SIGNAL);
            armed.store(true, Ordering::SeqCst);
        }
    })?;
    Ok(())
}
