//! Payloads that were given to the bus, until it is known what became of them.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventflux_core::{EncodedBatch, EventFluxError, SinkCallback};

/// By the number that the bus gave their entry.
#[derive(Default)]
pub(super) struct Outcomes(Mutex<HashMap<u64, Kept>>);

/// The payloads of an entry.
pub(super) struct Kept {
    /// Which sink was given them.
    pub(super) sink: u64,
    pub(super) callback: Arc<dyn SinkCallback>,
    parts: Vec<EncodedBatch>,
}

impl Kept {
    /// These rows of a batch.
    pub(super) fn new(sink: u64, callback: Arc<dyn SinkCallback>, batch: &EncodedBatch, rows: &[usize]) -> Self {
        Self { sink, callback, parts: runs(rows).into_iter().map(|run| batch.slice(run)).collect() }
    }

    fn events(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

impl Outcomes {
    /// Keeps payloads under the number that `publish` returns.
    ///
    /// # Errors
    /// Those of `publish`.
    pub(super) fn keep(
        &self,
        kept: Kept,
        publish: impl FnOnce() -> Result<u64, EventFluxError>,
    ) -> Result<(), EventFluxError> {
        // Held meanwhile: what becomes of an entry may be known before its number.
        let mut all = self.lock();
        all.insert(publish()?, kept);
        Ok(())
    }

    /// The entry is in the log; returns whether that is news.
    pub(super) fn stored(&self, number: u64) -> bool {
        self.lock().remove(&number).is_some()
    }

    /// The entry will not be in the log: its payloads are the engine's again.
    pub(super) fn failed(&self, number: u64, error: &EventFluxError) {
        let kept = self.lock().remove(&number);
        if let Some(Kept { callback, parts, .. }) = kept {
            parts.into_iter().for_each(|part| callback.on_failed(part, error.clone()));
        }
    }

    /// Keeps nothing of a sink any more; returns the number of payloads of which it is not known what became of them.
    pub(super) fn forget(&self, sink: u64) -> u64 {
        let mut all = self.lock();
        let left = all.values().filter(|kept| kept.sink == sink).map(Kept::events).sum();
        all.retain(|_, kept| kept.sink != sink);
        left
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows in growing order, as ranges.
fn runs(rows: &[usize]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &row in rows {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end += 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outcomes({} entries)", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eventflux_core::PayloadWriter;

    use super::*;

    #[derive(Default)]
    struct Failed(Mutex<Vec<Vec<Bytes>>>);

    impl SinkCallback for Failed {
        fn on_failed(&self, batch: EncodedBatch, _: EventFluxError) {
            self.0.lock().unwrap().push((0..batch.len()).map(|row| batch.shared(row)).collect());
        }
    }

    fn batch(payloads: &[&str]) -> EncodedBatch {
        let mut writer = PayloadWriter::default();
        for (position, payload) in payloads.iter().enumerate() {
            writer.buffer().extend_from_slice(payload.as_bytes());
            writer.finish(position as u64);
        }
        writer.take()
    }

    #[test]
    fn what_fails_goes_back_row_by_row_and_what_is_stored_does_not() {
        let (outcomes, failed) = (Outcomes::default(), Arc::new(Failed::default()));
        let batch = batch(&["a", "b", "c", "d"]);
        let kept = |rows: &[usize]| Kept::new(1, failed.clone(), &batch, rows);
        outcomes.keep(kept(&[0, 1, 3]), || Ok(1)).unwrap();
        outcomes.keep(kept(&[2]), || Ok(2)).unwrap();
        assert_eq!(outcomes.keep(kept(&[2]), || Err(EventFluxError::Stopped)), Err(EventFluxError::Stopped));
        assert!(outcomes.stored(2) && !outcomes.stored(2));
        outcomes.failed(2, &EventFluxError::Stopped);
        assert!(failed.0.lock().unwrap().is_empty());
        outcomes.failed(1, &EventFluxError::Stopped);
        assert_eq!(*failed.0.lock().unwrap(), [vec!["a", "b"], vec!["d"]]);
    }

    #[test]
    fn a_sink_that_stops_leaves_what_is_not_known() {
        let (outcomes, failed) = (Outcomes::default(), Arc::new(Failed::default()));
        let batch = batch(&["a", "b"]);
        outcomes.keep(Kept::new(1, failed.clone(), &batch, &[0, 1]), || Ok(1)).unwrap();
        outcomes.keep(Kept::new(2, failed.clone(), &batch, &[0]), || Ok(2)).unwrap();
        assert_eq!((outcomes.forget(1), outcomes.forget(1)), (2, 0));
        outcomes.failed(1, &EventFluxError::Stopped);
        outcomes.failed(2, &EventFluxError::Stopped);
        assert_eq!(*failed.0.lock().unwrap(), [["a"]]);
    }
}
