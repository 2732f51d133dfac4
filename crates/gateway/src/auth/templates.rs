//! Grants as they are written, before it is known for whom.

use super::{Denied, Grants, MAX_GRANTS};
use crate::{Pattern, Problem};

/// What stands for the user's name in a granted pattern.
pub const USER_PLACEHOLDER: &str = "${user}";

/// Grants in which [`USER_PLACEHOLDER`] stands for the user's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTemplates {
    /// The channels one may subscribe to.
    pub subscribe: ChannelList,
    /// The channels one may publish to.
    pub publish: ChannelList,
}

/// Channels by name and pattern, or all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelList(Option<Vec<Template>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Template {
    Plain(Pattern),
    OfUser { before: Box<str>, after: Box<str> },
}

impl GrantTemplates {
    /// Everything, for everybody.
    #[must_use]
    pub fn everything() -> Self {
        Self { subscribe: ChannelList::all(), publish: ChannelList::all() }
    }

    /// The grants of that user. Patterns of users grant nothing to nobody in particular.
    ///
    /// # Errors
    /// [`Denied::UserName`] when the name would make a pattern of a pattern, or one that another user's channels match.
    pub fn for_user(&self, user: Option<&str>) -> Result<Grants, Denied> {
        Ok(Grants { subscribe: self.subscribe.for_user(user)?, publish: self.publish.for_user(user)? })
    }
}

impl ChannelList {
    /// All channels.
    #[must_use]
    pub fn all() -> Self {
        Self(None)
    }

    /// No channel.
    #[must_use]
    pub fn none() -> Self {
        Self(Some(Vec::new()))
    }

    /// The channels of these names and patterns; `*` is all of them.
    ///
    /// # Errors
    /// [`Problem::InvalidChannel`] for the first that is none, and for more than [`MAX_GRANTS`].
    pub fn parse<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<Self, Problem> {
        let mut templates = Vec::new();
        for (number, item) in items.into_iter().enumerate() {
            if number >= MAX_GRANTS {
                return Err(Problem::InvalidChannel(format!("there are more than {MAX_GRANTS} patterns")));
            }
            templates.push(Template::parse(item)?);
        }
        let has_all = templates.iter().any(|template| matches!(template, Template::Plain(all) if all.text() == "*"));
        Ok(Self(Some(templates).filter(|_| !has_all)))
    }

    fn for_user(&self, user: Option<&str>) -> Result<Option<Vec<Pattern>>, Denied> {
        let Some(templates) = &self.0 else {
            return Ok(None);
        };
        let patterns = templates.iter().filter_map(|template| template.for_user(user).transpose());
        patterns.collect::<Result<_, _>>().map(Some)
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, Problem> {
        let error = |reason: &str| Problem::InvalidChannel(format!("'{}' {reason}", text.escape_debug()));
        let Some((before, after)) = text.split_once(USER_PLACEHOLDER) else {
            if text.contains("${") {
                return Err(error("has a placeholder other than ${user}"));
            }
            return Pattern::parse(text).map(Self::Plain);
        };
        if before.contains("${") || after.contains("${") {
            return Err(error("has more than one placeholder"));
        }
        if after == "*" {
            return Err(error(
                "would give 'ann' the channels of 'anna': write a separator behind ${user}, as in ${user}.*",
            ));
        }
        // What is wrong around the name is found now, and not with the first user.
        Pattern::parse(&format!("{before}u{after}"))?;
        Ok(Self::OfUser { before: before.into(), after: after.into() })
    }

    fn for_user(&self, user: Option<&str>) -> Result<Option<Pattern>, Denied> {
        let (before, after) = match self {
            Self::Plain(pattern) => return Ok(Some(pattern.clone())),
            Self::OfUser { before, after } => (before, after),
        };
        let Some(user) = user else {
            return Ok(None);
        };
        // With the separator in it, the name 'ann.x' would begin with what 'ann.*' matches.
        let separator = after.chars().next().filter(|_| after.ends_with('*'));
        if user.contains('*') || separator.is_some_and(|separator| user.contains(separator)) {
            return Err(Denied::UserName);
        }
        Pattern::parse(&[before, user, after].concat()).map(Some).map_err(|_| Denied::UserName)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(list: &[&str], user: Option<&str>) -> Result<Option<Vec<String>>, Denied> {
        let patterns = ChannelList::parse(list.iter().copied()).unwrap().for_user(user)?;
        Ok(patterns.map(|patterns| patterns.iter().map(|pattern| pattern.text().to_owned()).collect()))
    }

    #[test]
    fn the_name_of_the_user_takes_the_place_of_its_placeholder() {
        let list = ["news", "user.${user}.*", "${user}", "inbox.${user}"];
        let granted = patterns(&list, Some("ann")).unwrap().unwrap();
        assert_eq!(granted, ["news", "user.ann.*", "ann", "inbox.ann"]);
        assert_eq!(patterns(&list, None).unwrap().unwrap(), ["news"]);
    }

    #[test]
    fn one_star_is_everything_and_an_empty_list_nothing() {
        assert_eq!(patterns(&["a", "*"], None), Ok(None));
        assert_eq!(patterns(&[], None), Ok(Some(Vec::new())));
        let nothing = GrantTemplates { subscribe: ChannelList::none(), publish: ChannelList::parse([]).unwrap() };
        assert_eq!(nothing.for_user(Some("ann")), Ok(Grants::nothing()));
        assert_eq!(GrantTemplates::everything().for_user(None), Ok(Grants::everything()));
    }

    #[test]
    fn a_name_that_is_more_than_a_name_is_refused() {
        for name in ["*", "a*", "a b", "a\r\nb", "a>", &"x".repeat(300)] {
            assert_eq!(patterns(&["inbox.${user}"], Some(name)), Err(Denied::UserName), "{name:?}");
        }
        assert_eq!(patterns(&["user.${user}.*"], Some("ann.smith")), Err(Denied::UserName));
        let granted = patterns(&["user:${user}:*", "inbox.${user}"], Some("ann.smith")).unwrap().unwrap();
        assert_eq!(granted, ["user:ann.smith:*", "inbox.ann.smith"]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, reason) in [
            ("${user}*", "write a separator"),
            ("${usr}.*", "other than ${user}"),
            ("${user}.${user}", "more than one placeholder"),
            ("${user}.${x}", "more than one placeholder"),
        ] {
            let error = ChannelList::parse([text]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("Invalid channel: '{text}' ")) && error.contains(reason), "{error}");
        }
        for text in ["", "a b", "*.${user}", "${user}.*.x", "a*b"] {
            assert!(matches!(ChannelList::parse([text]), Err(Problem::InvalidChannel(_))), "{text}");
        }
        assert!(ChannelList::parse(std::iter::repeat_n("a", MAX_GRANTS)).is_ok());
        assert!(ChannelList::parse(std::iter::repeat_n("a", MAX_GRANTS + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_two_users_share_a_channel(
            template in "[a.]{0,2}\\$\\{user\\}[.:a]{0,2}\\*?",
            (one, other) in ("[a.:]{1,5}", "[a.:]{1,5}"),
        ) {
            prop_assume!(one != other);
            let Ok(list) = ChannelList::parse([template.as_str()]) else { return Ok(()) };
            if let (Ok(Some(one)), Ok(Some(other))) = (list.for_user(Some(&one)), list.for_user(Some(&other))) {
                prop_assert_eq!(one[0].intersection(&other[0]), None);
            }
        }
    }
}
