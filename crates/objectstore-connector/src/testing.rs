//! What the tests of several modules share.

use eventflux_core::{EncodedBatch, PayloadWriter};

pub(crate) fn batch<T: AsRef<[u8]>>(payloads: impl IntoIterator<Item = T>) -> EncodedBatch {
    let mut writer = PayloadWriter::default();
    for (position, payload) in payloads.into_iter().enumerate() {
        writer.buffer().extend_from_slice(payload.as_ref());
        writer.finish(position as u64);
    }
    writer.take()
}
