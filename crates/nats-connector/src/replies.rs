//! Where a sink that asks meets the source that hears the answers: by the name both say.
//!
//! Any number of sinks may ask under a name, and one source hears. Answers wait for a source that is not started yet;
//! those for one that has ended are dropped and counted: nobody hears them any more.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_nats::Message;
use eventflux_core::health::ConnectionState;
use eventflux_core::metrics::Metrics;
use eventflux_core::runtime::StopSignal;
use eventflux_core::{ConnectorContext, EventFluxError, SourceCallback};
use tokio::sync::{mpsc, watch};

use crate::source::{Answered, Delivery};

/// Answers that nobody hears any more.
pub(crate) const UNHEARD: &str = "eventflux_nats_answers_unheard_total";

/// Most answers that wait for the source; then those who asked keep them, and count them as open.
const ANSWERS_WAITING: usize = 1024;

/// Most answers in one delivery.
const DELIVERY_ANSWERS: usize = 512;

/// The exchanges of a context, by name.
#[derive(Debug, Default)]
pub(crate) struct Exchanges(Mutex<HashMap<String, Weak<Exchange>>>);

/// One of them. Exists while somebody asks or hears there.
struct Exchange {
    name: String,
    /// Sources that would hear: started or not, clones included.
    hearers: AtomicUsize,
    /// Sinks that would ask.
    askers: AtomicUsize,
    /// The way to the source that was started last.
    way: watch::Sender<Option<mpsc::Sender<Answer>>>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The answer, or what stands for one: its subject is that of the request.
    pub(crate) message: Message,
    /// What the sink said of the request.
    pub(crate) correlation: String,
    /// One word.
    pub(crate) status: &'static str,
}

/// A source that would hear.
pub(crate) struct Hearing(Arc<Exchange>);

/// A sink that would ask.
pub(crate) struct Asking(Arc<Exchange>);

/// Where a started source receives.
#[derive(Debug)]
pub(crate) struct Receiving {
    name: String,
    answers: mpsc::Receiver<Answer>,
}

impl Exchanges {
    /// A source that would hear the answers of that name.
    pub(crate) fn hear(&self, name: &str) -> Hearing {
        Hearing::at(self.exchange(name))
    }

    /// A sink that would ask under that name.
    pub(crate) fn ask(&self, name: &str) -> Asking {
        Asking::at(self.exchange(name))
    }

    fn exchange(&self, name: &str) -> Arc<Exchange> {
        let mut exchanges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = exchanges.get(name).and_then(Weak::upgrade) {
            return known;
        }
        exchanges.retain(|_, exchange| exchange.strong_count() > 0);
        let exchange = Arc::new(Exchange {
            name: name.to_owned(),
            hearers: AtomicUsize::new(0),
            askers: AtomicUsize::new(0),
            way: watch::Sender::new(None),
        });
        exchanges.insert(name.to_owned(), Arc::downgrade(&exchange));
        exchange
    }
}

impl Hearing {
    fn at(exchange: Arc<Exchange>) -> Self {
        exchange.hearers.fetch_add(1, Ordering::Relaxed);
        Self(exchange)
    }

    /// From now on answers go here.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when another source hears them.
    pub(crate) fn start(&self, context: &ConnectorContext) -> Result<Receiving, EventFluxError> {
        let name = &self.0.name;
        let (sender, answers) = mpsc::channel(ANSWERS_WAITING);
        let is_ours = self.0.way.send_if_modified(|way| {
            let is_free = way.as_ref().is_none_or(mpsc::Sender::is_closed);
            if is_free {
                *way = Some(sender);
            }
            is_free
        });
        if !is_ours {
            let error =
                EventFluxError::property("nats.replies", format!("another source hears the answers of '{name}'"));
            return Err(
                error.with_hint("each exchange has one source: let several streams read from that one's stream")
            );
        }
        if self.0.askers.load(Ordering::Relaxed) == 0 {
            log::warn!("[{}] no sink has nats.request='{name}', so there will be no answers", context.stream);
        }
        Ok(Receiving { name: name.clone(), answers })
    }
}

