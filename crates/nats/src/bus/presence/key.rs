//! Keys of the bucket: what is said to be present, and by whom.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longest thing that can be present, in bytes: with what is around it, it fits a subject.
pub(super) const MAX_KEY_BYTES: usize = 1024;

/// In front of the encoded part, so that it is never empty.
const MARK: &str = "k";

/// The key for `key`, said by `instance`.
pub(super) fn encode(key: &str, instance: &str) -> String {
    format!("{MARK}{}.{instance}", URL_SAFE_NO_PAD.encode(key))
}

/// What a key says; `None` for one that is none of ours.
pub(super) fn decode(text: &str) -> Option<(String, String)> {
    let (key, instance) = text.strip_prefix(MARK)?.split_once('.')?;
    let key = String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?;
    (!instance.is_empty()).then(|| (key, instance.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_others_are_none() {
        for text in ["", "k", "kYQ", "kYQ.", "xYQ.i", "k*.i", "k_w.i"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("k.i"), Some((String::new(), "i".to_owned())));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_and_is_a_subject(key in ".{0,40}", instance in "[0-9a-f]{1,32}") {
            let text = encode(&key, &instance);
            prop_assert!(text.split('.').all(|token| !token.is_empty()) && text.is_ascii());
            prop_assert!(!text.contains([' ', '*', '>']));
            prop_assert_eq!(decode(&text), Some((key, instance)));
        }
    }
}
