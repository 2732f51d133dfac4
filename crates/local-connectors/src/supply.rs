//! The loop of a source that makes its messages itself: takes them from a [`Supply`], waits until they are due and the
//! pipeline is ready, and delivers them in batches.
//!
//! Large batches when messages are due faster than the pipeline takes them, a batch of one when they are rare; nothing
//! waits for a batch to fill.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::runtime::StopSignal;
use eventflux_core::{EventFluxError, SourceCallback};
use tokio::time::Instant;

use crate::pace::Pacer;

/// Most messages in one batch.
pub(crate) const MAX_BATCH_MESSAGES: usize = 512;
/// A batch is delivered once its messages have this many bytes together.
pub(crate) const MAX_BATCH_BYTES: usize = 1 << 20;
/// Longest single wait; a timer of centuries is no timer.
const MAX_WAIT: Duration = Duration::from_secs(3_600);

/// What a [`Supply`] gives next.
#[derive(Debug)]
pub(crate) enum Supplied {
    /// A message, due at this offset from the first one (`None`: at once).
    Message(Bytes, Option<Duration>),
    /// Something that never became a message, and what there is of it.
    Bad(EventFluxError, Bytes),
    /// There is nothing more.
    End,
}

/// Where messages come from. Never waits for them to be due.
pub(crate) trait Supply {
    /// When the next message is due, where that is known before it is made; `None`: ask for it.
    fn next_offset(&self) -> Option<Duration> {
        None
    }

    /// The next message.
    ///
    /// # Errors
    /// What ends the source.
    fn next(&mut self) -> Result<Supplied, EventFluxError>;
}

