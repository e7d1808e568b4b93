//! What does a `Key: value` line of the text format say in the words of JSON?
//!
//! Source: the `show_…()` functions of explain.c; each has a branch for text and one for the rest.

use serde_json::{Map, Value, json};

use super::names::number;

/// Adds what a property says to an object with the keys of `FORMAT JSON`.
pub(super) fn add(object: &mut Map<String, Value>, key: &str, value: &str) {
    match key {
        "Sort Key" | "Presorted Key" | "Output" | "Conflict Arbiter Indexes" | "Target Tables" => {
            object.insert(key.into(), list(value));
        }
        "Group Key" | "Hash Key" => add_group_key(object, key, value),
        "Sort Method" => {
            for (key, value) in pairs(&format!("Sort Method: {value}")) {
                match key.as_str() {
                    "Memory" | "Disk" => {
                        set_number(object, "Sort Space Used", value.trim_end_matches("kB"));
                        object.insert("Sort Space Type".into(), key.into());
                    }
                    _ => drop(object.insert(key, value.into())),
                }
            }
        }
        "Full-sort Groups" | "Pre-sorted Groups" => drop(object.insert(key.into(), sort_groups(value))),
        "Buckets" => {
            for (key, value) in pairs(&format!("Buckets: {value}")) {
                let (now, first) = originally(&value);
                let (name, original) = match key.as_str() {
                    "Buckets" => ("Hash Buckets", "Original Hash Buckets"),
                    "Batches" => ("Hash Batches", "Original Hash Batches"),
                    _ => ("Peak Memory Usage", ""),
                };
                set_number(object, name, now);
                if !original.is_empty() {
                    set_number(object, original, first.unwrap_or(now));
                }
            }
        }
        "Batches" | "Planned Partitions" => {
            for (key, value) in pairs(&format!("{key}: {value}")) {
                let name = match key.as_str() {
                    "Batches" => "HashAgg Batches",
                    "Memory Usage" => "Peak Memory Usage",
                    other => other,
                };
                set_number(object, name, &value);
            }
        }
        "Hits" => {
            for (key, value) in pairs(&format!("Hits: {value}")) {
                let name =
                    if key == "Memory Usage" { "Peak Memory Usage".into() } else { format!("Cache {key}") };
                set_number(object, &name, &value);
            }
        }
        "Storage" => {
            for (key, value) in pairs(&format!("Storage: {value}")) {
                if key == "Storage" {
                    object.insert(key, value.into());
                } else {
                    set_number(object, &key, &value);
                }
            }
        }
        "Heap Blocks" => {
            for (name, value) in value.split(' ').filter_map(|p| p.split_once('=')) {
                let name = if name == "lossy" { "Lossy Heap Blocks" } else { "Exact Heap Blocks" };
                set_number(object, name, value);
            }
        }
        "Buffers" => add_usage(object, value, " Blocks"),
        "I/O Timings" => add_io_timings(object, value),
        "WAL" => add_wal(object, value),
        "Tuples" => {
            for (name, value) in value.split(' ').filter_map(|p| p.split_once('=')) {
                set_number(object, &format!("Tuples {}", capitalized(name)), value);
            }
        }
        "Sampling" => add_sampling(object, value),
        "Single Copy" | "Inner Unique" | "Disabled" => {
            object.insert(key.into(), (value == "true").into());
        }
        _ => match number(value).filter(|_| is_counter(key)) {
            Some(number) => drop(object.insert(key.into(), number)),
            None => drop(object.insert(key.into(), value.into())),
        },
    }
}

/// Keys whose values are numbers; any other may hold a text that looks like one.
fn is_counter(key: &str) -> bool {
    key.starts_with("Rows Removed by")
        || key.starts_with("Tuples ")
        || matches!(
            key,
            "Heap Fetches"
                | "Index Searches"
                | "Workers Planned"
                | "Workers Launched"
                | "Subplans Removed"
                | "Conflicting Tuples"
                | "Query Identifier"
        )
}

