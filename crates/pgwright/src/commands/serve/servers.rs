//! Which servers does a file name? The format is that of Prometheus' `file_sd`: a list of entries with `targets` and `labels`,
//! as YAML or JSON. A target is a connection string, and the label `server` its name.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The longest name.
const NAME_BYTES: usize = 64;
/// So many servers at most: each costs sessions and memory.
const SERVERS: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    targets: Vec<String>,
    labels: Labels,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    server: String,
}

/// The connection strings by the names of the servers.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let entries: Vec<Entry> = if text.trim().is_empty() {
        Vec::new()
    } else {
        serde_norway::from_str(text).map_err(|e| format!("{e}."))?
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let name = entry.labels.server;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
        // It stands in addresses and in names of files.
        if name.is_empty() || name.len() > NAME_BYTES || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(format!(
                "The name {name:?} is not 1 to {NAME_BYTES} letters, digits, hyphens, underscores or points."
            ));
        }
        let [target] = <[String; 1]>::try_from(entry.targets)
            .map_err(|targets| format!("Server \"{name}\" has {} targets and not one.", targets.len()))?;
        if found.insert(name.clone(), target).is_some() {
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

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn yaml_and_json_name_the_same_servers() {
        let yaml = "- targets: [ 'postgres://a/x' ]\n  labels: { server: a }\n- targets: [ 'host=b' ]\n  labels: { server: b.2 }\n";
        let json = r#"[{"targets":["postgres://a/x"],"labels":{"server":"a"}},{"targets":["host=b"],"labels":{"server":"b.2"}}]"#;
        let found = parse(yaml).unwrap();
        assert_eq!(found, parse(json).unwrap());
        assert_eq!(found["b.2"], "host=b");
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
            ("- targets: [a]\n", "labels"),
            ("servers: a", "sequence"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