/// Delivers until there is nothing more, or the source is stopped.
///
/// # Errors
/// What the supply or the pipeline failed with.
pub(crate) async fn deliver(
    supply: impl Supply,
    stop: StopSignal,
    callback: Arc<dyn SourceCallback>,
) -> Result<(), EventFluxError> {
    let mut collector =
        Collector { supply, pacer: Pacer::default(), put_back: None, batch: Vec::with_capacity(MAX_BATCH_MESSAGES) };
    while wait_until_ready(&stop, &*callback).await {
        let pause = collector.collect(Instant::now());
        let delivered = match &collector.batch[..] {
            [] => Ok(()),
            batch => callback.on_batch(batch),
        };
        collector.batch.clear();
        let taken = match (delivered, pause) {
            (Err(error), _) => Err(error),
            (Ok(()), Pause::None) => Ok(()),
            (Ok(()), Pause::Wait(duration)) => {
                stop.sleep(duration.min(MAX_WAIT)).await;
                Ok(())
            }
            (Ok(()), Pause::Bad(error, data)) => callback.on_error(error, &data),
            (Ok(()), Pause::End(result)) => return result,
        };
        match taken {
            Ok(()) => {}
            // The pipeline has ended, and so has the source.
            Err(EventFluxError::Stopped) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until the pipeline takes the next delivery; `false` when the source is stopped instead.
async fn wait_until_ready(stop: &StopSignal, callback: &dyn SourceCallback) -> bool {
    while !stop.is_stopped() {
        if callback.is_ready() {
            return true;
        }
        tokio::select! {
            () = stop.stopped() => {}
            () = callback.ready() => {}
        }
    }
    false
}

/// Gathers the messages that are due.
struct Collector<S> {
    supply: S,
    pacer: Pacer,
    /// A message that was not due yet.
    put_back: Option<(Bytes, Option<Duration>)>,
    batch: Vec<Bytes>,
}

/// Why a batch ended, and what follows its delivery.
enum Pause {
    /// It is large enough.
    None,
    /// The next message is not due yet.
    Wait(Duration),
    /// The next one never became a message.
    Bad(EventFluxError, Bytes),
    /// There is no next one.
    End(Result<(), EventFluxError>),
}

impl<S: Supply> Collector<S> {
    fn collect(&mut self, now: Instant) -> Pause {
        let mut bytes = 0;
        while self.batch.len() < MAX_BATCH_MESSAGES && bytes < MAX_BATCH_BYTES {
            let not_made = self.put_back.is_none();
            let ahead = self.supply.next_offset().filter(|_| not_made);
            if let Some(wait) = ahead.and_then(|offset| self.pacer.wait(offset, now)) {
                return Pause::Wait(wait);
            }
            let (message, offset) = match self.put_back.take() {
                Some(message) => message,
                None => match self.supply.next() {
                    Ok(Supplied::Message(message, offset)) => (message, offset),
                    Ok(Supplied::Bad(error, data)) => return Pause::Bad(error, data),
                    Ok(Supplied::End) => return Pause::End(Ok(())),
                    Err(error) => return Pause::End(Err(error)),
                },
            };
            if let Some(wait) = offset.and_then(|offset| self.pacer.wait(offset, now)) {
                self.put_back = Some((message, offset));
                return Pause::Wait(wait);
            }
            bytes += message.len();
            self.batch.push(message);
        }
        Pause::None
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::BoxFuture;
    use std::sync::Mutex;
    use tokio::sync::watch;

    use super::*;
    use crate::pace::Rate;
    use crate::testing::Recorder;

    /// Numbers up to `count`, at a rate; a bad one at `bad`.
    struct Numbers {
        next: u64,
        count: u64,
        bad: Option<u64>,
        rate: Rate,
    }

    impl Supply for Numbers {
        fn next(&mut self) -> Result<Supplied, EventFluxError> {
            let number = self.next;
            self.next += 1;
            if number >= self.count {
                return Ok(Supplied::End);
            }
            let data = Bytes::from(number.to_string());
            if self.bad == Some(number) {
                return Ok(Supplied::Bad(EventFluxError::mapping(None, "bad"), data));
            }
            Ok(Supplied::Message(data, self.rate.offset(number)))
        }
    }

    fn numbers(count: u64, rate: Rate) -> Numbers {
        Numbers { next: 0, count, bad: None, rate }
    }

    /// Remembers when each batch came, on the (paused) clock of the test.
    #[derive(Default)]
    struct Times(Mutex<Vec<(Instant, usize)>>);

    impl SourceCallback for Times {
        fn on_data(&self, _: &[u8]) -> Result<(), EventFluxError> {
            unreachable!("batches only")
        }
        fn on_batch(&self, messages: &[Bytes]) -> Result<(), EventFluxError> {
            self.0.lock().unwrap().push((Instant::now(), messages.len()));
            Ok(())
        }
        fn on_error(&self, _: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
            Ok(())
        }
        fn on_end(&self, _: Result<(), EventFluxError>) {}
    }

    #[tokio::test(start_paused = true)]
    async fn slow_messages_come_one_by_one_at_their_time() {
        let (_sender, stop) = StopSignal::new();
        let (times, start) = (Arc::new(Times::default()), Instant::now());
        deliver(numbers(4, Rate::PerSecond(10.0)), stop, times.clone()).await.unwrap();
        let seen: Vec<_> = times.0.lock().unwrap().iter().map(|(at, n)| ((*at - start).as_millis(), *n)).collect();
        assert_eq!(seen, [(0, 1), (100, 1), (200, 1), (300, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_with_a_known_time_is_made_when_it_is_due() {
        struct Clock(u64, Instant);
        impl Supply for Clock {
            fn next_offset(&self) -> Option<Duration> {
                Rate::PerSecond(10.0).offset(self.0).filter(|_| self.0 < 3)
            }
            fn next(&mut self) -> Result<Supplied, EventFluxError> {
                self.0 += 1;
                let age = self.1.elapsed().as_millis().to_string();
                Ok(if self.0 > 3 { Supplied::End } else { Supplied::Message(age.into(), None) })
            }
        }
        let (_sender, stop) = StopSignal::new();
        let recorder = Arc::new(Recorder::default());
        deliver(Clock(0, Instant::now()), stop, recorder.clone()).await.unwrap();
        assert_eq!(recorder.log(), ["0", "100", "200"]);
    }

    #[tokio::test(start_paused = true)]
    async fn fast_messages_come_in_full_batches() {
        let (_sender, stop) = StopSignal::new();
        let times = Arc::new(Times::default());
        deliver(numbers(1_030, Rate::Max), stop, times.clone()).await.unwrap();
        let sizes: Vec<_> = times.0.lock().unwrap().iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [MAX_BATCH_MESSAGES, MAX_BATCH_MESSAGES, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn large_messages_end_a_batch_by_their_bytes() {
        struct Large(u32);
        impl Supply for Large {
            fn next(&mut self) -> Result<Supplied, EventFluxError> {
                self.0 += 1;
                let data = Bytes::from(vec![b'x'; MAX_BATCH_BYTES / 2]);
                Ok(if self.0 > 5 { Supplied::End } else { Supplied::Message(data, None) })
            }
        }
        let (_sender, stop) = StopSignal::new();
        let times = Arc::new(Times::default());
        deliver(Large(0), stop, times.clone()).await.unwrap();
        let sizes: Vec<_> = times.0.lock().unwrap().iter().map(|(_, size)| *size).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[tokio::test]
    async fn what_is_bad_is_reported_in_its_place() {
        let (_sender, stop) = StopSignal::new();
        let recorder = Arc::new(Recorder::default());
        let mut supply = numbers(4, Rate::Max);
        supply.bad = Some(1);
        deliver(supply, stop, recorder.clone()).await.unwrap();
        assert_eq!(recorder.log(), ["0", "bad: 1", "2", "3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_interrupts_the_wait_for_the_next_message() {
        let (sender, stop) = StopSignal::new();
        let recorder = Arc::new(Recorder::default());
        let task = tokio::spawn(deliver(numbers(2, Rate::PerSecond(0.001)), stop, recorder.clone()));
        recorder.wait_for(1).await;
        sender.send_replace(true);
        assert_eq!(task.await.unwrap(), Ok(()));
        assert_eq!(recorder.log(), ["0"]);
    }

    /// Ready only when told so.
    struct Gate {
        open: watch::Sender<bool>,
        recorder: Recorder,
    }

    impl SourceCallback for Gate {
        fn on_data(&self, data: &[u8]) -> Result<(), EventFluxError> {
            assert!(self.is_ready(), "delivered while not ready");
            self.recorder.on_data(data)
        }
        fn is_ready(&self) -> bool {
            *self.open.borrow()
        }
        fn ready(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {
                let _ = self.open.subscribe().wait_for(|open| *open).await;
            })
        }
        fn on_error(&self, _: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
            Ok(())
        }
        fn on_end(&self, _: Result<(), EventFluxError>) {}
    }

    fn gate() -> Arc<Gate> {
        Arc::new(Gate { open: watch::Sender::new(false), recorder: Recorder::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_delivered_while_the_pipeline_is_not_ready() {
        let (_sender, stop) = StopSignal::new();
        let gate = gate();
        let task = tokio::spawn(deliver(numbers(3, Rate::Max), stop, gate.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(gate.recorder.log().is_empty());
        gate.open.send_replace(true);
        task.await.unwrap().unwrap();
        assert_eq!(gate.recorder.log(), ["0", "1", "2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_interrupts_the_wait_for_the_pipeline() {
        let (sender, stop) = StopSignal::new();
        let task = tokio::spawn(deliver(numbers(3, Rate::Max), stop, gate()));
        tokio::task::yield_now().await;
        sender.send_replace(true);
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_pipeline_that_ended_ends_the_source() {
        let (_sender, stop) = StopSignal::new();
        let stopped = Arc::new(Recorder::refusing(EventFluxError::Stopped));
        assert_eq!(deliver(numbers(9, Rate::Max), stop.clone(), stopped).await, Ok(()));
        let fault = EventFluxError::configuration("broken");
        let failed = Arc::new(Recorder::refusing(fault.clone()));
        assert_eq!(deliver(numbers(9, Rate::Max), stop, failed).await, Err(fault));
    }
}
