//! Templates: text with placeholders, parsed once and rendered for each message.

use std::fmt::Write;

use bytes::BytesMut;
use chrono::{DateTime, SecondsFormat, Utc};
use eventflux_core::EventFluxError;
use eventflux_core::property::nearest;
use fastrand::Rng;

/// Every placeholder, as it is written.
pub(super) const PLACEHOLDERS: &[&str] = &[
    "seq",
    "now.ms",
    "now.us",
    "now.rfc3339",
    "int:min:max",
    "float:min:max:digits",
    "choice:a,b,c",
    "uuid",
    "walk:start:step",
];
/// Digits of a `float` that names none.
const DEFAULT_DIGITS: usize = 2;
/// Most digits behind the point.
const MAX_DIGITS: usize = 15;

/// A message with placeholders.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
    uses_clock: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Seq,
    NowMillis,
    NowMicros,
    NowRfc3339,
    Int { min: i64, max: i64 },
    Float { min: f64, max: f64, digits: usize },
    Choice(Vec<String>),
    Uuid,
    Walk(Walk),
}

/// A number that moves a little with each message; one that starts above zero stays there.
#[derive(Debug, Clone, PartialEq)]
struct Walk {
    value: f64,
    step: f64,
    digits: usize,
    lowest: f64,
    started: bool,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    reason: String,
    hint: String,
}

impl TemplateError {
    /// The same as an error of the property that holds the template.
    pub(super) fn of_property(self, key: &str) -> EventFluxError {
        EventFluxError::property(key, self.reason).with_hint(self.hint)
    }
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// When a placeholder is unknown, not closed, or has arguments that make no sense.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            let Some(end) = from.find('}') else {
                return Err(TemplateError {
                    reason: format!("'{}' is not closed", from.chars().take(20).collect::<String>()),
                    hint: "a placeholder is written ${name} or ${name:arguments}".to_owned(),
                });
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::parse(&from[2..end])?);
            rest = &from[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let uses_clock = parts.iter().any(|part| matches!(part, Part::NowMillis | Part::NowMicros | Part::NowRfc3339));
        Ok(Self { parts, uses_clock })
    }

    /// Whether it shows the time.
    pub(super) fn uses_clock(&self) -> bool {
        self.uses_clock
    }

    /// Appends message number `seq`. Each placeholder has a value of its own, also where two are the same.
    pub(super) fn render(&mut self, seq: u64, now: DateTime<Utc>, random: &mut Rng, out: &mut BytesMut) {
        for part in &mut self.parts {
            // Writing to memory cannot fail.
            let _ = part.render(seq, now, random, out);
        }
    }
}

impl Part {
    fn parse(written: &str) -> Result<Self, TemplateError> {
        let (name, arguments) = match written.split_once(':') {
            Some((name, arguments)) => (name, Some(arguments)),
            None => (written, None),
        };
        match (name, arguments) {
            ("seq", None) => Ok(Self::Seq),
            ("now.ms", None) => Ok(Self::NowMillis),
            ("now.us", None) => Ok(Self::NowMicros),
            ("now.rfc3339", None) => Ok(Self::NowRfc3339),
            ("uuid", None) => Ok(Self::Uuid),
            ("int", Some(arguments)) => int(arguments).ok_or_else(|| misused(written, "int:min:max", "int:1:6")),
            ("float", Some(arguments)) => {
                float(arguments).ok_or_else(|| misused(written, "float:min:max:digits", "float:0:1:3"))
            }
            ("choice", Some(choices)) => Ok(Self::Choice(choices.split(',').map(str::to_owned).collect())),
            ("walk", Some(arguments)) => {
                walk(arguments).ok_or_else(|| misused(written, "walk:start:step", "walk:100:0.05"))
            }
            _ => Err(unknown(written, name)),
        }
    }

