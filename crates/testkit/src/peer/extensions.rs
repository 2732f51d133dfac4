//! The `Sec-WebSocket-Extensions` header (RFC 6455, section 9.1) as far as permessage-deflate needs it (RFC 7692,
//! section 7.1): what an answer agrees upon, and whether a server may give it.

use super::{
    deflate::{MAX_WINDOW_BITS, MIN_WINDOW_BITS},
    frames::Side,
};

/// The header's name.
pub(super) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

const PERMESSAGE_DEFLATE: &str = "permessage-deflate";
const CLIENT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_WINDOW: &str = "client_max_window_bits";
const SERVER_WINDOW: &str = "server_max_window_bits";

/// What was agreed upon for both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    client: Direction,
    server: Direction,
}

/// How one side compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) window_bits: u8,
    pub(super) context_takeover: bool,
}

impl Agreement {
    /// What the answer of a server says; `None` without permessage-deflate. Makes the best of a wrong one: a script may
    /// give any.
    pub(super) fn read(answer: &str) -> Option<Self> {
        let element = elements(answer).into_iter().find(|element| element.name == PERMESSAGE_DEFLATE)?;
        let direction = |takeover, window| Direction {
            window_bits: element.window(window).unwrap_or(MAX_WINDOW_BITS),
            context_takeover: !element.has(takeover),
        };
        Some(Self {
            client: direction(CLIENT_TAKEOVER, CLIENT_WINDOW),
            server: direction(SERVER_TAKEOVER, SERVER_WINDOW),
        })
    }

    /// Checks an answer against the offers, as a client has to, and reads it.
    pub(super) fn check(answer: &str, offered: &str) -> Result<Option<Self>, String> {
        let (answers, offers) = (elements(answer), elements(offered));
        for (index, element) in answers.iter().enumerate() {
            let of_name = |other: &&Element<'_>| other.name == element.name;
            if !offers.iter().any(|offer| of_name(&offer)) {
                return Err(format!("the 101 uses the extension {:?}, which was not offered", element.name));
            }
            if answers[..index].iter().any(|other| of_name(&other)) {
                return Err(format!("the 101 uses the extension {:?} twice", element.name));
            }
            if element.name == PERMESSAGE_DEFLATE {
                element.check_answer().map_err(|reason| format!("the 101 answers {answer:?}: {reason}"))?;
                if !offers.iter().filter(of_name).any(|offer| element.fits(offer)) {
                    return Err(format!("the 101 answers {answer:?}, which does not fit the offer {offered:?}"));
                }
            }
        }
        Ok(Self::read(answer))
    }

    /// How this side compresses what it sends.
    pub(super) fn sent_by(&self, side: Side) -> Direction {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

/// One extension of a header, with its parameters in order.
struct Element<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

impl Element<'_> {
    fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|(name, _)| *name == parameter)
    }

    /// The value of a parameter for a window, when it has a valid one.
    fn window(&self, parameter: &str) -> Option<u8> {
        let (_, value) = self.parameters.iter().find(|(name, _)| *name == parameter)?;
        window_bits((*value)?)
    }

    /// Whether the parameters are known, given once, and with the values an answer must give them.
    fn check_answer(&self) -> Result<(), String> {
        for (index, (name, value)) in self.parameters.iter().enumerate() {
            if self.parameters[..index].iter().any(|(other, _)| other == name) {
                return Err(format!("{name} stands there twice"));
            }
            let valid = match *name {
                CLIENT_TAKEOVER | SERVER_TAKEOVER => value.is_none(),
                CLIENT_WINDOW | SERVER_WINDOW => value.and_then(window_bits).is_some(),
                _ => return Err(format!("{name} is unknown")),
            };
            if !valid {
                return Err(format!("{name} has the value {value:?}"));
            }
        }
        Ok(())
    }

    /// Whether a server may give this answer to that offer.
    fn fits(&self, offer: &Self) -> bool {
        let takeover = self.has(SERVER_TAKEOVER) || !offer.has(SERVER_TAKEOVER);
        let window = |name| self.window(name).unwrap_or(MAX_WINDOW_BITS);
        let server = window(SERVER_WINDOW) <= offer.window(SERVER_WINDOW).unwrap_or(MAX_WINDOW_BITS);
        // A client that does not offer it does not understand it.
        let client = !self.has(CLIENT_WINDOW)
            || (offer.has(CLIENT_WINDOW)
                && window(CLIENT_WINDOW) <= offer.window(CLIENT_WINDOW).unwrap_or(MAX_WINDOW_BITS));
        takeover && server && client
    }
}

