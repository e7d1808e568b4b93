//! JSON documents in one way of asking: paths key by key, and what is contained key by key.
//!
//! Source: PostgreSQL manual, "JSON Functions and Operators" and "jsonb Containment and Existence".

use super::super::facts::type_text;
use super::super::reading::{all_of, binary};
use super::super::tree::{Constant, Expr};
use super::conditions::Simplify;

/// Whether a key is one in a path as well, and never the number of an element.
fn is_plain_key(key: &str) -> bool {
    let mut bytes = key.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        // Unquoted it is no text in an array.
        && !key.eq_ignore_ascii_case("null")
}

fn text(key: &str) -> Expr {
    Expr::Constant(Constant::Text(key.to_owned()))
}

impl Simplify<'_, '_, '_> {
    /// Whether an expression is a `jsonb`.
    fn is_document(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Operator { name, left: Some(left), .. } if name == "->" => self.is_document(left),
            other => self.scope.type_of(other).as_deref() == Some("jsonb"),
        }
    }

    pub(super) fn document(&self, name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
        let known = matches!(name, "#>" | "#>>" | "@>");
        if !known || !self.scope.facts.users.operators.is_empty() || !self.is_document(left) {
            return None;
        }
        if name == "@>" { contained(left, right) } else { path(name, left, right) }
    }
}

/// Whether a text is what `->>` gives for a string of a document only, and for no number, truth value, list or object.
fn is_of_a_string(value: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-".contains(c);
    value.chars().all(plain)
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && !matches!(value, "true" | "false")
}

/// Whether nothing in a value has several ways of writing, as numbers have.
fn is_of_strings(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Object(map) => map.values().all(is_of_strings),
        serde_json::Value::String(_) => true,
        _ => false,
    }
}

impl Simplify<'_, '_, '_> {
    /// `doc ->> 'a' = 'x'` as `doc @> '{"a": "x"}'`, of which only "true" counts.
    pub(super) fn document_holds(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Operator { name, left: Some(left), right } = expr else { return None };
        if !self.scope.facts.users.operators.is_empty() {
            return None;
        }
        let held = |document: &Expr, key: &str, value: serde_json::Value| {
            let object = serde_json::Map::from_iter([(key.to_owned(), value)]);
            binary("@>", document.clone(), text(&serde_json::Value::Object(object).to_string()))
        };
        match (name.as_str(), &**left, &**right) {
            (
                "=",
                Expr::Operator { name: arrow, left: Some(document), right: key },
                Expr::Constant(Constant::Text(value)),
            ) if arrow == "->>" && self.is_document(document) && is_of_a_string(value) => {
                let Expr::Constant(Constant::Text(key)) = &**key else { return None };
                is_plain_key(key).then(|| held(document, key, serde_json::Value::String(value.clone())))
            }
            // What a key holds contains it: so does the document under that key. Of lists neither is true.
            (
                "@>",
                Expr::Operator { name: arrow, left: Some(document), right: key },
                Expr::Constant(Constant::Text(value)),
            ) if arrow == "->" && self.is_document(document) => {
                let Expr::Constant(Constant::Text(key)) = &**key else { return None };
                let value: serde_json::Value = serde_json::from_str(value).ok()?;
                let one = value.as_object().is_some_and(|map| map.len() == 1) && is_of_strings(&value);
                (one && is_plain_key(key)).then(|| held(document, key, value))
            }
            _ => None,
        }
    }
}

/// `doc #>> '{a,b}'` as `doc -> 'a' ->> 'b'`.
fn path(name: &str, left: &Expr, right: &Expr) -> Option<Expr> {
    let keys: Vec<String> = match right {
        Expr::Constant(Constant::Text(text)) => {
            let inner = text.strip_prefix('{')?.strip_suffix('}')?;
            if inner.is_empty() { Vec::new() } else { inner.split(',').map(str::to_owned).collect() }
        }
        Expr::Array(list) => list
            .iter()
            .map(|e| match e {
                Expr::Constant(Constant::Text(key)) => Some(key.clone()),
                _ => None,
            })
            .collect::<Option<_>>()?,
        Expr::Cast { inner, to } if type_text(to).as_deref() == Some("_text") && to.modifiers.is_empty() => {
            return path(name, left, inner);
        }
        _ => return None,
    };
    if !keys.iter().all(|key| is_plain_key(key)) {
        return None;
    }
    let Some((last, before)) = keys.split_last() else {
        // The text of what a key gives.
        let Expr::Operator { name: arrow, left: Some(of), right: key } = left else { return None };
        let inner = name == "#>>" && arrow == "->";
        return inner.then(|| binary("->>", (**of).clone(), (**key).clone()));
    };
    let document = before.iter().fold(left.clone(), |doc, key| binary("->", doc, text(key)));
    Some(binary(if name == "#>>" { "->>" } else { "->" }, document, text(last)))
}

/// `doc @> '{"a": 1, "b": 2}'` as one condition for each key.
fn contained(left: &Expr, right: &Expr) -> Option<Expr> {
    let written = match right {
        Expr::Constant(Constant::Text(text)) => text,
        Expr::Cast { inner, to } if to.simple() == Some("jsonb") => match &**inner {
            Expr::Constant(Constant::Text(text)) => text,
            _ => return None,
        },
        _ => return None,
    };
    // Of numbers and of escapes there are several ways of writing; a key that comes twice is read once.
    let plain = |c: char| c.is_ascii_alphanumeric() || " {}[]\",:_-".contains(c);
    if !written.chars().all(plain) {
        return None;
    }
    let serde_json::Value::Object(map) = serde_json::from_str(written).ok()? else { return None };
    let small = |text: &str| !text.split(|c: char| !c.is_ascii_digit()).any(|part| part.len() > 15);
    if map.is_empty() || !small(written) || written.matches(':').count() != members(&map) {
        return None;
    }
    let one = |(key, value): (&String, &serde_json::Value)| {
        let document = serde_json::Map::from_iter([(key.clone(), value.clone())]);
        binary("@>", left.clone(), text(&serde_json::Value::Object(document).to_string()))
    };
    let mut parts: Vec<Expr> = map.iter().map(one).collect();
    parts.sort();
    let new = all_of(parts);
    let same = matches!(&new, Expr::Operator { right: only, .. } if **only == *right);
    (!same).then_some(new)
}

/// How many keys there are in a document, at all depths.
fn members(map: &serde_json::Map<String, serde_json::Value>) -> usize {
    fn of(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Object(map) => members(map),
            serde_json::Value::Array(list) => list.iter().map(of).sum(),
            _ => 0,
        }
    }
    map.len() + map.values().map(of).sum::<usize>()
}
