//! Tables of what is offered, answered and refused.

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
    for offers in ["", "permessage-deflate;", "permessage deflate", "x-webkit-deflate-frame", "permessage-deflate; =1"]
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
