//! The scripted client, for testing servers.

use std::time::Duration;

use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    sync::{mpsc, watch},
};
use tokio_rustls::rustls::pki_types::ServerName;

use super::{
    connection::{self, Command},
    conversation::Conversation,
    extensions::{Agreement, EXTENSIONS},
    frames::{RawFrame, Side},
    handshake::{self, HttpAnswer},
    message::Message,
    record::{self, Board, Ending, Record},
    script::Script,
    transport::Transport,
};
use crate::{tls::TestCertificates, wait::Wait};

/// How long a refusing server may take to send the rest of its body.
const BODY_DEADLINE: Duration = Duration::from_secs(2);

/// Builds a [`ScriptedClient`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    url: String,
    headers: Vec<(String, String)>,
    tls: Option<TestCertificates>,
    present_certificate: bool,
    foreign_certificate: Option<TestCertificates>,
    raw_request: Option<Vec<u8>>,
    receive_buffer: Option<u32>,
}

impl ClientBuilder {
    /// Adds a request header; it replaces one the request would have, `Host` or `Sec-WebSocket-Version` for example.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Offers subprotocols: one token, or several with commas between them.
    pub fn subprotocol(self, tokens: impl Into<String>) -> Self {
        self.header("Sec-WebSocket-Protocol", tokens)
    }

    /// Offers extensions, `permessage-deflate; client_max_window_bits` for example. An answer that names
    /// `permessage-deflate` lets messages be compressed, with its parameters; one that does not fit the offer fails the
    /// connection, unless there is a [`raw_request`](Self::raw_request).
    pub fn extensions(self, offer: impl Into<String>) -> Self {
        self.header(EXTENSIONS, offer)
    }

    /// Trusts the authority of these certificates, for a `wss://` URL.
    pub fn tls(mut self, certificates: TestCertificates) -> Self {
        self.tls = Some(certificates);
        self
    }

    /// Presents the client certificate of the [`tls`](Self::tls) certificates.
    pub fn client_certificate(mut self) -> Self {
        self.present_certificate = true;
        self
    }

    /// Presents the client certificate of these certificates, whoever signed it.
    pub fn client_certificate_of(mut self, certificates: TestCertificates) -> Self {
        self.foreign_certificate = Some(certificates);
        self
    }

    /// Sends these bytes instead of a handshake request, whatever they are; with none at all, the client is silent.
    pub fn raw_request(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_request = Some(bytes.into());
        self
    }

    /// The size of the kernel's receive buffer, bytes. A small one makes a client that does not read felt sooner.
    pub fn receive_buffer(mut self, bytes: u32) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// Connects. The wait fails when the server refuses.
    #[track_caller]
    pub fn connect(self) -> Wait<ScriptedClient> {
        let what = format!("a connection to {}", self.url);
        let connected = async move { self.open().await.map_err(|refused| refused.to_string()) };
        Wait::new(what, connected, String::new)
    }

    /// Connects, or says how the server refused.
    #[track_caller]
    pub fn attempt(self) -> Wait<Result<ScriptedClient, Refused>> {
        let what = format!("an answer from {}", self.url);
        Wait::new(what, async move { Ok(self.open().await) }, String::new)
    }

    async fn open(self) -> Result<ScriptedClient, Refused> {
        let place = Place::parse(&self.url).map_err(Refused::Failed)?;
        let tcp = self.dial(&place).await.map_err(|error| Refused::Failed(error.to_string()))?;
        let transport = self.secure(&place, tcp).await?;
        let server_certificate = transport.peer_certificate();
        let board = Board::channel();
        board.send_modify(|board| {
            board.record.connections = 1;
            board.record.open = 1;
        });
        let mut conversation = Conversation::new(Side::Client, 0, transport, board.clone());
        let answer = self.shake_hands(&place, &mut conversation).await?;
        conversation.open();
        let (commands, mut queue) = connection::play_queue();
        tokio::spawn(async move {
            connection::run_commands_past_the_end(&mut conversation, &mut queue).await;
            conversation.end(Ending::ByTest);
        });
        let subprotocol = answer.header("Sec-WebSocket-Protocol").map(str::to_owned);
        Ok(ScriptedClient { board, commands, subprotocol, extensions: answer.extensions(), server_certificate })
    }

