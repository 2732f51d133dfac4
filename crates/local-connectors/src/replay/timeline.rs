//! When a message is due: by its number at a rate, or by the timestamp it carries.
//!
//! Pure: reads messages, not clocks.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use chrono::DateTime;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::config::{TimestampUnit, Timing};

/// Gives each message its offset from the first one.
#[derive(Debug)]
pub(super) struct Timeline {
    timing: Timing,
    /// Messages so far.
    count: u64,
    /// Offset of the last message, where offsets are recorded.
    offset: Duration,
    /// Latest timestamp, in nanoseconds since the Unix epoch.
    latest: Option<i128>,
    /// Messages without a timestamp so far.
    without_timestamp: u64,
}

impl Timeline {
    pub(super) fn new(timing: Timing) -> Self {
        Self { timing, count: 0, offset: Duration::ZERO, latest: None, without_timestamp: 0 }
    }

    /// The offset of the next message; `None`: at once.
    pub(super) fn offset(&mut self, message: &[u8]) -> Option<Duration> {
        let index = self.count;
        self.count += 1;
        let (path, unit, speed, max_pause) = match &self.timing {
            Timing::Rate(rate) => return rate.offset(index),
            Timing::Recorded { path, unit, speed, max_pause } => (path, *unit, *speed, *max_pause),
        };
        match timestamp(message, path, unit) {
            Some(now) => {
                let since = now - *self.latest.get_or_insert(now);
                let seconds = since.max(0) as f64 / 1e9 / speed;
                let pause = Duration::try_from_secs_f64(seconds).unwrap_or(max_pause).min(max_pause);
                self.offset = self.offset.saturating_add(pause);
                // A message slightly out of order must not add a pause; a recording that starts over must not lose all.
                let starts_over =
                    since.saturating_neg() > i128::from(u64::try_from(max_pause.as_nanos()).unwrap_or(u64::MAX));
                if since > 0 || starts_over {
                    self.latest = Some(now);
                }
            }
            None => self.without_timestamp += 1,
        }
        Some(self.offset)
    }

    /// The file starts over: its first message follows the last one at once.
    pub(super) fn rewound(&mut self) {
        self.latest = None;
    }

    /// Messages without a timestamp so far.
    pub(super) fn without_timestamp(&self) -> u64 {
        self.without_timestamp
    }
}

/// The timestamp of a message, in nanoseconds since the Unix epoch.
fn timestamp(message: &[u8], path: &[String], unit: TimestampUnit) -> Option<i128> {
    let found = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(message);
    // It stops where the timestamp is, which the deserializer takes for an error. What follows is of no interest here.
    let _ = At { path, unit, found: &found }.deserialize(&mut deserializer);
    found.get()
}

/// Finds the value at a path of keys without keeping anything else.
#[derive(Clone, Copy)]
struct At<'a> {
    path: &'a [String],
    unit: TimestampUnit,
    found: &'a Cell<Option<i128>>,
}

