//! Literals in one way of writing: without casts that the comparison makes anyway, dates and midnights alike.

use super::super::calendar;
use super::super::facts::type_text;
use super::super::tree::{Constant, Expr, TypeName};

/// A literal as one compared with a type is written.
pub(super) fn literal(own: &str, value: &Expr) -> Option<Expr> {
    let Expr::Cast { inner, to } = value else {
        // A date is the midnight at its beginning.
        return match value {
            Expr::Constant(Constant::Text(text)) if matches!(own, "int2" | "int4" | "int8") => {
                let number: i32 = text.parse().ok()?;
                (number.to_string() == *text).then(|| Expr::Constant(Constant::Integer(i64::from(number))))
            }
            Expr::Constant(Constant::Text(text))
                if own == "timestamptz" && calendar::instant(text).is_some() =>
            {
                let written = calendar::instant(text).filter(|written| written != text)?;
                Some(Expr::Constant(Constant::Text(written)))
            }
            Expr::Constant(Constant::Text(text))
                if own.starts_with("timestamp") && text.ends_with(" 00:00:00") =>
            {
                let date = text.trim_end_matches(" 00:00:00");
                is_iso_date(date).then(|| Expr::Constant(Constant::Text(date.to_owned())))
            }
            _ => None,
        };
    };
    if let Expr::Cast { .. } = &**inner
        && to.modifiers.is_empty()
        && type_text(to).as_deref() == Some(own)
    {
        return literal(own, inner);
    }
    let Expr::Constant(Constant::Text(text)) = &**inner else { return None };
    // A modifier cuts or rounds.
    if !to.modifiers.is_empty() {
        return None;
    }
    let to = type_text(to)?;
    let same = to == own || (own == "varchar" && to == "text");
    let midnight = own.starts_with("timestamp") && to == "date" && is_iso_date(text);
    (same || midnight).then(|| Expr::Constant(Constant::Text(text.clone())))
}

/// Of days `<= '2024-01-31'` is `< '2024-02-01'`, and `> '2024-01-31'` is `>= '2024-02-01'`.
pub(super) fn moved_bound(own: &str, name: &str, value: &Expr) -> Option<(&'static str, Expr)> {
    let Expr::Constant(Constant::Text(text)) = value else { return None };
    let moved = match name {
        "<=" => "<",
        ">" => ">=",
        _ => return None,
    };
    let next = calendar::later(text, 0, 1).filter(|_| own == "date")?;
    Some((moved, Expr::Constant(Constant::Text(next))))
}

/// What a subquery lists, as a value of its own: a literal or parameter without a type is a text there, whatever it is
/// compared with around it.
pub(crate) fn as_value(expr: &Expr) -> Expr {
    match expr {
        Expr::Constant(Constant::Text(_) | Constant::Null) | Expr::Parameter(_) => {
            Expr::Cast { inner: Box::new(expr.clone()), to: TypeName::plain("text") }
        }
        other => other.clone(),
    }
}

/// The elements of an array that is written as a text, as values of a type.
pub(super) fn array_literal(own: &str, text: &str) -> Option<Vec<Expr>> {
    let elements: Option<Vec<String>> = model::snapshot::array_elements(text).into_iter().collect();
    let elements = elements.filter(|e| !e.is_empty())?;
    elements
        .into_iter()
        .map(|element| match own {
            "text" | "varchar" => Some(Expr::Constant(Constant::Text(element))),
            "int2" | "int4" | "int8" => {
                let number: i64 = element.parse().ok()?;
                i32::try_from(number).ok()?;
                Some(Expr::Constant(Constant::Integer(number)))
            }
            _ => None,
        })
        .collect()
}

fn is_iso_date(text: &str) -> bool {
    calendar::date(text).is_some()
}

/// A moment that is written with its distance from UTC so many hours or minutes later or earlier.
fn moved_by_clock(name: &str, text: &str, by: &Expr, kind: &str) -> Option<String> {
    let Expr::Cast { inner, to } = by else { return None };
    let Expr::Constant(Constant::Text(length)) = &**inner else { return None };
    let (number, unit) = length.split_once(' ')?;
    let number: i64 = number.parse().ok().filter(|n| (1..=1_000).contains(n))?;
    let minutes = match unit {
        "minute" | "minutes" => number,
        "hour" | "hours" => number * 60,
        _ => return None,
    };
    let fits = kind == "timestamptz" && type_text(to)? == "interval" && to.modifiers.is_empty();
    if !fits {
        return None;
    }
    calendar::moved(text, if name == "+" { minutes } else { -minutes })
}

/// `'2024-01-31'::date + 1` or `- 1`, and a literal moment with an interval added.
pub(super) fn later_literal(name: &str, left: &Expr, right: &Expr, zone_is_fixed: bool) -> Option<Expr> {
    let Expr::Cast { inner, to } = left else { return None };
    let Expr::Constant(Constant::Text(text)) = &**inner else { return None };
    let kind = type_text(to)?;
    // A midnight that clocks leave out is another moment, and a day after that one is no midnight.
    let distance = kind == "timestamptz" && calendar::instant(text).is_some();
    if !matches!(name, "+" | "-") || (!distance && kind == "timestamptz" && !zone_is_fixed) {
        return None;
    }
    if let Some(new) = moved_by_clock(name, text, right, &kind) {
        return Some(Expr::Cast { inner: Box::new(Expr::Constant(Constant::Text(new))), to: to.clone() });
    }
    // Days and months are those of the session's zone.
    if distance {
        return None;
    }
    let (day, time) = calendar::moment(text)?;
    let new = match (right, kind.as_str()) {
        (Expr::Constant(Constant::Integer(n)), "date") if time == (0, 0, 0) => {
            calendar::later(day, 0, if name == "+" { *n } else { n.checked_neg()? })?
        }
        (Expr::Cast { inner, to }, "timestamp" | "timestamptz")
            if name == "+" && type_text(to)? == "interval" =>
        {
            let Expr::Constant(Constant::Text(length)) = &**inner else { return None };
            let (months, days, hours) = match length.as_str() {
                "1 hour" => (0, 0, 1),
                "1 day" => (0, 1, 0),
                "1 week" | "7 days" => (0, 7, 0),
                "1 month" => (1, 0, 0),
                "3 months" => (3, 0, 0),
                "1 year" => (12, 0, 0),
                _ => return None,
            };
            let hour = time.0 + hours;
            let day = calendar::later(day, months, days + i64::from(hour / 24))?;
            match (hour % 24, time.1, time.2) {
                (0, 0, 0) => day,
                (hour, minute, second) => format!("{day} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        _ => return None,
    };
    Some(Expr::Cast { inner: Box::new(Expr::Constant(Constant::Text(new))), to: to.clone() })
}
