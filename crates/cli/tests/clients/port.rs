//! Ports that the printed programs name: only one test at a time may listen there, whichever process it runs in.

use std::fs::File;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::support::DEADLINE;

/// How long to wait between two looks at a port somebody listens at.
const PAUSE: Duration = Duration::from_millis(100);

/// The right to listen at a port, until it is dropped.
pub(crate) struct Port {
    _lock: File,
}

impl Port {
    /// Waits for its turn.
    ///
    /// # Panics
    /// When a program that is not one of these tests listens there and does not end.
    #[track_caller]
    pub(crate) fn take(number: u16) -> Self {
        let path = std::env::temp_dir().join(format!("eventflux-tests-port-{number}.lock"));
        let lock = File::options().create(true).append(true).open(&path).unwrap();
        // Given back when the file is closed, also when this process is killed.
        lock.lock().unwrap();
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = TcpListener::bind(("0.0.0.0", number)) {
            assert!(
                Instant::now() < deadline,
                "port {number} is taken ({error}), and the printed clients connect to no other: end what listens there"
            );
            thread::sleep(PAUSE);
        }
        Self { _lock: lock }
    }
}
