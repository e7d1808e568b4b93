//! What does a node's line in text format say: kind, relation, index, costs and measurements?
//!
//! Source: the first half of `ExplainNode()` in explain.c, whose text and JSON branches print the same
//! facts in two ways. The result are the keys of the JSON branch.

use serde_json::{Map, Value};

/// Reads a whole line, without its arrow; `None` when it is not a node's.
///
/// Without `COSTS` and `ANALYZE` a line has no figures: then only kinds that are known count.
pub(super) fn node(line: &str) -> Option<Map<String, Value>> {
    let (name, figures) = split_figures(line);
    let mut object = Map::new();
    if let Some(figures) = figures {
        read_figures(figures, &mut object)?;
    }
    read_name(name.trim_end(), &mut object, figures.is_some())?;
    Some(object)
}

/// Whether a line has the figures of a node; a plan begins where one stands without an arrow.
pub(super) fn has_figures(line: &str) -> bool {
    split_figures(line).1.is_some_and(|f| read_figures(f, &mut Map::new()).is_some())
}

/// Whether a line was meant to have figures and they are not whole.
pub(super) fn is_cut(line: &str) -> bool {
    let starts = ["  (cost=", " (actual ", " (never "];
    starts.iter().any(|s| line.contains(s)) && !has_figures(line)
}

fn split_figures(line: &str) -> (&str, Option<&str>) {
    let line = line.trim_end();
    let at = line
        .rfind("  (cost=")
        .or_else(|| line.rfind(" (actual time="))
        .or_else(|| line.rfind(" (actual rows="))
        .or_else(|| line.rfind(" (never executed)"));
    match at {
        Some(at) => (&line[..at], Some(line[at..].trim_start())),
        None => (line, None),
    }
}

fn read_figures(text: &str, object: &mut Map<String, Value>) -> Option<()> {
    let mut rest = text;
    if let Some(costs) = rest.strip_prefix("(cost=") {
        let (costs, after) = costs.split_once(')')?;
        let (startup, costs) = costs.split_once("..")?;
        let (total, costs) = costs.split_once(" rows=")?;
        let (rows, width) = costs.split_once(" width=")?;
        for (key, value) in
            [("Startup Cost", startup), ("Total Cost", total), ("Plan Rows", rows), ("Plan Width", width)]
        {
            object.insert(key.into(), number(value)?);
        }
        rest = after.trim_start();
    }
    if rest == "(never executed)" {
        for key in ["Actual Startup Time", "Actual Total Time", "Actual Rows", "Actual Loops"] {
            object.insert(key.into(), 0.into());
        }
        return Some(());
    }
    if rest.is_empty() {
        return Some(());
    }
    read_actual(rest.strip_prefix("(actual ")?.strip_suffix(')')?, object)
}

/// `time=0.1..0.2 rows=1 loops=1`, of a node or of a worker.
pub(super) fn read_actual(text: &str, object: &mut Map<String, Value>) -> Option<()> {
    for part in text.split(' ') {
        let (key, value) = part.split_once('=')?;
        match key {
            "time" => {
                let (startup, total) = value.split_once("..")?;
                object.insert("Actual Startup Time".into(), number(startup)?);
                object.insert("Actual Total Time".into(), number(total)?);
            }
            "rows" => drop(object.insert("Actual Rows".into(), number(value)?)),
            "loops" => drop(object.insert("Actual Loops".into(), number(value)?)),
            _ => return None,
        }
    }
    (object.contains_key("Actual Rows") && object.contains_key("Actual Loops")).then_some(())
}

/// A number as JSON: `12.00` keeps its decimals, which tell that it is exact.
pub(super) fn number(text: &str) -> Option<Value> {
    let plain = text.trim();
    (plain.starts_with(|c: char| c.is_ascii_digit() || c == '-')).then_some(())?;
    serde_json::from_str(plain).ok().filter(Value::is_number)
}

/// Kinds whose name in text is their `Node Type`.
const SAME: &[&str] = &[
    "Append",
    "Bitmap Heap Scan",
    "Bitmap Index Scan",
    "BitmapAnd",
    "BitmapOr",
    "CTE Scan",
    "Function Scan",
    "Gather",
    "Gather Merge",
    "Group",
    "Hash",
    "Incremental Sort",
    "Index Only Scan",
    "Index Scan",
    "Limit",
    "LockRows",
    "Materialize",
    "Memoize",
    "Merge Append",
    "Named Tuplestore Scan",
    "ProjectSet",
    "Recursive Union",
    "Result",
    "Sample Scan",
    "Seq Scan",
    "Sort",
    "Subquery Scan",
    "Table Function Scan",
    "Tid Range Scan",
    "Tid Scan",
    "Unique",
    "Values Scan",
    "WindowAgg",
    "WorkTable Scan",
];

