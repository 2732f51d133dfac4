//! What has to hold: what was published, what receivers were given and took, and what they were told is missing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use eventflux_federation::envelope::{Content, Kind, MessageId};
use eventflux_federation::{Arrival, Arrived};

/// Bytes of a payload that may be too large, with its envelope, for those who take less than all.
const LARGE: usize = 1_000;

/// A stream in one of its epochs.
pub(crate) type StreamKey = (String, u64);

/// What everybody knows together, and nobody of them alone.
#[derive(Debug, Default)]
pub(crate) struct Model {
    published: BTreeMap<StreamKey, Vec<Vec<u8>>>,
    /// By receiver: what its pipelines have taken, in whichever run.
    taken: BTreeMap<(usize, StreamKey), BTreeSet<u64>>,
    /// By receiver: what it was told will not come, or was not asked for.
    missing: BTreeMap<(usize, StreamKey), BTreeSet<u64>>,
    /// By receiver: what its present run was given.
    views: BTreeMap<(usize, StreamKey), View>,
    /// By receiver: everything before has been checked to be taken.
    checked: BTreeMap<(usize, StreamKey), u64>,
    batches: u64,
}

/// What one run of a receiver was given of a stream.
#[derive(Debug, Default)]
struct View {
    next: Option<u64>,
    under_way: VecDeque<UnderWay>,
}

/// An event that was given to a pipeline, which has not taken it.
#[derive(Debug)]
struct UnderWay {
    /// Everything before came before it.
    from: u64,
    batch: u64,
    taken: bool,
}

/// Events that were given to a pipeline together.
#[derive(Debug)]
pub(crate) struct Batch {
    number: u64,
    pub(crate) receiver: usize,
    pub(crate) run: u64,
    events: Vec<(StreamKey, u64)>,
}

impl Batch {
    pub(crate) fn numbers(&self) -> Vec<(&str, u64)> {
        self.events.iter().map(|(key, sequence)| (key.0.as_str(), *sequence)).collect()
    }
}

impl Model {
    pub(crate) fn publish(&mut self, key: &StreamKey, first: u64, payloads: &[Vec<u8>]) {
        let published = self.published.entry(key.clone()).or_default();
        assert_eq!(published.len() as u64 + 1, first, "numbers of {key:?} follow each other");
        published.extend_from_slice(payloads);
    }

    pub(crate) fn published(&self, key: &StreamKey) -> u64 {
        self.published.get(key).map_or(0, |published| published.len() as u64)
    }

    /// The sender lost what it had not stored; nobody may have got it.
    pub(crate) fn unpublish(&mut self, key: &StreamKey, next: u64) {
        self.published.entry(key.clone()).or_default().truncate(next as usize - 1);
        for ((receiver, other), view) in &self.views {
            assert!(
                other != key || view.next.is_none_or(|received| received <= next),
                "receiver {receiver} got something of {key:?} that was not stored"
            );
        }
    }

    /// A receiver's process is another one: it knows nothing.
    pub(crate) fn restart(&mut self, receiver: usize) {
        self.views.retain(|(other, _), _| *other != receiver);
    }

    /// A pipeline is given what has arrived. `filtered`: not everything has to come. Returns how many were repeated on
    /// request, and how many gaps were told of.
    pub(crate) fn deliver(
        &mut self,
        receiver: usize,
        run: u64,
        arrived: &Arrived,
        filtered: bool,
    ) -> (Batch, u64, u64) {
        self.batches += 1;
        let mut batch = Batch { number: self.batches, receiver, run, events: Vec::new() };
        let (mut again, mut gaps) = (0, 0);
        for arrival in &arrived.arrivals {
            let Arrival::Message { kind, id, payload, content, replayed, .. } = arrival else {
                panic!("{arrival:?} is no envelope");
            };
            let id = std::str::from_utf8(id).unwrap();
            match kind {
                Kind::Data => {
                    let id = MessageId::parse(id).expect("events have numbers");
                    let key = (id.stream.to_owned(), id.epoch);
                    assert_eq!(*content, Content::Json);
                    let published = self.published.get(&key).and_then(|all| all.get(id.sequence as usize - 1));
                    assert_eq!(published.map(Vec::as_slice), Some(&**payload), "{id} is as it was published");
                    if *replayed {
                        again += 1;
                    } else {
                        self.event(&mut batch, key, id.sequence, filtered);
                    }
                }
                Kind::Gap => gaps += u64::from(self.gap(&mut batch, payload)),
                _ => {}
            }
        }
        (batch, again, gaps)
    }

