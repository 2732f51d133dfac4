//! What each step of a script does to a conversation.

use std::fmt::Display;

use tokio_tungstenite::tungstenite::Bytes;

use super::{
    conversation::{Conversation, Phase},
    extensions::{Agreement, EXTENSIONS},
    frames::{self, RawFrame, Side},
    handshake::{self, Handshake},
    message::Message,
    record::{Ending, RunState},
    script::{Action, Expected, Pace, Script, Step},
};

/// Pings that a flood queues at once.
const FLOOD_BATCH: usize = 1024;

/// What the steps of one script share.
#[derive(Default)]
struct Progress {
    handshake: Option<Handshake>,
    response_headers: Vec<(String, String)>,
    /// Whether a later step says what to do with the handshake.
    handshake_follows: bool,
}

impl Conversation {
    /// Runs a script to its end. The error says which step failed and why.
    pub(super) async fn run(&mut self, script: &Script, note: impl Fn(&Self, RunState)) -> Result<(), String> {
        let mut progress = Progress::default();
        for (index, step) in script.steps.iter().enumerate() {
            let place = format!("step {} ({})", index + 1, step.action);
            note(self, RunState::Running(place.clone()));
            progress.handshake_follows = script.steps[index..].iter().any(|step| step.action.is_handshake());
            let outcome = match tokio::time::timeout(step.limit(), self.perform(step, &mut progress)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("it did not happen within {:?}", step.limit())),
            };
            outcome.map_err(|reason| format!("{place}: {reason}"))?;
        }
        if self.phase == Phase::Head && self.ending.is_none() && self.pace != Pace::Stopped {
            let accepted = self.accept(None, &mut progress).await;
            // Someone who only looks whether the port is open is no failure of an empty script.
            if self.ending.is_none() || !script.steps.is_empty() {
                accepted.map_err(|reason| format!("the handshake at the script's end: {reason}"))?;
            }
        }
        Ok(())
    }

    async fn perform(&mut self, step: &Step, progress: &mut Progress) -> Result<(), String> {
        if step.action.is_handshake() {
            return self.perform_handshake(&step.action, progress).await;
        }
        if self.phase == Phase::Head && !step.action.is_abrupt() && !progress.handshake_follows {
            self.accept(None, progress).await?;
        }
        match &step.action {
            Action::Send(message) => self.send(std::slice::from_ref(message)).await,
            Action::SendCompressed(message) => self.send_compressed(message).await,
            Action::SendAll(messages) => self.send(messages).await,
            Action::SendRaw(bytes) => {
                self.queue(bytes);
                self.drained().await.map_err(ended)
            }
            Action::Ping(payload) => self.ping(payload).await,
            Action::FloodPings(count) => self.flood(*count).await,
            Action::Expect(expected) => self.expect(expected).await,
            Action::ExpectMany(count) => self.expect_many(*count).await,
            Action::ExpectClose(code) => self.expect_close(*code).await,
            Action::ExpectEnd => match self.until(|_| None::<()>).await {
                Ok(()) | Err(_) => Ok(()),
            },
            Action::Close { code, reason } => self.close(*code, reason).await,
            action => self.perform_other(action).await,
        }
    }

    async fn perform_other(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Delay(delay) => self.during(tokio::time::sleep(*delay)).await.map_err(ended),
            Action::AwaitSignal(name) => {
                let mut signals = self.board.subscribe();
                let signalled = signals.wait_for(|board| board.signals.contains(name));
                self.during(async { signalled.await.map(drop) }).await.map_err(ended)?.map_err(|_| gone())
            }
            Action::Reset => {
                self.reset();
                Ok(())
            }
            Action::HangUp => {
                self.finish_writing();
                self.end(Ending::ByTest);
                Ok(())
            }
            Action::HalfClose => {
                self.finish_writing();
                Ok(())
            }
            Action::Stall => {
                self.pace = Pace::Stopped;
                Ok(())
            }
            Action::Reading(pace) => {
                self.pace = *pace;
                Ok(())
            }
            Action::IgnorePings => {
                self.answer_pings = false;
                Ok(())
            }
            Action::IgnoreClose => {
                self.answer_close = false;
                Ok(())
            }
            other => Err(format!("the step {other} has no meaning here")),
        }
    }

    async fn perform_handshake(&mut self, action: &Action, progress: &mut Progress) -> Result<(), String> {
        if self.side == Side::Client || self.phase == Phase::Open {
            return Err("handshake steps are for servers, before the first message".to_owned());
        }
        let request = self.request(progress).await?;
        match action {
            Action::ExpectPath(path) => same("path", path, &request.path),
            Action::ExpectHeader(name, value) => match request.header(name) {
                Some(found) if found == value => Ok(()),
                Some(found) => Err(format!("the header {name} is {found:?}")),
                None => Err(format!("there is no such header, only {request:?}")),
            },
            Action::ExpectNoHeader(name) => match request.header(name) {
                None => Ok(()),
                Some(value) => Err(format!("the header {name} is there: {value:?}")),
            },
            Action::ExpectSubprotocol(token) => match request.subprotocols() {
                offered if offered.contains(&token.as_str()) => Ok(()),
                offered => Err(format!("the client offers {offered:?}")),
            },
            Action::RespondHeader(name, value) => {
                progress.response_headers.push((name.clone(), value.clone()));
                Ok(())
            }
            Action::Reject { status, headers, body } => {
                self.queue(&handshake::refusal(*status, headers, body));
                self.drained().await.map_err(ended)?;
                self.finish_writing();
                self.end(Ending::ByTest);
                Ok(())
            }
            Action::RespondRaw(bytes) => {
                self.queue(bytes);
                self.drained().await.map_err(ended)?;
                self.open();
                Ok(())
            }
            Action::Accept(first) => {
                let first = first.clone();
                self.accept(first.as_ref(), progress).await
            }
            other => Err(format!("{other} is no handshake step")),
        }
    }

    /// The request, read by the first step that needs it.
    async fn request<'a>(&mut self, progress: &'a mut Progress) -> Result<&'a Handshake, String> {
        let request = match progress.handshake.take() {
            Some(request) => request,
            None => {
                let head = self.head().await.map_err(ended)?;
                let request = Handshake::parse(self.number, &head)?;
                self.board.send_modify(|board| board.record.handshakes.push(request.clone()));
                request
            }
        };
        Ok(progress.handshake.insert(request))
    }

    async fn accept(&mut self, first: Option<&Message>, progress: &mut Progress) -> Result<(), String> {
        let request = self.request(progress).await?;
        let key = match request.check() {
            Ok(key) => key.to_owned(),
            Err(reason) => {
                self.queue(&handshake::refusal(400, &[], &reason));
                // The client may be gone already; the reason it was refused is what matters.
                let _ = self.drained().await;
                return Err(format!("the handshake request is invalid: {reason}"));
            }
        };
        self.queue(&handshake::switching_protocols(&key, &progress.response_headers));
        let extensions = handshake::joined(&progress.response_headers, EXTENSIONS);
        if let Some(agreement) = extensions.as_deref().and_then(Agreement::read) {
            self.agree(agreement);
        }
        if let Some(message) = first {
            self.queue_frame(message.to_frame());
        }
        self.drained().await.map_err(ended)?;
        self.open();
        Ok(())
    }

    async fn send(&mut self, messages: &[Message]) -> Result<(), String> {
        for message in messages {
            self.queue_frame(message.to_frame());
        }
        self.drained().await.map_err(ended)
    }

    async fn send_compressed(&mut self, message: &Message) -> Result<(), String> {
        let deflater = self.deflater.as_mut().ok_or("permessage-deflate is not agreed upon")?;
        let mut frame = message.to_frame().rsv(frames::RSV1);
        frame.payload = deflater.compress(&frame.payload);
        self.queue_frame(frame);
        self.drained().await.map_err(ended)
    }

    async fn ping(&mut self, payload: &Bytes) -> Result<(), String> {
        self.queue_frame(RawFrame::ping(payload.clone()));
        let expected = payload.clone();
        let pong = self.until(|this| {
            let place = this.pongs.iter().position(|pong| *pong == expected)?;
            this.pongs.drain(..=place).next_back()
        });
        pong.await.map(drop).map_err(ended)
    }

    async fn flood(&mut self, count: usize) -> Result<(), String> {
        let mut left = count;
        while left > 0 {
            let batch = left.min(FLOOD_BATCH);
            for _ in 0..batch {
                self.queue_frame(RawFrame::ping("flood"));
            }
            self.drained().await.map_err(ended)?;
            left -= batch;
        }
        Ok(())
    }

    async fn expect(&mut self, expected: &Expected) -> Result<(), String> {
        let message = self.until(|this| this.inbox.pop_front()).await.map_err(ended)?;
        if expected.matches(&message) { Ok(()) } else { Err(format!("got {message:?}")) }
    }

    async fn expect_many(&mut self, count: usize) -> Result<(), String> {
        let mut missing = count;
        let all = self.until(|this| {
            missing -= this.inbox.drain(..this.inbox.len().min(missing)).count();
            (missing == 0).then_some(())
        });
        let outcome = all.await;
        outcome.map_err(|ending| format!("got {} of {count}: {}", count - missing, ended(ending)))
    }

    async fn expect_close(&mut self, expected: u16) -> Result<(), String> {
        let Err(ending) = self.until(|_| None::<()>).await else {
            return Ok(());
        };
        match ending {
            Ending::Closed { code: Some(code), .. } if code == expected => Ok(()),
            other => Err(other.to_string()),
        }
    }

    async fn close(&mut self, code: u16, reason: &str) -> Result<(), String> {
        self.close_sent = true;
        self.queue_frame(RawFrame::close(code, reason));
        match self.until(|_| None::<()>).await {
            // The answer, or the end without one: hanging up on a close is common and does no harm.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn finish_writing(&self) {
        if let Some(transport) = &self.transport {
            transport.finish();
        }
    }
}

fn same(what: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("the {what} is {found:?}")) }
}

fn ended(ending: impl Display) -> String {
    format!("the connection ended first: {ending}")
}

fn gone() -> String {
    "the peer was dropped".to_owned()
}
