//! The places that a session holds in channels for its subscriptions.

use std::sync::Arc;

use super::plan::Role;
use super::subscriptions::{Part, Subscription};
use super::{Placing, Session};
use crate::Ending;
use crate::hub::{Before, Change, Channel, Content, Event, Joining, Matched, Place, Seat, SharedEvent, Wanted};

/// A place in a channel.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) channel: Arc<Channel>,
    pub(super) seat: Seat,
}

impl Session {
    /// How the place of that name gets its events.
    pub(super) fn joining_of(&self, cursor: u32) -> Option<Joining> {
        self.subscriptions.iter().find_map(|subscription| {
            let part = subscription.parts.iter().find(|part| part.cursor == Some(cursor))?;
            Some(self.joining(subscription, &part.role, cursor))
        })
    }

    /// What a subscription wants of remembered events.
    pub(super) fn wanted(&self, subscription: &Subscription) -> Wanted {
        let is_personal = self.dialect().traits().personal;
        let name = is_personal.then(|| subscription.name.clone());
        Wanted { filter: subscription.filter.clone(), subscription: name }
    }

    /// Gives a part its role.
    pub(super) fn turn(&mut self, index: usize, part: usize, role: Role, change: &mut Change<'_>) {
        let subscription = &self.subscriptions[index];
        let Part { pattern, replay, cursor, .. } = &subscription.parts[part];
        let (pattern, replay, cursor) = (pattern.clone(), *replay, *cursor);
        let goes_on = replay.is_some() && cursor.is_some();
        if !goes_on {
            // The new place first: a channel that nobody is in is removed.
            let taken = match role {
                Role::Dormant => None,
                _ => match change.channel(&pattern, usize::from(cursor.is_some())) {
                    Ok(channel) => {
                        let place = |offset| change.place(Some(&channel), offset).unwrap_or(Place::known(offset));
                        let place = replay.map(place);
                        Some(self.enter(channel, index, place, &role))
                    }
                    // It stays as it is, and the next change tries again.
                    Err(problem) => return self.refuse(&problem, None),
                },
            };
            self.subscriptions[index].parts[part].cursor = taken;
            if let Some(cursor) = cursor {
                let wanted = self.wanted(&self.subscriptions[index]);
                self.vacate(cursor, Some(&wanted), change);
            }
        }
        self.subscriptions[index].parts[part].role = role;
    }

    fn enter(&mut self, channel: Arc<Channel>, index: usize, replay: Option<Place>, role: &Role) -> u32 {
        let cursor = self.cursors.vacant_key() as u32;
        let seat = match replay {
            Some(place) => {
                self.ready.push_back(cursor);
                channel.begin_replay(self.member.mailbox.clone(), cursor, place)
            }
            None => channel.join(self.joining(&self.subscriptions[index], role, cursor)),
        };
        self.cursors.insert(Cursor { channel, seat });
        cursor
    }

    fn joining(&self, subscription: &Subscription, role: &Role, cursor: u32) -> Joining {
        let mailbox = self.member.mailbox.clone();
        let matching = |before: &Before| {
            let (wanted, before) = (self.wanted(subscription), before.clone());
            Joining::Matching(Matched { mailbox: mailbox.clone(), wanted, before })
        };
        match role {
            Role::Matching(before) => matching(before),
            // What is read has no place of its own.
            Role::Dormant | Role::Reading if self.placing == Placing::Told => matching(&None),
            Role::Dormant | Role::Reading => Joining::Reading { mailbox, cursor, framing: self.framing.clone() },
        }
    }

    /// Leaves the places of a subscription that is no longer in force. What has come there is kept where another
    /// subscription wants it as well.
    pub(super) fn give_up(&mut self, old: &Subscription, is_going_on: bool, change: &mut Change<'_>) {
        let wanted = self.wanted(old);
        for part in &old.parts {
            if let Some(cursor) = part.cursor {
                let keeps = is_going_on && self.is_wanted_still(old, part);
                self.vacate(cursor, keeps.then_some(&wanted), change);
            }
            if part.pattern.is_exact() {
                self.exits(part.pattern.text());
            }
        }
    }

    fn is_wanted_still(&self, old: &Subscription, left: &Part) -> bool {
        self.subscriptions.iter().any(|subscription| {
            let is_same = subscription.name == old.name;
            subscription.parts.iter().any(|part| {
                let overlaps = part.pattern.covers(&left.pattern) || left.pattern.covers(&part.pattern);
                // One that begins with the past is told what is left here.
                overlaps && !(is_same && (part.replay.is_some() || left.replay.is_some()))
            })
        })
    }

    /// Leaves a place; what has come there is kept if it is wanted.
    fn vacate(&mut self, cursor: u32, wanted: Option<&Wanted>, change: &mut Change<'_>) {
        let Some(Cursor { channel, seat }) = self.cursors.try_remove(cursor as usize) else { return };
        match (seat, wanted) {
            (Seat::Reader(seat), Some(_)) => self.keep_unread(&channel, seat, change),
            (Seat::Replay(seat), Some(wanted)) => self.keep_replay(&channel, seat, wanted, change),
            _ => {}
        }
        channel.leave(seat);
        change.tidy(&channel);
    }

    /// What a reader has not read waits with the session's own texts from now on.
    fn keep_unread(&mut self, channel: &Arc<Channel>, seat: u32, change: &Change<'_>) {
        let room = if self.singly { 0 } else { usize::MAX };
        let (mut chunks, mut events) = (Vec::new(), 0);
        loop {
            let read = channel.read(seat, room, change.now, &mut chunks);
            if read.too_slow {
                self.over.get_or_insert(Ending::TooSlow);
                return;
            }
            events += read.events;
            self.tell_missed(channel.name(), read.missed + read.missed_behind);
            if read.idle {
                break;
            }
        }
        if events > 0 {
            let content = Content::Framed { chunks, events };
            let shared = SharedEvent { channel: channel.name().clone(), key: 0, number: None, at: change.now, content };
            self.member.mailbox.keep(Event::new(shared, None), &channel.retention());
        }
    }

    /// The same for what is left of the past.
    fn keep_replay(&mut self, channel: &Arc<Channel>, seat: u32, wanted: &Wanted, change: &Change<'_>) {
        let mut events = Vec::new();
        let missed =
            channel.rest_of_replay(seat, change.now, |kept| events.extend(wanted.remembered(channel.name(), kept)));
        self.tell_missed(channel.name(), missed);
        let retention = channel.retention();
        events.into_iter().for_each(|event| self.member.mailbox.keep(event, &retention));
    }
}