/// Extensions have only tokens as parameter values, so no comma or semicolon stands inside quotes.
fn elements(header: &str) -> Vec<Element<'_>> {
    let elements = header.split(',').map(str::trim).filter(|element| !element.is_empty());
    elements
        .map(|element| {
            let mut parts = element.split(';').map(str::trim);
            Element { name: parts.next().unwrap_or_default(), parameters: parts.map(parameter).collect() }
        })
        .collect()
}

fn parameter(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) => (name.trim_end(), Some(value.trim_start().trim_matches('"'))),
        None => (text, None),
    }
}

/// 8 to 15, without a leading zero.
fn window_bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(bits))?;
    (bits.to_string() == value).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_each_side_compresses() {
        let answer = "foo, permessage-deflate; server_no_context_takeover; client_max_window_bits=\"10\"";
        let agreement = Agreement::read(answer).unwrap();
        assert_eq!(agreement.sent_by(Side::Server), Direction { window_bits: 15, context_takeover: false });
        assert_eq!(agreement.sent_by(Side::Client), Direction { window_bits: 10, context_takeover: true });
        assert_eq!(Agreement::read("x-webkit-deflate-frame"), None);
        assert!(Agreement::read("permessage-deflate; server_max_window_bits=99; nonsense").is_some());
    }

    #[test]
    fn answers_that_fit_the_offer_are_taken() {
        for (offer, answer) in [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate", "permessage-deflate; client_no_context_takeover; server_max_window_bits=9"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=8"),
            ("permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits=12"),
            (
                "permessage-deflate; server_max_window_bits=10, permessage-deflate",
                "permessage-deflate; server_max_window_bits=15",
            ),
        ] {
            assert!(matches!(Agreement::check(answer, offer), Ok(Some(_))), "{offer} -> {answer}");
        }
        assert_eq!(Agreement::check("", "permessage-deflate"), Ok(None));
    }

    #[test]
    fn answers_that_no_server_may_give_are_refused_with_the_reason() {
        for (offer, answer, reason) in [
            ("", "permessage-deflate", "not offered"),
            ("permessage-deflate", "x-foo", "not offered"),
            ("permessage-deflate", "permessage-deflate, permessage-deflate", "twice"),
            ("permessage-deflate", "permessage-deflate; foo", "foo is unknown"),
            ("permessage-deflate", "permessage-deflate; server_max_window_bits=16", "has the value"),
            ("permessage-deflate", "permessage-deflate; server_max_window_bits=09", "has the value"),
            ("permessage-deflate", "permessage-deflate; server_max_window_bits", "has the value"),
            ("permessage-deflate", "permessage-deflate; client_no_context_takeover=1", "has the value"),
            (
                "permessage-deflate",
                "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                "there twice",
            ),
            ("permessage-deflate", "permessage-deflate; client_max_window_bits=10", "does not fit"),
            (
                "permessage-deflate; client_max_window_bits",
                "permessage-deflate; client_max_window_bits",
                "has the value",
            ),
            ("permessage-deflate; server_max_window_bits=10", "permessage-deflate", "does not fit"),
            ("permessage-deflate; server_no_context_takeover", "permessage-deflate", "does not fit"),
        ] {
            let refused = Agreement::check(answer, offer).unwrap_err();
            assert!(refused.contains(reason), "{offer} -> {answer}: {refused}");
        }
    }
}