    async fn dial(&self, place: &Place) -> std::io::Result<TcpStream> {
        let mut last = None;
        for address in lookup_host(&place.authority).await? {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            if let Some(bytes) = self.receive_buffer {
                socket.set_recv_buffer_size(bytes)?;
            }
            match socket.connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::Error::other("the name has no address")))
    }

    async fn secure(&self, place: &Place, tcp: TcpStream) -> Result<Transport, Refused> {
        if !place.tls {
            return Ok(Transport::Plain(tcp));
        }
        let certificates = self.tls.as_ref().ok_or_else(|| Refused::Failed("wss:// needs .tls(...)".to_owned()))?;
        let name = ServerName::try_from(place.host.clone()).map_err(|error| Refused::Failed(error.to_string()))?;
        let presented = self.foreign_certificate.as_ref().or(self.present_certificate.then_some(certificates));
        let stream = certificates.connector(presented).connect(name, tcp).await;
        let stream = stream.map_err(|error| Refused::Failed(error.to_string()))?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }

    /// Sends the request, and reads the answer and what it agrees upon.
    async fn shake_hands(&self, place: &Place, conversation: &mut Conversation) -> Result<HttpAnswer, Refused> {
        let (request, key) = handshake::request(&place.authority, &place.path, &self.headers);
        conversation.queue(self.raw_request.as_deref().unwrap_or(&request));
        let head = conversation.head().await.map_err(Refused::Ended)?;
        let mut answer = HttpAnswer::parse(&head).map_err(Refused::Failed)?;
        if answer.status != 101 {
            answer.body = body(&answer, conversation).await;
            return Err(Refused::Http(answer));
        }
        let extensions = answer.extensions().unwrap_or_default();
        let agreement = if self.raw_request.is_some() {
            Agreement::read(&extensions)
        } else {
            let offered = |name| handshake::joined(&self.headers, name);
            answer.check_switch(&key, offered("Sec-WebSocket-Protocol").as_deref()).map_err(Refused::Failed)?;
            Agreement::check(&extensions, &offered(EXTENSIONS).unwrap_or_default()).map_err(Refused::Failed)?
        };
        if let Some(agreement) = agreement {
            conversation.agree(agreement);
        }
        Ok(answer)
    }
}

