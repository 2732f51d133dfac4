//! One file's text, and the way between byte offsets and the lines and columns people count.

use super::Span;

/// A file a person wrote: its name for messages, its text, and where its lines begin.
///
/// A byte order mark at the start of the text is removed. Lines end with `\n`; a `\r` before it belongs to the line.
#[derive(Debug, Clone)]
pub struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<usize>,
    hidden: Vec<Span>,
}

/// A place as people count it: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

/// The lines that hold a span, for display.
pub(super) struct Excerpt {
    /// Whole lines, hidden spans masked.
    pub(super) text: String,
    /// The number of the first line.
    pub(super) line: usize,
    /// The span, relative to `text`.
    pub(super) span: Span,
}

impl SourceFile {
    /// A file called `name` in messages, with that text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1));
        Self { name: name.into(), text, line_starts, hidden: Vec::new() }
    }

    /// The name messages use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of `span`; empty when the span does not lie on characters of this file.
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line and column of a byte offset. Offsets past the end count as the end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = self.clamp(offset);
        let line = self.line_index(offset);
        let column = self.text[self.line_starts[line]..offset].chars().count() + 1;
        Position { line: line + 1, column }
    }

    /// The byte offset of a line and column, both from 1. Places past the end of a line count as its end, lines past the
    /// end of the file as the end of the file.
    pub fn offset(&self, position: Position) -> usize {
        let Some(start) = self.line_starts.get(position.line.saturating_sub(1)).copied() else {
            return self.text.len();
        };
        let end = self.line_end(position.line.saturating_sub(1));
        let line = &self.text[start..end];
        let characters = position.column.saturating_sub(1);
        start + line.char_indices().nth(characters).map_or(line.len(), |(index, _)| index)
    }

    /// `name:line:column` of an offset.
    pub fn place(&self, offset: usize) -> String {
        let Position { line, column } = self.position(offset);
        format!("{}:{line}:{column}", self.name)
    }

    /// Shows the bytes of `span` as asterisks in excerpts from now on: for values that are secrets.
    pub fn hide(&mut self, span: Span) {
        self.hidden.push(span);
    }

    pub(super) fn excerpt(&self, span: Span) -> Excerpt {
        let start = self.clamp(span.start);
        let end = self.clamp(span.end.max(span.start));
        let first = self.line_index(start);
        let last = self.line_index(end);
        let from = self.line_starts[first];
        let to = self.line_end(last);
        let mut text = self.text[from..to].to_owned();
        for hidden in &self.hidden {
            let (mask_start, mask_end) = (self.clamp(hidden.start).max(from), self.clamp(hidden.end).min(to));
            if mask_start < mask_end {
                text.replace_range(mask_start - from..mask_end - from, &"*".repeat(mask_end - mask_start));
            }
        }
        let inside = |offset: usize| (offset - from).min(text.len());
        let span = Span::new(inside(start), inside(end));
        Excerpt { text, line: first + 1, span }
    }

    /// The nearest character boundary at or before `offset`.
    fn clamp(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }

    fn line_index(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1)
    }

    /// The end of that line (from 0), without its line break.
    fn line_end(&self, index: usize) -> usize {
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| next - 1);
        if self.text[..end].ends_with('\r') && end > self.line_starts[index] { end - 1 } else { end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let file = SourceFile::new("f", "ab\r\né𝄞c\n\nx");
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(4), Position { line: 2, column: 1 });
        assert_eq!(file.position(10), Position { line: 2, column: 3 });
        assert_eq!(file.position(12), Position { line: 3, column: 1 });
        assert_eq!(file.position(999), Position { line: 4, column: 2 });
        assert_eq!(file.offset(Position { line: 2, column: 3 }), 10);
        assert_eq!(file.offset(Position { line: 2, column: 99 }), 11);
        assert_eq!(file.offset(Position { line: 99, column: 1 }), file.text().len());
        assert_eq!(file.offset(Position { line: 0, column: 0 }), 0);
        assert_eq!(file.place(10), "f:2:3");
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_text() {
        let file = SourceFile::new("f", "\u{feff}SELECT");
        assert_eq!(file.text(), "SELECT");
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
    }

    proptest! {
        #[test]
        fn every_offset_survives_the_way_there_and_back(text in "[a-zé𝄞\t\n ]{0,60}") {
            let file = SourceFile::new("f", text.clone());
            for (offset, _) in text.char_indices() {
                prop_assert_eq!(file.offset(file.position(offset)), offset);
            }
        }

        #[test]
        fn excerpts_never_panic_and_keep_their_span_inside(text in "\\PC{0,40}|[\\r\\né]{0,20}", a in 0usize..90, b in 0usize..90) {
            let mut file = SourceFile::new("f", text);
            file.hide(Span::new(b, a));
            file.hide(Span::new(a, b));
            let excerpt = file.excerpt(Span::new(a, b));
            prop_assert!(excerpt.span.start <= excerpt.span.end);
            super::super::render(&file, &[crate::diagnostic::Diagnostic::error(Span::new(a, b), "m")], false);
        }
    }
}
