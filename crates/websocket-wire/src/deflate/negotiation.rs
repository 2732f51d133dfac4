//! Agreeing upon permessage-deflate and its four parameters (RFC 7692, section 7.1): header values in, header values and
//! a [`Negotiated`] out.
//!
//! Names are compared as they are: neither RFC makes them case-insensitive.

use thiserror::Error;

use super::extensions::extensions;
use super::parameters::{NAME, Parameters, Sender, excerpt};
use super::{Compressor, Decompressor, DeflateConfig, DirectionConfig, MIN_COMPRESSOR_WINDOW_BITS};

/// What both sides agreed upon, as our side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// What we compress with, at most.
    pub send: DirectionConfig,
    /// What the peer compresses with, at most.
    pub receive: DirectionConfig,
}

impl Negotiated {
    /// The memory that one connection's contexts cost at most, in bytes, once a message was compressed in either
    /// direction: for each with context takeover, what [`Compressor::memory_bytes`] and [`Decompressor::MEMORY_BYTES`]
    /// say; for others nothing.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        let compresses = self.send.window_bits >= MIN_COMPRESSOR_WINDOW_BITS;
        let send =
            if self.send.context_takeover && compresses { Compressor::memory_bytes(self.send.window_bits) } else { 0 };
        let receive = if self.receive.context_takeover { Decompressor::MEMORY_BYTES } else { 0 };
        send + receive
    }
}

/// A server's answer that the client cannot go on with (RFC 7692 section 7, RFC 6455 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NegotiationError {
    /// The header breaks the grammar.
    #[error("the server's Sec-WebSocket-Extensions has `{text}`, which RFC 6455 section 9.1 does not allow")]
    Malformed {
        /// What breaks it.
        text: String,
    },
    /// An extension that was not in the offer.
    #[error("the server chose the extension `{name}`, which was not offered")]
    NotOffered {
        /// The extension.
        name: String,
    },
    /// The extension is there more than once.
    #[error("the server chose permessage-deflate more than once")]
    Repeated,
    /// A parameter that RFC 7692 does not have for a server, a value it does not allow, or a parameter given twice.
    #[error(
        "the server answered permessage-deflate with `{parameter}`, which is unknown, repeated, or has a value that RFC 7692 section 7.1 does not allow"
    )]
    InvalidParameter {
        /// The parameter and its value.
        parameter: String,
    },
    /// A parameter with a larger window than the offer allows.
    #[error("the server answered permessage-deflate with `{parameter}`, but the offer was `{offer}`")]
    NotInOffer {
        /// The parameter and its value.
        parameter: String,
        /// All that was offered.
        offer: String,
    },
    /// A parameter that the offer demands is missing.
    #[error(
        "the server took permessage-deflate without `{parameter}`; do not ask for it, or switch compression off for this server"
    )]
    Ignored {
        /// The parameter and its value.
        parameter: &'static str,
    },
}

/// The client's `Sec-WebSocket-Extensions`. Windows outside 8 to 15 bits count as the nearest, here as in [`accept`] and
/// [`confirm`].
#[must_use]
pub fn offer(config: &DeflateConfig) -> String {
    Parameters::offered(config).to_string()
}

/// What the server's `Sec-WebSocket-Extensions` headers, if any, make of our offer: the one of [`offer`] with the same
/// `config`, or none. `None` when the server does without compression.
///
/// # Errors
/// The client has to fail the connection: the server chose something that was not offered, or in a way that RFC 7692
/// does not allow.
pub fn confirm<'a>(
    config: Option<&DeflateConfig>,
    answers: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Option<Negotiated>, NegotiationError> {
    let mut negotiated = None;
    for answer in answers.into_iter().flat_map(extensions) {
        let answer = answer.map_err(|text| NegotiationError::Malformed { text: excerpt(text) })?;
        let Some(config) = config.filter(|_| answer.name == NAME) else {
            return Err(NegotiationError::NotOffered { name: excerpt(answer.name.as_bytes()) });
        };
        if negotiated.is_some() {
            return Err(NegotiationError::Repeated);
        }
        let answer = Parameters::parse(&answer, Sender::Server)
            .map_err(|parameter| NegotiationError::InvalidParameter { parameter })?;
        negotiated = Some(answer.confirmed(config)?);
    }
    Ok(negotiated)
}

/// The server's choice among all that the client's `Sec-WebSocket-Extensions` headers offer: its own header, and what is
/// agreed upon with it. The first offer that is valid wins.
///
/// `None` when there is no such offer. Other extensions, and whatever breaks the grammar or RFC 7692, are passed over: a
/// client can do without compression.
pub fn accept<'a>(config: &DeflateConfig, offers: impl IntoIterator<Item = &'a [u8]>) -> Option<(String, Negotiated)> {
    let offers = offers.into_iter().flat_map(extensions).flatten().filter(|offer| offer.name == NAME);
    let offer = offers.filter_map(|offer| Parameters::parse(&offer, Sender::Client).ok()).next()?;
    let negotiated = offer.accepted(config);
    Some((offer.answered(&negotiated).to_string(), negotiated))
}

#[cfg(test)]
mod tests;