fn read_name(name: &str, object: &mut Map<String, Value>, sure: bool) -> Option<()> {
    let mut name = name;
    let mut set = |key: &str, value: &str| drop(object.insert(key.into(), value.into()));
    let mut flags: Vec<&str> = Vec::new();
    let mut partial_mode = "Simple";
    loop {
        if let Some(rest) = name.strip_prefix("Parallel ") {
            flags.push("Parallel Aware");
            name = rest;
        } else if let Some(rest) = name.strip_prefix("Async ") {
            flags.push("Async Capable");
            name = rest;
        } else if let Some(rest) = name.strip_prefix("Partial ") {
            (partial_mode, name) = ("Partial", rest);
        } else if let Some(rest) = name.strip_prefix("Finalize ") {
            (partial_mode, name) = ("Finalize", rest);
        } else {
            break;
        }
    }
    let (kind, index, target) = split_target(name);
    let aggregate = |strategy| Some(("Aggregate", Some(strategy)));
    let special = match kind {
        "Aggregate" => aggregate("Plain"),
        "GroupAggregate" => aggregate("Sorted"),
        "HashAggregate" => aggregate("Hashed"),
        "MixedAggregate" => aggregate("Mixed"),
        _ => None,
    };
    let mut names_index_only = false;
    if let Some((node_type, strategy)) = special {
        set("Node Type", node_type);
        set("Partial Mode", partial_mode);
        set("Strategy", strategy.unwrap_or("Plain"));
    } else if let Some((node_type, join)) = join(kind) {
        set("Node Type", node_type);
        set("Join Type", join);
    } else if let Some((hashed, command)) = kind
        .strip_prefix("HashSetOp ")
        .map(|c| ("Hashed", c))
        .or_else(|| kind.strip_prefix("SetOp ").map(|c| ("Sorted", c)))
    {
        set("Node Type", "SetOp");
        set("Strategy", hashed);
        set("Command", command);
    } else if let (true, "Insert" | "Update" | "Delete" | "Merge") = (target.is_some(), kind) {
        set("Node Type", "ModifyTable");
        set("Operation", kind);
    } else if let Some(operation) = kind.strip_prefix("Foreign ") {
        if !["Scan", "Insert", "Update", "Delete"].contains(&operation) {
            return None;
        }
        set("Node Type", "Foreign Scan");
        set("Operation", if operation == "Scan" { "Select" } else { operation });
    } else if let Some(provider) = kind.strip_prefix("Custom Scan (") {
        set("Node Type", "Custom Scan");
        set("Custom Plan Provider", provider.trim_end_matches(')'));
    } else {
        let (base, backward) = kind.strip_suffix(" Backward").map_or((kind, false), |base| (base, true));
        let known = SAME.binary_search(&base).is_ok();
        if !known && !sure {
            return None;
        }
        set("Node Type", base);
        if base.starts_with("Index") {
            set("Scan Direction", if backward { "Backward" } else { "Forward" });
        }
        names_index_only = base == "Bitmap Index Scan";
    }
    if let Some(index) = index {
        set("Index Name", &index);
    }
    if let Some(Target { schema, name, alias }) = target {
        let node_type = kind;
        let key = match node_type {
            "Subquery Scan" | "Values Scan" => None,
            "Function Scan" => Some("Function Name"),
            "CTE Scan" | "WorkTable Scan" => Some("CTE Name"),
            "Table Function Scan" => Some("Table Function Name"),
            "Named Tuplestore Scan" => Some("Tuplestore Name"),
            _ if names_index_only => Some("Index Name"),
            _ => Some("Relation Name"),
        };
        if let Some(schema) = schema {
            set("Schema", &schema);
        }
        if let Some(key) = key {
            set(key, &name);
        }
        if !names_index_only {
            set("Alias", alias.as_deref().unwrap_or(&name));
        }
    }
    for flag in ["Parallel Aware", "Async Capable"] {
        object.insert(flag.into(), flags.contains(&flag).into());
    }
    Some(())
}

/// `Hash Left Join`, `Merge Join`, `Nested Loop`: the node type and the join type.
fn join(kind: &str) -> Option<(&'static str, &str)> {
    for (prefix, node_type) in
        [("Nested Loop", "Nested Loop"), ("Hash", "Hash Join"), ("Merge", "Merge Join")]
    {
        let Some(rest) = kind.strip_prefix(prefix) else { continue };
        if rest.is_empty() && node_type == "Nested Loop" || rest == " Join" && node_type != "Nested Loop" {
            return Some((node_type, "Inner"));
        }
        let middle = rest.strip_suffix(" Join").and_then(|r| r.strip_prefix(' '));
        let joins = ["Left", "Full", "Right", "Semi", "Anti", "Right Semi", "Right Anti"];
        if let Some(found) = middle.filter(|m| joins.contains(m)) {
            return Some((node_type, found));
        }
    }
    None
}

