//! A client and a server that talk to each other through pipes of any width.
//!
//! The input: what each wants of permessage-deflate in two bytes (see [`Wish`]), what one says goodbye with in two, and
//! steps of four: what to do ([`FROM_SERVER`] and the others), a size in two bytes, the smaller first, and what the
//! payload is made of. What is missing at the end counts as zero.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use eventflux_websocket_wire::deflate::{Deflate, DeflateConfig, DirectionConfig, accept, confirm, offer};
use eventflux_websocket_wire::{Batch, Codec, Disconnect, Limits, Message, MessageKind, Role};

/// The low bits of a step.
const WHAT: u8 = 7;
/// The server does it; else the client.
const FROM_SERVER: u8 = 8;
/// The size counts sixteen times.
const LARGE: u8 = 16;

/// Most bytes of all payloads together; steps beyond are left out.
const MAX_TOTAL_BYTES: usize = 2 << 20;
/// Most steps of an input.
const MAX_STEPS: usize = 256;

/// Codes a connection may be closed with.
const CODES: [u16; 8] = [1000, 1001, 1002, 1008, 1009, 1011, 3000, 4999];

/// Every message arrives as it was sent, in order, and the goodbye as well.
pub fn roundtrip(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok(conversation) = Conversation::arbitrary(&mut input) else { return };
    let [mut client, mut server] = conversation.ends();
    for step in &conversation.steps {
        let (from, to) = if step.is_from_server { (&mut server, &mut client) } else { (&mut client, &mut server) };
        match step.what {
            What::Queue { kind, is_for_many } => from.queue(kind, is_for_many, step.payload()),
            What::Deliver => {
                from.deliver(to, step.size);
            }
        }
    }
    settle(&mut client, &mut server);
    client.check(&server);
    server.check(&client);
    let (first, second) = if conversation.server_closes { (&mut server, &mut client) } else { (&mut client, &mut server) };
    first.close(second, CODES[usize::from(conversation.code) % CODES.len()], &"ä".repeat(usize::from(conversation.reason)));
}
