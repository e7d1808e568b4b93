//! Which values could make a difference in a column? The statements' own constants, their neighbours, and
//! for every type the values at which operators begin to behave otherwise.
//!
//! Source: the manual's chapters "Data Types" and "Functions and Operators"; each list holds what the manual
//! has a remark on: blanks of `character(n)`, `-0` and `NaN`, midnight and daylight saving, empty arrays and
//! ranges, JSON null. A candidate is an SQL expression; the server says whether a type accepts it.

mod instants;

use std::collections::{BTreeMap, BTreeSet};

use model::quote_literal;

use crate::catalog::TypeFacts;

/// Texts of constants, with the columns that they are compared with.
pub(crate) type Constants = BTreeMap<String, BTreeSet<String>>;

/// A value that could be tried.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// An expression without columns.
    pub(crate) sql: String,
    /// How often it is drawn, compared with others.
    pub(crate) weight: f64,
    /// The columns that the constant it stems from is compared with.
    pub(crate) columns: BTreeSet<String>,
    /// Whether it depends on the time at which it is inserted.
    pub(crate) clock: bool,
}

/// Time zones whose midnights and daylight saving are tried.
pub(crate) const ZONES: &[&str] =
    &["UTC", "America/New_York", "Asia/Kathmandu", "Europe/Berlin", "Pacific/Auckland"];

/// Types of one class hold values of each other: columns of one class may meet in a join.
pub(crate) fn class(facts: &TypeFacts) -> String {
    match (facts.kind, facts.category) {
        ('b', 'N') => "number".into(),
        ('b', 'S') => "text".into(),
        ('b', 'D') if facts.base.starts_with("timestamp") || facts.base == "date" => "instant".into(),
        _ if facts.base.starts_with("json") => "json".into(),
        _ => facts.base.clone(),
    }
}

/// More constants than this are thinned out.
const CONSTANTS_MAX: usize = 60;

/// The candidates for a type.
pub(crate) fn candidates(facts: &TypeFacts, constants: &Constants, tells_time: bool) -> Vec<Candidate> {
    let mut list = List::default();
    let step = constants.len().div_ceil(CONSTANTS_MAX).max(1);
    let constants: Constants =
        constants.iter().step_by(step).map(|(text, columns)| (text.clone(), columns.clone())).collect();
    let beside = instants::Beside::of(&constants);
    for (text, columns) in &constants {
        list.columns.clone_from(columns);
        if class(facts) == "instant" {
            instants::near(&mut list, text, &beside, tells_time);
        } else {
            list.text(text, 2.0);
            match class(facts).as_str() {
                "number" => near_number(&mut list, text),
                "text" => near_text(&mut list, text),
                _ => {}
            }
        }
    }
    list.columns.clear();
    if class(facts) == "text" {
        joined_texts(&mut list, &constants);
    }
    if class(facts) == "json" {
        documents(&mut list, &constants);
    }
    usual(&mut list, facts, &constants, tells_time);
    list.found
}

#[derive(Default)]
struct List {
    found: Vec<Candidate>,
    /// The columns of the constant at hand.
    columns: BTreeSet<String>,
}

impl List {
    fn sql(&mut self, sql: String, weight: f64) {
        self.found.push(Candidate { sql, weight, columns: self.columns.clone(), clock: false });
    }

    fn text(&mut self, text: &str, weight: f64) {
        self.sql(quote_literal(text), weight);
    }

    fn texts(&mut self, texts: &[(&str, f64)]) {
        for (text, weight) in texts {
            self.text(text, *weight);
        }
    }

    fn clock(&mut self, sql: String, weight: f64) {
        self.found.push(Candidate { sql, weight, columns: self.columns.clone(), clock: true });
    }
}

fn near_number(list: &mut List, text: &str) {
    let number = text.trim();
    if let Ok(whole) = number.parse::<i64>() {
        for (near, weight) in [
            (whole.checked_add(1), 1.0),
            (whole.checked_sub(1), 1.0),
            (whole.checked_neg(), 0.3),
            (whole.checked_mul(2), 0.2),
            (Some(whole / 2), 0.3),
        ] {
            if let Some(near) = near {
                list.text(&near.to_string(), weight);
            }
        }
        list.text(&format!("{whole}.4"), 0.4);
        list.text(&format!("{whole}.5"), 0.4);
        // The same number in other digits.
        list.text(&format!("{whole}.00"), 0.3);
    } else if let Ok(decimal) = number.parse::<f64>()
        && decimal.is_finite()
        && decimal.abs() < 1e15
    {
        for (near, weight) in [(decimal.floor(), 0.7), (decimal.ceil(), 0.7)] {
            list.text(&format!("{near}"), weight);
        }
        // The nearest floating-point numbers.
        list.text(&format!("{:?}", decimal.next_up()), 0.3);
        list.text(&format!("{:?}", decimal.next_down()), 0.3);
        let number = quote_literal(number);
        list.sql(format!("{number}::pg_catalog.numeric + 0.000"), 0.3);
        list.sql(format!("{number}::pg_catalog.numeric + 0.01"), 0.7);
        list.sql(format!("{number}::pg_catalog.numeric - 0.01"), 0.7);
    }
}

