//! Which servers does a file name? The format is that of Prometheus' `file_sd`: a list of entries with `targets` and `labels`,
//! as YAML or JSON. A target is a connection string, the label `server` its name, and the label `log` where it writes its log.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_norway::Value;

/// The longest name.
const NAME_BYTES: usize = 64;
/// So many servers at most: each costs sessions and memory.
const SERVERS: usize = 200;

/// A server of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The connection string.
    pub url: String,
    /// Its log, or the folder of its logs.
    pub log: Option<PathBuf>,
}

/// The servers by their names.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse(text: &str) -> Result<BTreeMap<String, Server>, String> {
    let whole: Value = serde_norway::from_str(text).map_err(|error| {
        format!("It is neither YAML nor JSON: {}.", error.to_string().trim_end_matches('.'))
    })?;
    let entries = match whole {
        Value::Null => Vec::new(),
        Value::Sequence(entries) => entries,
        _ => {
            return Err("It is not a list: in YAML each server is an entry that begins with a hyphen.".into());
        }
    };
    let mut found = BTreeMap::new();
    for (number, entry) in (1..).zip(&entries) {
        let (name, server) = server(entry).map_err(|wrong| format!("Entry {number} {wrong}."))?;
        if found.insert(name.clone(), server).is_some() {
            return Err(format!("There are two servers called \"{name}\"."));
        }
    }
    if found.len() > SERVERS {
        return Err(format!(
            "It names {} servers; {SERVERS} is the most that one pgwright watches.",
            found.len()
        ));
    }
    Ok(found)
}

/// An entry's name and what it says, or what is wrong with it.
fn server(entry: &Value) -> Result<(String, Server), String> {
    let [targets, labels] = fields(entry, "", ["targets", "labels"], &[])?;
    let [name] = fields(labels, " among its labels", ["server"], &["log"])?;
    let log = match labels.get("log") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if !path.is_empty() => Some(PathBuf::from(path)),
        Some(_) => return Err("has a label \"log\" that is no path".into()),
    };
    let name = match name {
        Value::String(name) => name.clone(),
        // As YAML reads a name of digits.
        Value::Number(number) => number.to_string(),
        _ => return Err("has a label \"server\" that is no text".into()),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    // It stands in addresses and in names of files.
    if name.is_empty() || name.len() > NAME_BYTES || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(format!(
            "is called {name:?}, and a name is 1 to {NAME_BYTES} letters, digits, hyphens, underscores or points"
        ));
    }
    let targets = targets.as_sequence().map_or(&[][..], Vec::as_slice);
    match targets {
        [Value::String(target)] => Ok((name, Server { url: target.clone(), log })),
        _ => Err(format!(
            "(\"{name}\") has {} targets, and \"targets\" is a list of one connection string",
            targets.len()
        )),
    }
}

/// The values of a mapping that has these keys, perhaps those of `more`, and no others; `place` tells in messages where it stands.
fn fields<'a, const N: usize>(
    value: &'a Value,
    place: &str,
    keys: [&str; N],
    more: &[&str],
) -> Result<[&'a Value; N], String> {
    let mapping = value
        .as_mapping()
        .ok_or_else(|| format!("has no {}{place}", keys.map(|key| format!("\"{key}\"")).join(" and ")))?;
    let unknown = |key: &&Value| !key.as_str().is_some_and(|key| keys.contains(&key) || more.contains(&key));
    if let Some(unknown) = mapping.keys().find(unknown) {
        let unknown = unknown.as_str().unwrap_or("something that is no text");
        let allowed: Vec<&str> = keys.iter().chain(more).copied().collect();
        return Err(format!("has \"{unknown}\"{place}, where only {} can be given", allowed.join(" and ")));
    }
    let mut found = [&Value::Null; N];
    for (value, key) in found.iter_mut().zip(keys) {
        *value = mapping.get(key).ok_or_else(|| format!("has no \"{key}\"{place}"))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn yaml_and_json_name_the_same_servers() {
        let yaml = "- targets: [ 'postgres://a/x' ]\n  labels: { server: a, log: /var/log/a }\n- targets: [ 'host=b' ]\n  labels: { server: b.2 }\n";
        let json = r#"[{"targets":["postgres://a/x"],"labels":{"server":"a","log":"/var/log/a"}},{"targets":["host=b"],"labels":{"server":"b.2"}}]"#;
        let found = parse(yaml).unwrap();
        assert_eq!(found, parse(json).unwrap());
        assert_eq!(found["b.2"], super::Server { url: "host=b".into(), log: None });
        assert_eq!(found["a"].log, Some("/var/log/a".into()));
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, reason) in [
            ("- targets: [a]\n  labels: { server: ../a }\n", "../a"),
            ("- targets: [a]\n  labels: { server: '' }\n", "1 to 64"),
            ("- targets: [a, b]\n  labels: { server: a }\n", "2 targets"),
            (
                "- targets: [a]\n  labels: { server: a }\n- targets: [b]\n  labels: { server: a }\n",
                "two servers",
            ),
            ("- targets: [a]\n  labels: { server: a, env: b }\n", "env"),
            ("- targets: [a]\n  labels: { server: a, log: 5 }\n", "no path"),
            ("- targets: [a]\n", "labels"),
            ("servers: a", "not a list"),
            ("- a", "Entry 1 has no \"targets\" and \"labels\""),
            ("- targets: a\n  labels: { server: a }\n", "0 targets"),
            ("- targets: [a]\n  labels: { server: a }\n  more: 1\n", "\"more\""),
            ("- targets: [a]\n  labels: { env: a }\n", "\"env\""),
            ("- [", "neither YAML nor JSON"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
