//! The `generator` source: a thread that renders messages and delivers them when they are due.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use eventflux_core::health::ConnectionState;
use eventflux_core::runtime::SourceWorker;
use eventflux_core::{ConnectorContext, EventFluxError, Source, SourceCallback};
use fastrand::Rng;

use super::{GeneratorSourceConfig, Template};
use crate::pace::Rate;
use crate::supply::{Supplied, Supply, deliver};

/// Memory taken at once for messages, in bytes.
const CHUNK_SIZE: usize = 64 << 10;

/// Generates messages.
#[derive(Debug)]
pub struct GeneratorSource {
    config: GeneratorSourceConfig,
    context: ConnectorContext,
    worker: Option<SourceWorker>,
    stopped: bool,
}

impl GeneratorSource {
    /// A source that is not started.
    pub fn new(config: GeneratorSourceConfig, context: ConnectorContext) -> Self {
        Self { config, context, worker: None, stopped: false }
    }
}

impl Source for GeneratorSource {
    fn start(&mut self, callback: Arc<dyn SourceCallback>) -> Result<(), EventFluxError> {
        if self.worker.is_some() || self.stopped {
            return Err(EventFluxError::configuration("a generator source starts once; use a clone"));
        }
        let messages = Messages::new(&self.config);
        let health = self.context.health.clone();
        health.set(ConnectionState::Connected, None);
        let name = format!("generator {}", self.context.stream);
        let worker = SourceWorker::spawn(&name, callback, move |stop, callback| async move {
            let result = deliver(messages, stop, callback).await;
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
            log::warn!("generator source of stream {}: still delivering after {deadline:?}", self.context.stream);
        }
    }

    fn clone_box(&self) -> Box<dyn Source> {
        Box::new(Self::new(self.config.clone(), self.context.clone()))
    }
}

/// The messages, one after the other.
struct Messages {
    template: Template,
    rate: Rate,
    count: Option<u64>,
    random: Rng,
    next: u64,
    buffer: BytesMut,
}

impl Messages {
    fn new(config: &GeneratorSourceConfig) -> Self {
        Self {
            template: config.template.clone(),
            rate: config.rate,
            count: config.count,
            random: config.seed.map_or_else(Rng::new, Rng::with_seed),
            next: 0,
            buffer: BytesMut::new(),
        }
    }
}

impl Supply for Messages {
    fn next_offset(&self) -> Option<Duration> {
        self.rate.offset(self.next).filter(|_| self.count != Some(self.next))
    }

    fn next(&mut self) -> Result<Supplied, EventFluxError> {
        let seq = self.next;
        if self.count == Some(seq) {
            return Ok(Supplied::End);
        }
        self.next += 1;
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(CHUNK_SIZE);
        }
        let now = if self.template.uses_clock() { Utc::now() } else { DateTime::UNIX_EPOCH };
        self.template.render(seq, now, &mut self.random, &mut self.buffer);
        Ok(Supplied::Message(self.buffer.split().freeze(), None))
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::ConnectorRole;

    use super::*;
    use crate::testing::{DEADLINE, Recorder, context};

    fn source(pairs: &[(&str, &str)]) -> GeneratorSource {
        let config = GeneratorSourceConfig::from_pairs(pairs.iter().copied()).unwrap();
        GeneratorSource::new(config, context(ConnectorRole::Source))
    }

    fn run(source: &mut dyn Source) -> Vec<String> {
        let recorder = Arc::new(Recorder::default());
        source.start(recorder.clone()).unwrap();
        assert_eq!(recorder.block_until_end(), Ok(()));
        recorder.log()
    }

    #[test]
    fn it_ends_after_the_count() {
        let pairs = [("generator.template", "${seq}"), ("generator.rate", "max"), ("generator.count", "1500")];
        let mut source = source(&pairs);
        let expected: Vec<_> = (0..1_500).map(|seq| seq.to_string()).collect();
        assert_eq!(run(&mut source), expected);
        source.stop(DEADLINE);
        assert_eq!(source.context.health.current().state, ConnectionState::Stopped);
    }

    #[test]
    fn a_seed_gives_the_same_messages_with_each_start() {
        let template = ("generator.template", "${uuid} ${int:0:999} ${float:0:1:9} ${choice:a,b,c} ${walk:100:0.50}");
        let more = [("generator.rate", "max"), ("generator.count", "20")];
        let mut seeded = source(&[template, more[0], more[1], ("generator.seed", "42")]);
        let first = run(&mut seeded);
        assert_eq!(run(&mut *seeded.clone_box()), first);
        let mut other = source(&[template, more[0], more[1], ("generator.seed", "43")]);
        assert_ne!(run(&mut other), first);
        let mut unseeded = source(&[template, more[0], more[1]]);
        assert_ne!(run(&mut *unseeded.clone_box()), run(&mut unseeded));
    }

    #[test]
    fn without_a_count_it_goes_on_until_it_is_stopped() {
        let recorder = Arc::new(Recorder::default());
        let mut source = source(&[("generator.template", "x"), ("generator.rate", "max")]);
        source.start(recorder.clone()).unwrap();
        recorder.block_until(2_000);
        source.stop(DEADLINE);
        source.stop(DEADLINE);
        assert_eq!(recorder.ends(), [Ok(())]);
        assert!(source.start(recorder).is_err());
    }

    #[test]
    fn a_stop_interrupts_the_wait_for_the_next_message() {
        let recorder = Arc::new(Recorder::default());
        let mut source = source(&[("generator.template", "x"), ("generator.rate", "0.001")]);
        source.start(recorder.clone()).unwrap();
        recorder.block_until(1);
        source.stop(DEADLINE);
        assert_eq!(recorder.ends(), [Ok(())]);
    }

    #[test]
    fn messages_that_show_the_time_show_the_present() {
        let mut source =
            source(&[("generator.template", "${now.ms}"), ("generator.rate", "max"), ("generator.count", "1")]);
        let before = Utc::now().timestamp_millis();
        let shown: i64 = run(&mut source)[0].parse().unwrap();
        assert!((before..=Utc::now().timestamp_millis()).contains(&shown));
    }
}
