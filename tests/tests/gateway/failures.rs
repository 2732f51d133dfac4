//! What goes wrong between a gateway and its clients: each time the client learns what it should, it is counted, nobody
//! else notices, and no secret is logged.

mod authentication;
mod authorization;
mod handshake;
mod limits;
mod origin;
mod slow;

use super::client::Client;
use super::served::{Served, WATCHED};

/// Two users with tokens that must never be logged.
const TOKENS: &str = "websocket.auth='token', websocket.auth.tokens='hunter2-ann=ann, hunter2-bob=bob'";

/// A client that receives, and goes on to, whatever happens to others.
#[track_caller]
fn bystander(served: &Served, query: &str) -> Client {
    let client = served.client(query);
    client.subscribe(&[WATCHED]);
    served.serves(&client);
    client
}

/// The bystander still receives, and no secret was logged.
#[track_caller]
fn unharmed(served: Served, bystander: &Client) {
    assert!(bystander.is_open());
    served.serves(bystander);
    served.stop();
}