/// Why a [`ScriptedClient`] did not get a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The server answered with something else than 101.
    Http(HttpAnswer),
    /// The server ended the connection before it answered.
    Ended(Ending),
    /// No TCP or TLS connection, or an answer that breaks RFC 6455.
    Failed(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(answer) => write!(f, "the server answered {}: {}", answer.status, answer.body),
            Self::Ended(ending) => ending.fmt(f),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

/// A WebSocket client that plays scripts. Between them it reads, records, and answers pings and closes.
///
/// The methods that return a [`Wait`] do nothing until it is awaited; a step that fails, fails the wait. Dropping the
/// client hangs up without a close frame.
#[derive(Clone)]
pub struct ScriptedClient {
    board: watch::Sender<Board>,
    commands: mpsc::Sender<Command>,
    subprotocol: Option<String>,
    extensions: Option<String>,
    server_certificate: Option<Vec<u8>>,
}

impl ScriptedClient {
    /// A builder for a client of this `ws://` or `wss://` URL.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            headers: Vec::new(),
            tls: None,
            present_certificate: false,
            foreign_certificate: None,
            raw_request: None,
            receive_buffer: None,
        }
    }

    /// Connects without further ado.
    #[track_caller]
    pub fn connect(url: impl Into<String>) -> Wait<Self> {
        Self::builder(url).connect()
    }

    /// The subprotocol the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The extensions of the server's answer, as one list; `None` without any.
    pub fn extensions(&self) -> Option<&str> {
        self.extensions.as_deref()
    }

    /// The certificate the server presented, DER; `None` without TLS.
    pub fn server_certificate(&self) -> Option<&[u8]> {
        self.server_certificate.as_deref()
    }

    /// Everything seen so far.
    pub fn record(&self) -> Record {
        self.board.borrow().record.clone()
    }

    /// Plays steps and waits for their end.
    #[track_caller]
    pub fn play(&self, script: Script) -> Wait<()> {
        let what = match script.steps.as_slice() {
            [only] => only.action.to_string(),
            steps => format!("{} steps", steps.len()),
        };
        let commands = self.commands.clone();
        record::progress(&self.board, what, async move { connection::play(&commands, script).await })
    }

    /// Sends a text message.
    #[track_caller]
    pub fn send_text(&self, text: impl Into<String>) -> Wait<()> {
        self.play(Script::new().send_text(text))
    }

    /// Sends a binary message.
    #[track_caller]
    pub fn send_binary(&self, bytes: impl Into<Vec<u8>>) -> Wait<()> {
        self.play(Script::new().send_binary(bytes.into()))
    }

    /// Sends a frame as it is; mask it with [`RawFrame::masked`] unless that is the point.
    #[track_caller]
    pub fn send_frame(&self, frame: RawFrame) -> Wait<()> {
        self.play(Script::new().send_frame(frame))
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&self, bytes: impl Into<Vec<u8>>) -> Wait<()> {
        self.play(Script::new().send_raw(bytes.into()))
    }

    /// Expects the next message to be this text.
    #[track_caller]
    pub fn expect_text(&self, text: impl Into<String>) -> Wait<()> {
        self.play(Script::new().expect_text(text))
    }

    /// Expects the server to close with this code.
    #[track_caller]
    pub fn expect_close(&self, code: u16) -> Wait<()> {
        self.play(Script::new().expect_close(code))
    }

    /// Closes and waits for the answer.
    #[track_caller]
    pub fn close(&self, code: u16, reason: impl Into<String>) -> Wait<()> {
        self.play(Script::new().close(code, reason))
    }

    /// Waits until this many messages have arrived and returns all of them.
    #[track_caller]
    pub fn wait_for_messages(&self, count: usize) -> Wait<Vec<Message>> {
        self.wait_for(format!("{count} messages"), move |record| {
            (record.messages.len() >= count).then(|| record.messages_of(0).cloned().collect())
        })
    }

    /// Waits for the connection's end and returns how it ended.
    #[track_caller]
    pub fn wait_for_end(&self) -> Wait<Ending> {
        self.wait_for("the end of the connection", |record| record.endings.first().map(|ended| ended.ending.clone()))
    }

    /// Waits until `look` finds something in the record; `what` names it when it does not.
    #[track_caller]
    pub fn wait_for<T: Send + 'static>(
        &self,
        what: impl Into<String>,
        look: impl FnMut(&Record) -> Option<T> + Send + 'static,
    ) -> Wait<T> {
        record::wait_for(&self.board, what, look)
    }
}

impl std::fmt::Debug for ScriptedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScriptedClient({})", self.board.borrow().record)
    }
}

/// The parts of a WebSocket URL.
struct Place {
    tls: bool,
    authority: String,
    host: String,
    path: String,
}

impl Place {
    fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url:?} is no URL"))?;
        let tls = match scheme {
            "ws" => false,
            "wss" => true,
            other => return Err(format!("the scheme is {other:?}, not ws or wss")),
        };
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (host, _) = authority.rsplit_once(':').ok_or_else(|| format!("{url:?} has no port"))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { tls, authority: authority.to_owned(), host: host.to_owned(), path })
    }
}

/// The body of a refusal: as long as it says it is, or until the server hangs up.
async fn body(answer: &HttpAnswer, conversation: &mut Conversation) -> String {
    let length = answer.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(usize::MAX);
    let complete = conversation.until(|this| (this.input.len() >= length).then_some(()));
    // Whatever came until the end of the connection or the deadline is the body.
    let _ = tokio::time::timeout(BODY_DEADLINE, complete).await;
    String::from_utf8_lossy(&conversation.input[..conversation.input.len().min(length)]).into_owned()
}