    fn render(&mut self, seq: u64, now: DateTime<Utc>, random: &mut Rng, out: &mut BytesMut) -> std::fmt::Result {
        match self {
            Self::Text(text) => out.write_str(text),
            Self::Seq => write!(out, "{seq}"),
            Self::NowMillis => write!(out, "{}", now.timestamp_millis()),
            Self::NowMicros => write!(out, "{}", now.timestamp_micros()),
            Self::NowRfc3339 => out.write_str(&now.to_rfc3339_opts(SecondsFormat::Micros, true)),
            Self::Int { min, max } => write!(out, "{}", random.i64(*min..=*max)),
            Self::Float { min, max, digits } => {
                let value = *min + random.f64() * (*max - *min);
                write!(out, "{value:.digits$}")
            }
            Self::Choice(choices) => match random.choice(choices.iter()) {
                Some(choice) => out.write_str(choice),
                None => Ok(()),
            },
            Self::Uuid => {
                let uuid = uuid::Builder::from_random_bytes(random.u128(..).to_le_bytes()).into_uuid();
                write!(out, "{uuid}")
            }
            Self::Walk(walk) => {
                walk.advance(random);
                write!(out, "{:.*}", walk.digits, walk.value)
            }
        }
    }
}

impl Walk {
    fn advance(&mut self, random: &mut Rng) {
        if !self.started {
            self.started = true;
            return;
        }
        self.value += (random.f64() * 2.0 - 1.0) * self.step;
        if self.lowest > 0.0 {
            self.value = self.value.abs().max(self.lowest);
        }
    }
}

fn int(arguments: &str) -> Option<Part> {
    let (min, max) = arguments.split_once(':')?;
    let (min, max) = (min.parse().ok()?, max.parse().ok()?);
    (min <= max).then_some(Part::Int { min, max })
}

fn float(arguments: &str) -> Option<Part> {
    let mut arguments = arguments.split(':');
    let (min, max) = (number(arguments.next()?)?, number(arguments.next()?)?);
    let digits = match arguments.next() {
        Some(digits) => digits.parse().ok().filter(|digits| *digits <= MAX_DIGITS)?,
        None => DEFAULT_DIGITS,
    };
    let sound = min <= max && (max - min).is_finite() && arguments.next().is_none();
    sound.then_some(Part::Float { min, max, digits })
}

fn walk(arguments: &str) -> Option<Part> {
    let (start, step) = arguments.split_once(':')?;
    let digits = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let digits = digits(start).max(digits(step));
    let (value, step) = (number(start)?, number(step)?);
    let lowest = if value > 0.0 { 10_f64.powi(-i32::try_from(digits).ok()?) } else { 0.0 };
    let sound = step >= 0.0 && digits <= MAX_DIGITS;
    sound.then_some(Part::Walk(Walk { value, step, digits, lowest, started: false }))
}

/// A number in plain digits.
fn number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    text.parse().ok().filter(|value: &f64| plain && value.is_finite())
}

fn misused(written: &str, form: &str, example: &str) -> TemplateError {
    TemplateError {
        reason: format!("'${{{written}}}' does not fit ${{{form}}}"),
        hint: format!("for example ${{{example}}}"),
    }
}

