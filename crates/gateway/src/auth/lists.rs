//! Static tokens, and users with passwords: lists that somebody wrote.

use std::fmt;
use std::sync::Arc;

use eventflux_core::Secret;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::templates::ChannelList;
use super::{Denied, GrantTemplates, Identity, check_user};

/// The most entries of a list: each attempt is compared with all of them.
pub const MAX_LIST_ENTRIES: usize = 10_000;

/// Tokens, and whose they are. Its debug form shows no token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens(Entries);

/// Users with their passwords. Its debug form shows no password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users(Entries);

/// What is wrong with a list; nothing of an entry is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct ListError {
    /// `entry 2` or `line 2`.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Digests of secrets, in the order of their entries: comparing them takes as long whatever is compared.
#[derive(Clone, PartialEq, Eq, Default)]
struct Entries {
    digests: Vec<[u8; 32]>,
    holders: Vec<Holder>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Holder {
    user: Option<Arc<str>>,
    /// `None`: the entry says nothing of channels.
    grants: Option<GrantTemplates>,
}

impl Tokens {
    /// Reads `token=user,token` as in a property. The last `=` separates.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn parse(list: &str) -> Result<Self, ListError> {
        let mut entries = Entries::default();
        for (index, entry) in list.split(',').map(str::trim).enumerate() {
            let added = token_entry(entry).and_then(|(token, user)| entries.add(token, user, None));
            added.map_err(|reason| ListError { place: format!("entry {}", index + 1), reason })?;
        }
        Ok(Self(entries))
    }

    /// Reads a file: a token a line, followed by its user and its grants, as in `abc123 ann subscribe=a.*,b publish=c`;
    /// empty lines and those that start with `#` do not count.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse_file(text: &str) -> Result<Self, ListError> {
        parse_lines(text, |entries, line| {
            let mut words = line.split_whitespace().peekable();
            let token = words.next().unwrap_or_default();
            let user = words.next_if(|word| grant(word).is_none());
            let grants = grants(words)?;
            entries.add(token, user, grants)
        })
        .map(Self)
    }

    /// Who has that token. Takes as long for a wrong token as for any right one.
    ///
    /// # Errors
    /// [`Denied::Unknown`] when nobody has, and what [`GrantTemplates::for_user`] says.
    pub fn verify(&self, token: &Secret, defaults: &GrantTemplates) -> Result<Identity, Denied> {
        self.0.verify(token.expose(), defaults)
    }
}

impl Users {
    /// Reads `user:password,user2:password2` as in a property.
    ///
    /// # Errors
    /// The first entry that is none.
    pub fn parse(list: &str) -> Result<Self, ListError> {
        let mut entries = Entries::default();
        for (index, entry) in list.split(',').map(str::trim).enumerate() {
            let added = user_name(entry).and_then(|user| entries.add_user(user, entry, None));
            added.map_err(|reason| ListError { place: format!("entry {}", index + 1), reason })?;
        }
        Ok(Self(entries))
    }

    /// Reads a file: `user:password` a line, followed by grants, as in `ann:sesame subscribe=a.*,b publish=c`; empty lines
    /// and those that start with `#` do not count. A password ends at the first space.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse_file(text: &str) -> Result<Self, ListError> {
        parse_lines(text, |entries, line| {
            let mut words = line.split_whitespace();
            let credentials = words.next().unwrap_or_default();
            let user = user_name(credentials)?;
            let grants = grants(words)?;
            entries.add_user(user, credentials, grants)
        })
        .map(Self)
    }

    /// Whether that is the user's password. Takes as long for an unknown user as for a known one.
    ///
    /// # Errors
    /// [`Denied::Unknown`] when it is not, and what [`GrantTemplates::for_user`] says.
    pub fn verify(&self, user: &str, password: &Secret, defaults: &GrantTemplates) -> Result<Identity, Denied> {
        // A name with a colon would be somebody else's name and the beginning of the password.
        if user.contains(':') {
            return Err(Denied::Malformed);
        }
        self.0.verify(&format!("{user}:{}", password.expose()), defaults)
    }
}

