//! How is a value of many parts taken apart into those that have stand-ins? Arrays, ranges, documents.
//!
//! Source: PostgreSQL manual, "Array Input and Output Syntax", "Range Types", "JSON Types".

use model::snapshot::array_elements;

use crate::json;
use crate::kind::Kind;

/// Who is shown every value, and says what stands in its place.
pub(crate) trait Replace {
    /// The stand-in of a value that has no parts; `None` drops what holds it.
    fn scalar(&mut self, kind: &Kind, text: &str) -> Option<String>;
    /// The stand-in of the beginning of a text.
    fn beginning(&mut self, text: &str) -> String;
    /// Numbers of a histogram of lengths, which are in order.
    fn lengths(&mut self, values: &[f64]) -> Vec<f64>;
    /// Told that something was dropped.
    fn dropped(&mut self, what: String);
}

/// The stand-in of a value.
pub(crate) fn value(kind: &Kind, text: &str, replace: &mut dyn Replace) -> Option<String> {
    match kind {
        Kind::Kept => Some(text.to_owned()),
        Kind::Unknown | Kind::Lexemes => None,
        Kind::Array(inner) => array(inner, text, replace),
        Kind::Range(inner) => range(inner, text, replace),
        Kind::Multirange(inner) => multirange(inner, text, replace),
        Kind::Json => json::document(text, replace),
        scalar => replace.scalar(scalar, text),
    }
}

/// The stand-ins of an array, or of the list of values that statistics are.
pub(crate) fn array(inner: &Kind, text: &str, replace: &mut dyn Replace) -> Option<String> {
    if !(text.ends_with('}') && text.contains('{')) {
        return None;
    }
    // `{{1,2},{3,4}}`: what is in quotes does not begin with a brace.
    let nested = text.find('{').is_some_and(|at| text[at + 1..].starts_with('{'));
    let mut parts = Vec::new();
    for element in array_elements(text) {
        parts.push(match element {
            None => "NULL".to_owned(),
            Some(element) if nested => array(inner, &element, replace)?,
            Some(element) => quoted(&value(inner, &element, replace)?),
        });
    }
    Some(format!("{{{}}}", parts.join(",")))
}

/// An element in quotes where `array_out` would put them.
pub(crate) fn quoted(element: &str) -> String {
    let plain = !element.is_empty()
        && !element.eq_ignore_ascii_case("null")
        && !element.contains(|c: char| c.is_whitespace() || "{}\",\\".contains(c));
    if plain {
        return element.to_owned();
    }
    format!("\"{}\"", element.replace('\\', "\\\\").replace('"', "\\\""))
}

fn range(inner: &Kind, text: &str, replace: &mut dyn Replace) -> Option<String> {
    if text == "empty" {
        return Some(text.to_owned());
    }
    let (open, rest) = text.split_at_checked(1)?;
    let (body, close) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
    if !["[", "("].contains(&open) || !["]", ")"].contains(&close) {
        return None;
    }
    let (mut bounds, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for letter in body.chars() {
        match letter {
            c if std::mem::take(&mut escaped) => bounds.last_mut()?.push(c),
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => bounds.push(String::new()),
            c => bounds.last_mut()?.push(c),
        }
    }
    let [lower, upper] = bounds.as_slice() else { return None };
    let mut bound = |text: &str| match text {
        "" => Some(String::new()),
        text => value(inner, text, replace).map(|stand_in| match stand_in.contains([' ', ',', '"', '\\']) {
            true => format!("\"{stand_in}\""),
            false => stand_in,
        }),
    };
    Some(format!("{open}{},{}{close}", bound(lower)?, bound(upper)?))
}

fn multirange(inner: &Kind, text: &str, replace: &mut dyn Replace) -> Option<String> {
    let body = text.strip_prefix('{')?.strip_suffix('}')?;
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, letter) in body.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            ']' | ')' if !quoted => {
                let part = body.get(start..=at)?.trim_start_matches(',');
                parts.push(range(inner, part, replace)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    Some(format!("{{{}}}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows which parts are found.
    struct Marked;

    impl Replace for Marked {
        fn scalar(&mut self, _: &Kind, text: &str) -> Option<String> {
            (text != "bad").then(|| format!("<{text}>"))
        }
        fn beginning(&mut self, text: &str) -> String {
            text.to_owned()
        }
        fn lengths(&mut self, values: &[f64]) -> Vec<f64> {
            values.to_vec()
        }
        fn dropped(&mut self, _: String) {}
    }

    #[test]
    fn parts_are_found_and_put_together_again() {
        let array_of = |kind: Kind| Kind::Array(Box::new(kind));
        let range_of = |kind: Kind| Kind::Range(Box::new(kind));
        for (kind, text, expected) in [
            (
                array_of(Kind::text()),
                "{a,\"b c\",NULL,\"x\\\"y\"}",
                Some("{<a>,\"<b c>\",NULL,\"<x\\\"y>\"}"),
            ),
            (array_of(array_of(Kind::text())), "{\"{a,b}\",\"{c}\"}", Some("{\"{<a>,<b>}\",\"{<c>}\"}")),
            (array_of(Kind::text()), "{{a,b},{c,d}}", Some("{{<a>,<b>},{<c>,<d>}}")),
            (array_of(Kind::text()), "{\"{a}\"}", Some("{\"<{a}>\"}")),
            (array_of(Kind::text()), "{bad}", None),
            (array_of(Kind::text()), "{}", Some("{}")),
            (range_of(Kind::Time), "[\"2026-01-01 00:00:00+00\",)", Some("[\"<2026-01-01 00:00:00+00>\",)")),
            (range_of(Kind::Number(None)), "[1,5)", Some("[<1>,<5>)")),
            (range_of(Kind::Number(None)), "empty", Some("empty")),
            (range_of(Kind::Number(None)), "[1)", None),
            (Kind::Multirange(Box::new(Kind::Number(None))), "{[1,2),[5,6)}", Some("{[<1>,<2>),[<5>,<6>)}")),
            (Kind::Json, "{\"k\": [1, \"v\", true, null]}", Some("{\"<k>\": [<1>, \"<v>\", true, null]}")),
            (Kind::Json, "{\"k\": \"bad\"}", None),
            (Kind::Kept, "t", Some("t")),
            (Kind::Unknown, "(1,2)", None),
        ] {
            assert_eq!(value(&kind, text, &mut Marked).as_deref(), expected, "{text}");
        }
    }
}
