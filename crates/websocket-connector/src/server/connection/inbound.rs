//! What a client sends: to the session, and from there to the sources; and whom the session has asked about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use eventflux_federation::Effect as LinkEffect;
use eventflux_gateway::{Effect, Inbound};
use eventflux_websocket_wire::{Batch, MessageKind};
use tokio::time::Instant;

use super::super::endpoint::{Inbox, Item, Sender};
use super::super::permission::Asked;

use super::driver::{Driver, End};

impl Driver {
    pub(super) fn take(&mut self, batch: &mut Batch) -> Result<(), End> {
        if batch.messages.is_empty() {
            batch.clear();
            return Ok(());
        }
        if let Some(side) = &mut self.side {
            self.session.count_received(batch.messages.len());
            let received = side.received(batch).map_err(End::Unlinked);
            if self.asking.is_none()
                && let Some(LinkEffect::Authenticate { ticket, token }) = side.next_effect()
            {
                self.ticket = Some(ticket);
                self.asking = Some(self.permission.authenticate(token, self.session.identity().cloned()));
            }
            if !side.takes_messages() {
                self.keep_alive.pause();
            }
            return received;
        }
        self.take_for_session(batch);
        Ok(())
    }

    fn take_for_session(&mut self, batch: &mut Batch) {
        if self.session.is_transparent() {
            self.session.count_received(batch.messages.len());
            let inboxes = self.seat.endpoint().inboxes();
            if inboxes.is_empty() {
                return batch.clear();
            }
            let sender = self.sender();
            let messages = Arc::new(std::mem::take(batch));
            return self.pass(&inboxes, &Item::Messages(messages, sender));
        }
        let messages = batch.iter().map(|(kind, message)| (message.clone(), kind == MessageKind::Binary));
        self.unread.extend(messages);
        batch.clear();
    }

    /// Gives the session what was received, as far as nothing has to be waited for.
    pub(super) fn read_on(&mut self) -> Result<bool, End> {
        let mut inbound = Vec::new();
        let mut result = Ok(());
        let mut progress = false;
        while self.takes_messages()
            && let Some((message, binary)) = self.unread.pop_front()
        {
            progress = true;
            result = self.session.receive(&message, binary, std::time::Instant::now());
            self.effects(&mut inbound);
            if result.is_err() {
                break;
            }
        }
        if self.unread.is_empty() {
            self.unread = VecDeque::new();
        }
        if progress {
            // A request has a deadline, and nothing may be to send before.
            self.arm_earlier(Instant::now());
        }
        self.effects(&mut inbound);
        progress |= !inbound.is_empty();
        self.pass_inbound(inbound);
        if let Err(ending) = result {
            // What is to be said before the goodbye.
            self.last_words();
            return Err(End::Ended(ending));
        }
        Ok(progress)
    }

    pub(super) fn effects(&mut self, inbound: &mut Vec<Inbound>) {
        while self.asking.is_none()
            && let Some(effect) = self.session.next_effect()
        {
            match effect {
                Effect::Deliver(message) => inbound.push(message),
                Effect::Authenticate(token) => {
                    let before = self.session.identity().cloned();
                    self.asking = Some(self.permission.authenticate(token, before));
                }
                Effect::Authorize(patterns) => {
                    self.asking = Some(self.permission.authorize(self.session.user(), self.session.id(), patterns));
                }
            }
        }
    }

    pub(super) fn pass_inbound(&mut self, inbound: Vec<Inbound>) {
        if !inbound.is_empty() {
            let inboxes = self.seat.endpoint().inboxes();
            let item = Item::Inbound(inbound.into(), self.sender());
            self.pass(&inboxes, &item);
        }
    }

    pub(super) fn pass(&mut self, inboxes: &[Inbox], item: &Item) {
        for inbox in inboxes {
            let Some(item) = inbox.filter(item) else { continue };
            match inbox.items.try_send(item) {
                // A source that is gone takes nothing; it left the path or is about to.
                Ok(()) | Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => {}
                Err(tokio::sync::mpsc::error::TrySendError::Full(item)) => {
                    self.waiting.push_back((inbox.clone(), item));
                }
            }
        }
        if !self.waiting.is_empty() {
            self.keep_alive.pause();
        }
    }

    pub(super) fn poll_asking(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Some(asking) = &mut self.asking else { return Ok(()) };
        let Poll::Ready(asked) = asking.as_mut().poll(cx) else { return Ok(()) };
        self.asking = None;
        // Who it is now.
        self.sender = None;
        let now = std::time::Instant::now();
        match asked {
            Asked::Authenticated(result) => {
                if let (Some(ticket), Some(side)) = (self.ticket.take(), &mut self.side) {
                    let outcome = result.as_ref().map(drop).map_err(ToString::to_string);
                    if !side.authenticated(ticket, outcome) {
                        return Ok(());
                    }
                }
                self.session.authenticated(result).map_err(End::Ended)
            }
            Asked::Authorized(allowed) => {
                self.session.authorized(&allowed, now);
                Ok(())
            }
        }
    }

    pub(super) fn poll_handing_over(&mut self, cx: &mut Context<'_>) {
        if self.side.as_mut().is_some_and(|side| side.poll_handing_over(cx)) {
            self.read_again();
        }
        while let Some((inbox, item)) = self.waiting.front() {
            let handing_over = self.handing_over.get_or_insert_with(|| {
                let (items, item) = (inbox.items.clone(), item.clone());
                // A source that is gone takes nothing.
                Box::pin(async move { drop(items.send(item).await) })
            });
            if handing_over.as_mut().poll(cx).is_pending() {
                return;
            }
            self.handing_over = None;
            self.waiting.pop_front();
            if self.waiting.is_empty() {
                self.waiting = VecDeque::new();
                self.read_again();
            }
        }
    }

    /// Everything received has been taken.
    fn read_again(&mut self) {
        let now = Instant::now();
        self.keep_alive.resume(now);
        self.keep_alive.mid_message(self.connection.is_mid_message(), now);
        self.arm(now);
    }

    pub(super) fn sender(&mut self) -> Arc<Sender> {
        let received = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
        let sender = match &self.sender {
            Some(sender) => Arc::new(Sender { received, ..(**sender).clone() }),
            None => Arc::new(Sender {
                connection: self.session.id().into(),
                user: self.session.user().cloned(),
                address: self.seat.address(),
                received,
            }),
        };
        self.sender = Some(sender.clone());
        sender
    }
}