fn set_number(object: &mut Map<String, Value>, key: &str, text: &str) {
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    if let Some(number) = number(digits) {
        object.insert(key.into(), number);
    }
}

/// `Sort Method: quicksort  Memory: 25kB`: pairs that two spaces separate.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split("  ").map(str::trim).filter(|p| !p.is_empty());
    parts.filter_map(|p| p.split_once(": ")).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// `8 (originally 1)`.
fn originally(text: &str) -> (&str, Option<&str>) {
    match text.split_once(" (originally ") {
        Some((now, first)) => (now, Some(first.trim_end_matches(')'))),
        None => (text, None),
    }
}

fn sort_groups(value: &str) -> Value {
    let mut groups = Map::new();
    for (key, value) in pairs(&format!("Group Count: {value}")) {
        match key.as_str() {
            "Group Count" => set_number(&mut groups, "Group Count", &value),
            "Sort Method" | "Sort Methods" => {
                let methods: Vec<&str> = value.split(", ").collect();
                groups.insert("Sort Methods Used".into(), json!(methods));
            }
            other => {
                let Some((what, space)) = other.split_once(' ') else { continue };
                let inner = groups.entry(format!("Sort Space {space}")).or_insert_with(|| json!({}));
                if let Value::Object(inner) = inner {
                    set_number(inner, &format!("{what} Sort Space Used"), &value);
                }
            }
        }
    }
    groups.into()
}

/// With grouping sets there are several keys, in a list of their own in JSON.
fn add_group_key(object: &mut Map<String, Value>, key: &str, value: &str) {
    let keys = if value == "()" { json!([]) } else { list(value) };
    let sets = key == "Hash Key"
        || object.contains_key("Group Key")
        || object.contains_key("Grouping Sets")
        || value == "()";
    if !sets {
        object.insert(key.into(), keys);
        return;
    }
    let first = object.remove("Group Key");
    let all = object.entry("Grouping Sets").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        if let Some(first) = first {
            all.push(json!({ "Group Keys": [first] }));
        }
        let name = if key == "Hash Key" { "Hash Keys" } else { "Group Keys" };
        all.push(json!({ name: [keys] }));
    }
}

/// A list of expressions: commas outside of brackets and quotation marks separate.
pub(super) fn list(text: &str) -> Value {
    let mut items = Vec::new();
    let (mut depth, mut quote, mut start) = (0_i32, None::<char>, 0);
    let bytes = text.as_bytes();
    for (at, c) in text.char_indices() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if c == '\'' || c == '"' => quote = Some(c),
            None if "([{".contains(c) => depth += 1,
            None if ")]}".contains(c) => depth -= 1,
            None if c == ',' && depth == 0 && bytes.get(at + 1) == Some(&b' ') => {
                items.push(text[start..at].trim());
                start = at + 1;
            }
            None => {}
        }
    }
    items.push(text[start..].trim());
    json!(items)
}

/// `shared hit=5 read=3 dirtied=1, temp read=1 written=2` as `Shared Hit Blocks` and so on.
pub(super) fn add_usage(object: &mut Map<String, Value>, value: &str, suffix: &str) {
    for group in value.split(", ") {
        let Some((scope, counters)) = group.split_once(' ') else { continue };
        for (name, value) in counters.split(' ').filter_map(|p| p.split_once('=')) {
            set_number(object, &format!("{} {}{suffix}", capitalized(scope), capitalized(name)), value);
        }
    }
}

/// `read=0.1 write=0.2` up to 14, `shared/local read=0.1, temp write=0.2` in 15 and 16, each scope by itself since.
pub(super) fn add_io_timings(object: &mut Map<String, Value>, value: &str) {
    for group in value.split(", ") {
        let (scope, counters) = match group.split_once(' ') {
            Some((scope, counters)) if !scope.contains('=') => (scope, counters),
            _ => ("", group),
        };
        let scope = match scope {
            "" | "shared/local" => String::new(),
            other => format!("{} ", capitalized(other)),
        };
        for (name, value) in counters.split(' ').filter_map(|p| p.split_once('=')) {
            set_number(object, &format!("{scope}I/O {} Time", capitalized(name)), value);
        }
    }
}