fn unknown(written: &str, name: &str) -> TemplateError {
    let names = PLACEHOLDERS.iter().filter_map(|placeholder| placeholder.split(':').next());
    let meant = match nearest(name, names) {
        Some(near) => format!("did you mean '{near}'? "),
        None => String::new(),
    };
    let allowed: Vec<_> = PLACEHOLDERS.iter().map(|placeholder| format!("${{{placeholder}}}")).collect();
    TemplateError {
        reason: format!("'${{{written}}}' is no placeholder"),
        hint: format!("{meant}use {}", allowed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &mut Template, seq: u64, random: &mut Rng) -> String {
        let mut out = BytesMut::new();
        let now = DateTime::from_timestamp_micros(1_714_521_600_123_456).unwrap();
        template.render(seq, now, random, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn once(template: &str) -> String {
        render(&mut Template::parse(template).unwrap(), 7, &mut Rng::with_seed(1))
    }

    fn many(template: &str) -> Vec<f64> {
        let mut template = Template::parse(template).unwrap();
        let mut random = Rng::with_seed(1);
        (0..1_000).map(|seq| render(&mut template, seq, &mut random).parse().unwrap()).collect()
    }

    #[test]
    fn text_running_numbers_and_times_are_exact() {
        assert_eq!(once(r#"{"a":${seq},"b":"${seq}","c":{}}$ $x"#), r#"{"a":7,"b":"7","c":{}}$ $x"#);
        let times = once("${now.ms} ${now.us} ${now.rfc3339}");
        assert_eq!(times, "1714521600123 1714521600123456 2024-05-01T00:00:00.123456Z");
        assert!(Template::parse("${now.us}").unwrap().uses_clock() && !Template::parse("${seq}").unwrap().uses_clock());
        assert_eq!(once(""), "");
    }

    #[test]
    fn random_numbers_stay_in_their_bounds_and_reach_them() {
        let ints = many("${int:-2:2}");
        assert!(ints.iter().all(|n| (-2.0..=2.0).contains(n)) && ints.contains(&-2.0) && ints.contains(&2.0));
        assert!(many("${float:100:200}").iter().all(|n| (100.0..=200.0).contains(n)));
        assert_eq!(once("${float:1:1:4}"), "1.0000");
        assert_eq!(once("${float:1:1}"), "1.00");
        assert_eq!(once("${int:5:5}"), "5");
    }

    #[test]
    fn a_choice_is_one_of_its_words() {
        let mut template = Template::parse("${choice:BTC/USDT,ETH:USDT,}").unwrap();
        let mut random = Rng::with_seed(1);
        let mut seen: Vec<_> = (0..100).map(|seq| render(&mut template, seq, &mut random)).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["", "BTC/USDT", "ETH:USDT"]);
    }

    #[test]
    fn a_walk_starts_where_it_says_moves_by_steps_and_stays_above_zero() {
        let values = many("${walk:1:0.50}");
        assert_eq!(values[0], 1.0);
        // Two digits are shown, so a step may look longer by one of the last digit.
        assert!(values.windows(2).all(|pair| (pair[1] - pair[0]).abs() <= 0.511), "{values:?}");
        assert!(values.iter().all(|value| *value >= 0.01) && values.windows(2).any(|pair| pair[0] != pair[1]));
        assert!(many("${walk:0:1}").iter().any(|value| *value < 0.0));
        assert_eq!(once("${walk:60000:0.05}"), "60000.00");
    }

    #[test]
    fn a_uuid_is_a_random_one_of_its_standard() {
        let text = once("${uuid}");
        let uuid = uuid::Uuid::parse_str(&text).unwrap();
        assert_eq!(uuid.get_version_num(), 4);
        assert_ne!(once("${uuid}${uuid}")[..36], once("${uuid}${uuid}")[36..]);
    }

    #[test]
    fn an_unknown_placeholder_names_the_known_ones() {
        let error = Template::parse("${chioce:a,b}").unwrap_err().of_property("k").to_string();
        assert!(error.contains("'${chioce:a,b}' is no placeholder"), "{error}");
        assert!(error.contains("did you mean 'choice'?"), "{error}");
        for placeholder in PLACEHOLDERS {
            assert!(error.contains(&format!("${{{placeholder}}}")), "{error}");
        }
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused_with_an_example() {
        for template in [
            "${int:5:1}",
            "${int:1}",
            "${int:a:b}",
            "${float:1:2:99}",
            "${float:2:1}",
            "${float:1:inf}",
            "${float:1:2:3:4}",
            "${walk:1}",
            "${walk:1:-1}",
            "${walk:1e300:1}",
        ] {
            let error = Template::parse(template).unwrap_err();
            assert!(error.reason.contains(template) && error.hint.starts_with("for example ${"), "{error:?}");
        }
        for template in ["${seq:1}", "${int}", "${}", "${uuid:4}"] {
            assert!(Template::parse(template).unwrap_err().reason.contains("is no placeholder"), "{template}");
        }
        assert!(Template::parse("a ${seq").unwrap_err().reason.contains("'${seq' is not closed"));
    }
}