impl Clone for Hearing {
    fn clone(&self) -> Self {
        Self::at(self.0.clone())
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.hearers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Asking {
    fn at(exchange: Arc<Exchange>) -> Self {
        exchange.askers.fetch_add(1, Ordering::Relaxed);
        Self(exchange)
    }

    /// Whether there is a source for the answers.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] when there is none.
    pub(crate) fn check(&self) -> Result<(), EventFluxError> {
        if self.0.hearers.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let name = &self.0.name;
        let error = EventFluxError::property("nats.request", format!("no source hears the answers of '{name}'"));
        Err(error.with_hint(format!("add a stream with @source(type='nats', nats.replies='{name}', ...)")))
    }

    /// Resolves when the source can take an answer: where to. Cancel safe.
    pub(crate) async fn way(&self) -> Way {
        let mut way = self.0.way.subscribe();
        loop {
            let sender = way.borrow_and_update().clone();
            match sender {
                Some(sender) => match sender.reserve_owned().await {
                    Ok(permit) => return Way::Open(permit),
                    // It ended; is there another one already?
                    Err(_) if way.has_changed().unwrap_or(false) => {}
                    Err(_) => return Way::Ended,
                },
                // The other end is in what we hold ourselves.
                None => drop(way.changed().await),
            }
        }
    }
}

/// The way to the source of an exchange.
#[derive(Debug)]
pub(crate) enum Way {
    /// It takes an answer.
    Open(mpsc::OwnedPermit<Answer>),
    /// It has ended.
    Ended,
}

impl Clone for Asking {
    fn clone(&self) -> Self {
        Self::at(self.0.clone())
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.askers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hearing").field(&self.0.name).finish()
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asking").field(&self.0.name).finish()
    }
}

/// Says what the metrics count.
pub(crate) fn describe(registry: &Metrics) {
    registry.describe(UNHEARD, "Answers to requests that were dropped because the source that hears them had ended.");
}

/// The source: delivers answers until it is stopped. What waits then is counted as unheard.
///
/// # Errors
/// What the pipeline answered.
pub(crate) async fn run(
    mut receiving: Receiving,
    context: &ConnectorContext,
    signal: &StopSignal,
    callback: &dyn SourceCallback,
) -> Result<(), EventFluxError> {
    describe(&context.registry);
    context.health.set(ConnectionState::Connected, format!("hears the answers of '{}'", receiving.name));
    let mut answers = Vec::new();
    let result = hear(&mut receiving, &mut answers, context, signal, callback).await;
    receiving.answers.close();
    let mut unheard = answers.len();
    while receiving.answers.try_recv().is_ok() {
        unheard += 1;
    }
    let labels = [("stream", &*context.stream), ("type", &*context.connector)];
    context.registry.counter(UNHEARD, &labels).add(unheard as u64);
    result
}

async fn hear(
    receiving: &mut Receiving,
    answers: &mut Vec<Answer>,
    context: &ConnectorContext,
    signal: &StopSignal,
    callback: &dyn SourceCallback,
) -> Result<(), EventFluxError> {
    let mut delivery = Delivery::new(context.metadata.clone());
    loop {
        let some = async {
            let count = receiving.answers.recv_many(answers, DELIVERY_ANSWERS).await;
            callback.ready().await;
            count > 0
        };
        tokio::select! {
            biased;
            () = signal.stopped() => return Ok(()),
            some = some => if !some { return Ok(()) },
        }
        for Answer { message, correlation, status } in answers.drain(..) {
            delivery.push_answer(message, Answered { correlation: &correlation, status });
        }
        delivery.hand_over(callback)?;
    }
}

#[cfg(test)]
mod tests {
    use eventflux_core::ConnectorRole;
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    fn context() -> ConnectorContext {
        ConnectorContext::new(&Metrics::default(), ConnectorRole::Source, "In", "nats")
    }

    fn answer() -> Answer {
        let message = Message {
            subject: "a".into(),
            reply: None,
            payload: "x".into(),
            headers: None,
            status: None,
            description: None,
            length: 1,
        };
        Answer { message, correlation: String::new(), status: "ok" }
    }

    #[test]
    fn who_asks_needs_somebody_who_hears() {
        let exchanges = Exchanges::default();
        let asking = exchanges.ask("quotes");
        assert!(asking.check().is_err());
        let hearing = exchanges.hear("quotes");
        let clone = hearing.clone();
        drop(hearing);
        asking.check().unwrap();
        assert!(exchanges.ask("other").check().is_err());
        drop(clone);
        assert!(asking.check().is_err());
    }

    #[test]
    fn an_answer_waits_for_the_source_to_start_and_for_room() {
        let exchanges = Exchanges::default();
        let (asking, hearing) = (exchanges.ask("quotes"), exchanges.hear("quotes"));
        let mut way = task::spawn(asking.way());
        assert_pending!(way.poll());
        let mut receiving = hearing.start(&context()).unwrap();
        assert!(way.is_woken());
        let Way::Open(permit) = assert_ready!(way.poll()) else { panic!("it hears") };
        permit.send(answer());
        for _ in 1..ANSWERS_WAITING {
            let Way::Open(permit) = assert_ready!(task::spawn(asking.way()).poll()) else { panic!("it hears") };
            permit.send(answer());
        }
        let mut full = task::spawn(asking.way());
        assert_pending!(full.poll());
        assert!(receiving.answers.try_recv().is_ok());
        assert!(full.is_woken());
        assert!(matches!(assert_ready!(full.poll()), Way::Open(_)));
    }

    #[test]
    fn one_source_hears_and_another_one_when_it_has_ended() {
        let exchanges = Exchanges::default();
        let asking = exchanges.ask("quotes");
        let (first, second) = (exchanges.hear("quotes"), exchanges.hear("quotes"));
        let receiving = first.start(&context()).unwrap();
        assert!(second.start(&context()).is_err());
        drop(receiving);
        assert!(matches!(assert_ready!(task::spawn(asking.way()).poll()), Way::Ended));
        let _receiving = second.start(&context()).unwrap();
        assert!(matches!(assert_ready!(task::spawn(asking.way()).poll()), Way::Open(_)));
    }

    #[test]
    fn an_exchange_that_nobody_uses_is_forgotten() {
        let exchanges = Exchanges::default();
        drop(exchanges.hear("quotes"));
        let _other = exchanges.ask("other");
        assert_eq!(exchanges.0.lock().unwrap().len(), 1);
    }
}
