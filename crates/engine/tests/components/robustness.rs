//! No text is too odd to be read or refused.

use eventflux_engine::{EventFlux, SourceFile};
use proptest::prelude::*;

use crate::stand_in::{context, input};
use crate::support::World;

/// Pieces of component files, so that random text comes near to one.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"components\"",
            "\"type\"",
            "\"input\"",
            "\"name\"",
            "\"udp\"",
            "\"json_filter\"",
            "\"processor\"",
            "\"config\"",
            "\"ports\"",
            "\"outputs\"",
            "\"inputs\"",
            "\"subject\"",
            "\"s\"",
            "\"criteria\"",
            "\"path\"",
            "\"$.a\"",
            "\"operator\"",
            "\">\"",
            "\"value\"",
            "50",
            "-1e9",
            "true",
            "null",
            "\"enabled\"",
            "\"nats\"",
            "\"websocket_input\"",
            "\"mode\"",
            "\"client\"",
            "\"server\"",
            "\"url\"",
            "\"ws://a/\"",
            "\"auth\"",
            "\"\\u00e9\"",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,4}",
        "[\\x00-\\x20\"\\\\é𝄞]{0,3}",
    ]
}

/// A sound file in which parts were replaced.
fn damaged() -> impl Strategy<Value = String> {
    let sound = input(
        r#""mode": "client", "client": {"url": "ws://a/"}, "auth": {"type": "basic", "basic_auth": {"username_env": "A", "password_env": "B"}},"#,
    );
    prop::collection::vec((any::<prop::sample::Index>(), piece()), 1..6).prop_map(move |changes| {
        let mut text: Vec<char> = sound.chars().collect();
        for (index, piece) in changes {
            let at = index.index(text.len());
            let end = (at + piece.chars().count()).min(text.len());
            text.splice(at..end, piece.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        let file = SourceFile::new("f.json", pieces.concat());
        let planned = EventFlux::from_file(file, &[], &context(&World::new()));
        if let Err(mistakes) = planned {
            prop_assert!(!mistakes.to_string().is_empty());
        }
    }

    #[test]
    fn no_damage_makes_reading_panic(text in damaged()) {
        let file = SourceFile::new("f.json", text);
        if let Err(mistakes) = EventFlux::from_file(file, &[], &context(&World::new())) {
            prop_assert!(mistakes.to_string().contains("f.json"));
        }
    }
}
