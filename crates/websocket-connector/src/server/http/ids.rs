//! Where a client is, in one line: `<epoch>:<offset>`, with an offset for each of its channels.
//!
//! A browser that comes back repeats the last `id` it got, and nothing else. So with several channels each `id` has the
//! places in all of them, in the order of the request.

use std::fmt::Write;

use eventflux_gateway::dialects::{Position, Recovered};

/// Stands for the place in a channel that has none.
const NONE: &str = "-";

/// The places of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    epoch: String,
    /// Channels, none of them a pattern, and the last event of each that the client has.
    places: Vec<(String, Option<u64>)>,
}

impl Ids {
    /// Of channels that the client begins with.
    pub(super) fn new(epoch: &str, channels: impl IntoIterator<Item = String>) -> Self {
        let places = channels.into_iter().map(|channel| (channel, None)).collect();
        Self { epoch: epoch.to_owned(), places }
    }

    /// Where a client wants to go on that got `id` from somebody. What is none of ours is a place that does not exist any
    /// more: the client is told that it cannot go on, instead of being refused for ever.
    pub(super) fn recover(&self, id: &str) -> Vec<(String, Position)> {
        let nowhere = || Position { epoch: String::new(), offset: 0 };
        let (epoch, offsets) = id.rsplit_once(':').unwrap_or_default();
        let offsets: Vec<_> = offsets.split(',').collect();
        let is_known = offsets.len() == self.places.len();
        let place = |(index, (channel, _)): (usize, &(String, _))| {
            let position = match offsets.get(index).filter(|_| is_known) {
                Some(&NONE) => return None,
                Some(offset) => {
                    offset.parse().map_or_else(|_| nowhere(), |offset| Position { epoch: epoch.to_owned(), offset })
                }
                None => nowhere(),
            };
            Some((channel.clone(), position))
        };
        self.places.iter().enumerate().filter_map(place).collect()
    }

    /// The client begins where its subscriptions do. `snapshot`: with the latest events, whose places are to come.
    pub(super) fn begin(&mut self, recover: &[(String, Position)], places: &[(String, Recovered)], snapshot: bool) {
        for (channel, place) in &mut self.places {
            let Some((_, reached)) = places.iter().find(|(known, _)| known == channel) else { continue };
            let wanted = recover.iter().find(|(known, position)| known == channel && position.epoch == self.epoch);
            *place = match wanted {
                // What is missing is on its way.
                Some((_, wanted)) if reached.complete == Some(true) || !snapshot => {
                    Some(wanted.offset.min(reached.position.offset))
                }
                _ if snapshot => None,
                _ => Some(reached.position.offset),
            };
        }
    }

    /// The client gets this event; returns whether that is a new place.
    pub(super) fn reach(&mut self, channel: &str, number: u64) -> bool {
        let place = self.places.iter_mut().find(|(known, _)| known == channel);
        place.map(|(_, place)| *place = Some(number)).is_some()
    }

    /// The line; `None` when there is no place in any channel.
    pub(super) fn text(&self) -> Option<String> {
        self.places.iter().find(|(_, place)| place.is_some())?;
        let mut text = format!("{}:", self.epoch);
        for (index, (_, place)) in self.places.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let _ = match place {
                Some(place) => write!(text, "{separator}{place}"),
                None => write!(text, "{separator}{NONE}"),
            };
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(channels: &[&str]) -> Ids {
        Ids::new("e", channels.iter().map(|channel| (*channel).to_owned()))
    }

    fn position(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.to_owned(), offset }
    }

    fn reached(channel: &str, offset: u64, complete: Option<bool>) -> (String, Recovered) {
        (channel.to_owned(), Recovered { position: position("e", offset), complete })
    }

    #[test]
    fn what_a_client_repeats_is_where_it_goes_on() {
        let mut ids = ids(&["a", "b", "c"]);
        assert_eq!(ids.text(), None);
        assert!(ids.reach("b", 7) && ids.reach("a", 41) && !ids.reach("d", 1));
        assert_eq!(ids.text().as_deref(), Some("e:41,7,-"));
        let wanted = [("a".to_owned(), position("e", 41)), ("b".to_owned(), position("e", 7))];
        assert_eq!(ids.recover("e:41,7,-"), wanted);
    }

    #[test]
    fn what_is_none_of_our_ids_is_nowhere() {
        for id in ["x", "e:", "e:1,2", "e:-1", "e:99999999999999999999", ":"] {
            assert_eq!(ids(&["a"]).recover(id), [("a".to_owned(), position("", 0))], "{id}");
        }
        assert_eq!(ids(&["a"]).recover("old:5"), [("a".to_owned(), position("old", 5))]);
        assert_eq!(ids(&[]).recover("e:5"), []);
    }

    #[test]
    fn a_client_begins_in_front_of_what_is_on_its_way() {
        for (recover, place, snapshot, expected) in [
            (None, reached("a", 9, None), false, Some("e:9")),
            (None, reached("a", 9, None), true, None),
            (Some(position("e", 5)), reached("a", 9, Some(true)), false, Some("e:5")),
            (Some(position("e", 5)), reached("a", 9, Some(true)), true, Some("e:5")),
            (Some(position("e", 5)), reached("a", 9, Some(false)), false, Some("e:5")),
            (Some(position("e", 5)), reached("a", 9, Some(false)), true, None),
            (Some(position("e", 50)), reached("a", 9, Some(false)), false, Some("e:9")),
            (Some(position("old", 5)), reached("a", 9, Some(false)), false, Some("e:9")),
        ] {
            let mut ids = ids(&["a"]);
            let recover: Vec<_> = recover.into_iter().map(|position| ("a".to_owned(), position)).collect();
            ids.begin(&recover, &[place], snapshot);
            assert_eq!(ids.text().as_deref(), expected, "{recover:?} {snapshot}");
        }
    }
}