fn near_text(list: &mut List, text: &str) {
    for (other, weight) in [(text.to_uppercase(), 0.6), (text.to_lowercase(), 0.6), (capitalised(text), 0.3)]
    {
        if other != text {
            list.text(&other, weight);
        }
    }
    list.text(&format!("{text} "), 0.5);
    list.text(&format!(" {text}"), 0.2);
    list.text(&format!("{text}x"), 0.5);
    let mut shorter = text.to_owned();
    shorter.pop();
    list.text(&shorter, 0.3);
    // What a pattern of LIKE, or a simple regular expression, matches and barely misses.
    if text.contains(['%', '_', '*', '^', '$', '.']) {
        for (any, one) in [("", "x"), ("x", "y"), ("xy", ""), ("X", "_")] {
            let (mut like, mut escaped) = (String::new(), false);
            for c in text.chars() {
                match c {
                    _ if escaped => {
                        like.push(c);
                        escaped = false;
                    }
                    '\\' => escaped = true,
                    '%' => like.push_str(any),
                    '_' => like.push_str(one),
                    c => like.push(c),
                }
            }
            list.text(&like, 1.2);
            list.text(&like.to_uppercase(), 0.3);
        }
        let matching = matching(text);
        list.text(&matching, 1.2);
        list.text(&format!("x{matching}"), 0.8);
        list.text(&format!("{matching}x"), 0.8);
        list.text(&matching.to_uppercase(), 0.4);
    }
}

/// A text that a simple regular expression matches: the first alternative, the first character of a class.
fn matching(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '^' | '$' | '*' | '+' | '?' | '(' | ')' => {}
            '|' => {
                // Up to the end of the group.
                while chars.next_if(|c| *c != ')').is_some() {}
            }
            '{' => while chars.next().is_some_and(|c| c != '}') {},
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let first = chars.next().unwrap_or('x');
                while chars.next().is_some_and(|c| c != ']') {}
                out.push(if negated { '~' } else { first });
            }
            '\\' => match chars.next() {
                Some('d') => out.push('1'),
                Some('w') => out.push('a'),
                Some('s') => out.push(' '),
                Some('m' | 'M' | 'y') | None => {}
                Some(other) => out.push(other),
            },
            '.' => out.push('x'),
            c => out.push(c),
        }
    }
    out
}

