//! A client and a server that talk to each other, through pipes of any width.
//!
//! The input: what each of them wants of permessage-deflate in two bytes (see [`Wish`]), how it ends in three (see
//! [`Goodbye`]), and steps of four (see [`Step`]). Numbers of two bytes have the smaller byte first; what is missing at
//! the end counts as zero.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use eventflux_websocket_wire::deflate::{Deflate, DeflateConfig, DirectionConfig, accept, confirm, offer};
use eventflux_websocket_wire::{Batch, Codec, Disconnect, Limits, Message, MessageKind, Role};

/// Most bytes of all payloads together, one large one apart; messages beyond are left out.
const MAX_TOTAL_BYTES: usize = 128 * 1024;

/// Payloads from here on are large: more than what is written at once, up to more than a frame takes.
const LARGE_BYTES: usize = 64 * 1024;

/// Codes a connection may be closed with.
const CODES: [u16; 8] = [1000, 1001, 1002, 1008, 1009, 1011, 3000, 4999];

/// Longest reason that can be sent, in bytes.
const MAX_REASON_BYTES: usize = 123;

/// Every message arrives as it was sent, in order, and the goodbye as well.
pub fn roundtrip(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let wishes = [Wish::arbitrary(&mut input).unwrap(), Wish::arbitrary(&mut input).unwrap()];
    let goodbye = Goodbye::arbitrary(&mut input).unwrap();
    let [mut client, mut server] = connected(wishes);
    let (mut room, mut room_for_large) = (MAX_TOTAL_BYTES, 1);
    while !input.is_empty() {
        let step = Step::arbitrary(&mut input).unwrap();
        let (from, to) = if step.is_of_server { (&mut server, &mut client) } else { (&mut client, &mut server) };
        match step.deed {
            Deed::Deliver => from.deliver(to, step.size),
            Deed::Shrink => from.codec.shrink(),
            Deed::Say(kind) => {
                let (room, taken) =
                    if step.size < LARGE_BYTES { (&mut room, step.size) } else { (&mut room_for_large, 1) };
                if let Some(left) = room.checked_sub(taken) {
                    *room = left;
                    from.queue(kind, &step);
                }
            }
        }
    }
    while client.codec.has_unsent() || server.codec.has_unsent() {
        client.deliver(&mut server, usize::MAX);
        server.deliver(&mut client, usize::MAX);
    }
    server.check_received(&client);
    client.check_received(&server);
    if goodbye.is_of_server { part(server, client, &goodbye) } else { part(client, server, &goodbye) }
}

/// What one end wants of permessage-deflate. The first byte: 1 says that it wants it, 2 and 4 are context takeover for
/// sending and receiving, the next two bits choose a threshold, the rest is the level. The second: three bits each for
/// the windows to send and receive with.
struct Wish(Option<DeflateConfig>);

impl<'a> Arbitrary<'a> for Wish {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let [flags, windows] = input.arbitrary::<[u8; 2]>()?;
        let direction = |flag, bits| DirectionConfig { window_bits: 8 + bits % 8, context_takeover: flags & flag != 0 };
        let config = DeflateConfig {
            threshold_bytes: [0, 1, 100, 1000][usize::from(flags >> 3) % 4],
            level: 1 + u32::from(flags >> 5),
            send: direction(2, windows),
            receive: direction(4, windows >> 3),
        };
        Ok(Self((flags & 1 != 0).then_some(config)))
    }
}

/// Who ends it, with which of [`CODES`], and with how long a reason.
struct Goodbye {
    is_of_server: bool,
    code: u16,
    reason: String,
}

impl<'a> Arbitrary<'a> for Goodbye {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let [who, code, length] = input.arbitrary::<[u8; 3]>()?;
        let reason = "aä€😀".chars().cycle().take(usize::from(length)).collect();
        Ok(Self { is_of_server: who & 1 != 0, code: CODES[usize::from(code) % CODES.len()], reason })
    }
}

/// What one end does. The first byte: three bits say what (0 to 4 are a text, a binary message, a ping and both kinds of
/// message for many, 7 is shrinking, the others are deliveries), 8 that the server does it, 16 that the size, the next two
/// bytes, counts sixteen times. The last byte chooses the content.
struct Step {
    is_of_server: bool,
    deed: Deed,
    is_for_many: bool,
    size: usize,
    content: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Queues a message of `size` bytes.
    Say(MessageKind),
    /// Sends what is there, `size` bytes at most.
    Deliver,
    /// Gives memory back.
    Shrink,
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(input: &mut Unstructured<'a>) -> Result<Self> {
        let [what, low, high, content] = input.arbitrary::<[u8; 4]>()?;
        let size = usize::from(u16::from_le_bytes([low, high])) * if what & 16 == 0 { 1 } else { 16 };
        let deed = match what & 7 {
            0 | 3 => Deed::Say(MessageKind::Text),
            1 | 4 => Deed::Say(MessageKind::Binary),
            2 => Deed::Say(MessageKind::Ping),
            7 => Deed::Shrink,
            _ => Deed::Deliver,
        };
        let size = if deed == Deed::Say(MessageKind::Ping) { size.min(125) } else { size };
        Ok(Self { is_of_server: what & 8 != 0, deed, is_for_many: matches!(what & 7, 3 | 4), size, content })
    }
}

