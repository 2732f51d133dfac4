//! Judges the file at the end of a chain: each line against the events that were sent.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// The text of the event with this number; longer by `padding`.
pub(crate) fn text(number: &str, padding: usize) -> String {
    format!("{{\"n\":{number},\"text\":\"event {number} of the proof{}\"}}", ".".repeat(padding))
}

/// Reads the file as it grows.
pub(crate) struct Tally {
    file: PathBuf,
    padding: usize,
    sent: u64,
    read: u64,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    seen: Vec<bool>,
    verdict: Verdict,
}

/// What has come so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Events that have come at least once.
    pub(crate) distinct: u64,
    /// Lines with an event that had come before.
    pub(crate) duplicates: u64,
    /// Lines that are the beginning of an event that was sent.
    pub(crate) torn: u64,
    /// Everything else: nobody sent it.
    pub(crate) invented: Vec<String>,
    /// Events that came for the first time behind one with a greater number.
    pub(crate) disordered: u64,
    highest: Option<u64>,
}

impl Tally {
    /// Of a file that `sent` events should come to.
    pub(crate) fn new(file: impl Into<PathBuf>, sent: u64, padding: usize) -> Self {
        let (rest, seen) = (Vec::new(), vec![false; sent as usize]);
        Self { file: file.into(), padding, sent, read: 0, rest, seen, verdict: Verdict::default() }
    }

    /// Reads what has been added.
    pub(crate) fn read(&mut self) -> &Verdict {
        let mut file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return &self.verdict,
            Err(error) => panic!("{}: {error}", self.file.display()),
        };
        file.seek(SeekFrom::Start(self.read)).unwrap();
        let mut added = std::mem::take(&mut self.rest);
        self.read += file.read_to_end(&mut added).unwrap() as u64;
        let complete = added.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = added.split_off(complete);
        added.split_inclusive(|byte| *byte == b'\n').for_each(|line| self.judge(&line[..line.len() - 1]));
        &self.verdict
    }

    /// How many events it should come to.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// What has been read.
    pub(crate) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Everything has come, nothing was invented, and first occurrences are in order.
    #[track_caller]
    pub(crate) fn assert_nothing_lost_or_invented(&mut self) {
        let verdict = self.read().clone();
        assert_eq!((verdict.distinct, &*verdict.invented, verdict.disordered), (self.sent, &[][..], 0), "{verdict:?}");
        assert!(self.rest.is_empty(), "the last line has no end");
    }

    /// The same, and everything has come once.
    #[track_caller]
    pub(crate) fn assert_exact(&mut self) {
        self.assert_nothing_lost_or_invented();
        assert_eq!((self.verdict.duplicates, self.verdict.torn), (0, 0), "{:?}", self.verdict);
    }

    fn judge(&mut self, line: &[u8]) {
        let shown = String::from_utf8_lossy(line);
        match self.number(&shown) {
            Some(number) if self.seen[number as usize] => self.verdict.duplicates += 1,
            Some(number) => {
                self.seen[number as usize] = true;
                self.verdict.distinct += 1;
                self.verdict.disordered += u64::from(self.verdict.highest > Some(number));
                self.verdict.highest = self.verdict.highest.max(Some(number));
            }
            None if self.is_beginning(&shown) => self.verdict.torn += 1,
            None => self.verdict.invented.push(shown.into_owned()),
        }
    }

    /// Of an event that was sent, to the letter.
    fn number(&self, line: &str) -> Option<u64> {
        let number: u64 = line.strip_prefix("{\"n\":")?.split_once(',')?.0.parse().ok()?;
        (number < self.sent && line == text(&number.to_string(), self.padding)).then_some(number)
    }

    fn is_beginning(&self, line: &str) -> bool {
        (0..self.sent).any(|number| text(&number.to_string(), self.padding).starts_with(line))
    }
}

#[test]
fn lines_are_told_apart() {
    let folder = super::folder();
    let file = folder.path().join("lines");
    let mut tally = Tally::new(&file, 4, 0);
    assert_eq!(tally.read(), &Verdict::default());
    let event = |number: u64| text(&number.to_string(), 0);
    let foreign = event(2).replace("event 2", "event 3");
    let lines = [event(0), event(2), event(1), event(2), event(3)[..9].to_owned(), foreign.clone(), event(4)];
    std::fs::write(&file, lines.join("\n")).unwrap();
    assert_eq!(tally.read().invented, [foreign.as_str()]);
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let expected = Verdict {
        distinct: 3,
        duplicates: 1,
        torn: 1,
        invented: vec![foreign, event(4)],
        disordered: 1,
        highest: Some(2),
    };
    assert_eq!(tally.read(), &expected);
}
