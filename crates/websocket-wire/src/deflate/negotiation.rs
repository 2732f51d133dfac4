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
mod tests {
    use super::*;

    const DEFAULT: DirectionConfig = DirectionConfig { window_bits: 15, context_takeover: true };

    fn direction(window_bits: u8, context_takeover: bool) -> DirectionConfig {
        DirectionConfig { window_bits, context_takeover }
    }

    fn config(send: DirectionConfig, receive: DirectionConfig) -> DeflateConfig {
        DeflateConfig { threshold_bytes: 0, level: 1, send, receive }
    }

    fn confirmed(config: &DeflateConfig, answer: &str) -> Result<Option<Negotiated>, NegotiationError> {
        confirm(Some(config), [answer.as_bytes()])
    }

    fn accepted(config: &DeflateConfig, offers: &str) -> Option<(String, Negotiated)> {
        accept(config, offers.split('|').map(str::as_bytes))
    }

    /// What both sides agree upon: the answer of a server, and how the client sees it.
    fn agree(client: &DeflateConfig, server: &DeflateConfig) -> (Negotiated, Negotiated) {
        let (answer, at_server) = accepted(server, &offer(client)).unwrap();
        (confirmed(client, &answer).unwrap().unwrap(), at_server)
    }

    #[test]
    fn the_examples_of_rfc_7692_section_7_1_3_are_answered_as_printed() {
        let server = config(DEFAULT, DEFAULT);
        let fallback = "permessage-deflate; client_max_window_bits; server_max_window_bits=10, \
                        permessage-deflate; client_max_window_bits";
        for (offers, answer, send_bits) in [
            ("permessage-deflate", "permessage-deflate", 15),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate", 15),
            (
                "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
                "permessage-deflate; server_max_window_bits=10",
                10,
            ),
            (fallback, "permessage-deflate; server_max_window_bits=10", 10),
        ] {
            let negotiated = Negotiated { send: direction(send_bits, true), receive: DEFAULT };
            assert_eq!(accepted(&server, offers), Some((answer.to_owned(), negotiated)), "{offers}");
        }
    }

    #[test]
    fn a_client_asks_for_what_its_configuration_wants() {
        for (send, receive, expected) in [
            (DEFAULT, DEFAULT, "permessage-deflate; client_max_window_bits"),
            (direction(12, true), DEFAULT, "permessage-deflate; client_max_window_bits=12"),
            (DEFAULT, direction(9, true), "permessage-deflate; server_max_window_bits=9; client_max_window_bits"),
            (direction(15, false), DEFAULT, "permessage-deflate; client_no_context_takeover; client_max_window_bits"),
            (
                direction(10, false),
                direction(11, false),
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
                 server_max_window_bits=11; client_max_window_bits=10",
            ),
            (direction(0, true), direction(255, true), "permessage-deflate; client_max_window_bits=8"),
        ] {
            assert_eq!(offer(&config(send, receive)), expected);
        }
    }

