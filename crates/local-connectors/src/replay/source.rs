//! The `replay` source: a thread that reads the file and delivers its lines when they are due.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::SourceWorker;
use eventflux_core::{ConnectorContext, EventFluxError, Source, SourceCallback};

use super::ReplaySourceConfig;
use super::lines::{Line, Lines};
use super::timeline::Timeline;
use crate::supply::{Supplied, Supply, deliver};

/// Replays a file.
#[derive(Debug)]
pub struct ReplaySource {
    config: ReplaySourceConfig,
    context: ConnectorContext,
    worker: Option<SourceWorker>,
    stopped: bool,
}

impl ReplaySource {
    /// A source that is not started.
    pub fn new(config: ReplaySourceConfig, context: ConnectorContext) -> Self {
        Self { config, context, worker: None, stopped: false }
    }
}

impl Source for ReplaySource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        if self.worker.is_some() || self.stopped {
            return Err(EventFluxError::configuration("a replay source starts once; use a clone"));
        }
        let recording = Recording::open(&self.config, &self.context.stream)?;
        let health = self.context.health.clone();
        let shown = self.config.file.display().to_string();
        health.set(ConnectionState::Connected, shown);
        let name = format!("replay {}", self.context.stream);
        let worker = SourceWorker::spawn(&name, callback, move |stop, callback| async move {
            let result = deliver(recording, stop, callback).await;
            match &result {
                Ok(()) => health.set(ConnectionState::Stopped, None),
                Err(error) => health.set(ConnectionState::Failed, error.to_string()),
            }
            result
        })?;
        self.worker = Some(worker);
        Ok(())
    }

    fn stop(&mut self, deadline: Duration) {
        self.stopped = true;
        if let Some(worker) = &self.worker
            && !worker.stop(deadline)
        {
            log::warn!("replay source of stream {}: still reading after {deadline:?}", self.context.stream);
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self::new(self.config.clone(), self.context.clone()))
    }

    fn validate_connectivity(&self) -> Result<(), EventFluxError> {
        open(&self.config.file).map(drop).map_err(|reason| unavailable(&self.config.file, reason))
    }
}

/// The file on its way through.
struct Recording {
    lines: Lines<File>,
    timeline: Timeline,
    file: PathBuf,
    stream: String,
    repeats: bool,
    max_line_size: usize,
    /// Whether this pass through the file had a message.
    had_message: bool,
}

impl Recording {
    fn open(config: &ReplaySourceConfig, stream: &str) -> Result<Self, EventFluxError> {
        let file = open(&config.file).map_err(|reason| {
            EventFluxError::property("replay.file", format!("cannot read '{}': {reason}", config.file.display()))
                .with_hint("a relative path starts at the working directory")
        })?;
        Ok(Self {
            lines: Lines::new(file, config.max_line_size),
            timeline: Timeline::new(config.timing.clone()),
            file: config.file.clone(),
            stream: stream.to_owned(),
            repeats: config.repeats,
            max_line_size: config.max_line_size,
            had_message: false,
        })
    }

    fn rewind(&mut self) -> Result<(), EventFluxError> {
        if !self.had_message {
            return Err(unavailable(&self.file, "has no message to repeat".to_owned()));
        }
        self.had_message = false;
        let rewound = self.lines.reader().seek(SeekFrom::Start(0));
        rewound.map_err(|error| unavailable(&self.file, error.to_string()))?;
        self.lines.rewound();
        self.timeline.rewound();
        Ok(())
    }

    fn message(&mut self, line: bytes::Bytes) -> Supplied {
        self.had_message = true;
        let without_timestamp = self.timeline.without_timestamp();
        let offset = self.timeline.offset(&line);
        if without_timestamp == 0 && self.timeline.without_timestamp() > 0 {
            log::warn!(
                "replay source of stream {}: line {} of {} has no timestamp where replay.timestamp.path says; it and others \
                 like it follow the message before at once",
                self.stream,
                self.lines.number(),
                self.file.display()
            );
        }
        Supplied::Message(line, offset)
    }
}

impl Supply for Recording {
    fn next(&mut self) -> Result<Supplied, EventFluxError> {
        loop {
            let line = self.lines.next().map_err(|error| unavailable(&self.file, error.to_string()))?;
            return Ok(match line {
                Some(Line::Whole(line)) => self.message(line),
                Some(Line::TooLong(excerpt)) => {
                    let (number, limit) = (self.lines.number(), self.max_line_size);
                    let reason = format!("line {number} is longer than replay.max.line.size ({limit} bytes)");
                    Supplied::Bad(EventFluxError::mapping(None, reason), excerpt)
                }
                None if self.repeats => {
                    self.rewind()?;
                    continue;
                }
                None => Supplied::End,
            });
        }
    }
}

/// Opens a file to read it; a directory opens on some systems and fails later, so it is refused here.
fn open(path: &Path) -> Result<File, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => Err("it is a directory".to_owned()),
        Ok(_) => Ok(file),
        Err(error) => Err(error.to_string()),
    }
}

