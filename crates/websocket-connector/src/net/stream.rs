//! The byte stream of one connection, client's or listener's: TCP, or TLS over TCP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls_client::TlsError;

/// TCP, or TLS over TCP.
///
/// A TLS write that is pending has begun a record: the next write must start with the same bytes and not be shorter.
#[derive(Debug)]
pub(crate) enum ByteStream {
    /// `ws://`, either end.
    Plain(TcpStream),
    /// `wss://`, the end that connected.
    TlsClient(Box<tokio_native_tls::TlsStream<TcpStream>>),
    /// `wss://`, the end that listens.
    TlsServer(Box<tokio_openssl::SslStream<TcpStream>>),
}

impl ByteStream {
    /// The TCP connection underneath, for its options. What is read or written there directly breaks TLS.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::TlsClient(stream) => stream.get_ref().get_ref().get_ref(),
            Self::TlsServer(stream) => stream.get_ref(),
        }
    }
}

impl AsyncRead for ByteStream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::TlsClient(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf).map_err(TlsError::explain),
            Self::TlsServer(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ByteStream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::TlsClient(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Self::TlsServer(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::TlsClient(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
            Self::TlsServer(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::TlsClient(stream) => stream.is_write_vectored(),
            Self::TlsServer(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsClient(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Self::TlsServer(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// Ends our direction, with a `close_notify` where there is TLS and a FIN in any case; we can still read.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsClient(stream) => {
                ready!(Pin::new(stream.as_mut()).poll_shutdown(cx))?;
                // Unlike the other two, this one leaves TCP as it is.
                Pin::new(stream.get_mut().get_mut().get_mut()).poll_shutdown(cx)
            }
            Self::TlsServer(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