/// Texts that are put together from constants beside one column: what `split_part`, `position` and `LIKE` see.
fn joined_texts(list: &mut List, constants: &Constants) {
    let mut by_columns: BTreeMap<&BTreeSet<String>, Vec<&str>> = BTreeMap::new();
    for (text, columns) in
        constants.iter().filter(|(text, _)| !text.contains(['%', '^', '*']) && text.len() < 40)
    {
        by_columns.entry(columns).or_default().push(text);
    }
    for (columns, texts) in by_columns {
        list.columns.clone_from(columns);
        for one in texts.iter().take(4) {
            for other in texts.iter().take(4).filter(|other| *other != one) {
                list.text(&format!("{one}{other}"), 0.4);
                list.text(&format!("x{one}{other}"), 0.4);
                list.text(&format!("{one}{other}{one}"), 0.4);
            }
        }
    }
    list.columns.clear();
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Whether a constant looks like an interval; the server decides.
/// Documents that hold the constants as keys and as values.
fn documents(list: &mut List, constants: &Constants) {
    let mut by_columns: BTreeMap<&BTreeSet<String>, Vec<&str>> = BTreeMap::new();
    for (text, columns) in constants {
        by_columns.entry(columns).or_default().push(text);
    }
    for (columns, texts) in by_columns {
        list.columns.clone_from(columns);
        let keys: Vec<&str> =
            texts.iter().copied().filter(|t| !t.is_empty() && t.len() < 40).take(6).collect();
        for key in &keys {
            let name = json_string(key);
            list.text(&format!("{{{name}: null}}"), 0.8);
            list.text(&format!("{{{name}: \"\"}}"), 0.3);
            list.text(&format!("{{{name}: {{{name}: 1}}}}"), 0.2);
            list.text(&format!("{{{name}: [{name}, 1]}}"), 0.3);
            for value in &keys {
                let value = value.trim_matches(['{', '}']);
                list.text(&format!("{{{name}: {}}}", json_string(value)), 1.2);
                if value.parse::<f64>().is_ok_and(f64::is_finite) || ["true", "false"].contains(&value) {
                    list.text(&format!("{{{name}: {value}}}"), 1.0);
                    list.text(&format!("{{{name}: {value}.0}}"), 0.3);
                }
                for other in keys.iter().filter(|other| *other != key).take(3) {
                    let other = json_string(other);
                    list.text(&format!("{{{name}: {}, {other}: 1}}", json_string(value)), 0.4);
                    list.text(&format!("{{{name}: {{{other}: {}}}}}", json_string(value)), 0.4);
                }
            }
            list.text(&format!("[{name}]"), 0.4);
            list.text(&name, 0.3);
        }
    }
    for (text, columns) in constants {
        list.columns.clone_from(columns);
        other_scalars(list, text);
        // The type json keeps a text as it was written.
        if text.starts_with(['{', '[']) {
            list.text(&text.replace(' ', ""), 1.0);
            list.text(&text.replace(':', " : "), 0.3);
        }
    }
    list.columns.clear();
}

/// An object of a constant with a scalar in another type, which prints the same and is not contained in it.
fn other_scalars(list: &mut List, text: &str) {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    for (key, value) in object.iter().take(6) {
        let others = match value {
            serde_json::Value::String(inner) => {
                let scalar = serde_json::from_str(inner).ok().filter(|v: &serde_json::Value| !v.is_object());
                vec![scalar, Some(serde_json::Value::Null)]
            }
            serde_json::Value::Number(_) | serde_json::Value::Bool(_) => {
                vec![Some(serde_json::Value::String(value.to_string())), Some(serde_json::Value::Null)]
            }
            _ => vec![Some(serde_json::Value::Null)],
        };
        for other in others.into_iter().flatten() {
            let mut changed = object.clone();
            changed.insert(key.clone(), other);
            list.text(&serde_json::Value::Object(changed).to_string(), 1.0);
        }
        let mut more = object.clone();
        more.insert(format!("{key}x"), value.clone());
        list.text(&serde_json::Value::Object(more).to_string(), 0.4);
    }
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

const NUMBERS: &[(&str, f64)] = &[
    ("0", 1.0),
    ("1", 1.5),
    ("2", 1.5),
    ("3", 1.0),
    ("4", 0.5),
    ("7", 0.4),
    ("-1", 0.7),
    ("10", 0.4),
    ("100", 0.3),
    ("0.5", 0.5),
    ("0.1", 0.4),
    ("0.2", 0.3),
    ("2.5", 0.3),
    ("-2.5", 0.3),
    ("-0.5", 0.3),
    ("1.004", 0.2),
    ("1.04", 0.25),
    ("1.4", 0.2),
    ("0.99", 0.2),
    // Equal and written differently.
    ("1.0", 0.4),
    ("1.00", 0.3),
    ("NaN", 0.3),
    ("Infinity", 0.15),
    ("-Infinity", 0.15),
    ("-0", 0.5),
    ("32767", 0.08),
    ("2147483647", 0.15),
    ("-2147483648", 0.15),
    ("9223372036854775807", 0.08),
];

const TEXTS: &[(&str, f64)] = &[
    ("", 0.7),
    ("a", 1.2),
    ("b", 1.0),
    ("c", 0.5),
    ("A", 0.7),
    ("B", 0.4),
    ("a ", 0.5),
    (" a", 0.2),
    ("ab", 0.6),
    ("aa", 0.3),
    ("Z", 0.2),
    ("é", 0.2),
    ("10", 0.3),
    ("9", 0.3),
    ("0", 0.2),
    ("%", 0.15),
    ("a%", 0.15),
    ("a_", 0.15),
    ("a\\b", 0.1),
];

/// Values that any column of the type may hold.
fn usual(list: &mut List, facts: &TypeFacts, constants: &Constants, tells_time: bool) {
    match class(facts).as_str() {
        "number" => list.texts(NUMBERS),
        "text" => list.texts(TEXTS),
        "instant" => instants::usual(list, constants, tells_time),
        "bool" => list.texts(&[("true", 1.0), ("false", 1.0)]),
        "time" | "timetz" => list.texts(&[
            ("00:00:00", 1.0),
            ("12:00:00", 1.0),
            ("23:59:59.999999", 0.7),
            ("24:00:00", 0.4),
            ("06:30:00", 0.7),
        ]),
        "interval" => list.texts(&[
            ("0", 0.8),
            ("1 day", 1.0),
            ("24 hours", 0.8),
            ("1 mon", 1.2),
            ("30 days", 0.8),
            ("-1 day", 0.4),
            ("90 minutes", 0.8),
        ]),
        "uuid" => {
            for n in 1..=6 {
                list.text(&format!("00000000-0000-0000-0000-00000000000{n}"), 1.0);
            }
            list.text("ffffffff-ffff-ffff-ffff-ffffffffffff", 0.3);
        }
        "json" => list.texts(&[
            ("{}", 1.0),
            ("null", 0.7),
            ("[]", 0.5),
            ("{\"a\": 1}", 0.7),
            ("{\"a\": null}", 0.5),
            ("{\"a\": \"1\"}", 0.4),
            ("{\"a\": 1, \"b\": [1, 2]}", 0.4),
            ("[1, 1, null]", 0.4),
            ("\"a\"", 0.3),
            ("1", 0.3),
        ]),
        "bytea" => list.texts(&[("\\x", 0.8), ("\\x00", 0.8), ("\\x6162", 0.8), ("\\xff", 0.5)]),
        "inet" | "cidr" => list.texts(&[
            ("10.0.0.1", 1.0),
            ("10.0.0.0/8", 1.0),
            ("10.1.0.0/16", 0.7),
            ("10.0.0.1/8", 0.5),
            ("192.168.1.0/24", 0.7),
            ("::1", 0.4),
        ]),
        "macaddr" | "macaddr8" => list.texts(&[("08:00:2b:01:02:03", 1.0), ("08:00:2b:01:02:04", 1.0)]),
        "bit" | "varbit" => {
            for n in [0, 1, 5, 9, -1] {
                list.sql(format!("{n}::pg_catalog.int4::{}", facts.name.replace("bit varying", "bit")), 1.0);
            }
            list.texts(&[("", 0.5), ("1", 0.8), ("01", 0.8)]);
        }
        "tsvector" => list.texts(&[("", 0.7), ("'a'", 1.0), ("'a' 'b'", 1.0), ("'b':1 'c':2", 0.7)]),
        "xml" => list.texts(&[("<a/>", 1.0), ("<a>b</a>", 1.0)]),
        _ => other(list, facts, constants, tells_time),
    }
}

fn other(list: &mut List, facts: &TypeFacts, constants: &Constants, tells_time: bool) {
    match (facts.kind, &facts.element) {
        ('e', _) => {
            for label in &facts.labels {
                list.text(label, 1.0);
            }
        }
        ('r', Some(element)) => ranges(list, element, constants, false),
        ('m', _) => {
            list.texts(&[("{}", 1.0), ("{[1,5)}", 1.0), ("{[1,5),[7,9)}", 1.0), ("{[3,8)}", 0.7)]);
            list.texts(&[("{[2024-01-01,2024-01-15)}", 1.0), ("{[2024-01-15,2024-02-01)}", 1.0)]);
        }
        (_, Some(element)) if facts.category == 'A' => arrays(list, element, constants, tells_time),
        ('c', _) => {
            for fields in 1..=12 {
                for value in ["", "a", "1"] {
                    list.text(&format!("({})", vec![value; fields].join(",")), 1.0);
                    list.text(&format!("({value}{})", ",".repeat(fields - 1)), 0.7);
                }
            }
        }
        _ => list.texts(&[
            ("0", 1.0),
            ("1", 1.0),
            ("a", 1.0),
            ("b", 1.0),
            ("", 0.5),
            ("(0,0)", 1.0),
            ("(1,2)", 1.0),
            ("(1,1),(0,0)", 1.0),
            ("<(0,0),1>", 1.0),
            ("[1,2,3]", 1.0),
            ("[0,0,1]", 1.0),
            ("a=>1", 1.0),
            ("a=>NULL,b=>2", 1.0),
            ("a.b", 1.0),
            ("POINT(0 0)", 1.0),
            ("POINT(1 1)", 1.0),
        ]),
    }
}

fn ranges(list: &mut List, element: &TypeFacts, constants: &Constants, _: bool) {
    list.texts(&[("empty", 0.7), ("(,)", 0.5)]);
    match class(element).as_str() {
        "number" => {
            list.texts(&[("[1,5)", 1.0), ("[5,10)", 1.0), ("[3,7]", 0.8), ("[1,1]", 0.5), ("(,3]", 0.4)])
        }
        _ => list.texts(&[
            ("[2024-01-01,2024-01-15)", 1.0),
            ("[2024-01-15,2024-02-01)", 1.0),
            ("[2024-01-10,2024-01-20]", 0.8),
            ("[2024-01-15,2024-01-15]", 0.5),
            ("(,2024-01-15)", 0.4),
        ]),
    }
    for (text, columns) in constants {
        list.columns.clone_from(columns);
        for around in [
            format!("[{text},{text}]"),
            format!("[{text},)"),
            format!("(,{text})"),
            format!("[0,{text})"),
            format!("[0,{text}]"),
        ] {
            list.text(&around, 0.6);
        }
    }
    list.columns.clear();
}

fn arrays(list: &mut List, element: &TypeFacts, constants: &Constants, tells_time: bool) {
    list.texts(&[("{}", 1.0), ("{NULL}", 0.7)]);
    // The first element need not have the number 1.
    for constant in constants.keys().filter(|c| !c.contains(['{', '}', ',', '"', '\\'])).take(5) {
        list.text(&format!("[0:0]={{\"{constant}\"}}"), 0.5);
        list.text(&format!("[2:3]={{\"{constant}\",\"{constant}\"}}"), 0.3);
    }
    let mut elements = candidates(element, constants, tells_time);
    elements.retain(|e| !e.clock);
    elements.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    let array = |elements: &[&Candidate], null: bool| {
        let mut parts: Vec<String> =
            elements.iter().map(|e| format!("({})::{}", e.sql, element.name)).collect();
        if null {
            parts.push("NULL".into());
        }
        format!("ARRAY[{}]::{}[]", parts.join(", "), element.name)
    };
    for (at, first) in elements.iter().take(10).enumerate() {
        list.columns.clone_from(&first.columns);
        list.sql(array(&[first], false), 0.8);
        list.sql(array(&[first], true), 0.4);
        if let Some(second) = elements.get((at + 1) % elements.len()) {
            list.sql(array(&[first, second], false), 0.6);
            list.sql(array(&[second, first], false), 0.3);
        }
        list.sql(array(&[first, first], false), 0.3);
    }
    list.columns.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(base: &str, kind: char, category: char) -> TypeFacts {
        TypeFacts { name: base.into(), base: base.into(), kind, category, labels: Vec::new(), element: None }
    }

    fn of(facts: &TypeFacts, constant: &str) -> Vec<String> {
        let constants = Constants::from([(constant.to_owned(), BTreeSet::from(["c".to_owned()]))]);
        candidates(facts, &constants, true).into_iter().map(|c| c.sql).collect()
    }

    #[test]
    fn neighbours_of_constants_are_tried() {
        let numbers = of(&facts("int4", 'b', 'N'), "5");
        assert!(["'5'", "'4'", "'6'"].iter().all(|n| numbers.iter().any(|found| found == n)));
        let texts = of(&facts("text", 'b', 'S'), "a\\%_z");
        assert!(texts.contains(&"'a%xz'".into()), "{texts:?}");
        let instants = of(&facts("timestamptz", 'b', 'D'), "2024-05-01");
        assert!(instants.contains(&"'2024-05-01'::pg_catalog.timestamptz - interval '1 microsecond'".into()));
        let instants = of(&facts("timestamptz", 'b', 'D'), "7 days");
        assert!(instants.contains(&"now() - interval '7 days' + interval '1 hour'".into()));
        let regular = of(&facts("text", 'b', 'S'), "^team-[ab](x|y)\\d$");
        assert!(regular.contains(&"'xteam-ax1'".into()), "{regular:?}");
        let documents = of(&facts("jsonb", 'b', 'U'), "k");
        assert!(documents.contains(&"'{\"k\": null}'".into()));
    }

    #[test]
    fn hostile_constants_stay_constants() {
        for candidate in of(&facts("text", 'b', 'S'), "'; DROP TABLE t; --") {
            let scanned = sql::single_statement(&format!("SELECT {candidate}")).map(str::len);
            assert_eq!(scanned, Ok(candidate.len() + 7), "{candidate}");
        }
    }
}
