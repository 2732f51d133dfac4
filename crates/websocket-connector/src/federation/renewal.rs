//! Shows the peer the new token when the file has another one, so that the connection outlives the old one.

use std::convert::Infallible;
use std::time::Duration;

use eventflux_core::Secret;
use eventflux_federation::To;
use serde::Serialize;
use tokio::time::sleep;

use super::Place;
use super::asking::ask;
use super::requester::{RequestFailure, not_sent, result};
use crate::auth::TokenFile;

/// Pause before a token is shown again that the peer had no time for.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Goes on as long as it is polled: as long as the connection stands. `endpoint`: its name.
pub(super) async fn keep_authenticated(place: &Place, endpoint: &str, file: &TokenFile) -> Infallible {
    let mut shown = file.known();
    loop {
        let token = file.other_than(&shown).await;
        match show(place, endpoint, &token).await {
            Ok(()) => log::info!("{endpoint}: the peer has accepted the new token"),
            Err(failure) if failure.is_retryable() => {
                log::warn!("{endpoint}: the new token could not be shown, and will be again: {failure}");
                sleep(AGAIN_AFTER).await;
                continue;
            }
            // The connection goes on: the peer ends it when the token before has expired.
            Err(failure) => log::error!("{endpoint}: the peer does not accept the new token: {failure}"),
        }
        shown = token;
    }
}

async fn show(place: &Place, endpoint: &str, token: &Secret) -> Result<(), RequestFailure> {
    #[derive(Serialize)]
    struct Params<'a> {
        token: &'a str,
    }
    let params = serde_json::to_vec(&Params { token: token.expose() }).unwrap_or_default();
    let asked = ask(place, To::Connection(endpoint), "authenticate", params.into());
    let reply = asked.map_err(|error| not_sent(&error, "the connection has ended"))?;
    result(reply.await).map(drop)
}
