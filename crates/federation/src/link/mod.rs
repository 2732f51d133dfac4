//! One connection between two pipelines, as the protocol sees it: what is sent, received, asked and acknowledged.
//!
//! A driver owns it: it hands over what the peer sends, does what [`Link::next_effect`] gives, and sends what
//! [`Link::transmit`] gives, when it is woken and at [`Link::deadline`]. While the connection has no room it calls
//! [`Link::timers`] instead: a peer that does not read has to answer in time too. After each of them it passes on what
//! [`Link::arrived`] gives. Both ends run the same machine, whichever of them opened the connection.

mod arrival;
mod asked;
mod command;
mod condition;
mod control;
mod effect;
mod hello;
mod mailbox;
mod methods;
mod receiving;
mod replays;
mod requests;
mod routing;
mod selection;
mod sending;
#[cfg(test)]
mod tests;
mod waiting;

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;

pub use self::arrival::{Arrival, Arrived, Details, ReplyDetails, RequestDetails};
pub(crate) use self::command::{Answer, Asking, Command, Handle};
pub use self::condition::check_path;
pub use self::effect::Effect;
pub use self::hello::SUBPROTOCOL;
pub(crate) use self::mailbox::{Mailbox, NoRoom};
pub(crate) use self::replays::ReplayBytes;

use self::asked::Questions;
use self::control::Control;
use self::hello::{Ack, GapNotice, Hello, Receives};
use self::receiving::Inbound;
use self::requests::Tasks;
use self::routing::Routing;
use self::selection::Selection;
use self::sending::{Outbound, Transmitted};
use crate::envelope::{Envelope, Kind, Malformed};
use crate::{Ending, Federation, Now, Reliable};

/// The version of what a link's ends say to each other.
const VERSION: u32 = 1;

/// How a connection began.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Name of the connection, for logs and for requests to it.
    pub connection: String,
    /// Whether both ends agreed on [`SUBPROTOCOL`].
    pub agreed: bool,
    /// What the receiver at the other end is called, where that is known whoever it is: an end that connects to one
    /// place always means the same receiver. Otherwise the peer says who it is.
    pub receiver: Option<String>,
}

/// A message for the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its text, or bytes.
    pub text: Bytes,
    /// Whether it is no text.
    pub binary: bool,
}

/// See the module. Dropping it ends it.
#[derive(Debug)]
pub struct Link {
    federation: Arc<Federation>,
    number: u64,
    mailbox: Arc<Mailbox>,
    opening: Opening,
    /// The peer said hello.
    peer: Option<Hello>,
    /// What we said.
    said: Option<Hello>,
    /// The [`Federation::version`] that was looked at.
    version: u64,
    control: Control,
    outbound: Outbound,
    inbound: Inbound,
    selection: Selection,
    /// Our requests.
    questions: Questions,
    /// The peer's.
    tasks: Tasks,
    ending: Option<Ending>,
    /// There may be something to transmit: the peer said something, or took what it was sent.
    stirred: bool,
    now: Now,
}

impl Link {
    /// A connection that has just been opened.
    ///
    /// # Errors
    /// When the peer did not agree to what is required.
    pub fn new(federation: &Arc<Federation>, opening: Opening, now: Now) -> Result<Self, Ending> {
        let config = federation.config();
        if config.reliable == Reliable::Require && !opening.agreed {
            return Err(Ending::policy("a link with acknowledgements is required here"));
        }
        let (number, mailbox) = federation.enter(&opening.connection);
        let mut link = Self {
            control: Control::new(config.encoding, config.max_control_bytes),
            outbound: Outbound::new(mailbox.signal().clone(), opening.agreed, opening.receiver.clone())
                .standing_in(config.stand_ins),
            inbound: Inbound::default(),
            selection: Selection::new(now),
            questions: Questions::default(),
            tasks: Tasks::default(),
            federation: federation.clone(),
            number,
            mailbox,
            opening,
            peer: None,
            said: None,
            version: 0,
            ending: None,
            stirred: true,
            now,
        };
        link.look_around();
        Ok(link)
    }

    /// Who is woken when there is something to do; `true` when there is something already.
    #[must_use]
    pub fn register(&self, waker: &Waker) -> bool {
        self.mailbox.signal().register(waker) || self.has_own()
    }

    /// Whether there is something to transmit that nobody has to be woken for.
    #[must_use]
    pub fn has_own(&self) -> bool {
        self.stirred || self.ending.is_some() || !self.control.is_empty()
    }

