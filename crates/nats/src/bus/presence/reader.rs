//! What others say, read from the bucket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::others::{Heard, MAX_ENTRIES, Others};
use super::{Presence, bucket, key};
use crate::Connection;
use crate::bus::BusConfig;
use crate::bus::follow::Reader;
use crate::bus::pull::{Lost, Pulled, Puller};
use crate::bus::teller::Told;

/// Which header says that a key was deleted, and not set.
pub(super) const OPERATION: &str = "KV-Operation";

/// See the module.
pub(in crate::bus) struct PresenceReader {
    name: String,
    config: BusConfig,
    ttl: Duration,
    /// Who we are: what we say ourselves is no news.
    instance: String,
    prefix: String,
    jetstream: jetstream::Context,
    presence: Arc<Presence>,
    others: SharedOthers,
    tell: mpsc::Sender<Vec<Told>>,
    there: watch::Sender<bool>,
    warned: bool,
}

/// Shared with who forgets.
#[derive(Clone)]
pub(in crate::bus) struct SharedOthers(Arc<Mutex<Others>>);

impl PresenceReader {
    pub(in crate::bus) fn new(
        config: &BusConfig,
        ttl: Duration,
        instance: &str,
        connection: &Connection,
        presence: Arc<Presence>,
        tell: mpsc::Sender<Vec<Told>>,
        there: watch::Sender<bool>,
    ) -> Self {
        Self {
            name: format!("bucket {}", bucket::name(config)),
            ttl,
            instance: instance.to_owned(),
            prefix: bucket::prefix(config),
            jetstream: connection.jetstream(),
            config: config.clone(),
            presence,
            others: SharedOthers(Arc::new(Mutex::new(Others::new(Instant::now(), ttl)))),
            tell,
            there,
            warned: false,
        }
    }

    /// For [`forget`].
    pub(in crate::bus) fn others(&self) -> SharedOthers {
        self.others.clone()
    }

    /// What a message tells.
    fn hear(&mut self, others: &mut Others, now: Instant, message: &Pulled) -> Option<Told> {
        let (key, instance) = key::decode(message.subject.strip_prefix(&*self.prefix)?)?;
        if instance == self.instance {
            return None;
        }
        let is_deleted = message.headers.as_ref().is_some_and(|headers: &HeaderMap| headers.get(OPERATION).is_some());
        let value: Option<&Bytes> = (!is_deleted).then_some(&message.payload);
        match others.hear(now, key, instance, value) {
            Heard::Same => None,
            Heard::News(id) => {
                let (key, instance) = (*id).clone();
                Some(Told::Present(key, instance, value.cloned()))
            }
            Heard::Full => {
                if !std::mem::replace(&mut self.warned, true) {
                    log::warn!("{}: more than {MAX_ENTRIES} entries; the others are not known here", self.name);
                }
                None
            }
        }
    }

    /// A bucket that exists may keep values for another time.
    fn adopt(&mut self, ttl: Duration) {
        if !ttl.is_zero() && ttl != self.ttl {
            log::warn!(
                "{} keeps values for {} s instead of {} s; that counts",
                self.name,
                ttl.as_secs_f64(),
                self.ttl.as_secs_f64()
            );
            self.ttl = ttl;
            self.others.lock().set_ttl(ttl);
        }
    }
}

impl Reader for PresenceReader {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&mut self) -> Result<Puller, Lost> {
        let stream = bucket::ensure(&self.jetstream, &self.config, self.ttl).await?;
        self.adopt(stream.cached_info().config.max_age);
        // Servers give the last message of each subject only of subjects that are named.
        let (from, filter) = (DeliverPolicy::LastPerSubject, bucket::keys(&self.config));
        let puller = Puller::open(self.jetstream.clone(), &stream, from, filter).await?;
        self.there.send_replace(true);
        self.presence.renew(self.ttl);
        Ok(puller)
    }

    async fn read(&mut self, puller: &mut Puller) -> Result<(), Lost> {
        let permit = self.tell.clone().reserve_owned().await.map_err(Lost::from_error)?;
        let pulled = puller.next().await?;
        let (shared, now) = (self.others.clone(), Instant::now());
        // Told while nobody else can change them, so that it is told in the order of the changes.
        let mut others = shared.lock();
        let told = pulled.iter().filter_map(|message| self.hear(&mut others, now, message)).collect();
        permit.send(told);
        Ok(())
    }
}

/// Forgets those whom nobody confirms. Never ends.
pub(in crate::bus) async fn forget(others: SharedOthers, tell: mpsc::Sender<Vec<Told>>) {
    loop {
        let period = others.lock().period();
        tokio::time::sleep(period).await;
        // An error means that the bus ends.
        let Ok(permit) = tell.reserve().await else { return };
        let mut others = others.lock();
        let gone = others.forget(Instant::now()).into_iter();
        permit.send(gone.map(|id| Told::Present(id.0.clone(), id.1.clone(), None)).collect());
    }
}

impl SharedOthers {
    fn lock(&self) -> MutexGuard<'_, Others> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
