//! The floor: what is left when the library is taken away.

use std::net::TcpStream as StdStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Peer, batches, ended_early, opened};
use crate::error::BenchError;
use crate::frame::unmask;
use crate::wire::blocks::{Frames, Framing};
use crate::wire::framing::{Deflater, Header, Inflater, push_text};
use crate::wire::job::{Job, Side, Tally};
use crate::wire::messages::MESSAGE_BYTES;
use crate::wire::opening;

/// Read buffer, in bytes.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// No library.
pub(super) struct Floor;

impl Peer for Floor {
    async fn receive(stream: StdStream, job: &Job) -> Result<Tally, BenchError> {
        let mut stream = opened(stream, job)?;
        let mut tally = Tally::default();
        let mut inflater = job.deflate.then(Inflater::new);
        let mut inflated = Vec::new();
        let (mut buffer, mut filled) = (vec![0; READ_BUFFER_BYTES], 0);
        job.begin(1)?;
        while tally.messages < job.messages {
            let read = stream.read(&mut buffer[filled..]).await.map_err(BenchError::io("receiving"))?;
            if read == 0 {
                return Err(ended_early());
            }
            filled += read;
            let mut taken = 0;
            while let Some(header) = Header::read(&buffer[taken..filled])?
                && taken + header.frame_bytes() <= filled
            {
                let payload = &buffer[taken + header.header_bytes..taken + header.frame_bytes()];
                match &mut inflater {
                    Some(inflater) => {
                        inflater.inflate(payload, MESSAGE_BYTES + 1, &mut inflated)?;
                        tally.count(&inflated);
                    }
                    None => tally.count_masked(payload, header.mask),
                }
                taken += header.frame_bytes();
            }
            buffer.copy_within(taken..filled, 0);
            filled -= taken;
        }
        Ok(tally)
    }

    async fn send(stream: StdStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
        let mut stream = opened(stream, job)?;
        if job.deflate {
            return send_compressed(&mut stream, job, messages).await;
        }
        let frames = Frames::new(Framing { masked: job.side == Side::Client, deflate: false })?;
        job.begin(1)?;
        for batch in frames.batches(job.messages, job.batch) {
            stream.write_all(batch).await.map_err(BenchError::io("sending"))?;
        }
        Ok(())
    }

    async fn echo(stream: TcpStream, deflate: bool) -> Result<(), BenchError> {
        let mut open = false;
        // No buffer is held while there is nothing to read.
        while stream.readable().await.is_ok() {
            let mut buffer = [0; 4096];
            let read = match stream.try_read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                result => result.map_err(BenchError::io("receiving"))?,
            };
            // Loopback delivers what was sent with one write in one piece.
            let answer = match std::mem::replace(&mut open, true) {
                false => opening::answer(&String::from_utf8_lossy(&buffer[..read]), deflate)?.into_bytes(),
                true => unmasked(&mut buffer[..read])?,
            };
            stream.try_write(&answer).map_err(BenchError::io("sending"))?;
            if read == 0 {
                break;
            }
        }
        Ok(())
    }
}

/// The same messages as a server sends them.
fn unmasked(mut frames: &mut [u8]) -> Result<Vec<u8>, BenchError> {
    let mut out = Vec::new();
    while let Some(header) = Header::read(frames)? {
        let (frame, rest) = frames.split_at_mut_checked(header.frame_bytes()).ok_or_else(ended_early)?;
        let payload = &mut frame[header.header_bytes..];
        if let Some(mask) = header.mask {
            unmask(payload, mask);
        }
        push_text(&mut out, payload, header.compressed, None);
        frames = rest;
    }
    Ok(out)
}

async fn send_compressed(stream: &mut TcpStream, job: &Job, messages: &[String]) -> Result<(), BenchError> {
    let mut deflater = Deflater::new();
    let (mut compressed, mut out) = (Vec::new(), Vec::new());
    job.begin(1)?;
    for batch in batches(messages, job.messages, job.batch) {
        out.clear();
        for message in batch {
            deflater.compress(message.as_bytes(), &mut compressed)?;
            push_text(&mut out, &compressed, true, None);
        }
        stream.write_all(&out).await.map_err(BenchError::io("sending"))?;
    }
    Ok(())
}
