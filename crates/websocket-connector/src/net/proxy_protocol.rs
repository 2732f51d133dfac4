//! The PROXY protocol of HAProxy, versions 1 and 2, at the receiving end: a header in front of everything else that tells
//! for whom a proxy connected (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! Whoever connects could write such a header: only one that comes from a [trusted address](super::forwarded) may be
//! read. What a header says besides the client's address (TLS, names, a checksum) is not looked at.

use std::io;
use std::net::SocketAddr;

use eventflux_core::{EventFluxError, Properties};
use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::forwarded::TrustedProxies;
use super::properties::{PROXY_PROTOCOL, TRUSTED_PROXIES};

/// Longest header of version 1, bytes, its line break included (section 2.1).
const MAX_V1_BYTES: usize = 107;

/// Longest header of version 2, bytes: addresses and extensions. The protocol would allow 65,551; senders are told to
/// fit into the smallest TCP segment, 536 bytes.
const MAX_V2_BYTES: usize = V2_HEAD_BYTES + 536;

/// How a header of version 2 begins.
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, and how many bytes follow.
const V2_HEAD_BYTES: usize = 16;

/// The version and command of a connection that the proxy made for itself, a health check for example.
const V2_LOCAL: u8 = 0x20;

/// How a header of version 1 begins.
const V1_PREFIX: &[u8] = b"PROXY ";

/// Why the client behind a proxy is not known. The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    /// The connection does not begin with a header.
    #[error("there is no PROXY protocol header")]
    Missing,
    /// There is one that breaks the rules.
    #[error("the PROXY protocol header is malformed")]
    Malformed,
    /// It is longer than we read.
    #[error("the PROXY protocol header has {0} bytes, more than {MAX_V2_BYTES}")]
    TooLong(usize),
    /// The connection broke or ended.
    #[error("the PROXY protocol header did not come: {0}")]
    Io(#[from] io::Error),
}

/// Whether connections from trusted proxies begin with a header.
///
/// # Errors
/// When they do and no proxy is trusted.
pub(crate) fn from_properties(properties: &Properties, trusted: &TrustedProxies) -> Result<bool, EventFluxError> {
    let expected = properties.flag(PROXY_PROTOCOL.key)?;
    if expected && trusted.is_empty() {
        let error =
            EventFluxError::property(PROXY_PROTOCOL.key, format!("has no effect without {}", TRUSTED_PROXIES.key));
        return Err(error.with_hint("name the addresses of the proxies there: headers of others are not believed"));
    }
    Ok(expected)
}

/// Reads the header and nothing behind it, and returns the client's address: `peer` (the proxy's) when the proxy made
/// the connection for itself or does not tell for whom. Has no deadline of its own.
///
/// # Errors
/// When there is no good header.
pub(crate) async fn client_address(tcp: &mut TcpStream, peer: SocketAddr) -> Result<SocketAddr, ProxyHeaderError> {
    let mut header = [0; MAX_V2_BYTES];
    let length = read_header(tcp, &mut header).await?;
    parse(&header[..length]).map(|client| client.unwrap_or(peer))
}

/// Reads a header as far as its length goes, and returns that.
async fn read_header(tcp: &mut TcpStream, header: &mut [u8; MAX_V2_BYTES]) -> Result<usize, ProxyHeaderError> {
    // No header is shorter than this, so nothing behind one is read.
    let start = V2_SIGNATURE.len();
    read_start(tcp, &mut header[..start]).await?;
    if header.starts_with(V2_SIGNATURE) {
        tcp.read_exact(&mut header[start..V2_HEAD_BYTES]).await?;
        let length = V2_HEAD_BYTES + usize::from(u16::from_be_bytes([header[14], header[15]]));
        let rest = header.get_mut(V2_HEAD_BYTES..length).ok_or(ProxyHeaderError::TooLong(length))?;
        tcp.read_exact(rest).await?;
        return Ok(length);
    }
    let mut length = start;
    while header[length - 1] != b'\n' {
        if length == MAX_V1_BYTES {
            return Err(ProxyHeaderError::Malformed);
        }
        // Peeked at first: what follows the line break is not ours.
        let peeked = match tcp.peek(&mut header[length..MAX_V1_BYTES]).await? {
            0 => return Err(ended()),
            peeked => peeked,
        };
        let line_break = header[length..length + peeked].iter().position(|byte| *byte == b'\n');
        let taken = line_break.map_or(peeked, |index| index + 1);
        tcp.read_exact(&mut header[length..length + taken]).await?;
        length += taken;
    }
    Ok(length)
}

/// Reads what every header has, or finds out as early as possible that there is none.
async fn read_start(tcp: &mut TcpStream, start: &mut [u8]) -> Result<(), ProxyHeaderError> {
    let mut length = 0;
    while length < start.len() {
        match tcp.read(&mut start[length..]).await? {
            0 => return Err(ended()),
            read => length += read,
        }
        let common = |expected: &[u8]| expected.iter().zip(&start[..length]).all(|(one, other)| one == other);
        if !common(V2_SIGNATURE) && !common(V1_PREFIX) {
            return Err(ProxyHeaderError::Missing);
        }
    }
    Ok(())
}

fn ended() -> ProxyHeaderError {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// The client's address in a complete header; `None` when it tells none.
fn parse(header: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    if header.starts_with(V2_SIGNATURE) && header.get(V2_SIGNATURE.len()) == Some(&V2_LOCAL) {
        // The rest is to be ignored, whatever it is (section 2.2).
        return Ok(None);
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let (parsed, length) = ProxyHeader::parse(header, config).map_err(|_| ProxyHeaderError::Malformed)?;
    match parsed.proxied_address() {
        _ if length != header.len() => Err(ProxyHeaderError::Malformed),
        // A WebSocket does not come by UDP.
        Some(address) if address.protocol != Protocol::Stream => Err(ProxyHeaderError::Malformed),
        Some(address) => Ok(Some(address.source)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
