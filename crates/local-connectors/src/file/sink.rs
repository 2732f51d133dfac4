//! The `file` sink: writes on the thread that publishes.
//!
//! The system takes what is written into its cache, so that does not block for long; with `file.sync='batch'` it waits
//! for the disk, which is what was asked for. In return a failure is known at once and for the very payload, so order and
//! the number of tries are exact, and what was accepted is settled.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::health::ConnectionState;
use eventflux_core::{ConnectorContext, EncodedBatch, EventFluxError, RowFailure, Sink, SinkCallback};

use super::FileSinkConfig;
use super::store::{self, PathStore};
use super::writer::LineWriter;
use crate::sync::lock;

/// Writes payloads to a file.
pub struct FileSink {
    config: FileSinkConfig,
    context: ConnectorContext,
    state: Mutex<State>,
}

enum State {
    New,
    Running {
        writer: Box<LineWriter<PathStore>>,
        /// Whether the last try failed.
        failing: bool,
    },
    Stopped,
}

impl FileSink {
    /// A sink that is not started.
    pub fn new(config: FileSinkConfig, context: ConnectorContext) -> Self {
        Self { config, context, state: Mutex::new(State::New) }
    }

    fn report(&self, state: ConnectionState) {
        self.context.health.set(state, self.config.path.display().to_string());
    }
}

impl Sink for FileSink {
    fn start(&self, _callback: Arc<dyn SinkCallback>) -> Result<(), EventFluxError> {
        let mut state = lock(&self.state);
        if !matches!(*state, State::New) {
            return Err(EventFluxError::configuration("a file sink starts once; use a clone"));
        }
        let (store, opened) = PathStore::new(&self.config)?;
        let writer = Box::new(LineWriter::new(&self.config, store, opened));
        *state = State::Running { writer, failing: false };
        self.report(ConnectionState::Connected);
        Ok(())
    }

    fn publish(&self, payload: &[u8]) -> Result<(), EventFluxError> {
        let batch = EncodedBatch::single(Bytes::copy_from_slice(payload), 0);
        self.publish_batch(&batch).map_err(|failure| failure.error)
    }

    fn publish_batch(&self, batch: &EncodedBatch) -> Result<(), RowFailure> {
        let mut state = lock(&self.state);
        let State::Running { writer, failing } = &mut *state else {
            return Err(RowFailure { row: 0, error: EventFluxError::Stopped });
        };
        let result = writer.append(batch);
        match &result {
            Err(failure) if failure.error.is_retryable() => {
                *failing = true;
                self.context.health.set(ConnectionState::Reconnecting, failure.error.to_string());
            }
            Ok(()) if *failing => {
                *failing = false;
                self.report(ConnectionState::Connected);
            }
            _ => {}
        }
        result
    }

    fn stop(&self, _deadline: Duration) -> u64 {
        let mut state = lock(&self.state);
        if let State::Running { mut writer, .. } = std::mem::replace(&mut *state, State::Stopped) {
            if let Err(error) = writer.close() {
                let (stream, path) = (&self.context.stream, self.config.path.display());
                log::error!("file sink of stream {stream}: {path}: what was written last may be lost: {error}");
            }
            self.context.health.set(ConnectionState::Stopped, None);
        }
        0
    }

    fn clone_box(&self) -> Box<dyn Sink> {
        Box::new(Self::new(self.config.clone(), self.context.clone()))
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        store::check(&self.config.path).map_err(|error| EventFluxError::ConnectionUnavailable {
            endpoint: self.config.path.display().to_string(),
            reason: error.to_string(),
            retryable: false,
        })
    }
}

