//! From an event to the message it becomes: its subject, its headers, its id. Knows no connection.
//!
//! What data puts into a subject is checked: a value is a single token, and whoever writes data cannot reach a subject
//! that the template does not say.

use std::str::FromStr;
use std::sync::Arc;

use async_nats::header::HeaderName;
use async_nats::{HeaderMap, HeaderValue, Subject};
use eventflux_core::template::TemplatePart;
use eventflux_core::{EncodedBatch, EventFluxError, Properties, Template};
use eventflux_nats::subject;

use super::partition::Partition;

const SUBJECT: &str = "nats.subject";
const REPLY: &str = "nats.reply";
const HEADERS: &str = "nats.headers.";
const MESSAGE_ID: &str = "nats.message.id";

/// What belongs to the server; nobody is asked for an answer there.
const SYSTEM: char = '$';

/// How messages are addressed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Addressing {
    target: Target,
    headers: Arc<[(HeaderName, Template)]>,
    message_id: Option<Template>,
    partition: Option<Partition>,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq)]
enum Target {
    /// The same subject for all; in partitions, what stands before their numbers.
    Fixed(Subject),
    /// A subject of that many tokens.
    Made { template: Template, tokens: usize },
    /// Where an answer is expected.
    Reply(Template),
}

/// The address of one event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Address {
    /// Where it goes.
    pub(crate) subject: Subject,
    /// Its headers, when there are any.
    pub(crate) headers: Option<HeaderMap>,
    /// What `nats.message.id` says, when it is given and not empty.
    pub(crate) id: Option<String>,
}

impl Addressing {
    /// Reads validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a template that never makes a subject, and a header that is none.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let target = match (properties.template(SUBJECT)?, properties.template(REPLY)?) {
            (Some(template), None) => Target::of_subject(template)?,
            (None, Some(template)) => Target::of_reply(template)?,
            (Some(_), Some(_)) => {
                let error = EventFluxError::property(REPLY, "has no effect beside nats.subject");
                return Err(error.with_hint("an answer goes where it is expected: remove one of them"));
            }
            (None, None) => {
                let error = EventFluxError::property(SUBJECT, "is required but missing");
                return Err(error.with_hint("for example 'trades.${symbol}'; or nats.reply, for a sink that answers"));
            }
        };
        let is_stored = properties.is_given("nats.stream");
        let headers = properties.prefixed_templates(HEADERS).map(|(name, value)| header(name, value, is_stored));
        Ok(Self {
            target,
            headers: headers.collect::<Result<_, _>>()?,
            message_id: properties.template(MESSAGE_ID)?,
            partition: Partition::from_properties(properties)?,
        })
    }

    /// A pattern that every subject matches: `*` for each column, and for the number of the partition. For sinks with
    /// `nats.subject`.
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = match &self.target {
            Target::Fixed(subject) => subject.to_string(),
            Target::Made { template, .. } => with_tokens(template, "*"),
            Target::Reply(_) => ">".to_owned(),
        };
        if self.partition.is_some() {
            pattern.push_str(".*");
        }
        // A token that is only partly made of data.
        let tokens = pattern.split('.').map(|token| if token.contains('*') { "*" } else { token });
        tokens.collect::<Vec<_>>().join(".")
    }

    /// The address of row number `row`.
    ///
    /// # Errors
    /// [`EventFluxError::Send`], not retryable, for data that no subject or header can be made of. It does not show them.
    pub(crate) fn address(&self, batch: &EncodedBatch, row: usize) -> Result<Address, EventFluxError> {
        Ok(Address {
            subject: self.subject(batch, row)?,
            headers: self.headers(batch, row)?,
            id: self.message_id(batch, row)?,
        })
    }

    fn subject(&self, batch: &EncodedBatch, row: usize) -> Result<Subject, EventFluxError> {
        let partition = self.partition.as_ref().map(|partition| partition.of(batch, row));
        let base = match &self.target {
            Target::Fixed(subject) => {
                return Ok(partition.map_or_else(|| subject.clone(), |number| format!("{subject}.{number}").into()));
            }
            Target::Made { template, tokens } => {
                let text = template.text(batch, row);
                subject::check_filled(text, *tokens).map_err(|reason| refused(SUBJECT, reason))?;
                if text.starts_with(SYSTEM) && is_made_of_data(template) {
                    return Err(refused(SUBJECT, "a value would address the server itself ('$')"));
                }
                text
            }
            Target::Reply(template) => {
                let text = template.text(batch, row);
                subject::check(text).map_err(|reason| refused(REPLY, reason))?;
                if text.starts_with(SYSTEM) {
                    return Err(refused(REPLY, "no answer is expected at subjects of the server ('$')"));
                }
                text
            }
        };
        Ok(partition.map_or_else(|| base.into(), |number| format!("{base}.{number}").into()))
    }

    fn headers(&self, batch: &EncodedBatch, row: usize) -> Result<Option<HeaderMap>, EventFluxError> {
        let mut headers = self.partition.as_ref().map(Partition::headers);
        for (name, template) in &*self.headers {
            let text = template.text(batch, row);
            if !text.is_empty() {
                let value = header_value(text).ok_or_else(|| refused(&format!("{HEADERS}{name}"), LINE_BREAK))?;
                headers.get_or_insert_with(HeaderMap::new).insert(name.clone(), value);
            }
        }
        Ok(headers)
    }

    fn message_id(&self, batch: &EncodedBatch, row: usize) -> Result<Option<String>, EventFluxError> {
        let Some(template) = &self.message_id else { return Ok(None) };
        let text = template.text(batch, row);
        if header_value(text).is_none() {
            return Err(refused(MESSAGE_ID, LINE_BREAK));
        }
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
}