impl At<'_> {
    /// Takes a value when it is at the end of the path.
    fn take<E>(self, value: impl FnOnce() -> Option<i128>) -> Result<(), E> {
        if self.path.is_empty() {
            self.found.set(value());
        }
        Ok(())
    }

    fn whole(self, count: i128) -> Option<i128> {
        match self.unit {
            TimestampUnit::Seconds => count.checked_mul(1_000_000_000),
            TimestampUnit::Millis => count.checked_mul(1_000_000),
            TimestampUnit::Micros => count.checked_mul(1_000),
            TimestampUnit::Nanos => Some(count),
            TimestampUnit::Rfc3339 => None,
        }
    }

    fn fraction(self, count: f64) -> Option<i128> {
        let nanos = count * self.whole(1)? as f64;
        // Far beyond any date, and within what the type holds.
        (nanos.abs() < 1e27).then_some(nanos as i128)
    }

    fn text(self, text: &str) -> Option<i128> {
        if self.unit == TimestampUnit::Rfc3339 {
            let time = DateTime::parse_from_rfc3339(text).ok()?;
            return time.timestamp_nanos_opt().map(i128::from);
        }
        let count = text.parse::<i64>().ok().and_then(|count| self.whole(count.into()));
        count.or_else(|| self.fraction(text.parse().ok()?))
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a timestamp")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((key, path)) = self.path.split_first() else {
            return Ok(());
        };
        while let Some(found) = map.next_key_seed(Is(key))? {
            if found {
                return map.next_value_seed(Self { path, ..self });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.take(|| self.whole(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.take(|| self.whole(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.take(|| self.fraction(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.take(|| self.text(value))
    }
}

/// Compares a key without keeping it.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Rate;

    fn at(message: &str, path: &[&str], unit: TimestampUnit) -> Option<i128> {
        let path: Vec<_> = path.iter().map(|key| (*key).to_owned()).collect();
        timestamp(message.as_bytes(), &path, unit)
    }

    fn recorded(speed: f64, max_pause: Duration) -> Timeline {
        Timeline::new(Timing::Recorded { path: vec!["T".into()], unit: TimestampUnit::Millis, speed, max_pause })
    }

    fn offsets(timeline: &mut Timeline, times: &[i64]) -> Vec<u128> {
        let offset = |time: &i64| timeline.offset(format!(r#"{{"T":{time}}}"#).as_bytes());
        times.iter().map(offset).map(|offset| offset.unwrap().as_millis()).collect()
    }

    #[test]
    fn timestamps_are_found_at_their_path_in_every_unit() {
        const TIME: i128 = 1_714_521_600_123_000_000;
        let trade = r#"{"t":7,"E":[{"T":1}],"T":1714521600123,"x":"\u00e9"}"#;
        assert_eq!(at(trade, &["T"], TimestampUnit::Millis), Some(TIME));
        assert_eq!(at(r#"{"data":{"T":1714521600123000}}"#, &["data", "T"], TimestampUnit::Micros), Some(TIME));
        assert_eq!(at(r#"{"T":"1714521600123000000"}"#, &["T"], TimestampUnit::Nanos), Some(TIME));
        let seconds = at(r#"{"T":1714521600.123}"#, &["T"], TimestampUnit::Seconds).unwrap();
        assert!((seconds - TIME).abs() < 1_000, "{seconds}");
        assert_eq!(at(r#"{"T":"2024-05-01T02:00:00.123+02:00"}"#, &["T"], TimestampUnit::Rfc3339), Some(TIME));
        assert_eq!(at(r#"{"\u0054":5}"#, &["T"], TimestampUnit::Nanos), Some(5));
    }

    #[test]
    fn what_is_no_timestamp_is_none() {
        for message in [
            "",
            "5",
            "\"5\"",
            "[1]",
            "{",
            "{}",
            r#"{"t":5}"#,
            r#"{"T":null}"#,
            r#"{"T":true}"#,
            r#"{"T":{}}"#,
            r#"{"T":"soon"}"#,
            r#"{"T":1e300}"#,
            "\u{1}",
        ] {
            assert_eq!(at(message, &["T"], TimestampUnit::Millis), None, "{message}");
        }
        assert_eq!(at(r#"{"T":5}"#, &["T"], TimestampUnit::Rfc3339), None);
        assert_eq!(at(r#"{"a":5}"#, &["a", "b"], TimestampUnit::Millis), None);
    }

    #[test]
    fn pauses_are_as_recorded_faster_by_the_factor_and_never_too_long() {
        let max = Duration::from_secs(1);
        assert_eq!(offsets(&mut recorded(1.0, max), &[1_000, 1_250, 1_250, 1_900]), [0, 250, 250, 900]);
        assert_eq!(offsets(&mut recorded(10.0, max), &[1_000, 1_250, 2_000]), [0, 25, 100]);
        assert_eq!(offsets(&mut recorded(0.5, max), &[1_000, 1_250]), [0, 500]);
        assert_eq!(offsets(&mut recorded(1.0, max), &[0, 86_400_000, 86_400_100]), [0, 1_000, 1_100]);
    }

    #[test]
    fn messages_out_of_order_add_no_pause() {
        let mut timeline = recorded(1.0, Duration::from_secs(1));
        assert_eq!(offsets(&mut timeline, &[1_000, 1_100, 1_050, 1_200]), [0, 100, 100, 200]);
    }

    #[test]
    fn a_recording_that_starts_over_keeps_its_pauses() {
        let mut timeline = recorded(1.0, Duration::from_secs(1));
        assert_eq!(offsets(&mut timeline, &[9_000, 9_100, 5_000, 5_100]), [0, 100, 100, 200]);
        timeline.rewound();
        assert_eq!(offsets(&mut timeline, &[9_000, 9_100]), [200, 300]);
    }

    #[test]
    fn a_message_without_a_timestamp_follows_at_once_and_is_counted() {
        let mut timeline = recorded(1.0, Duration::from_secs(1));
        offsets(&mut timeline, &[1_000, 1_400]);
        assert_eq!(timeline.offset(b"not json"), Some(Duration::from_millis(400)));
        assert_eq!(timeline.without_timestamp(), 1);
        assert_eq!(offsets(&mut timeline, &[1_500]), [500]);
    }

    #[test]
    fn a_rate_does_not_look_into_messages() {
        let mut timeline = Timeline::new(Timing::Rate(Rate::PerSecond(4.0)));
        assert_eq!(timeline.offset(b"x"), Some(Duration::ZERO));
        assert_eq!(timeline.offset(b"y"), Some(Duration::from_millis(250)));
        assert_eq!(Timeline::new(Timing::Rate(Rate::Max)).offset(b"x"), None);
    }
}