/// `records=3 fpi=1 bytes=99 buffers full=2`.
fn add_wal(object: &mut Map<String, Value>, value: &str) {
    let value = value.replace("buffers full", "buffers_full");
    for (name, value) in value.split(' ').filter_map(|p| p.split_once('=')) {
        let key = match name {
            "records" => "WAL Records",
            "fpi" => "WAL FPI",
            "bytes" => "WAL Bytes",
            "buffers_full" => "WAL Buffers Full",
            _ => continue,
        };
        set_number(object, key, value);
    }
}

/// `system ('10'::real) REPEATABLE ('7'::double precision)`.
fn add_sampling(object: &mut Map<String, Value>, value: &str) {
    let Some((method, rest)) = value.split_once(" (") else {
        object.insert("Sampling Method".into(), value.into());
        return;
    };
    let (parameters, seed) = match rest.split_once(") REPEATABLE (") {
        Some((parameters, seed)) => (parameters, Some(seed.trim_end_matches(')'))),
        None => (rest.strip_suffix(')').unwrap_or(rest), None),
    };
    object.insert("Sampling Method".into(), method.into());
    object.insert("Sampling Parameters".into(), list(parameters));
    if let Some(seed) = seed {
        object.insert("Repeatable Seed".into(), seed.into());
    }
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, value: &str, expected: Value) {
        let mut object = Map::new();
        add(&mut object, key, value);
        assert_eq!(Value::Object(object), expected, "{key}: {value}");
    }

    #[test]
    fn properties_are_what_json_says() {
        check(
            "Sort Method",
            "external merge  Disk: 1234kB",
            json!({"Sort Method": "external merge", "Sort Space Used": 1234, "Sort Space Type": "Disk"}),
        );
        check(
            "Buckets",
            "65536 (originally 1024)  Batches: 8 (originally 1)  Memory Usage: 3073kB",
            json!({"Hash Buckets": 65536, "Original Hash Buckets": 1024, "Hash Batches": 8, "Original Hash Batches": 1, "Peak Memory Usage": 3073}),
        );
        check(
            "Planned Partitions",
            "4  Batches: 5  Memory Usage: 4145kB  Disk Usage: 120kB",
            json!({"Planned Partitions": 4, "HashAgg Batches": 5, "Peak Memory Usage": 4145, "Disk Usage": 120}),
        );
        check(
            "Buffers",
            "shared hit=5 read=3, temp written=2",
            json!({"Shared Hit Blocks": 5, "Shared Read Blocks": 3, "Temp Written Blocks": 2}),
        );
        check(
            "I/O Timings",
            "shared/local read=0.1, temp write=0.2",
            json!({"I/O Read Time": 0.1, "Temp I/O Write Time": 0.2}),
        );
        check("I/O Timings", "read=0.5 write=0.25", json!({"I/O Read Time": 0.5, "I/O Write Time": 0.25}));
        check(
            "WAL",
            "records=3 bytes=99 buffers full=2",
            json!({"WAL Records": 3, "WAL Bytes": 99, "WAL Buffers Full": 2}),
        );
        check(
            "Output",
            "a, f(b, c), 'x, y'::text, \"q, r\"",
            json!({"Output": ["a", "f(b, c)", "'x, y'::text", "\"q, r\""]}),
        );
        check("Heap Blocks", "exact=10 lossy=5", json!({"Exact Heap Blocks": 10, "Lossy Heap Blocks": 5}));
        check(
            "Hits",
            "9  Misses: 1  Evictions: 0  Overflows: 0  Memory Usage: 1kB",
            json!({"Cache Hits": 9, "Cache Misses": 1, "Cache Evictions": 0, "Cache Overflows": 0, "Peak Memory Usage": 1}),
        );
        check("Filter", "7", json!({"Filter": "7"}));
        check("Rows Removed by Filter", "7", json!({"Rows Removed by Filter": 7}));
    }
}
