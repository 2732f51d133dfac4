//! From the socket into the queue: everything that has arrived, up to the size of a burst.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::BytesMut;

use crate::properties::MAX_DATAGRAM_BYTES;
use crate::queue::{Datagram, Queue};

/// Most datagrams that are read before what waits is delivered.
pub(crate) const MAX_BURST: usize = 1_024;

/// Memory that is taken at a time; datagrams share it. A multiple of the largest datagram, so that little of it is left
/// over when the next one might not fit.
const CHUNK_BYTES: usize = 4 * MAX_DATAGRAM_BYTES;

/// Reads datagrams without copying them.
#[derive(Debug)]
pub(crate) struct Reader {
    buffer: BytesMut,
    /// Largest message, in bytes.
    max_datagram: usize,
}

/// What came of a burst.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// Datagrams read.
    pub(crate) received: usize,
    /// Datagrams for which the queue had no room.
    pub(crate) dropped: u64,
    /// Why it ended, unless because there was no more.
    pub(crate) error: Option<io::Error>,
}

impl Reader {
    pub(crate) fn new(max_datagram: usize) -> Self {
        Self { buffer: BytesMut::new(), max_datagram }
    }

    /// Reads with `receive`, which appends one datagram to a buffer and never waits, until there is none, the queue
    /// blocks, or the burst is large enough.
    pub(crate) fn read(
        &mut self,
        queue: &mut Queue,
        mut receive: impl FnMut(&mut BytesMut) -> io::Result<(usize, SocketAddr)>,
    ) -> Burst {
        let received = micros_since_epoch(SystemTime::now());
        let mut burst = Burst::default();
        // Attempts, not datagrams, so that errors that say nothing of this socket do not hold the thread either.
        for _ in 0..MAX_BURST {
            if queue.blocks() {
                break;
            }
            self.make_room();
            match receive(&mut self.buffer) {
                Ok((size, sender)) => {
                    let data = self.buffer.split_to(size).freeze();
                    burst.received += 1;
                    burst.dropped +=
                        queue.push(Datagram { data, sender, received, is_too_large: size > self.max_datagram });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_about_another(&error) => {}
                Err(error) => {
                    burst.error = Some(error);
                    break;
                }
            }
        }
        burst
    }

    /// Makes room for the largest datagram there is, so that none is ever cut.
    fn make_room(&mut self) {
        self.buffer.clear();
        if self.buffer.capacity() < MAX_DATAGRAM_BYTES {
            self.buffer.reserve(CHUNK_BYTES);
        }
    }
}

/// Whether an error tells of something sent earlier from this port, or of nothing at all.
fn is_about_another(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

fn micros_since_epoch(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{FullPolicy, QueueLimits};

    fn sender() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 9))
    }

    fn queue(datagrams: usize, full: FullPolicy) -> Queue {
        Queue::new(QueueLimits { datagrams, bytes: 1 << 20, full })
    }

    /// Gives these, one at a time, and then nothing.
    fn supply<'a>(
        results: impl IntoIterator<Item = io::Result<&'a [u8]>>,
    ) -> impl FnMut(&mut BytesMut) -> io::Result<(usize, SocketAddr)> {
        let mut results = results.into_iter();
        move |buffer| {
            let data = results.next().unwrap_or(Err(ErrorKind::WouldBlock.into()))?;
            assert!(buffer.is_empty() && buffer.capacity() >= MAX_DATAGRAM_BYTES);
            buffer.extend_from_slice(data);
            Ok((data.len(), sender()))
        }
    }

    fn texts(queue: &mut Queue) -> Vec<String> {
        queue.take_messages(usize::MAX).map(|datagram| String::from_utf8(datagram.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_burst_takes_what_there_is() {
        let mut queue = queue(10, FullPolicy::DropOldest);
        let burst = Reader::new(5).read(&mut queue, supply([Ok(&b"one"[..]), Ok(b""), Ok(b"three")]));
        assert_eq!((burst.received, burst.dropped, burst.error.is_none()), (3, 0, true));
        assert_eq!(texts(&mut queue), ["one", "", "three"]);
    }

    #[test]
    fn a_datagram_above_the_limit_is_whole_and_marked() {
        let mut queue = queue(10, FullPolicy::DropOldest);
        Reader::new(5).read(&mut queue, supply([Ok(&b"123456"[..])]));
        let datagram = queue.take_too_large().unwrap();
        assert_eq!((&datagram.data[..], datagram.sender), (&b"123456"[..], sender()));
    }

    #[test]
    fn a_burst_ends_when_the_queue_blocks_and_leaves_the_rest() {
        let mut queue = queue(2, FullPolicy::Block);
        let mut given = 0;
        let endless = |buffer: &mut BytesMut| {
            given += 1;
            buffer.extend_from_slice(b"x");
            Ok((1, sender()))
        };
        assert_eq!(Reader::new(5).read(&mut queue, endless).received, 2);
        assert_eq!(given, 2);
    }

    #[test]
    fn a_flood_does_not_hold_the_thread() {
        let mut queue = queue(100_000, FullPolicy::DropNewest);
        let flood = |buffer: &mut BytesMut| {
            buffer.extend_from_slice(b"x");
            Ok((1, sender()))
        };
        assert_eq!(Reader::new(5).read(&mut queue, flood).received, MAX_BURST);
        let errors = |_: &mut BytesMut| Err(ErrorKind::ConnectionReset.into());
        assert!(Reader::new(5).read(&mut queue, errors).error.is_none());
    }

    #[test]
    fn an_error_of_the_socket_is_told_with_what_came_before() {
        let mut queue = queue(10, FullPolicy::DropOldest);
        let results = [Ok(&b"a"[..]), Err(ErrorKind::ConnectionRefused.into()), Err(ErrorKind::OutOfMemory.into())];
        let burst = Reader::new(5).read(&mut queue, supply(results));
        assert_eq!(burst.error.map(|error| error.kind()), Some(ErrorKind::OutOfMemory));
        assert_eq!(texts(&mut queue), ["a"]);
    }

    #[test]
    fn datagrams_share_memory_and_keep_their_bytes() {
        let mut queue = queue(100_000, FullPolicy::DropOldest);
        let texts_sent: Vec<_> = (0..1_000).map(|number| format!("{number:01000}")).collect();
        let mut reader = Reader::new(MAX_DATAGRAM_BYTES);
        reader.read(&mut queue, supply(texts_sent.iter().map(|text| Ok(text.as_bytes()))));
        assert_eq!(texts(&mut queue), texts_sent);
    }
}