impl Target {
    fn of_subject(template: Template) -> Result<Self, EventFluxError> {
        let sample = with_tokens(&template, "x");
        subject::check(&sample).map_err(|reason| EventFluxError::property(SUBJECT, reason))?;
        Ok(match template.constant() {
            Some(text) => Self::Fixed(text.into()),
            None => Self::Made { tokens: sample.split('.').count(), template },
        })
    }

    /// One without columns would answer everybody at the same place.
    fn of_reply(template: Template) -> Result<Self, EventFluxError> {
        if template.constant().is_some() {
            let error = EventFluxError::property(REPLY, "names no column");
            return Err(error.with_hint("for example '${reply_to}', with metadata.reply_to='reply' at the source"));
        }
        Ok(Self::Reply(template))
    }
}

const LINE_BREAK: &str = "a value has a line break or another control character";

fn header(name: &str, value: Template, is_stored: bool) -> Result<(HeaderName, Template), EventFluxError> {
    let key = format!("{HEADERS}{name}");
    let parsed = HeaderName::from_str(name)
        .map_err(|_| EventFluxError::property(&key, "is no name of a header").with_hint("for example Trace-Id"))?;
    if is_stored && name.to_ascii_lowercase().starts_with("nats-") {
        let error = EventFluxError::property(&key, "is what the sink itself says to the stream");
        return Err(error.with_hint("remove it; for deduplication use nats.message.id"));
    }
    match value.constant() {
        Some(text) if header_value(text).is_none() => Err(EventFluxError::property(&key, LINE_BREAK)),
        _ => Ok((parsed, value)),
    }
}

fn header_value(text: &str) -> Option<HeaderValue> {
    if text.chars().any(char::is_control) { None } else { HeaderValue::from_str(text).ok() }
}

fn refused(key: &str, reason: &str) -> EventFluxError {
    EventFluxError::Send { reason: format!("{key}: {reason}"), retryable: false }
}

/// The template's text with `token` as the value of each column.
fn with_tokens(template: &Template, token: &str) -> String {
    let text = |part: &TemplatePart| match part {
        TemplatePart::Literal(text) => text.clone(),
        TemplatePart::Column(_) => token.to_owned(),
    };
    template.parts().iter().map(text).collect()
}

fn is_made_of_data(template: &Template) -> bool {
    matches!(template.parts().first(), Some(TemplatePart::Column(_)))
}

#[cfg(test)]
mod tests {
    use eventflux_core::PayloadWriter;

    use super::*;
    use crate::SINK_PROPERTIES;

    fn properties(raw: &[(&str, &str)]) -> Properties {
        let url = ("nats.url", "nats://localhost");
        Properties::from_pairs(SINK_PROPERTIES, [url].iter().chain(raw).copied()).unwrap()
    }

    fn addressing(raw: &[(&str, &str)]) -> Result<Addressing, EventFluxError> {
        Addressing::from_properties(&properties(raw))
    }

