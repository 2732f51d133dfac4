//! Messages as server-sent events (HTML Living Standard, section 9.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eventflux_gateway::{Framed, Framing};

/// A line that says nothing: a sign of life.
pub(super) const HEARTBEAT: &[u8] = b":\n\n";

/// Events with the place of the only channel that is subscribed to.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) epoch: String,
}

/// Events without a place.
#[derive(Debug)]
pub(super) struct Plain;

impl Framing for Placed {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        if let Some(number) = message.number {
            let id = format!("{}:{number}", self.epoch);
            write_id(&id, out);
        }
        write_data(message.text, message.binary, out);
    }
}

impl Framing for Plain {
    fn frame(&self, message: &Framed<'_>, out: &mut Vec<u8>) {
        write_data(message.text, message.binary, out);
    }
}

/// Appends the line that says where the client is.
pub(super) fn write_id(id: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(id.as_bytes());
    out.push(b'\n');
}

/// Appends the text, and the end of the event. Bytes that are no text are written in base64: there is no other way.
pub(super) fn write_data(text: &[u8], binary: bool, out: &mut Vec<u8>) {
    if binary {
        write_line(STANDARD.encode(text).as_bytes(), out);
    } else {
        lines(text).for_each(|line| write_line(line, out));
    }
    out.push(b'\n');
}

fn write_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// What stands between line ends, of which there are three.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(text);
        };
        let length = if text[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&text[end + length..]);
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &[u8], binary: bool) -> String {
        let mut out = Vec::new();
        write_data(text, binary, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_line_of_a_text_is_a_line_of_the_event() {
        for (text, expected) in [
            ("a", "data: a\n\n"),
            ("", "data: \n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n\n"),
            (" a\n\nid: 7\n", "data:  a\ndata: \ndata: id: 7\ndata: \n\n"),
        ] {
            assert_eq!(event(text.as_bytes(), false), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_base64() {
        assert_eq!(event(b"\xff\n\x00", true), "data: /woA\n\n");
    }

    #[test]
    fn an_event_of_a_history_has_its_place() {
        let framing = Placed { epoch: "e".to_owned() };
        let mut out = Vec::new();
        framing.frame(&Framed { text: b"a", binary: false, number: Some(41) }, &mut out);
        framing.frame(&Framed { text: b"b", binary: false, number: None }, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "id: e:41\ndata: a\n\ndata: b\n\n");
    }

    proptest::proptest! {
        #[test]
        fn no_text_ends_its_event_or_begins_a_field(text in "[a-d:\r\n ]{0,40}") {
            let event = event(text.as_bytes(), false);
            let body = event.strip_suffix("\n\n").unwrap();
            proptest::prop_assert!(body.split('\n').all(|line| line.starts_with("data: ")));
            let read: Vec<_> = body.split('\n').map(|line| &line[6..]).collect();
            proptest::prop_assert_eq!(read.join("\n"), text.replace("\r\n", "\n").replace('\r', "\n"));
        }
    }
}
