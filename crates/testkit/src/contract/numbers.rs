//! Messages that are numbers, so that loss, doubles and order show.

/// Messages that are numbers as text.
pub(super) fn numbered(numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers.map(|number| number.to_string().into_bytes()).collect()
}

/// The numbers in such messages.
pub(super) fn numbers(messages: &[Vec<u8>]) -> Result<Vec<u64>, String> {
    let number = |message: &Vec<u8>| {
        let text = std::str::from_utf8(message).ok()?;
        text.trim_end().parse().ok()
    };
    messages
        .iter()
        .map(|message| number(message).ok_or_else(|| format!("a message nobody sent: {}", message.escape_ascii())))
        .collect()
}