fn unavailable(file: &Path, reason: String) -> EventFluxError {
    EventFluxError::ConnectionUnavailable { endpoint: file.display().to_string(), reason, retryable: false }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use eventflux_core::ConnectorRole;
    use tempfile::TempDir;

    use super::*;
    use crate::testing::{DEADLINE, Recorder, context};

    struct Fixture {
        directory: TempDir,
        recorder: Arc<Recorder>,
    }

    impl Fixture {
        fn new(contents: &[u8]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("in.jsonl"), contents).unwrap();
            Self { directory, recorder: Arc::default() }
        }

        fn source(&self, more: &[(&str, &str)]) -> ReplaySource {
            let file = self.directory.path().join("in.jsonl");
            let pairs = [("replay.file", file.to_str().unwrap())];
            let config = ReplaySourceConfig::from_pairs(pairs.iter().chain(more).copied()).unwrap();
            ReplaySource::new(config, context(ConnectorRole::Source))
        }

        fn started(&self, more: &[(&str, &str)]) -> ReplaySource {
            let mut source = self.source(more);
            source.start(self.recorder.clone()).unwrap();
            source
        }
    }

    #[test]
    fn each_line_is_delivered_once_and_in_order_and_then_the_source_ends() {
        let text: String = (0..3_000).map(|number| format!("{number}\n")).collect();
        let fixture = Fixture::new(text.as_bytes());
        let mut source = fixture.started(&[("replay.rate", "max")]);
        assert_eq!(fixture.recorder.block_until_end(), Ok(()));
        assert_eq!(fixture.recorder.log(), text.lines().collect::<Vec<_>>());
        source.stop(DEADLINE);
        source.stop(DEADLINE);
        assert_eq!(fixture.recorder.ends().len(), 1);
        assert_eq!(source.context.health.current().state, ConnectionState::Stopped);
    }

    #[test]
    fn a_loop_goes_on_until_it_is_stopped() {
        let fixture = Fixture::new(b"a\nb");
        let mut source = fixture.started(&[("replay.rate", "max"), ("replay.loop", "true")]);
        fixture.recorder.block_until(5);
        assert!(fixture.recorder.ends().is_empty());
        source.stop(DEADLINE);
        assert_eq!(fixture.recorder.ends(), [Ok(())]);
        assert_eq!(fixture.recorder.log()[..5], ["a", "b", "a", "b", "a"]);
    }

    #[test]
    fn a_loop_over_nothing_ends_with_an_error_instead_of_spinning() {
        let fixture = Fixture::new(b"\n\n");
        let source = fixture.started(&[("replay.loop", "true")]);
        let error = fixture.recorder.block_until_end().unwrap_err();
        assert!(error.to_string().contains("no message to repeat"), "{error}");
        assert!(!error.is_retryable());
        assert_eq!(source.context.health.current().state, ConnectionState::Failed);
    }

    #[test]
    fn a_stop_interrupts_a_long_pause_at_once() {
        let fixture = Fixture::new(b"{\"T\":1000}\n{\"T\":9000000}\n");
        let mut source = fixture.started(&[
            ("replay.timing", "recorded"),
            ("replay.timestamp.path", "$.T"),
            ("replay.max.pause", "1h"),
        ]);
        fixture.recorder.block_until(1);
        source.stop(DEADLINE);
        assert_eq!(fixture.recorder.ends(), [Ok(())]);
        assert_eq!(fixture.recorder.messages().len(), 1);
    }

    #[test]
    fn recorded_times_deliver_every_message() {
        let fixture = Fixture::new(b"{\"T\":1000}\nno time\n{\"T\":1030}\n");
        let _source =
            fixture.started(&[("replay.timing", "recorded"), ("replay.timestamp.path", "T"), ("replay.speed", "10")]);
        assert_eq!(fixture.recorder.block_until_end(), Ok(()));
        assert_eq!(fixture.recorder.log(), [r#"{"T":1000}"#, "no time", r#"{"T":1030}"#]);
    }

    #[test]
    fn a_line_that_is_too_long_goes_to_the_error_strategy_and_the_others_pass() {
        let fixture = Fixture::new(b"one\nmuch too long\ntwo\n");
        let _source = fixture.started(&[("replay.rate", "max"), ("replay.max.line.size", "5")]);
        assert_eq!(fixture.recorder.block_until_end(), Ok(()));
        let bad = "line 2 is longer than replay.max.line.size (5 bytes): much too long";
        assert_eq!(fixture.recorder.log(), ["one", bad, "two"]);
    }

    #[test]
    fn a_missing_file_is_named_at_the_start() {
        let fixture = Fixture::new(b"");
        fs::remove_file(fixture.directory.path().join("in.jsonl")).unwrap();
        let mut source = fixture.source(&[]);
        let error = source.start(fixture.recorder.clone()).unwrap_err().to_string();
        assert!(error.starts_with("property 'replay.file': cannot read '"), "{error}");
        assert!(error.contains("in.jsonl") && error.contains("working directory"), "{error}");
        assert!(source.validate_connectivity().is_err());
        assert!(fixture.recorder.ends().is_empty());
    }

    #[test]
    fn a_directory_is_no_file() {
        let fixture = Fixture::new(b"");
        fs::remove_file(fixture.directory.path().join("in.jsonl")).unwrap();
        fs::create_dir(fixture.directory.path().join("in.jsonl")).unwrap();
        let error = fixture.source(&[]).start(fixture.recorder.clone()).unwrap_err();
        assert!(error.to_string().contains("it is a directory"), "{error}");
    }

    #[test]
    fn it_starts_once_and_its_clone_starts_afresh() {
        let fixture = Fixture::new(b"a\n");
        let mut source = fixture.started(&[]);
        assert!(source.start(fixture.recorder.clone()).is_err());
        assert_eq!(fixture.recorder.block_until_end(), Ok(()));
        source.stop(DEADLINE);
        assert!(source.start(fixture.recorder.clone()).is_err());
        let again = Arc::new(Recorder::default());
        let mut clone = source.clone_box();
        clone.validate_connectivity().unwrap();
        clone.start(again.clone()).unwrap();
        assert_eq!(again.block_until_end(), Ok(()));
        assert_eq!(again.log(), ["a"]);
    }
}