    #[test]
    fn a_server_tells_what_its_configuration_wants_and_what_the_client_demands() {
        let (small, forgetful) = (direction(12, true), direction(15, false));
        for (send, receive, offers, expected) in [
            (small, small, "permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
            (
                small,
                small,
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            ),
            (
                small,
                small,
                "permessage-deflate; client_max_window_bits=9; server_max_window_bits=8",
                "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9",
            ),
            (
                small,
                small,
                "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            ),
            (
                DEFAULT,
                DEFAULT,
                "permessage-deflate; client_max_window_bits=15; server_max_window_bits=15",
                "permessage-deflate; server_max_window_bits=15",
            ),
            (
                forgetful,
                forgetful,
                "permessage-deflate",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
            (
                DEFAULT,
                DEFAULT,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            ),
        ] {
            let (answer, _) = accepted(&config(send, receive), offers).unwrap();
            assert_eq!(answer, expected, "{offers}");
        }
    }

    #[test]
    fn the_first_offer_that_is_valid_wins_in_any_header() {
        let server = config(DEFAULT, DEFAULT);
        let answer = "permessage-deflate; server_max_window_bits=10";
        for offers in [
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "foo, permessage-bar; a=1|permessage-deflate; server_max_window_bits=\"10\"|permessage-deflate",
            "permessage-deflate; server_max_window_bits=\"1\\0\"",
            "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; foo=\"a,b\", permessage-deflate;server_max_window_bits = 10",
            ",, PERMESSAGE-DEFLATE|  |permessage-deflate ; server_max_window_bits=10 ,",
        ] {
            assert_eq!(accepted(&server, offers).map(|(answer, _)| answer).as_deref(), Some(answer), "{offers}");
        }
    }

    const INVALID: [&str; 16] = [
        "unknown",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"\"",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=0",
        "client_max_window_bits=256",
        "client_max_window_bits=10; client_max_window_bits",
        "Client_Max_Window_Bits=10",
    ];

    #[test]
    fn an_invalid_offer_is_passed_over() {
        let server = config(DEFAULT, DEFAULT);
        for parameters in INVALID {
            assert_eq!(accepted(&server, &format!("permessage-deflate; {parameters}")), None, "{parameters}");
        }
        for offers in
            ["", "permessage-deflate;", "permessage deflate", "x-webkit-deflate-frame", "permessage-deflate; =1"]
        {
            assert_eq!(accepted(&server, offers), None, "{offers}");
        }
    }

    #[test]
    fn a_client_refuses_an_invalid_answer() {
        let client = config(DEFAULT, DEFAULT);
        for parameters in INVALID.into_iter().chain(["client_max_window_bits"]) {
            let error = confirmed(&client, &format!("permessage-deflate; {parameters}")).unwrap_err();
            let is_expected =
                matches!(error, NegotiationError::InvalidParameter { .. } | NegotiationError::Malformed { .. });
            assert!(is_expected, "{parameters}: {error:?}");
        }
    }

    #[test]
    fn a_client_refuses_what_it_did_not_offer() {
        let plain = config(DEFAULT, DEFAULT);
        let small = config(direction(12, true), direction(12, false));
        let valid = "server_no_context_takeover; server_max_window_bits=12";
        for (client, answer, expected) in [
            (&plain, "foo".to_owned(), "the server chose the extension `foo`, which was not offered"),
            (&plain, "PerMessage-Deflate".to_owned(), "the server chose the extension `PerMessage-Deflate`"),
            (&plain, "permessage-deflate, permessage-deflate".to_owned(), "more than once"),
            (&plain, "permessage-deflate, foo".to_owned(), "`foo`"),
            (&plain, "permessage-deflate; a=\"".to_owned(), "`permessage-deflate; a=\\\"`, which RFC 6455 section 9.1"),
            (&plain, "\x07\x1b[31m".to_owned(), "`\\x07\\x1b[31m`"),
            (&plain, "a ".repeat(100), "..."),
            (&small, "permessage-deflate".to_owned(), "without `server_no_context_takeover`"),
            (&small, "permessage-deflate; server_no_context_takeover".to_owned(), "without `server_max_window_bits`"),
            (
                &small,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=13".to_owned(),
                "`server_max_window_bits=13`, but the offer was `permessage-deflate; server_no",
            ),
            (
                &small,
                format!("permessage-deflate; {valid}; client_max_window_bits=13"),
                "`client_max_window_bits=13`, but the offer was",
            ),
        ] {
            let text = confirmed(client, &answer).unwrap_err().to_string();
            assert!(text.contains(expected), "{answer}: {text}");
        }
        let unasked = confirm(None, [&b"permessage-deflate"[..]]).unwrap_err();
        assert_eq!(unasked, NegotiationError::NotOffered { name: NAME.to_owned() });
    }

    #[test]
    fn a_server_may_do_without_compression() {
        let client = config(DEFAULT, DEFAULT);
        for answers in [&[][..], &[&b""[..]], &[b" , ", b""]] {
            assert_eq!(confirm(Some(&client), answers.iter().copied()), Ok(None));
            assert_eq!(confirm(None, answers.iter().copied()), Ok(None));
        }
    }

    #[test]
    fn a_client_uses_no_more_than_the_server_allows() {
        let client = config(direction(13, true), DEFAULT);
        for (parameters, send, receive) in [
            ("", direction(13, true), DEFAULT),
            ("; client_max_window_bits=13", direction(13, true), DEFAULT),
            ("; client_max_window_bits=8", direction(8, true), DEFAULT),
            ("; client_no_context_takeover", direction(13, false), DEFAULT),
            ("; server_no_context_takeover; server_max_window_bits=9", direction(13, true), direction(9, false)),
        ] {
            let negotiated = confirmed(&client, &format!("permessage-deflate{parameters}"));
            assert_eq!(negotiated, Ok(Some(Negotiated { send, receive })), "{parameters}");
        }
    }

    #[test]
    fn both_sides_agree_whatever_they_are_configured_for() {
        let directions = [8, 9, 12, 15].map(|bits| [true, false].map(|takeover| direction(bits, takeover))).concat();
        let configs: Vec<_> =
            directions.iter().flat_map(|send| directions.iter().map(|receive| config(*send, *receive))).collect();
        for client in &configs {
            for server in &configs {
                let (at_client, at_server) = agree(client, server);
                assert_eq!((at_client.send, at_client.receive), (at_server.receive, at_server.send));
                for (agreed, wanted) in [
                    (at_client.send, client.send),
                    (at_client.send, server.receive),
                    (at_server.send, server.send),
                    (at_server.send, client.receive),
                ] {
                    assert!(agreed.window_bits <= wanted.window_bits, "{agreed:?} for {wanted:?}");
                    assert!(!agreed.context_takeover || wanted.context_takeover, "{agreed:?} for {wanted:?}");
                }
            }
        }
    }

    #[test]
    fn only_context_takeover_costs_a_connection_memory() {
        let memory = |send, receive| Negotiated { send, receive }.memory_bytes();
        assert_eq!(memory(DEFAULT, DEFAULT), (288 + 47) * 1024);
        assert_eq!(memory(direction(12, true), direction(12, true)), (176 + 47) * 1024);
        assert_eq!(memory(direction(8, true), direction(12, false)), 0);
        assert_eq!(memory(direction(15, false), DEFAULT), 47 * 1024);
    }
}
