//! The keys an issuer publishes: fetched, kept, and fetched again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventflux_gateway::auth::Keys;
use hyper::StatusCode;
use tokio::time::Instant;

use super::http::HttpClient;
use super::service_url::ServiceUrl;

/// How long the issuer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two attempts, at least: tokens with invented keys must not become questions to the issuer.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// The newest keys of an issuer. While it cannot be reached, the last ones stay in use.
pub(super) struct Jwks {
    url: ServiceUrl,
    refresh: Duration,
    min_interval: Duration,
    http: Arc<HttpClient>,
    state: Mutex<State>,
    /// Held while the issuer is asked, so that one question answers everybody.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<Keys>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Jwks {
    pub(super) fn new(url: ServiceUrl, refresh: Duration, http: Arc<HttpClient>) -> Arc<Self> {
        Self::with_interval(url, refresh, MIN_INTERVAL, http)
    }

    fn with_interval(url: ServiceUrl, refresh: Duration, min_interval: Duration, http: Arc<HttpClient>) -> Arc<Self> {
        Arc::new(Self {
            url,
            refresh,
            min_interval,
            http,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// The keys: known ones at once, even when they are due to be fetched again; `None` when there are none and none can be
    /// had. Needs a runtime.
    pub(super) async fn keys(self: &Arc<Self>) -> Option<Arc<Keys>> {
        let (keys, is_due) = {
            let state = self.lock();
            let is_old = state.fetched.is_none_or(|fetched| fetched.elapsed() >= self.refresh);
            (state.keys.clone(), is_old && self.may_try(&state))
        };
        let Some(keys) = keys else {
            return self.other_than(None).await;
        };
        if is_due {
            let (jwks, known) = (self.clone(), keys.clone());
            drop(tokio::spawn(async move { jwks.fetch(Some(known)).await }));
        }
        Some(keys)
    }

    /// Newer keys than these, if the issuer has some; asks only when it was not asked a moment ago. Needs a runtime.
    pub(super) async fn other_than(self: &Arc<Self>, known: Option<Arc<Keys>>) -> Option<Arc<Keys>> {
        let jwks = self.clone();
        // In a task of its own: the answer serves others too when the client that caused the question goes away.
        tokio::spawn(async move { jwks.fetch(known).await }).await.ok().flatten()
    }

    async fn fetch(&self, known: Option<Arc<Keys>>) -> Option<Arc<Keys>> {
        let _turn = self.turn.lock().await;
        {
            let mut state = self.lock();
            if let Some(keys) = &state.keys
                && known.is_none_or(|known| !Arc::ptr_eq(&known, keys))
            {
                return Some(keys.clone());
            }
            if !self.may_try(&state) {
                return None;
            }
            state.tried = Some(Instant::now());
        }
        match self.ask().await {
            Ok(keys) => Some(self.keep(Arc::new(keys))),
            Err(reason) => {
                let rest = if self.lock().keys.is_some() { "; the last ones stay in use" } else { "" };
                log::warn!("cannot get the keys of {}: {reason}{rest}", self.url);
                None
            }
        }
    }

    async fn ask(&self) -> Result<Keys, String> {
        let answer = self.http.get(&self.url, TIMEOUT).await.map_err(|error| error.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("status {}", answer.status.as_u16()));
        }
        Keys::from_jwks(&answer.body).map_err(|error| format!("the answer {error}"))
    }

    fn keep(&self, keys: Arc<Keys>) -> Arc<Keys> {
        log::debug!("{} has {} keys", self.url, keys.len());
        let mut state = self.lock();
        state.keys = Some(keys.clone());
        state.fetched = Some(Instant::now());
        keys
    }

    fn may_try(&self, state: &State) -> bool {
        state.tried.is_none_or(|tried| tried.elapsed() >= self.min_interval)
    }

    /// As if the last attempt were long ago.
    #[cfg(test)]
    pub(super) fn forget_attempt(&self) {
        self.lock().tried = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
