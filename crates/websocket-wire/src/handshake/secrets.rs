//! What a request kept secret, taken out of what the peer says: servers echo tokens in their error messages.

use std::collections::HashSet;

use eventflux_core::Secret;
use url::{Url, form_urlencoded};

use super::client::ClientRequest;

/// This many letters and digits of a secret in a row are too many to show.
const FRAGMENT_BYTES: usize = 4;

/// What stands for a word with a part of a secret in it.
const MASK: &str = "***";

/// The secrets of a request, cut into fragments: a peer may quote a part of one, or escape what is between its letters.
///
/// A word is a run of letters and digits; it is masked when [`FRAGMENT_BYTES`] of it in a row are also in a secret, in
/// any case. Of secret words shorter than that, only the same word is masked. Rather a harmless word too many than one
/// secret too few.
pub(super) struct Secrets {
    fragments: HashSet<Vec<u8>>,
    short_words: HashSet<Vec<u8>>,
}

impl Secrets {
    pub(super) fn of(request: &ClientRequest<'_>) -> Self {
        let mut secrets = Self { fragments: HashSet::new(), short_words: HashSet::new() };
        secrets.add_url(request.url);
        for (name, value) in request.headers {
            secrets.add_header(name, value);
        }
        secrets
    }

    /// `text` with a mask for each word that has to do with a secret.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let (word, after) = split_while(rest, is_word_byte);
            masked.push_str(if self.is_secret(word) { MASK } else { word });
            let (separators, after) = split_while(after, |byte| !is_word_byte(byte));
            masked.push_str(separators);
            rest = after;
        }
        masked
    }

    fn is_secret(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase().into_bytes();
        self.short_words.contains(&word)
            || word.windows(FRAGMENT_BYTES).any(|fragment| self.fragments.contains(fragment))
    }

    fn add_url(&mut self, url: &Url) {
        self.add_encoded(url.username());
        self.add_encoded(url.password().unwrap_or_default());
        for pair in url.query().unwrap_or_default().split('&') {
            match pair.split_once('=') {
                Some((_, value)) if !value.is_empty() => self.add_encoded(value),
                _ => self.add_encoded(pair),
            }
        }
    }

    fn add_header(&mut self, name: &str, value: &Secret) {
        let value = value.expose();
        let scheme_comes_first = name.to_ascii_lowercase().ends_with("authorization");
        let Some((scheme, credentials)) = value.split_once(' ').filter(|_| scheme_comes_first) else {
            return self.add(value.as_bytes());
        };
        self.add(credentials.as_bytes());
        if scheme.eq_ignore_ascii_case("basic") {
            self.add(&decode_base64(credentials));
        }
    }

    /// Text of a URL, as it is and with its percent-encoding undone.
    fn add_encoded(&mut self, text: &str) {
        self.add(text.as_bytes());
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            self.add(key.as_bytes());
            self.add(value.as_bytes());
        }
    }

    fn add(&mut self, secret: &[u8]) {
        for word in secret.split(|byte| !is_word_byte(*byte)).filter(|word| !word.is_empty()) {
            let word = word.to_ascii_lowercase();
            if word.len() < FRAGMENT_BYTES {
                self.short_words.insert(word);
            } else {
                self.fragments.extend(word.windows(FRAGMENT_BYTES).map(<[u8]>::to_vec));
            }
        }
    }
}

/// Letters of other alphabets count too, so that a word never ends within a character.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii()
}

fn split_while(text: &str, matches: impl Fn(u8) -> bool) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !matches(byte)).unwrap_or(text.len()))
}

/// What `text` decodes to as far as it is base64 (RFC 4648 section 4); the rest of it is left out.
fn decode_base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let mut decoded = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0u16, 0);
    for value in text.bytes().map_while(value) {
        bits = bits << 6 | u16::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(url: &str, headers: &[(&str, &str)], text: &str) -> String {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        let url = Url::parse(url).unwrap();
        Secrets::of(&ClientRequest { url: &url, headers: &headers, subprotocols: &[], deflate: None }).mask(text)
    }

    #[test]
    fn a_secret_is_masked_whole_in_part_escaped_or_in_another_case() {
        let headers = [("Authorization", "Bearer s3cr3t/to+k3n==")];
        for (text, expected) in [
            ("token s3cr3t/to+k3n== expired", "token ***/***+***== expired"),
            ("S3CR3T", "***"),
            ("s3cr...", "***..."),
            (r"s3cr3t\/to", r"***\/***"),
            ("q=s3cr3t%2Fto", "q=***%2Fto"),
            ("as3cr3tb", "***"),
            ("Bearer tokens only, today", "Bearer tokens only, today"),
        ] {
            assert_eq!(mask("ws://h/", &headers, text), expected);
        }
    }

    #[test]
    fn every_place_of_a_request_that_may_hold_a_secret_counts() {
        for (url, headers, secret) in [
            ("ws://h/?token=hunter2", &[][..], "hunter2"),
            ("ws://h/?hunter2", &[], "hunter2"),
            ("ws://h/?t=%68unter2", &[], "hunter2"),
            ("ws://hunter2@h/", &[], "hunter2"),
            ("ws://u:hunter%32@h/", &[], "hunter2"),
            ("ws://h/", &[("X-Api-Key", "hunter2")], "hunter2"),
            ("ws://h/", &[("Cookie", "a=b; session=hunter2")], "hunter2"),
            ("ws://h/", &[("Authorization", "hunter2")], "hunter2"),
            ("ws://h/", &[("Authorization", "Basic dXNlcjpodW50ZXIy")], "hunter2"),
            ("ws://h/", &[("Proxy-Authorization", "basic dXNlcjpodW50ZXIy")], "dXNlcjpodW50ZXIy"),
            ("ws://h/", &[("X-Key", "größe")], "größe"),
            ("ws://h/?pin=123", &[], "123"),
        ] {
            assert_eq!(mask(url, headers, &format!("<{secret}>")), "<***>", "{url} {headers:?}");
        }
    }

    #[test]
    fn ordinary_words_stay() {
        let text = "{\"error\":\"invalid token: ünlü\"}";
        assert_eq!(mask("ws://h/path?token=hunter2&v=1", &[("Authorization", "Bearer hunter3")], text), text);
        assert_eq!(mask("ws://h/path", &[], text), text);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_no_secret_stays(secret in "[a-zA-Z0-9]{4,40}", before: String, after: String) {
            let text = [&before, &secret, &after].map(String::as_str).concat();
            let masked = mask("ws://h/", &[("X-Key", &secret)], &text);
            proptest::prop_assert!(!masked.contains(&secret));
        }

        #[test]
        fn text_is_kept_when_nothing_is_secret(text: String) {
            proptest::prop_assert_eq!(mask("ws://h/", &[], &text), text);
        }
    }
}