impl Entries {
    fn add(&mut self, secret: &str, user: Option<&str>, grants: Option<GrantTemplates>) -> Result<(), String> {
        if self.digests.len() >= MAX_LIST_ENTRIES {
            return Err(format!("there are more than {MAX_LIST_ENTRIES} entries"));
        }
        if secret.is_empty() {
            return Err("has no token".to_owned());
        }
        if secret == "*" {
            return Err(
                "'*' does not stand for any token; for clients without credentials turn authentication off".to_owned()
            );
        }
        if secret.contains(char::is_control) {
            return Err("has a control character in its token".to_owned());
        }
        if user.is_some_and(|user| !check_user(user)) {
            return Err("has a user without a proper name".to_owned());
        }
        let digest = Sha256::digest(secret).into();
        if self.digests.contains(&digest) {
            return Err("is there twice".to_owned());
        }
        self.digests.push(digest);
        self.holders.push(Holder { user: user.map(Arc::from), grants });
        Ok(())
    }

    fn add_user(&mut self, user: &str, credentials: &str, grants: Option<GrantTemplates>) -> Result<(), String> {
        if self.holders.iter().any(|holder| holder.user.as_deref() == Some(user)) {
            return Err(format!("user '{user}' is there twice"));
        }
        self.add(credentials, Some(user), grants)
    }

    fn verify(&self, secret: &str, defaults: &GrantTemplates) -> Result<Identity, Denied> {
        let holder = self.find(secret).ok_or(Denied::Unknown)?;
        let grants = holder.grants.as_ref().unwrap_or(defaults).for_user(holder.user.as_deref())?;
        Ok(Identity { user: holder.user.clone(), grants: Arc::new(grants), expires: None })
    }

    /// Compares with every entry, found or not.
    fn find(&self, secret: &str) -> Option<&Holder> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let (mut found, mut place) = (Choice::from(0), 0);
        for (index, known) in (0u64..).zip(&self.digests) {
            let equal = known.ct_eq(&digest);
            place = u64::conditional_select(&place, &index, equal);
            found |= equal;
        }
        let place = usize::try_from(place).ok()?;
        self.holders.get(place).filter(|_| found.into())
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.holders).finish()
    }
}

fn parse_lines(
    text: &str,
    mut add: impl FnMut(&mut Entries, &str) -> Result<(), String>,
) -> Result<Entries, ListError> {
    let mut entries = Entries::default();
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            let place = || format!("line {}", index + 1);
            add(&mut entries, line).map_err(|reason| ListError { place: place(), reason })?;
        }
    }
    Ok(entries)
}

fn token_entry(entry: &str) -> Result<(&str, Option<&str>), String> {
    match entry.rsplit_once('=') {
        None => Ok((entry, None)),
        Some((_, user)) if user.trim().is_empty() => {
            Err("has no user behind its last '='; a token that ends in '=' must be followed by '=user'".to_owned())
        }
        Some((token, user)) => Ok((token.trim(), Some(user.trim()))),
    }
}

fn user_name(credentials: &str) -> Result<&str, String> {
    match credentials.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => Ok(user),
        _ => Err("is not of the form user:password".to_owned()),
    }
}

/// `subscribe=...` and `publish=...`. What only one of them is said of is granted for that one only.
fn grants<'a>(words: impl Iterator<Item = &'a str>) -> Result<Option<GrantTemplates>, String> {
    let mut lists = [None, None];
    for word in words {
        let (verb, list) = grant(word).ok_or("has something else than subscribe= and publish= at its end")?;
        let place = &mut lists[usize::from(verb == "publish")];
        if place.is_some() {
            return Err(format!("has {verb}= twice"));
        }
        let items = Some(list).filter(|list| !list.is_empty()).into_iter().flat_map(|list| list.split(','));
        *place = Some(ChannelList::parse(items).map_err(|problem| format!("{verb}=: {problem}"))?);
    }
    let [subscribe, publish] = lists;
    if subscribe.is_none() && publish.is_none() {
        return Ok(None);
    }
    let or_none = |list: Option<ChannelList>| list.unwrap_or_else(ChannelList::none);
    Ok(Some(GrantTemplates { subscribe: or_none(subscribe), publish: or_none(publish) }))
}

fn grant(word: &str) -> Option<(&str, &str)> {
    word.split_once('=').filter(|(verb, _)| matches!(*verb, "subscribe" | "publish"))
}

#[cfg(test)]
mod tests;