impl Step {
    /// Content that compresses well, a little, or not at all; text where it has to be, which may be a little shorter.
    fn payload(&self) -> Vec<u8> {
        let seed = u32::from(self.content >> 2) + 1;
        let mut state = seed;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            if self.deed == Deed::Say(MessageKind::Text) { state as u8 & 0x7f } else { state as u8 }
        };
        match self.content % 4 {
            0 => vec![b'@' + self.content / 4; self.size],
            1 => (0..self.size).map(|_| noise()).collect(),
            2 => (0..self.size).map(|index| b'0' + (index * usize::from(self.content) / 32 % 10) as u8).collect(),
            _ => {
                let words = "Wörter für €5 und 😀, ".repeat(self.size / 20 + 1);
                let end = (0..=self.size).rev().find(|end| words.is_char_boundary(*end)).unwrap();
                words.as_bytes()[..end].to_vec()
            }
        }
    }
}

/// One of the two, with what it said and heard.
struct End {
    codec: Codec,
    batch: Batch,
    sent: Vec<(MessageKind, Bytes)>,
    sent_pings: usize,
    received: Vec<(MessageKind, Bytes)>,
    received_pings: usize,
}

impl End {
    fn new(role: Role, deflate: Option<Deflate>) -> Self {
        Self {
            codec: Codec::new(role, Limits::default(), deflate),
            batch: Batch::default(),
            sent: Vec::new(),
            sent_pings: 0,
            received: Vec::new(),
            received_pings: 0,
        }
    }

    fn queue(&mut self, kind: MessageKind, step: &Step) {
        let message = Message::new(kind, step.payload().into());
        match kind {
            MessageKind::Ping => self.sent_pings += 1,
            kind => self.sent.push((kind, message.payload().clone())),
        }
        self.codec.queue(if step.is_for_many { message.for_many() } else { message });
    }

    fn deliver(&mut self, to: &mut Self, mut most: usize) {
        while most > 0 && self.codec.has_unsent() {
            let piece = self.next_piece(most);
            assert!(!piece.is_empty(), "nothing of what is unsent");
            most -= piece.len();
            to.receive(&piece).unwrap();
        }
    }

    /// What goes out next, `most` bytes at most.
    fn next_piece(&mut self, most: usize) -> Vec<u8> {
        let mut piece = Vec::new();
        for slice in self.codec.unsent().unwrap() {
            piece.extend_from_slice(&slice[..slice.len().min(most - piece.len())]);
        }
        self.codec.sent(piece.len());
        piece
    }

    fn everything(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while self.codec.has_unsent() {
            all.append(&mut self.next_piece(usize::MAX));
        }
        all
    }

    fn receive(&mut self, mut piece: &[u8]) -> std::result::Result<(), Disconnect> {
        while !piece.is_empty() || self.codec.has_buffered() {
            self.codec.receive(&mut piece, &mut self.batch)?;
            self.received_pings += self.batch.pings;
            self.received.extend(self.batch.iter().map(|(kind, message)| (kind, message.clone())));
            self.batch.clear();
        }
        Ok(())
    }

    fn check_received(&self, from: &Self) {
        assert!(self.received == from.sent, "{} messages of {}", self.received.len(), from.sent.len());
        assert_eq!(self.received_pings, from.sent_pings);
        assert!(!self.codec.is_mid_message());
    }
}

/// Both ends after a handshake that brought them these wishes.
fn connected([client, server]: [Wish; 2]) -> [End; 2] {
    let agreed = client.0.zip(server.0).map(|(client, server)| {
        let (answer, at_server) = accept(&server, [offer(&client).as_bytes()]).unwrap();
        let at_client = confirm(Some(&client), [answer.as_bytes()]).unwrap().unwrap();
        (Deflate::new(client, at_client), Deflate::new(server, at_server))
    });
    let (client, server) = agreed.unzip();
    [End::new(Role::Client, client), End::new(Role::Server, server)]
}

/// Both learn that it is over and why; nothing is said after it.
fn part(mut first: End, mut second: End, goodbye: &Goodbye) {
    let end = (0..=goodbye.reason.len().min(MAX_REASON_BYTES)).rev().find(|end| goodbye.reason.is_char_boundary(*end));
    let reason = goodbye.reason[..end.unwrap()].to_owned();
    let expected = Disconnect::Closed { code: Some(goodbye.code), reason };
    first.codec.close(goodbye.code, &goodbye.reason);
    first.codec.queue(Message::text("too late"));
    assert_eq!(second.receive(&first.everything()), Err(expected.clone()));
    second.codec.queue(Message::text("too late"));
    second.codec.close(1000, "too late");
    assert_eq!(first.receive(&second.everything()), Err(expected));
    assert!(first.received == second.sent && second.received == first.sent);
}
