//! What tells series apart: names and values, ordered by name. The metric's own name is not among them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of labels. A label with an empty value is the same as none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of a label; empty when it has none.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .binary_search_by(|(n, _)| n.as_ref().cmp(name))
            .ok()
            .and_then(|at| self.0.get(at))
            .map_or("", |(_, value)| value)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Only these labels.
    pub fn only(&self, names: &[String]) -> Self {
        self.iter().filter(|(name, _)| names.iter().any(|n| n == name)).collect()
    }

    /// All but these labels.
    pub fn without(&self, names: &[String]) -> Self {
        if names.is_empty() {
            return self.clone();
        }
        self.iter().filter(|(name, _)| names.iter().all(|n| n != name)).collect()
    }

    /// With further labels in place of those of the same name.
    pub fn with<'a>(&'a self, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut map: BTreeMap<&str, &str> = self.iter().collect();
        map.extend(more);
        map.into_iter().collect()
    }

    /// Those of a sample of an exposition, and `target`'s, which say where it was read. A label of the sample that has
    /// a name of `target` is called `exported_…`, as Prometheus does it.
    pub(crate) fn of_sample(block: &str, target: &[(String, String)]) -> Option<Self> {
        let mut map: BTreeMap<String, String> = BTreeMap::new();
        let mut rest = block;
        while !rest.is_empty() {
            let (name, after) = rest.split_once("=\"")?;
            let (value, after) = unescape(after)?;
            let taken = target.iter().any(|(t, _)| t == name);
            map.insert(if taken { format!("exported_{name}") } else { name.to_owned() }, value);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        map.extend(target.iter().cloned());
        Some(map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
    }
}

/// The text up to the quote that ends it, and what follows the quote.
fn unescape(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let map: BTreeMap<&str, &str> = pairs.into_iter().collect();
        let kept = map.into_iter().filter(|(_, value)| !value.is_empty());
        Self(kept.map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", pairs.join(", "))
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = BTreeMap::<String, String>::deserialize(deserializer)?;
        Ok(map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_its_hostile_names_and_gets_where_it_was_read() {
        let target = [("instance".to_owned(), "db:5432".to_owned())];
        let block = r#"datname="a\"b\\c\nd",table="größe, {x}",instance="own""#;
        let labels = Labels::of_sample(block, &target).unwrap();
        let found: Vec<_> = labels.iter().collect();
        let expected = [
            ("datname", "a\"b\\c\nd"),
            ("exported_instance", "own"),
            ("instance", "db:5432"),
            ("table", "größe, {x}"),
        ];
        assert_eq!(found, expected);
        assert_eq!((labels.get("instance"), labels.get("nothing")), ("db:5432", ""));
        assert_eq!(Labels::of_sample("datname=\"open", &[]), None);
        assert_eq!(Labels::of_sample("", &[]), Some(Labels::default()));
    }

    #[test]
    fn an_empty_label_is_none() {
        let labels: Labels = [("a", "1"), ("b", "")].into_iter().collect();
        assert_eq!(labels, [("a", "1")].into_iter().collect());
        assert_eq!(labels.only(&["b".into()]), Labels::default());
        assert_eq!(labels.with([("a", "2"), ("c", "3")]).to_string(), "{a=\"2\", c=\"3\"}");
    }
}