    /// Takes a message of the peer. What the pipeline gets of it is in [`Link::arrived`].
    ///
    /// # Errors
    /// When that ends the connection.
    pub fn receive(&mut self, message: &Bytes, binary: bool, now: Now) -> Result<(), Ending> {
        self.now = now;
        self.stirred = true;
        // What nobody wants any more is not taken.
        self.look_around();
        // A peer of ours writes as we do.
        match Inbound::read(message, binary, self.peer.is_some(), &self.federation.config().limits) {
            Ok(envelope) => self.take(envelope),
            Err(malformed) => {
                self.malformed(malformed, message);
                Ok(())
            }
        }
    }

    /// Takes up and gives up what needs no room: requests of ours, and those without a reply in time. Of use while the
    /// connection has none, when the link is woken or [`Link::timers_deadline`] has come; [`Link::transmit`] does it too.
    pub fn timers(&mut self, now: Now) {
        self.now = now;
        self.selection.pass(now);
        self.carry_out();
        self.expire_questions();
        self.expire_tasks();
        self.outbound.expire(now.at);
    }

    /// The connection has ended: requests that wait for a reply fail. What the pipeline is to hear of it is in
    /// [`Link::arrived`].
    pub fn disconnected(&mut self, now: Now) {
        self.now = now;
        let unsent = self.mailbox.shut().into_iter().filter_map(|command| match command {
            Command::Ask(asking) => Some(asking),
            Command::Close(_) | Command::Answer(_) => None,
        });
        self.fail_questions(unsent);
    }

    /// What has arrived since the last call, in order.
    ///
    /// # Errors
    /// When that ends the connection: the pipeline has not taken what it was given, and has to be given it again.
    pub fn arrived(&mut self) -> Result<Option<Arrived>, Ending> {
        self.inbound.arrived()
    }

    /// What goes to the peer, `max_bytes` of events at most; to be called when everything before has been sent.
    ///
    /// # Errors
    /// When the connection is to be ended, after what is in `out` has been sent.
    pub fn transmit(&mut self, now: Now, max_bytes: usize, out: &mut Vec<Outgoing>) -> Result<(), Ending> {
        self.mailbox.signal().answer();
        self.stirred = false;
        self.timers(now);
        self.look_around();
        self.acknowledge();
        if let Err(ending) = self.inbound.check().and_then(|()| self.outbound.check()) {
            self.ending.get_or_insert(ending);
        }
        let sent = match self.ending {
            Some(_) => Transmitted::default(),
            None => self.outbound.transmit(max_bytes, &mut self.selection, self.federation.counters(), now),
        };
        // Of a gap is told before what follows it.
        for gap in sent.gaps {
            self.tell(Kind::Gap, &gap);
        }
        self.control.take(out);
        while !self.mailbox.is_empty() {
            self.carry_out();
            self.control.take(out);
        }
        out.extend(sent.messages);
        match self.ending.clone() {
            Some(ending) => Err(ending),
            None => Ok(()),
        }
    }

    /// Everything that was transmitted has been handed to the connection's other end, as far as can be known.
    pub fn flushed(&mut self) {
        self.stirred = true;
        self.outbound.flushed(self.now);
    }

    /// The peer has closed the connection because a message was too large for it (close code 1009): the largest event under
    /// way is not sent again, where this connection always leads to the same receiver.
    pub fn refused_as_too_large(&mut self) {
        if self.opening.receiver.is_some() {
            self.outbound.refused_as_too_large();
        }
    }

    /// The connection is about to end: what has been taken is acknowledged with the next [`Link::transmit`].
    pub fn conclude(&mut self) {
        self.inbound.conclude();
        self.stirred = true;
    }

