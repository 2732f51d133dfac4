//! The four parameters of permessage-deflate (RFC 7692, section 7.1): read, written, and weighed against what we want.

use std::fmt;

use super::extensions::Extension;
use super::negotiation::{Negotiated, NegotiationError};
use super::{DeflateConfig, DirectionConfig, MAX_WINDOW_BITS, MIN_WINDOW_BITS};

/// The extension's name.
pub(super) const NAME: &str = "permessage-deflate";

/// Bytes of a peer's text that an error repeats.
const MAX_EXCERPT_BYTES: usize = 80;

/// Whose parameters they are: a client may leave the value of `client_max_window_bits` out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// The parameters of an offer or an answer; all may be left out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// With or without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// An `Err` has the text of the parameter that is not allowed.
    pub(super) fn parse(extension: &Extension<'_>, sender: Sender) -> Result<Self, String> {
        let mut parameters = Self::default();
        for (name, value) in &extension.parameters {
            parameters.set(name, value.as_deref(), sender).ok_or_else(|| match value {
                Some(value) => excerpt(format!("{name}={value}").as_bytes()),
                None => excerpt(name.as_bytes()),
            })?;
        }
        Ok(parameters)
    }

    fn set(&mut self, name: &str, value: Option<&str>, sender: Sender) -> Option<()> {
        let is_repeated = match (name, value) {
            ("server_no_context_takeover", None) => std::mem::replace(&mut self.server_no_context_takeover, true),
            ("client_no_context_takeover", None) => std::mem::replace(&mut self.client_no_context_takeover, true),
            ("server_max_window_bits", Some(bits)) => self.server_max_window_bits.replace(window_bits(bits)?).is_some(),
            ("client_max_window_bits", None) if sender == Sender::Client => {
                self.client_max_window_bits.replace(None).is_some()
            }
            ("client_max_window_bits", Some(bits)) => {
                self.client_max_window_bits.replace(Some(window_bits(bits)?)).is_some()
            }
            _ => return None,
        };
        (!is_repeated).then_some(())
    }

    pub(super) fn offered(config: &DeflateConfig) -> Self {
        let (send, receive) = (nearest(config.send.window_bits), nearest(config.receive.window_bits));
        Self {
            server_no_context_takeover: !config.receive.context_takeover,
            client_no_context_takeover: !config.send.context_takeover,
            server_max_window_bits: (receive < MAX_WINDOW_BITS).then_some(receive),
            client_max_window_bits: Some((send < MAX_WINDOW_BITS).then_some(send)),
        }
    }

    /// A server's answer to our offer, as the client sees it.
    pub(super) fn confirmed(&self, config: &DeflateConfig) -> Result<Negotiated, NegotiationError> {
        let offer = Self::offered(config);
        if offer.server_no_context_takeover && !self.server_no_context_takeover {
            return Err(NegotiationError::Ignored { parameter: "server_no_context_takeover" });
        }
        if offer.server_max_window_bits.is_some() && self.server_max_window_bits.is_none() {
            return Err(NegotiationError::Ignored { parameter: "server_max_window_bits" });
        }
        let not_in_offer = |name, bits| {
            Err(NegotiationError::NotInOffer { parameter: format!("{name}={bits}"), offer: offer.to_string() })
        };
        let server_bits = self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        if server_bits > offer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS) {
            return not_in_offer("server_max_window_bits", server_bits);
        }
        let send_bits = nearest(config.send.window_bits);
        let client_bits = self.client_max_window_bits.flatten();
        if let Some(bits) = client_bits.filter(|bits| *bits > send_bits) {
            return not_in_offer("client_max_window_bits", bits);
        }
        Ok(Negotiated {
            send: DirectionConfig {
                window_bits: client_bits.unwrap_or(send_bits),
                context_takeover: config.send.context_takeover && !self.client_no_context_takeover,
            },
            receive: DirectionConfig { window_bits: server_bits, context_takeover: !self.server_no_context_takeover },
        })
    }

    /// What a server agrees to when this is offered.
    pub(super) fn accepted(&self, config: &DeflateConfig) -> Negotiated {
        let send_bits = self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        // A client that does not offer the parameter may not be asked for a smaller window.
        let receive_bits = self
            .client_max_window_bits
            .map_or(MAX_WINDOW_BITS, |bits| bits.unwrap_or(MAX_WINDOW_BITS).min(nearest(config.receive.window_bits)));
        Negotiated {
            send: DirectionConfig {
                window_bits: send_bits.min(nearest(config.send.window_bits)),
                context_takeover: config.send.context_takeover && !self.server_no_context_takeover,
            },
            receive: DirectionConfig {
                window_bits: receive_bits,
                context_takeover: config.receive.context_takeover && !self.client_no_context_takeover,
            },
        }
    }

    /// The answer that makes `negotiated` of this offer.
    pub(super) fn answered(&self, negotiated: &Negotiated) -> Self {
        let Negotiated { send, receive } = negotiated;
        Self {
            server_no_context_takeover: !send.context_takeover,
            client_no_context_takeover: !receive.context_takeover,
            server_max_window_bits: (self.server_max_window_bits.is_some() || send.window_bits < MAX_WINDOW_BITS)
                .then_some(send.window_bits),
            client_max_window_bits: (receive.window_bits < MAX_WINDOW_BITS).then_some(Some(receive.window_bits)),
        }
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
            Some(None) => f.write_str("; client_max_window_bits"),
            None => Ok(()),
        }
    }
}

/// A decimal number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = !value.starts_with('0') && value.bytes().all(|byte| byte.is_ascii_digit());
    let bits = if is_plain { value.parse().ok()? } else { return None };
    (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&bits).then_some(bits)
}

fn nearest(window_bits: u8) -> u8 {
    window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS)
}

/// A peer's text, fit for an error.
pub(super) fn excerpt(text: &[u8]) -> String {
    let shown = &text[..text.len().min(MAX_EXCERPT_BYTES)];
    let dots = if shown.len() < text.len() { "..." } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
