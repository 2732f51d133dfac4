//! What a request for events wants, from its query and its `Last-Event-ID`.

use eventflux_gateway::dialects::{Dialect, Position, Subscribe, SubscriptionId, Traits};
use eventflux_gateway::{Pattern, Placing, Problem};
use eventflux_websocket_wire::handshake::RequestHead;

use super::answer::Answer;
use super::ids::Ids;
use super::query::Parameters;

const KNOWN: &[&str] = &["channel", "filter", "snapshot", "last_event_id"];

/// The longest `Last-Event-ID`, in bytes; ours are shorter.
const MAX_ID_BYTES: usize = 4096;

/// What a request for events wants.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Channels and patterns, none of which covers another.
    pub(super) patterns: Vec<Pattern>,
    pub(super) filter: Option<String>,
    pub(super) snapshot: bool,
    /// Where to go on.
    pub(super) recover: Vec<(String, Position)>,
    /// The places of the client.
    pub(super) ids: Ids,
}

impl Wanted {
    /// # Errors
    /// What is wrong with the request.
    pub(super) fn of(
        request: &RequestHead,
        token: Option<&str>,
        epoch: &str,
        dialect: &dyn Dialect,
    ) -> Result<Self, Answer> {
        let traits = dialect.traits();
        let parameters = Parameters::of(request, KNOWN, token)?;
        let patterns = patterns(&parameters, traits)?;
        check_exist(&patterns, dialect)?;
        // Without structure there are no histories either.
        let channels = patterns.iter().filter(|pattern| pattern.is_exact() && !traits.transparent);
        let ids = Ids::new(epoch, channels.map(|pattern| pattern.text().to_owned()));
        let snapshot = match parameters.one("snapshot")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Answer::bad_request("'snapshot' is either true or false")),
        };
        let filter = parameters.one("filter")?.map(str::to_owned);
        if filter.is_some() && traits.transparent {
            return Err(Answer::bad_request("there are no filters here: payloads have no structure"));
        }
        let recover = last_event_id(request, &parameters)?.map(|id| ids.recover(&id)).unwrap_or_default();
        Ok(Self { filter, snapshot, recover, ids, patterns })
    }

    /// As a client of the protocol would have asked for it.
    pub(super) fn subscriptions(&self, traits: Traits) -> Vec<Subscribe> {
        let of = |channels: Vec<String>, id| Subscribe {
            channels,
            id,
            predicate: self.filter.clone(),
            recover: self.recover.clone(),
            snapshot: self.snapshot,
            ..Subscribe::default()
        };
        let channels = self.patterns.iter().map(|pattern| pattern.text().to_owned());
        if traits.personal {
            return channels.map(|channel| of(vec![channel], SubscriptionId::Ours)).collect();
        }
        vec![of(channels.collect(), SubscriptionId::Channel)]
    }

    /// Whether all clients get the same bytes of an event. With several channels each of them has places of its own.
    pub(super) fn placing(&self) -> Placing {
        let channels = self.patterns.iter().filter(|pattern| pattern.is_exact()).count();
        if channels == 0 || (channels == 1 && self.patterns.len() == 1) { Placing::Framed } else { Placing::Told }
    }

    /// Whether events have places that the framing can write: those of one channel.
    pub(super) fn is_one_channel(&self) -> bool {
        matches!(&self.patterns[..], [pattern] if pattern.is_exact())
    }
}

fn patterns(parameters: &Parameters, traits: Traits) -> Result<Vec<Pattern>, Answer> {
    let everything = traits.transparent && parameters.all("channel").next().is_none();
    let named = parameters.all("channel").chain(everything.then_some("*"));
    let patterns: Result<Vec<_>, _> = named.map(Pattern::parse).collect();
    let patterns = patterns.map_err(|problem| Answer::of_problem(&problem))?;
    if patterns.is_empty() {
        return Err(Answer::bad_request("name what to receive: ?channel=a&channel=b.*"));
    }
    let covers_another = |(index, pattern): (usize, &Pattern)| {
        patterns.iter().enumerate().any(|(other, covered)| other != index && pattern.covers(covered))
    };
    // Which of them goes on where the client was could not be told.
    if patterns.iter().enumerate().any(covers_another) {
        return Err(Answer::bad_request(
            "the same channel is asked for twice, by name or by a pattern: leave one of them out",
        ));
    }
    Ok(patterns)
}

fn check_exist(patterns: &[Pattern], dialect: &dyn Dialect) -> Result<(), Answer> {
    let Some(channels) = dialect.channels() else { return Ok(()) };
    if patterns.iter().all(|pattern| channels.contains(&pattern.text())) {
        return Ok(());
    }
    let reason = format!("there are {} and no others", channels.join(", "));
    Err(Answer::of_problem(&Problem::InvalidChannel(reason)))
}

/// The header is newer: a browser that comes back repeats the query as it was in the beginning.
fn last_event_id(request: &RequestHead, parameters: &Parameters) -> Result<Option<String>, Answer> {
    let mut headers = request.header("last-event-id");
    let id = match (headers.next(), headers.next()) {
        (None, _) => parameters.one("last_event_id")?.map(str::to_owned),
        (Some(id), None) => Some(String::from_utf8_lossy(id).into_owned()),
        _ => return Err(Answer::bad_request("Last-Event-ID is given more than once")),
    };
    match id.filter(|id| !id.is_empty()) {
        Some(id) if id.len() > MAX_ID_BYTES => Err(Answer::bad_request("Last-Event-ID is too long to be one of ours")),
        id => Ok(id),
    }
}