    /// When [`Link::transmit`] is to be called though nothing has happened.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.inbound.deadline(), self.selection.deadline(), self.timers_deadline()].into_iter().flatten().min()
    }

    /// When [`Link::timers`] is to be called though the connection has no room.
    #[must_use]
    pub fn timers_deadline(&self) -> Option<Instant> {
        [self.questions.deadline(), self.tasks.deadline(), self.outbound.deadline()].into_iter().flatten().min()
    }

    /// Its connection's name.
    #[must_use]
    pub fn connection(&self) -> &Arc<str> {
        self.mailbox.connection()
    }

    /// What the peer calls itself, when it has said so.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_ref().map(|hello| hello.name.as_str())
    }

    /// Looks at what has changed at the place.
    fn look_around(&mut self) {
        let version = self.federation.version();
        if version == self.version {
            return;
        }
        self.version = version;
        let federation = self.federation.clone();
        let config = federation.config();
        self.outbound.refresh(&self.federation.outlets(), config.encoding, self.now);
        if !self.opening.agreed {
            return;
        }
        let wants = self.federation.wants();
        // Who takes nothing any more is not listened to either: what has been taken is said before.
        let last = self.inbound.last_words(&wants);
        if !last.is_empty() {
            self.tell(Kind::Ack, &Ack { streams: last });
        }
        let receives = wants.data.then(|| Receives {
            start: config.start.into(),
            window: config.window.into(),
            message_bytes: config.max_message_bytes,
        });
        let hello = Hello { version: VERSION, name: config.name.clone(), receives, sends: self.outbound.names() };
        if self.said.as_ref() != Some(&hello) {
            self.tell(Kind::Hello, &hello);
            self.said = Some(hello);
        }
        self.ask_for_streams();
    }

    fn carry_out(&mut self) {
        while self.control.has_room()
            && let Some(command) = self.mailbox.pop()
        {
            match command {
                Command::Close(ending) => drop(self.ending.get_or_insert(ending)),
                Command::Ask(asking) => self.ask(asking),
                Command::Answer(answer) => self.answer(&answer),
            }
        }
    }

    fn take(&mut self, envelope: Envelope) -> Result<(), Ending> {
        match envelope.kind {
            Kind::Data => self.inbound.data(envelope, self.peer.is_some(), self.federation.counters()),
            Kind::Hello => self.greeted(&envelope),
            Kind::Ack => self.acknowledged(&envelope),
            Kind::Gap => self.told_of_gap(&envelope),
            Kind::Request => {
                self.requested(envelope);
                Ok(())
            }
            Kind::Reply => {
                self.replied(envelope);
                Ok(())
            }
        }
    }

    fn greeted(&mut self, envelope: &Envelope) -> Result<(), Ending> {
        let hello: Hello = self.understood(envelope)?;
        if hello.sends.len() > hello::MAX_STREAMS {
            return Err(Ending::policy(format!("more than {} streams", hello::MAX_STREAMS)));
        }
        let names = std::iter::once(&hello.name).chain(hello.sends.iter().map(|sent| &sent.stream));
        if names.into_iter().any(|name| name.len() > hello::MAX_NAME_BYTES) {
            return Err(Ending::policy(format!("a name of more than {} bytes", hello::MAX_NAME_BYTES)));
        }
        if let Some(before) = &self.peer
            && before.name != hello.name
        {
            return Err(Ending::violation("the peer changes its name"));
        }
        self.outbound.greeted(&hello, self.now);
        self.peer = Some(hello);
        self.ask_for_streams();
        Ok(())
    }

    /// Says how far the streams of the peer are known here.
    fn ask_for_streams(&mut self) {
        let Some(peer) = &self.peer else { return };
        let (federation, wants) = (&self.federation, self.federation.wants());
        let signal = self.mailbox.signal();
        let streams: Vec<_> = self.inbound.ask(peer, &wants, federation.intake(), signal, federation.counters());
        if !streams.is_empty() {
            self.tell(Kind::Ack, &Ack { streams });
        }
    }

    fn acknowledge(&mut self) {
        let streams = self.inbound.acknowledge(self.federation.config(), self.now.at);
        if !streams.is_empty() {
            self.tell(Kind::Ack, &Ack { streams });
        }
    }

    fn acknowledged(&mut self, envelope: &Envelope) -> Result<(), Ending> {
        let ack: Ack = self.understood(envelope)?;
        for position in ack.streams {
            if let Some(gap) = self.outbound.acknowledged(&position, self.now)? {
                self.tell(Kind::Gap, &gap);
            }
        }
        Ok(())
    }

    fn told_of_gap(&mut self, envelope: &Envelope) -> Result<(), Ending> {
        let gap: GapNotice = self.understood(envelope)?;
        self.inbound.gap(&gap, envelope, self.federation.wants().gaps, self.federation.counters())
    }

    /// What the payload of a message says that only a link has.
    fn understood<T: serde::de::DeserializeOwned>(&self, envelope: &Envelope) -> Result<T, Ending> {
        let kind = envelope.kind.name();
        if !self.opening.agreed {
            return Err(Ending::violation(format!("a '{kind}' without the subprotocol {SUBPROTOCOL}")));
        }
        serde_json::from_slice(&envelope.payload)
            .map_err(|_| Ending::violation(format!("a '{kind}' that makes no sense")))
    }

    fn malformed(&mut self, malformed: Malformed, message: &Bytes) {
        self.federation.counters().malformed.increment();
        self.refuse_malformed(&malformed);
        self.inbound.malformed(malformed, message);
    }

    fn tell(&mut self, kind: Kind, payload: &impl serde::Serialize) {
        if let Err(ending) = self.control.tell(kind, payload, self.now.unix_ms) {
            self.ending.get_or_insert(ending);
        }
    }

    fn tell_as(&mut self, kind: Kind, id: &str, payload: &[u8]) {
        if let Err(ending) = self.control.tell_as(kind, id, payload, self.now.unix_ms) {
            self.ending.get_or_insert(ending);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.disconnected(self.now);
        self.outbound.leave(self.now.unix_ms);
        self.federation.leave(self.number);
    }
}