struct Target {
    schema: Option<String>,
    name: String,
    alias: Option<String>,
}

/// Takes `using index` and `on schema.relation alias` off the end of a name.
fn split_target(name: &str) -> (&str, Option<String>, Option<Target>) {
    let Some(at) = [" using ", " on "].iter().filter_map(|w| name.find(w)).min() else {
        return (name, None, None);
    };
    let kind = &name[..at];
    let mut rest = &name[at..];
    let mut index = None;
    if let Some(after) = rest.strip_prefix(" using ") {
        let Some((found, after)) = identifier(after) else { return (kind, None, None) };
        index = Some(found);
        rest = after;
    }
    let target = rest.strip_prefix(" on ").and_then(|rest| {
        let (first, mut rest) = identifier(rest)?;
        let (mut schema, mut name) = (None, first);
        if let Some(after) = rest.strip_prefix('.') {
            let (second, after) = identifier(after)?;
            schema = Some(std::mem::replace(&mut name, second));
            rest = after;
        }
        let alias = rest.strip_prefix(' ').and_then(identifier).map(|(alias, _)| alias);
        Some(Target { schema, name, alias })
    });
    (kind, index, target)
}

/// An identifier as `quote_identifier()` writes it, and what follows.
fn identifier(text: &str) -> Option<(String, &str)> {
    if let Some(rest) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut chars = rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if matches!(chars.peek(), Some((_, '"'))) => {
                    chars.next();
                    name.push('"');
                }
                '"' => return Some((name, &rest[at + 1..])),
                c => name.push(c),
            }
        }
        return None;
    }
    let end = text.find([' ', '.']).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(line: &str, expected: &Value) {
        let object = node(line).unwrap_or_else(|| panic!("not a node: {line}"));
        let Value::Object(expected) = expected else { unreachable!("the tests pass objects") };
        for (key, value) in expected {
            assert_eq!(object.get(key), Some(value), "{key} of {line}: {object:?}");
        }
    }

    #[test]
    fn lines_are_read_as_json_says_it() {
        check(
            "Parallel Index Scan Backward using \"a\"\"b c\" on public.\"Größe on\" g  (cost=0.29..8.30 rows=1 width=4) (actual time=0.01..0.02 rows=1.50 loops=2)",
            &json!({"Node Type": "Index Scan", "Scan Direction": "Backward", "Index Name": "a\"b c", "Schema": "public",
                "Relation Name": "Größe on", "Alias": "g", "Parallel Aware": true, "Total Cost": 8.30, "Actual Rows": 1.5}),
        );
        check(
            "Hash Right Anti Join  (cost=0.00..1.00 rows=1 width=4)",
            &json!({"Node Type": "Hash Join", "Join Type": "Right Anti"}),
        );
        check(
            "Nested Loop Left Join (actual rows=1 loops=1)",
            &json!({"Node Type": "Nested Loop", "Join Type": "Left"}),
        );
        check(
            "Merge on links  (cost=0.00..1.00 rows=0 width=0)",
            &json!({"Node Type": "ModifyTable", "Operation": "Merge", "Relation Name": "links"}),
        );
        check("Merge Join", &json!({"Node Type": "Merge Join", "Join Type": "Inner"}));
        check(
            "Bitmap Index Scan on runs_idx  (cost=0.00..1.00 rows=1 width=0) (never executed)",
            &json!({"Index Name": "runs_idx", "Actual Loops": 0}),
        );
        check(
            "Finalize GroupAggregate  (cost=0.00..1.00 rows=1 width=4)",
            &json!({"Node Type": "Aggregate", "Strategy": "Sorted", "Partial Mode": "Finalize"}),
        );
        check(
            "Function Scan on pg_catalog.generate_series i  (cost=0.00..1.00 rows=1 width=4)",
            &json!({"Function Name": "generate_series", "Alias": "i"}),
        );
        check(
            "HashSetOp Except All  (cost=0.00..1.00 rows=1 width=4)",
            &json!({"Node Type": "SetOp", "Strategy": "Hashed", "Command": "Except All"}),
        );
        check(
            "Foreign Update on remote  (cost=0.00..1.00 rows=0 width=0)",
            &json!({"Node Type": "Foreign Scan", "Operation": "Update"}),
        );
    }

    #[test]
    fn other_lines_are_no_nodes() {
        for line in [
            "",
            "select 1",
            "Update t set a = 1",
            "Filter: (a = 1)",
            "Seq Scam on t",
            "x  (cost=1..2 rows=a width=1)",
        ] {
            assert!(node(line).is_none(), "{line}");
        }
        assert!(SAME.is_sorted());
        assert!(is_cut("Seq Scan on t  (cost=0.00..1"));
    }
}
