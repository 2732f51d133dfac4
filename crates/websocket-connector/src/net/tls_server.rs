//! TLS for a listener: TLS 1.2 or later, with client certificates where wanted, and new certificates without a restart.
//!
//! OpenSSL does it on every system, because native-tls cannot ask a client for its certificate. What sessions are like is
//! in [`super::tls_context`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use eventflux_core::{EventFluxError, Properties};
use openssl::ssl::{Ssl, SslContext, SslVerifyMode};
use openssl::x509::X509VerifyResult;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{timeout, timeout_at};
use tokio_openssl::SslStream;

use super::pem::{IdentityFiles, PemFile, Stamp, reasons};
use super::properties::{TLS_CERT, TLS_CLIENT_AUTH, TLS_CLIENT_CA};
use super::stream::ByteStream;
use super::tls_context::{common_name, server_context, warn_of_dates};
use super::tls_failure::{Cause, cause};

/// How often the files are looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a client whose certificate was refused may take to hang up, and how much it may send until then.
const LINGER: Duration = Duration::from_secs(1);
const MAX_LINGER_BYTES: u64 = 64 << 10;

/// Who a listener is, and whom it asks to prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsServerConfig {
    identity: IdentityFiles,
    clients: ClientCertificates,
}

/// What a listener wants of its clients. Certificates count when an authority in the file signed them for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ClientCertificates {
    /// No certificate.
    Ignored,
    /// None or a good one.
    Requested(PemFile),
    /// A good one.
    Required(PemFile),
}

/// Makes TLS sessions over accepted connections, always with the newest good files.
#[derive(Debug)]
pub(crate) struct Acceptor {
    config: TlsServerConfig,
    look_interval: Duration,
    context: Mutex<SslContext>,
    /// Held while the files are looked at.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    stamps: Vec<Stamp>,
    at: Instant,
}

/// Why an accepted connection has no TLS session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AcceptError {
    /// The deadline passed.
    #[error("no TLS handshake came in time")]
    Late,
    /// What the client sent is not TLS.
    #[error("the client does not speak TLS: {0}")]
    NotTls(String),
    /// The client's certificate is missing, expired, or signed by somebody else.
    #[error("the client's certificate is not accepted: {0}")]
    ClientCertificate(String),
    /// The client does not trust us.
    #[error("the client does not accept our certificate: {0}")]
    ServerCertificate(String),
    /// The client went away.
    #[error("the client went away: {0}")]
    Gone(String),
    /// Something else: no common version or cipher, bad records.
    #[error("{0}")]
    Other(String),
}

impl TlsServerConfig {
    /// `None` when the listener has no certificate: then it speaks no TLS.
    ///
    /// # Errors
    /// When certificate and key are not both given, or something about clients is given that has no effect.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Option<Self>, EventFluxError> {
        let (ca, auth) = (TLS_CLIENT_CA.key, TLS_CLIENT_AUTH.key);
        let Some(identity) = IdentityFiles::from_properties(properties)? else {
            return match [ca, auth].into_iter().find(|key| properties.is_given(key)) {
                Some(key) => {
                    let error = EventFluxError::property(key, format!("has no effect without {}", TLS_CERT.key));
                    Err(error.with_hint("remove it, or give the listener a certificate"))
                }
                None => Ok(None),
            };
        };
        let mode = properties.text(auth)?;
        let clients = match (mode, PemFile::from_properties(properties, ca)) {
            ("request", Some(file)) => ClientCertificates::Requested(file),
            ("require", Some(file)) => ClientCertificates::Required(file),
            ("request" | "require", None) => {
                return Err(EventFluxError::property(ca, format!("is needed with {auth}='{mode}'")));
            }
            (_, Some(_)) => {
                let error = EventFluxError::property(ca, format!("has no effect with {auth}='none'"));
                return Err(error.with_hint(format!("remove it, or set {auth}='require'")));
            }
            (_, None) => ClientCertificates::Ignored,
        };
        Ok(Some(Self { identity, clients }))
    }

    /// Reads the files.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names property, file and reason.
    pub(crate) fn acceptor(&self) -> Result<Arc<Acceptor>, EventFluxError> {
        self.acceptor_that_looks_every(LOOK_INTERVAL)
    }

    fn acceptor_that_looks_every(&self, look_interval: Duration) -> Result<Arc<Acceptor>, EventFluxError> {
        let seen = Seen { stamps: self.stamps(), at: Instant::now() };
        let context = Mutex::new(self.context()?);
        Ok(Arc::new(Acceptor { config: self.clone(), look_interval, context, seen: Mutex::new(seen) }))
    }

    fn stamps(&self) -> Vec<Stamp> {
        let files = [&self.identity.certificate, &self.identity.key];
        files.into_iter().chain(self.clients.file()).map(PemFile::stamp).collect()
    }

    fn context(&self) -> Result<SslContext, EventFluxError> {
        let identity = self.identity.read()?;
        warn_of_dates(self.identity.certificate.path(), &identity.chain);
        let authorities = self.clients.file().map(PemFile::certificates).transpose()?;
        // The key has been found to fit, so what is left is what OpenSSL finds too weak.
        server_context(&identity, authorities.as_deref().map(|authorities| (authorities, self.clients.mode())))
            .map_err(|error| self.identity.certificate.error(&format!("cannot be used: {}", reasons(&error))))
    }
}

