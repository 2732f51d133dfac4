//! Paths to values, as properties spell them: `$.data.s`, `$.items[0].price`, `$['odd name']`, `$$.ts`.

use std::fmt;

/// Most steps of one path.
pub(super) const MAX_STEPS: usize = 32;

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// `$`: the event.
    Event,
    /// `$$`: the whole message, for what stands beside the list of events.
    Message,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The value of that key of an object.
    Key(String),
    /// That element of an array, counted from 0.
    Index(u32),
}

/// A path to one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) origin: Origin,
    pub(super) steps: Vec<Step>,
}

impl Path {
    /// The path of a column without a path of its own: the key of its name.
    pub(super) fn of_column(name: &str) -> Self {
        Self { origin: Origin::Event, steps: vec![Step::Key(name.to_owned())] }
    }

    /// Reads a path.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (origin, mut rest) = if let Some(rest) = text.strip_prefix("$$") {
            (Origin::Message, rest)
        } else if let Some(rest) = text.strip_prefix('$') {
            (Origin::Event, rest)
        } else {
            return Err(format!("'{text}' does not start with '$'"));
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if steps.len() == MAX_STEPS {
                return Err(format!("more than {MAX_STEPS} steps"));
            }
            let (step, after) = next_step(rest).ok_or_else(|| format!("cannot read '{rest}' in '{text}'"))?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { origin, steps })
    }
}

fn next_step(rest: &str) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix('.') {
        let end = after.find(['.', '[']).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        return (!name.is_empty()).then(|| (Step::Key(name.to_owned()), after));
    }
    let inside = rest.strip_prefix('[')?;
    for quote in ['\'', '"'] {
        if let Some(quoted) = inside.strip_prefix(quote) {
            let (name, after) = quoted.split_once(quote)?;
            return Some((Step::Key(name.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (index, after) = inside.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), after))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.origin {
            Origin::Event => "$",
            Origin::Message => "$$",
        })?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Key(name) if name.contains(['.', '[', '\'']) => write!(f, "[\"{name}\"]"),
            Step::Key(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_and_shown_alike() {
        for text in ["$", "$$", "$.data.s", "$.items[0].price", "$[1][2]", "$$.ts", "$[\"a.b\"].c"] {
            assert_eq!(Path::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Path::parse(" $['a.b'] ").unwrap(), Path::of_column("a.b"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in ["", "data", "$.", "$..a", "$data", "$[", "$[-1]", "$[x]", "$['a]", "$.a[0", "$.a[99999999999]"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&format!("${}", ".a".repeat(MAX_STEPS + 1))).is_err());
    }
}