    fn event(&mut self, batch: &mut Batch, key: StreamKey, sequence: u64, filtered: bool) {
        let view = self.views.entry((batch.receiver, key.clone())).or_default();
        if let Some(next) = view.next {
            assert!(
                sequence >= next,
                "{key:?}: receiver {} was given {sequence} again, {next} is next",
                batch.receiver
            );
            assert!(
                sequence == next || filtered,
                "{key:?}: receiver {} was given {sequence}, not {next}",
                batch.receiver
            );
        }
        let from = view.next.unwrap_or(sequence);
        view.next = Some(sequence + 1);
        view.under_way.push_back(UnderWay { from, batch: batch.number, taken: false });
        batch.events.push((key, sequence));
    }

    fn gap(&mut self, batch: &mut Batch, payload: &[u8]) -> bool {
        let gap: serde_json::Value = serde_json::from_slice(payload).unwrap();
        let epoch = u64::from_str_radix(gap["epoch"].as_str().unwrap(), 16).unwrap();
        let key = (gap["stream"].as_str().unwrap().to_owned(), epoch);
        let next = gap["next"].as_u64().unwrap();
        if gap["reason"] == "sender_restarted" {
            return false;
        }
        let is_too_large = gap["reason"] == "too_large";
        assert!(is_too_large || gap["reason"] == "history_gone", "{gap}");
        let view = self.views.entry((batch.receiver, key.clone())).or_default();
        let from = view.next.unwrap_or(next.saturating_sub(gap["missing"].as_u64().unwrap()));
        assert!(from <= next, "{key:?}: a gap back to {next}, {from} is next");
        let missing = gap["missing"].as_u64().unwrap();
        assert!(next - from <= missing, "{key:?}: {missing} are said to be missing before {next}, {from} is next");
        let all = self.published.get(&key).expect("a stream that there is");
        let is_large = |sequence: u64| all[sequence as usize - 1].len() > LARGE;
        assert!(!is_too_large || (from..next).all(is_large), "{key:?}: what is missing before {next} is not large");
        self.missing.entry((batch.receiver, key.clone())).or_default().extend(from..next);
        view.next = Some(next);
        view.under_way.push_back(UnderWay { from, batch: batch.number, taken: false });
        batch.events.push((key, next - 1));
        true
    }

    /// The pipeline has taken a batch, or never will.
    pub(crate) fn finish(&mut self, batch: Batch, taken: bool, is_same_run: bool) {
        for (key, sequence) in &batch.events {
            let place = (batch.receiver, key.clone());
            if taken {
                self.taken.entry(place.clone()).or_default().insert(*sequence);
            }
            let Some(view) = self.views.get_mut(&place).filter(|_| is_same_run) else { continue };
            view.finish(batch.number, taken);
        }
    }

    /// A receiver says that it has taken everything up to `through`.
    pub(crate) fn says_taken(&self, receiver: usize, key: &StreamKey, through: u64) {
        let Some(view) = self.views.get(&(receiver, key.clone())) else { return };
        let settled = view.under_way.front().map(|first| first.from).or(view.next).unwrap_or(u64::MAX);
        assert!(through < settled, "{key:?}: receiver {receiver} acknowledges {through}, and {settled} is not taken");
    }

    /// A sender takes it that a receiver has everything before `next`; it began `from` somewhere.
    pub(crate) fn is_acknowledged(
        &mut self,
        receiver: usize,
        key: &StreamKey,
        from: u64,
        next: u64,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) {
        let place = (receiver, key.clone());
        let checked = self.checked.entry(place.clone()).or_insert(from);
        for sequence in *checked..next {
            let is_in = |all: &BTreeMap<_, BTreeSet<u64>>| all.get(&place).is_some_and(|all| all.contains(&sequence));
            let is_wanted = wanted(&self.published[key][sequence as usize - 1]);
            assert!(
                !is_wanted || is_in(&self.taken) || is_in(&self.missing),
                "{key:?}: {sequence} counts as acknowledged by receiver {receiver}, which never took it"
            );
        }
        *checked = next.max(*checked);
    }

    /// A receiver is not waited for any longer: what it has not acknowledged need not come.
    pub(crate) fn forgotten(&mut self, receiver: usize, key: &StreamKey) {
        self.checked.remove(&(receiver, key.clone()));
    }

    pub(crate) fn missing(&self) -> u64 {
        self.missing.values().map(|missing| missing.len() as u64).sum()
    }
}

impl View {
    /// The pipeline is done with a batch. When it has not taken it, that and what is behind it comes again.
    fn finish(&mut self, batch: u64, taken: bool) {
        let is_its = |under_way: &UnderWay| under_way.batch == batch;
        if let Some(index) = self.under_way.iter().position(is_its).filter(|_| !taken) {
            self.next = Some(self.under_way[index].from);
            self.under_way.truncate(index);
        }
        self.under_way.iter_mut().filter(|under_way| is_its(under_way)).for_each(|under_way| under_way.taken = true);
        while self.under_way.front().is_some_and(|first| first.taken) {
            self.under_way.pop_front();
        }
    }
}