impl ClientCertificates {
    fn file(&self) -> Option<&PemFile> {
        match self {
            Self::Ignored => None,
            Self::Requested(file) | Self::Required(file) => Some(file),
        }
    }

    fn mode(&self) -> SslVerifyMode {
        match self {
            Self::Ignored => SslVerifyMode::NONE,
            Self::Requested(_) => SslVerifyMode::PEER,
            Self::Required(_) => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        }
    }
}

impl Acceptor {
    /// Shakes hands with a client. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// Why there is no session; the connection is closed then.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        tcp: TcpStream,
        deadline: tokio::time::Instant,
    ) -> Result<ByteStream, AcceptError> {
        match timeout_at(deadline, self.handshake(tcp)).await {
            Ok(Ok(stream)) => Ok(ByteStream::TlsServer(Box::new(stream))),
            Ok(Err((error, refused))) => {
                if let Some(refused) = refused {
                    let _ = timeout_at(deadline, timeout(LINGER, let_alert_arrive(refused))).await;
                }
                Err(error)
            }
            Err(_) => Err(AcceptError::Late),
        }
    }

    /// With the error comes the connection of a client whose certificate was refused.
    async fn handshake(
        self: &Arc<Self>,
        tcp: TcpStream,
    ) -> Result<SslStream<TcpStream>, (AcceptError, Option<SslStream<TcpStream>>)> {
        self.look_at_files().await;
        let stream = Ssl::new(&self.context()).and_then(|ssl| SslStream::new(ssl, tcp));
        let mut stream = stream.map_err(|error| (AcceptError::Other(reasons(&error)), None))?;
        match Pin::new(&mut stream).accept().await {
            Ok(()) => Ok(stream),
            Err(error) => {
                let error = AcceptError::new(&error, stream.ssl().verify_result());
                let refused = matches!(error, AcceptError::ClientCertificate(_)).then_some(stream);
                Err((error, refused))
            }
        }
    }

    /// Looks whether the files have changed, when that is due. Only the caller that looks waits for it.
    async fn look_at_files(self: &Arc<Self>) {
        let due = match self.seen.try_lock() {
            Ok(seen) => seen.at.elapsed() >= self.look_interval,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().at.elapsed() >= self.look_interval,
            Err(TryLockError::WouldBlock) => false,
        };
        if due {
            let this = Arc::clone(self);
            // A disk may be slow, and this thread serves connections. When it panics, the old context stays.
            let _ = spawn_blocking(move || this.reload_if_changed()).await;
        }
    }

    fn reload_if_changed(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < self.look_interval {
            return;
        }
        let stamps = self.config.stamps();
        if stamps != seen.stamps {
            seen.stamps = stamps;
            let certificate = self.config.identity.certificate.path();
            match self.config.context() {
                Ok(context) => {
                    *self.lock() = context;
                    log::info!("'{certificate}': the changed TLS files are in use for new connections");
                }
                Err(error) => log::error!("the changed TLS files are not used, the old ones stay in use: {error}"),
            }
        }
        seen.at = Instant::now();
    }

    fn context(&self) -> SslContext {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, SslContext> {
        self.context.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AcceptError {
    fn new(error: &openssl::ssl::Error, verified: X509VerifyResult) -> Self {
        let Some(stack) = error.ssl_error().filter(|stack| !stack.errors().is_empty()) else {
            return Self::Gone(error.to_string());
        };
        let reason = reasons(stack);
        match cause(stack) {
            Cause::PeerCertificate if verified == X509VerifyResult::OK => Self::ClientCertificate(reason),
            Cause::PeerCertificate => Self::ClientCertificate(format!("{reason} ({verified})")),
            Cause::OwnCertificate => Self::ServerCertificate(reason),
            Cause::NotTls => Self::NotTls(reason),
            Cause::Gone => Self::Gone(reason),
            Cause::Other => Self::Other(reason),
        }
    }
}

/// Waits until the client has hung up. With TLS 1.3 it may have begun to send before it could know that its certificate
/// is refused; bytes of it that nobody reads would make our close a reset, which can overtake the alert that says why.
async fn let_alert_arrive(mut stream: SslStream<TcpStream>) {
    let tcp = stream.get_mut();
    let _ = tcp.shutdown().await;
    let _ = copy(&mut tcp.take(MAX_LINGER_BYTES), &mut sink()).await;
}

/// The common name (CN) in the subject of the certificate that the client of this stream has proven to own, safe to log.
/// `None` without TLS, without a certificate and without a common name.
pub(crate) fn client_name(stream: &ByteStream) -> Option<String> {
    let ByteStream::TlsServer(stream) = stream else {
        return None;
    };
    let certificate = stream.ssl().peer_certificate()?;
    common_name(&certificate)
}

#[cfg(test)]
mod tests;