    /// The address of one event with these texts, in the order of the keys of templates with columns.
    fn address(raw: &[(&str, &str)], texts: &[&str]) -> Result<Address, EventFluxError> {
        let properties = properties(raw);
        let mut writer = PayloadWriter::default();
        writer.finish(1);
        let templates: Vec<_> = properties.row_templates().map(|(_, template)| template).collect();
        assert_eq!(templates.len(), texts.len(), "a text for each template");
        let batch = templates
            .iter()
            .zip(texts)
            .fold(writer.take(), |batch, (template, text)| batch.with_texts(template, [text].into_iter().collect()));
        Addressing::from_properties(&properties)?.address(&batch, 0)
    }

    const TRADES: (&str, &str) = ("nats.subject", "trades.${symbol}");

    #[test]
    fn values_are_single_tokens() {
        let subject = |text| address(&[TRADES], &[text]).map(|address| address.subject.to_string());
        assert_eq!(subject("trades.BTC").unwrap(), "trades.BTC");
        assert_eq!(subject("trades.\u{e9}-1_$").unwrap(), "trades.\u{e9}-1_$");
        for bad in ["trades.", "trades.a.b", "trades.*", "trades.>", "trades.a b", "trades.\t", "trades.\u{0}", ""] {
            let error = subject(bad).unwrap_err();
            assert!(!error.is_retryable() && matches!(error, EventFluxError::Send { .. }), "{bad:?}: {error:?}");
        }
    }

    #[test]
    fn only_the_author_addresses_the_server() {
        let own = [("nats.subject", "$JS.${what}.x")];
        assert_eq!(address(&own, &["$JS.API.x"]).unwrap().subject.as_str(), "$JS.API.x");
        let data = [("nats.subject", "${what}.x")];
        assert!(address(&data, &["$JS.x"]).unwrap_err().to_string().contains("the server itself"));
        assert!(address(&[("nats.reply", "${to}")], &["$JS.x"]).is_err());
        assert_eq!(address(&[("nats.reply", "${to}")], &["_INBOX.a.b"]).unwrap().subject.as_str(), "_INBOX.a.b");
    }

    #[test]
    fn headers_and_ids_keep_to_their_line() {
        let raw = [
            TRADES,
            ("nats.headers.A", "${a}"),
            ("nats.headers.B", "b"),
            ("nats.stream", "T"),
            ("nats.message.id", "${id}"),
        ];
        let texts = |header, id| address(&raw, &[header, id, "trades.x"]);
        let address = texts("one", "7").unwrap();
        let headers = address.headers.unwrap();
        assert_eq!((headers.get("A").unwrap().as_str(), headers.get("B").unwrap().as_str()), ("one", "b"));
        assert_eq!(address.id.as_deref(), Some("7"));
        let empty = texts("", "").unwrap();
        assert_eq!((empty.headers.unwrap().get("A"), empty.id), (None, None));
        for (header, id, key) in [("a\r\nB: c", "7", "nats.headers.A"), ("a", "7\n", "nats.message.id")] {
            let error = texts(header, id).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn templates_that_never_make_a_subject_are_refused() {
        for (raw, key) in [
            (&[("nats.subject", "a..b")][..], SUBJECT),
            (&[("nats.subject", "a.*")], SUBJECT),
            (&[("nats.subject", "a ${b}")], SUBJECT),
            (&[("nats.subject", "")], SUBJECT),
            (&[("nats.reply", "_INBOX.x")], REPLY),
            (&[TRADES, ("nats.reply", "${r}")], REPLY),
            (&[], SUBJECT),
            (&[TRADES, ("nats.headers.a b", "x")], "nats.headers.a b"),
            (&[TRADES, ("nats.headers.A", "a\nb")], "nats.headers.A"),
            (&[TRADES, ("nats.stream", "T"), ("nats.headers.Nats-Msg-Id", "1")], "nats.headers.Nats-Msg-Id"),
        ] {
            match addressing(raw) {
                Err(EventFluxError::Configuration { property, .. }) => assert_eq!(property.as_deref(), Some(key)),
                other => panic!("{raw:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_pattern_stands_for_every_subject() {
        let pattern = |raw: &[(&str, &str)]| addressing(raw).unwrap().pattern();
        assert_eq!(pattern(&[("nats.subject", "trades.all")]), "trades.all");
        assert_eq!(pattern(&[("nats.subject", "trades.${symbol}.v${version}")]), "trades.*.*");
    }
}
