//! The parameters of a request.

use eventflux_websocket_wire::handshake::RequestHead;
use url::form_urlencoded;

use super::answer::Answer;

/// Parameters by name; a name that is not known was refused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Those of a request. `ignored`: the name of one that somebody else reads.
    ///
    /// # Errors
    /// For a name that is not `known`: what is not understood must not be taken for granted.
    pub(super) fn of(request: &RequestHead, known: &[&str], ignored: Option<&str>) -> Result<Self, Answer> {
        let pairs = form_urlencoded::parse(request.query().unwrap_or_default().as_bytes());
        let mut parameters = Vec::new();
        for (name, value) in pairs.filter(|(name, _)| ignored != Some(&**name)) {
            if !known.contains(&&*name) {
                let known = known.join(", ");
                return Err(Answer::bad_request(&format!(
                    "there is a parameter that is not known here; known are: {known}"
                )));
            }
            parameters.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(parameters))
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter.
    ///
    /// # Errors
    /// When there is more than one.
    pub(super) fn one<'a>(&'a self, name: &str) -> Result<Option<&'a str>, Answer> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Answer::bad_request(&format!("'{name}' is given more than once"))),
        }
    }
}
