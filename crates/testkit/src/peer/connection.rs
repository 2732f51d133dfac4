//! One connection of a scripted peer: its script, then what the test plays on it, until it ends.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
};
use tokio_rustls::TlsAcceptor;

use super::{
    conversation::Conversation,
    frames::Side,
    record::{Board, Ending, Run, RunState},
    script::Script,
    transport::Transport,
};

/// Scripts that may wait to be played on one connection.
const MAX_QUEUED_PLAYS: usize = 64;

/// What the connections share. They do not keep the peer alive.
pub(super) struct Common {
    pub(super) board: watch::Sender<Board>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) scripts: Vec<Script>,
    /// Where the open connections take more steps from.
    pub(super) commands: Mutex<HashMap<usize, mpsc::Sender<Command>>>,
}

impl Common {
    pub(super) fn commands(&self) -> MutexGuard<'_, HashMap<usize, mpsc::Sender<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connection and gives its number.
    pub(super) fn connected(&self) -> usize {
        let mut number = 0;
        self.board.send_modify(|board| {
            number = board.record.connections;
            board.record.connections += 1;
            board.record.open += 1;
        });
        number
    }

    /// Gives a connection the next script.
    fn assign(&self, connection: usize) -> Script {
        let mut script = 0;
        self.board.send_modify(|board| {
            script = board.runs.len().min(self.scripts.len() - 1);
            board.runs.push(Run { connection, script, state: RunState::Running("the start".to_owned()) });
        });
        self.scripts[script].clone()
    }

    pub(super) fn is_over(&self, board: &Board) -> bool {
        !board.failed().is_empty() || (board.runs.len() >= self.scripts.len() && !board.is_running())
    }

    fn tls_failed(&self, reason: String) {
        self.board.send_modify(|board| {
            board.record.open = board.record.open.saturating_sub(1);
            board.record.tls_failures.push(reason);
        });
    }
}

/// More steps for an open connection.
pub(super) struct Command {
    script: Script,
    reply: oneshot::Sender<Result<(), String>>,
}

impl Command {
    async fn run(self, conversation: &mut Conversation) {
        let outcome = conversation.run(&self.script, |_, _| ()).await;
        // Nobody waits for the outcome when the test gave up on it.
        let _ = self.reply.send(outcome);
    }
}

/// Plays a script through a connection's queue.
pub(super) async fn play(queue: &mpsc::Sender<Command>, script: Script) -> Result<(), String> {
    let (reply, outcome) = oneshot::channel();
    let over = "the connection has ended";
    queue.send(Command { script, reply }).await.map_err(|_| over)?;
    outcome.await.map_err(|_| over)?
}

/// A queue for [`play`].
pub(super) fn play_queue() -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    mpsc::channel(MAX_QUEUED_PLAYS)
}

/// One accepted connection, from TLS to its end.
pub(super) async fn serve(common: Arc<Common>, tcp: TcpStream, number: usize, mut cuts: watch::Receiver<u64>) {
    cuts.mark_unchanged();
    let transport = tokio::select! {
        transport = secure(&common, tcp) => transport,
        _ = cuts.changed() => Err("ended by the test".to_owned()),
    };
    let transport = match transport {
        Ok(transport) => transport,
        Err(reason) => return common.tls_failed(reason),
    };
    let script = common.assign(number);
    let (sender, mut commands) = play_queue();
    common.commands().insert(number, sender);
    let mut conversation = Conversation::new(Side::Server, number, transport, common.board.clone());
    let state = tokio::select! {
        state = guarded(run_script(&mut conversation, &script, &mut commands)) => state,
        cut = cuts.changed() => {
            if cut.is_ok() {
                conversation.reset();
            }
            RunState::Done
        }
    };
    common.commands().remove(&number);
    common.board.send_modify(|board| board.run_state(number, state));
    conversation.end(Ending::ByTest);
}

async fn secure(common: &Common, tcp: TcpStream) -> Result<Transport, String> {
    match &common.tls {
        None => Ok(Transport::Plain(tcp)),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(stream) => Ok(Transport::Tls(Box::new(stream.into()))),
            Err(error) => Err(error.to_string()),
        },
    }
}

/// Turns a panic, of a test's predicate for example, into a failed script.
async fn guarded(run: impl Future<Output = RunState>) -> RunState {
    match AssertUnwindSafe(run).catch_unwind().await {
        Ok(state) => state,
        Err(panic) => RunState::Failed(format!("a panic: {}", crate::panic_text(&*panic))),
    }
}

/// The script, then what the test plays, until the connection ends.
async fn run_script(
    conversation: &mut Conversation,
    script: &Script,
    commands: &mut mpsc::Receiver<Command>,
) -> RunState {
    let note = |conversation: &Conversation, state| {
        conversation.board.send_modify(|board| board.run_state(conversation.number, state));
    };
    if let Err(reason) = conversation.run(script, note).await {
        return RunState::Failed(reason);
    }
    note(conversation, RunState::Done);
    run_commands(conversation, commands).await;
    RunState::Done
}

/// Plays what comes until the connection ends or nobody can send more.
async fn run_commands(conversation: &mut Conversation, commands: &mut mpsc::Receiver<Command>) {
    while conversation.ending.is_none() {
        let Ok(Some(command)) = conversation.during(commands.recv()).await else {
            return;
        };
        command.run(conversation).await;
    }
}

/// Plays what comes until nobody can send more, also after the connection's end: what arrived before can still be
/// expected, and so can the end.
pub(super) async fn run_commands_past_the_end(conversation: &mut Conversation, commands: &mut mpsc::Receiver<Command>) {
    run_commands(conversation, commands).await;
    while let Some(command) = commands.recv().await {
        command.run(conversation).await;
    }
}
