//! One end of one connection, for whoever drives the connection: messages in, messages out, and who has yet to take them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Instant, SystemTime};

use eventflux_core::BoxFuture;
use eventflux_federation::{Effect, Ending, Link, Now, Opening, Outgoing};
use eventflux_websocket_wire::{Batch, Message, MessageKind};

use super::items::{Delivered, Shared};
use super::place::Here;
use super::{Inlet, Peer, Place};

/// See the module.
pub(crate) struct Side {
    place: Arc<Place>,
    link: Link,
    peer: Arc<Peer>,
    /// What was received, and the sources that have yet to take it; nothing more is read meanwhile.
    waiting: VecDeque<(Arc<Inlet>, Delivered)>,
    /// The first of `waiting` on its way.
    handing_over: Option<BoxFuture<'static, ()>>,
    /// Kept for its memory.
    outgoing: Vec<Outgoing>,
    _here: Here,
}

impl Side {
    /// # Errors
    /// When the peer did not agree to what is required.
    pub(crate) fn new(place: &Arc<Place>, opening: Opening, peer: Peer) -> Result<Self, Ending> {
        Ok(Self {
            link: Link::new(place.federation(), opening, Now::read())?,
            _here: place.enter(),
            place: place.clone(),
            peer: Arc::new(peer),
            waiting: VecDeque::new(),
            handing_over: None,
            outgoing: Vec::new(),
        })
    }

    /// Whether more may be read from the connection.
    pub(crate) fn takes_messages(&self) -> bool {
        self.place.has_begun() && self.waiting.is_empty() && self.handing_over.is_none()
    }

    /// Takes what was received; leaves the batch empty.
    ///
    /// # Errors
    /// When that ends the connection.
    pub(crate) fn received(&mut self, batch: &mut Batch) -> Result<(), Ending> {
        let now = Now::read();
        let received =
            batch.iter().try_for_each(|(kind, message)| self.link.receive(message, kind == MessageKind::Binary, now));
        batch.clear();
        // What came before whatever ends it is passed on.
        self.pass()?;
        received
    }

    fn pass(&mut self) -> Result<(), Ending> {
        let Some(arrived) = self.link.arrived()? else { return Ok(()) };
        let shared = Shared::new(arrived);
        let received = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        let inlets = self.place.inlets();
        if !inlets.iter().any(|inlet| inlet.config().wants.data) && shared.has_receipt() {
            // Whoever wanted the events has just gone: they are not taken.
            return Ok(());
        }
        for inlet in inlets.iter() {
            let Some(item) = Delivered::of(&shared, &inlet.config().wants, &self.peer, received) else { continue };
            if let Err(item) = inlet.offer(item) {
                self.waiting.push_back((inlet.clone(), item));
            }
        }
        shared.handed_over();
        Ok(())
    }

    /// Hands over what waits. Whether nothing waits any more, and something did.
    pub(crate) fn poll_handing_over(&mut self, cx: &mut Context<'_>) -> bool {
        let mut some = false;
        loop {
            if self.handing_over.is_none() {
                let Some((inlet, item)) = self.waiting.pop_front() else { return some };
                self.handing_over = Some(Box::pin(inlet.put(item)));
            }
            let Some(handing_over) = &mut self.handing_over else { return some };
            if handing_over.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.handing_over = None;
            some = true;
        }
    }

    /// Who is woken when there is something to do; `true` when there is something already.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        self.link.register(waker) || self.link.deadline().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Queues what goes to the peer; to be called when everything before has been sent. Whether there was something.
    ///
    /// # Errors
    /// When the connection is to be ended, after what was queued has been sent.
    pub(crate) fn transmit(&mut self, max_bytes: usize, mut queue: impl FnMut(Message)) -> Result<bool, Ending> {
        let transmitted = self.link.transmit(Now::read(), max_bytes, &mut self.outgoing);
        let some = !self.outgoing.is_empty();
        for Outgoing { text, binary } in self.outgoing.drain(..) {
            queue(Message::new(if binary { MessageKind::Binary } else { MessageKind::Text }, text));
        }
        // Requests may have had no reply in time.
        transmitted.and_then(|()| self.pass()).map(|()| some)
    }

    /// What the connection's owner has to find out for the peer.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.link.next_effect()
    }

    /// What became of [`Effect::Authenticate`]; whether it still counts.
    pub(crate) fn authenticated(&mut self, ticket: u64, outcome: Result<(), String>) -> bool {
        self.link.authenticated(ticket, outcome, Now::read())
    }

    /// The connection has ended; what waits for its replies hears of it.
    pub(crate) fn disconnected(&mut self) {
        self.link.disconnected(Now::read());
        // Whoever is full hears of it later or not at all: nobody reads for it any more.
        let _ = self.pass();
    }

    /// The peer has closed the connection because a message was too large for it.
    pub(crate) fn refused_as_too_large(&mut self) {
        self.link.refused_as_too_large();
    }

    /// Everything that was transmitted is sent.
    pub(crate) fn flushed(&mut self) {
        self.link.flushed();
    }

    /// When [`Side::transmit`] is to be called though nothing has happened.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.link.deadline()
    }

    /// When [`Side::timers`] is to be called, also while the connection sends.
    pub(crate) fn timers_deadline(&self) -> Option<Instant> {
        self.link.timers_deadline()
    }

    /// Sees to what is due and needs no room.
    ///
    /// # Errors
    /// When that ends the connection.
    pub(crate) fn timers(&mut self) -> Result<(), Ending> {
        self.link.timers(Now::read());
        self.pass()
    }

    /// What is to be said before the connection ends is said with the next [`Side::transmit`].
    pub(crate) fn conclude(&mut self) {
        self.link.conclude();
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.waiting.iter().for_each(|(inlet, item)| inlet.give_up(item));
    }
}