impl std::fmt::Debug for FileSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSink").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::task::{Context, Poll, Waker};

    use eventflux_core::{BoxFuture, ConnectorRole};
    use tempfile::TempDir;

    use super::*;
    use crate::testing::{DEADLINE, batch, context, returned};

    struct Fixture(TempDir);

    impl Fixture {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap()
        }

        fn sink(&self, name: &str, more: &[(&str, &str)]) -> FileSink {
            let path = self.path(name);
            let pairs = [("file.path", path.to_str().unwrap())];
            let config = FileSinkConfig::from_pairs(pairs.iter().chain(more).copied()).unwrap();
            FileSink::new(config, context(ConnectorRole::Sink))
        }

        fn started(&self, name: &str, more: &[(&str, &str)]) -> FileSink {
            let sink = self.sink(name, more);
            sink.start(returned()).unwrap();
            sink
        }
    }

    fn poll(mut settled: BoxFuture<'static, Result<(), EventFluxError>>) -> Poll<Result<(), EventFluxError>> {
        settled.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn refusal(sink: &FileSink) -> String {
        let error = sink.start(returned()).unwrap_err().to_string();
        assert!(error.starts_with("property 'file.path': "), "{error}");
        error
    }

    #[test]
    fn payloads_are_lines_behind_what_was_there() {
        let fixture = Fixture::new();
        fs::write(fixture.path("out"), "old\nwithout end").unwrap();
        let sink = fixture.started("out", &[]);
        sink.publish_batch(&batch(["a", "b"])).unwrap();
        sink.publish(b"c").unwrap();
        assert_eq!((sink.stop(DEADLINE), sink.stop(DEADLINE)), (0, 0));
        assert_eq!(fixture.read("out"), "old\nwithout end\na\nb\nc\n");
        assert_eq!(sink.publish(b"d"), Err(EventFluxError::Stopped));
    }

    #[test]
    fn without_append_the_file_starts_empty() {
        let fixture = Fixture::new();
        fs::write(fixture.path("out"), "old").unwrap();
        fixture.started("out", &[("file.append", "false")]).publish(b"new").unwrap();
        assert_eq!(fixture.read("out"), "new\n");
    }

    #[test]
    fn rotated_files_are_numbered_and_the_oldest_is_deleted() {
        let fixture = Fixture::new();
        let sink = fixture.started("out", &[("file.rotate.size", "4"), ("file.rotate.keep", "2")]);
        for payload in ["1", "2", "3", "4", "5", "6", "7"] {
            sink.publish(payload.as_bytes()).unwrap();
        }
        sink.stop(DEADLINE);
        assert_eq!(fixture.read("out"), "7\n");
        assert_eq!(fixture.read("out.1"), "5\n6\n");
        assert_eq!(fixture.read("out.2"), "3\n4\n");
        assert!(!fixture.path("out.3").exists());
    }

    #[test]
    fn a_rotation_that_is_not_possible_is_retryable_and_recovers_without_a_restart() {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.path("out.1/occupied")).unwrap();
        let sink = fixture.started("out", &[("file.rotate.size", "4"), ("file.rotate.keep", "1")]);
        let payloads = batch(["aaa", "bbb"]);
        let failure = sink.publish_batch(&payloads).unwrap_err();
        assert_eq!((failure.row, failure.error.is_retryable()), (1, true));
        assert_eq!(sink.context.health.current().state, ConnectionState::Reconnecting);
        fs::remove_dir_all(fixture.path("out.1")).unwrap();
        sink.publish_batch(&payloads.tail(1)).unwrap();
        assert_eq!(sink.context.health.current().state, ConnectionState::Connected);
        assert_eq!((fixture.read("out.1"), fixture.read("out")), ("aaa\n".to_owned(), "bbb\n".to_owned()));
    }

    #[test]
    fn each_batch_can_be_synced() {
        let fixture = Fixture::new();
        let sink = fixture.started("out", &[("file.sync", "batch"), ("file.rotate.size", "2")]);
        sink.publish_batch(&batch(["a", "b"])).unwrap();
        assert_eq!((fixture.read("out.1"), fixture.read("out")), ("a\n".to_owned(), "b\n".to_owned()));
    }

    #[test]
    fn what_it_accepted_is_written_and_settled_and_what_it_did_not_holds_nothing_back() {
        for sync in ["none", "batch"] {
            let fixture = Fixture::new();
            let more = [("file.sync", sync), ("file.rotate.size", "4"), ("file.rotate.keep", "1")];
            let sink = fixture.started("out", &more);
            sink.publish(b"aaa").unwrap();
            let settled = sink.settled();
            assert_eq!(fixture.read("out"), "aaa\n");
            fs::create_dir_all(fixture.path("out.1/occupied")).unwrap();
            assert!(sink.publish(b"bbb").is_err());
            assert_eq!(poll(settled), Poll::Ready(Ok(())));
            assert_eq!(poll(sink.settled()), Poll::Ready(Ok(())), "the error told the engine of the other");
            sink.stop(DEADLINE);
            assert_eq!(poll(sink.settled()), Poll::Ready(Ok(())));
        }
    }

    #[test]
    fn a_payload_that_is_refused_leaves_the_sink_healthy() {
        let fixture = Fixture::new();
        let sink = fixture.started("out", &[("file.line.breaks", "refuse")]);
        let error = sink.publish(b"a\nb").unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("line breaks"), "{error}");
        assert_eq!(sink.context.health.current().state, ConnectionState::Connected);
        assert_eq!(fixture.read("out"), "");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let fixture = Fixture::new();
        let sink = fixture.sink("no/such/out", &[]);
        let error = refusal(&sink);
        assert!(error.contains("no/such") && error.contains("create it"), "{error}");
        assert!(sink.validate_connectivity().is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path("out")).unwrap();
        assert!(refusal(&fixture.sink("out", &[])).contains("no regular file"));
    }

    #[test]
    fn two_sinks_cannot_write_one_file_however_it_is_spelled() {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path("d")).unwrap();
        let first = fixture.started("out", &[("file.rotate.size", "1MiB")]);
        for name in ["out", "d/../out", "out.5"] {
            assert!(refusal(&fixture.sink(name, &[])).contains("another sink"), "{name}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(fixture.path("out"), fixture.path("link")).unwrap();
            assert!(refusal(&fixture.sink("link", &[])).contains("another sink"));
            fs::hard_link(fixture.path("out"), fixture.path("hard")).unwrap();
            assert!(refusal(&fixture.sink("hard", &[])).contains("another process"));
        }
        first.stop(DEADLINE);
        fixture.started("out", &[]);
    }

    #[test]
    fn it_starts_once_and_its_clone_starts_afresh() {
        let fixture = Fixture::new();
        let sink = fixture.sink("out", &[]);
        assert_eq!(sink.publish(b"x"), Err(EventFluxError::Stopped));
        sink.validate_connectivity().unwrap();
        assert!(!fixture.path("out").exists(), "a check leaves nothing behind");
        sink.start(returned()).unwrap();
        sink.validate_connectivity().unwrap();
        assert!(sink.start(returned()).is_err());
        sink.stop(DEADLINE);
        assert!(sink.start(returned()).is_err());
        let clone = sink.clone_box();
        clone.start(returned()).unwrap();
        clone.publish(b"y").unwrap();
        clone.stop(DEADLINE);
        assert_eq!(fixture.read("out"), "y\n");
    }
}
