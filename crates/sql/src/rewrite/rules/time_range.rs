//! `ts::date = d`, `date_trunc('month', ts) = t`, `extract(year from ts) = 2024` → a half-open range of `ts`.
//!
//! A function around the column hides it from its index. A day of a `timestamptz` is a day of the session's time
//! zone, and so is the range that is written here: both are read in the same zone. They differ only where clocks
//! were set back across midnight, as America/St_Johns did until 2011: its second 23:01 to 24:00 comes after the
//! first minute of the new day. Source: PostgreSQL manual, "Date/Time Functions and Operators", and tzdata.

use super::super::calendar;
use super::super::facts::{Proofs, Proved, Scope};
use super::super::level::Level;
use super::super::reading::binary;
use super::super::tree::{Call, Constant, Expr, TypeName};
use super::super::{Condition, Found, Rule, Standing};

pub(super) const RULE: Rule = Rule {
    id: "time-range",
    title: "a function of a timestamp compared with a value becomes a half-open range",
    sound_if: "the time zone never sets clocks back across midnight",
    find,
};

/// The range that says the same as a condition on every database; what would rest on a parameter does not.
pub(crate) fn proved_range(scope: &Scope<'_>, condition: &Expr) -> Option<(Vec<Expr>, Proofs)> {
    let (range, conditions) = range(scope, condition)?;
    let mut proofs = Proofs::new();
    for condition in conditions {
        match condition.standing {
            Standing::Proved { by } => proofs.extend(by),
            _ => return None,
        }
    }
    Some((range, proofs))
}

/// A unit and the column that is cut to it.
struct Cut<'e> {
    unit: &'static str,
    column: &'e Expr,
    of: Of,
}

/// What of a column is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// The column itself.
    Itself,
    /// `day::timestamp`: the midnight at which the day begins.
    Midnight,
    /// `moment AT TIME ZONE 'UTC'`: what clocks that never change showed.
    Utc,
}

/// A column of times, or one of days or moments as local times.
fn local(expr: &Expr) -> Option<(&Expr, Of)> {
    match expr {
        Expr::Column(_) => Some((expr, Of::Itself)),
        Expr::Cast { inner, to }
            if to.simple() == Some("timestamp")
                && to.modifiers.is_empty()
                && matches!(**inner, Expr::Column(_)) =>
        {
            Some((inner, Of::Midnight))
        }
        Expr::Call(call) if call.schema.is_none() && call.name == "timezone" => match call.args.as_slice() {
            [zone, moment @ Expr::Column(_)] if is_utc(zone) => Some((moment, Of::Utc)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a zone is the one that moments are written in with `+00`.
pub(crate) fn is_utc(zone: &Expr) -> bool {
    matches!(zone, Expr::Constant(Constant::Text(name)) if calendar::is_fixed(name) && !name.contains("GMT"))
}

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found = Vec::new();
    for (i, condition) in select.filter.iter().enumerate() {
        if let Some((range, conditions)) = range(level.scope, condition) {
            let mut changed = select.clone();
            changed.filter.splice(i..=i, range);
            // A month of the year that another condition asks for.
            while super::super::normal_form::part_of_span(level.scope, &mut changed.filter).is_some() {}
            found.push(Found::new(level.with(changed), conditions));
        }
    }
    found
}

fn range(scope: &Scope<'_>, condition: &Expr) -> Option<(Vec<Expr>, Vec<Condition>)> {
    match condition {
        Expr::Operator { name, left: Some(left), right } => {
            if let Some((left, right)) = cut_in_zone(left, right) {
                return range(scope, &binary(name, left, right));
            }
            if let Some(cut) = cut(left) {
                return compared(scope, &cut, name, right);
            }
            if let Some(year) = year(scope, left, name, right) {
                return Some(year);
            }
            let flipped = crate::predicate::commuted(name).filter(|name| *name != "<>")?;
            compared(scope, &cut(right)?, flipped, left)
        }
        Expr::Between { value, low, high, negated: false, symmetric: false } => {
            let cut = cut(value)?;
            let (mut range, mut conditions) = compared(scope, &cut, ">=", low)?;
            let (more, also) = compared(scope, &cut, "<=", high)?;
            range.extend(more);
            conditions.extend(also.into_iter().filter(|c| !conditions.contains(c)).collect::<Vec<_>>());
            Some((range, conditions))
        }
        _ => None,
    }
}

/// `date_trunc('day', moment, 'UTC') = '2024-01-31 00:00+00'` as the same of the local times of that zone.
fn cut_in_zone(left: &Expr, right: &Expr) -> Option<(Expr, Expr)> {
    let Expr::Call(call) = left else { return None };
    let [unit, moment, zone] = call.args.as_slice() else { return None };
    let Expr::Constant(Constant::Text(text)) = right else { return None };
    if call.schema.is_some() || call.name != "date_trunc" || !is_utc(zone) {
        return None;
    }
    let written = calendar::instant(text)?;
    let clock = Expr::Call(Box::new(Call::new("timezone", vec![zone.clone(), moment.clone()])));
    let cut = Expr::Call(Box::new(Call { args: vec![unit.clone(), clock], ..(**call).clone() }));
    Some((cut, Expr::Constant(Constant::Text(written.trim_end_matches("+00").to_owned()))))
}

/// `column::date`, `date(column)`, `date_trunc('unit', column)`.
fn cut(expr: &Expr) -> Option<Cut<'_>> {
    match expr {
        Expr::Cast { inner, to } if to.simple() == Some("date") => {
            let (column, of) = local(inner)?;
            Some(Cut { unit: "date", column, of })
        }
        Expr::Call(call) if call.schema.is_none() && call.over.is_none() => {
            match (call.name.as_str(), call.args.as_slice()) {
                ("date", [of]) => {
                    let (column, of) = local(of)?;
                    Some(Cut { unit: "date", column, of })
                }
                ("date_trunc", [Expr::Constant(Constant::Text(unit)), of]) => {
                    let (column, of) = local(of)?;
                    let unit = ["hour", "day", "week", "month", "quarter", "year"]
                        .into_iter()
                        .find(|u| unit == u)?;
                    Some(Cut { unit, column, of })
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The range, and what it rests on.
fn compared(
    scope: &Scope<'_>,
    cut: &Cut<'_>,
    operator: &str,
    value: &Expr,
) -> Option<(Vec<Expr>, Vec<Condition>)> {
    let Expr::Column(column) = cut.column else { return None };
    let type_name = scope.type_of(cut.column)?;
    let zoned = match (type_name.as_str(), cut.of) {
        ("timestamp", Of::Itself) | ("date", Of::Midnight) | ("timestamptz", Of::Utc) => false,
        ("timestamptz", Of::Itself) => true,
        _ => return None,
    };
    let shadowed = |name: &str| scope.facts.users.is_of_user(&Call::new(name, Vec::new()));
    if cut.of != Of::Itself && (shadowed("timezone") || shadowed("date_trunc") || shadowed("date")) {
        return None;
    }
    // A value that depends on the row would be no bound.
    if value.columns().iter().any(|c| c.source == column.source) || !scope.is_repeatable(value) {
        return None;
    }
    let mut conditions = Vec::new();
    if cut.unit != "hour" {
        conditions.push(Condition::new(
            "no clock of the time zone was set back across midnight",
            clocks(scope, zoned),
        ));
    }
    if let Some(range) = literal_range(cut, operator, value) {
        return Some((range, conditions));
    }
    if cut.of != Of::Itself {
        return None;
    }
    // A midnight that clocks leave out, and an hour of which they leave out a part, are no starts to count from.
    let zone = scope.facts.snapshot.setting("TimeZone").unwrap_or("unknown");
    if zoned && cut.unit != "date" && !calendar::is_fixed(zone) {
        conditions.push(Condition::new(
            "no clock of the time zone leaves out the start of a unit",
            Err(format!("TimeZone is {zone}, whose clocks change")),
        ));
    }
    let start = if cut.unit == "date" {
        // A literal without a type is read as the type that it is compared with.
        match scope.type_of(value).as_deref() {
            Some("date") => value.clone(),
            None if matches!(value, Expr::Constant(_) | Expr::Parameter(_)) => cast(value.clone(), "date"),
            _ => return None,
        }
    } else {
        match scope.type_of(value) {
            Some(own) if own == type_name => value.clone(),
            None if matches!(value, Expr::Constant(_) | Expr::Parameter(_)) => {
                cast(value.clone(), &type_name)
            }
            _ => return None,
        }
    };
    finite(&start, &mut conditions)?;
    let next = if cut.unit == "date" {
        binary("+", start.clone(), Expr::Constant(Constant::Integer(1)))
    } else {
        let length = match cut.unit {
            "quarter" => "3 months".to_owned(),
            unit => format!("1 {unit}"),
        };
        binary("+", start.clone(), cast(Expr::Constant(Constant::Text(length)), "interval"))
    };
    let at = |operator: &str, bound: &Expr| binary(operator, cut.column.clone(), bound.clone());
    let mut range = match operator {
        "=" => vec![at(">=", &start), at("<", &next)],
        // What lies within a unit is cut to its start, so a bound within one must be one.
        ">=" => vec![at(">=", &start)],
        "<" => vec![at("<", &start)],
        "<=" => vec![at("<", &next)],
        ">" => vec![at(">=", &next)],
        _ => return None,
    };
    if cut.unit != "date" {
        // A value that is no start of a unit equals nothing that was cut to one.
        let unit = Expr::Constant(Constant::Text(cut.unit.to_owned()));
        let itself = Expr::Call(Box::new(Call::new("date_trunc", vec![unit, start.clone()])));
        if is_start(cut.unit, value) {
            return Some((range, conditions));
        }
        if operator != "=" {
            return None;
        }
        range.push(binary("=", itself, start));
    }
    Some((range, conditions))
}

/// The range between two literals, where the value is one and the start of a unit.
fn literal_range(cut: &Cut<'_>, operator: &str, value: &Expr) -> Option<Vec<Expr>> {
    if cut.unit == "hour" || (cut.unit != "date" && !is_start(cut.unit, value)) {
        return None;
    }
    let text = match value {
        Expr::Constant(Constant::Text(text)) => text,
        Expr::Cast { inner, to } if matches!(to.simple(), Some("date" | "timestamp" | "timestamptz")) => {
            match &**inner {
                Expr::Constant(Constant::Text(text)) => text,
                _ => return None,
            }
        }
        _ => return None,
    };
    let (day, time) = calendar::moment(text)?;
    if time != (0, 0, 0) {
        return None;
    }
    let next = match cut.unit {
        "week" => calendar::later(day, 0, 7),
        "month" => calendar::later(day, 1, 0),
        "quarter" => calendar::later(day, 3, 0),
        "year" => calendar::later(day, 12, 0),
        _ => calendar::later(day, 0, 1),
    }?;
    let at = |operator: &str, bound: &str| binary(operator, cut.column.clone(), midnight(cut.of, bound));
    Some(match operator {
        "=" => vec![at(">=", day), at("<", &next)],
        ">=" => vec![at(">=", day)],
        "<" => vec![at("<", day)],
        "<=" => vec![at("<", &next)],
        ">" => vec![at(">=", &next)],
        _ => return None,
    })
}

/// The beginning of a day as a bound.
fn midnight(of: Of, day: &str) -> Expr {
    match of {
        Of::Utc => Expr::Constant(Constant::Text(format!("{day} 00:00:00+00"))),
        _ => cast(Expr::Constant(Constant::Text(day.to_owned())), "date"),
    }
}

/// Whether a literal is visibly the start of a unit.
fn is_start(unit: &str, value: &Expr) -> bool {
    let text = match value {
        Expr::Constant(Constant::Text(text)) => text,
        Expr::Cast { inner, .. } => match &**inner {
            Expr::Constant(Constant::Text(text)) => text,
            _ => return false,
        },
        _ => return false,
    };
    let Some((day, time)) = calendar::moment(text) else { return false };
    let Some((_, month, first)) = calendar::date(day) else { return false };
    match unit {
        "hour" => time.1 == 0 && time.2 == 0,
        _ if time != (0, 0, 0) => false,
        "day" => true,
        "week" => calendar::is_monday(day),
        "month" => first == 1,
        "quarter" => first == 1 && month % 3 == 1,
        "year" => first == 1 && month == 1,
        _ => false,
    }
}

/// The day after infinity is infinity, and no range.
fn finite(value: &Expr, conditions: &mut Vec<Condition>) -> Option<()> {
    let mut parameters = Vec::new();
    let mut infinite = false;
    value.walk(&mut |e| match e {
        Expr::Parameter(number) => parameters.push(format!("${number}")),
        Expr::Constant(Constant::Text(text)) => infinite |= text.to_ascii_lowercase().contains("infinity"),
        Expr::Column(_) => infinite = true,
        _ => {}
    });
    if infinite {
        return None;
    }
    if !parameters.is_empty() {
        conditions.push(Condition::of_parameters(format!("{} is not infinity", parameters.join(", "))));
    }
    Some(())
}

/// `extract(year from column) = 2024`.
fn year(scope: &Scope<'_>, left: &Expr, operator: &str, right: &Expr) -> Option<(Vec<Expr>, Vec<Condition>)> {
    let Expr::Call(call) = left else { return None };
    let of_year = call.schema.is_none() && matches!(call.name.as_str(), "extract" | "date_part");
    let [Expr::Constant(Constant::Text(field)), time] = call.args.as_slice() else { return None };
    let (column, of) = local(time)?;
    let Expr::Constant(Constant::Integer(year @ 1..=9998)) = right else { return None };
    if !of_year || field != "year" {
        return None;
    }
    let zoned = match (scope.type_of(column).as_deref(), of) {
        (Some("timestamp" | "date"), Of::Itself) | (Some("date"), Of::Midnight) => false,
        (Some("timestamptz"), Of::Utc) => false,
        (Some("timestamptz"), Of::Itself) => true,
        _ => return None,
    };
    let shadowed = |name: &str| scope.facts.users.is_of_user(&Call::new(name, Vec::new()));
    if shadowed("timezone") || shadowed("extract") || shadowed("date_part") {
        return None;
    }
    let start = |year: i64| midnight(of, &format!("{year:04}-01-01"));
    let at = |operator: &str, bound: Expr| binary(operator, column.clone(), bound);
    let range = match operator {
        "=" => vec![at(">=", start(*year)), at("<", start(year + 1))],
        ">=" => vec![at(">=", start(*year))],
        "<" => vec![at("<", start(*year))],
        "<=" => vec![at("<", start(year + 1))],
        ">" => vec![at(">=", start(year + 1))],
        _ => return None,
    };
    // Infinity has a year since 17 only, and it is no number before.
    if operator != "=" {
        return None;
    }
    let claim = "no clock of the time zone was set back across midnight";
    Some((range, vec![Condition::new(claim, clocks(scope, zoned))]))
}

fn cast(inner: Expr, to: &str) -> Expr {
    Expr::Cast { inner: Box::new(inner), to: TypeName::plain(to) }
}

/// Whether days are stretches of time.
pub(crate) fn clocks(scope: &Scope<'_>, zoned: bool) -> Proved {
    if !zoned {
        return Ok(Proofs::from(["timestamp without time zone".to_owned()]));
    }
    let zone = scope.facts.snapshot.setting("TimeZone").unwrap_or("unknown");
    if calendar::days_are_whole(zone) {
        return Ok(Proofs::from([format!("TimeZone = {zone}")]));
    }
    Err(format!("TimeZone is {zone}, in which a day is not always one stretch of time"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn a_month_of_a_year() {
        check(
            "time-range",
            "select id from orders where extract(year from placed_at) = 2024 and extract(month from placed_at) = 3",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    placed_at >= '2024-03-01'
                    AND placed_at < '2024-04-01'
                + no clock of the time zone was set back across midnight: timestamp without time zone
            "#]],
        );
    }

    #[test]
    fn days() {
        check(
            "time-range",
            "select id from orders where date(placed_at) = '2024-01-15'",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    placed_at >= '2024-01-15'::date
                    AND placed_at < '2024-01-16'::date
                + no clock of the time zone was set back across midnight: timestamp without time zone
            "#]],
        );
        check(
            "time-range",
            "select id from orders where shipped_at::date = $1",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    shipped_at >= $1::date
                    AND shipped_at < $1::date + 1
                + no clock of the time zone was set back across midnight: TimeZone = Europe/Berlin
                $ $1 is not infinity
            "#]],
        );
        check(
            "time-range",
            "select id from orders where shipped_at::date between '2024-01-01' and current_date",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    shipped_at >= '2024-01-01'::date
                    AND shipped_at < current_date + 1
                + no clock of the time zone was set back across midnight: TimeZone = Europe/Berlin
            "#]],
        );
        check(
            "time-range",
            "select id from orders where '2024-01-15' > shipped_at::date",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE shipped_at < '2024-01-15'::date
                + no clock of the time zone was set back across midnight: TimeZone = Europe/Berlin
            "#]],
        );
    }

    #[test]
    fn other_units() {
        check(
            "time-range",
            "select id from orders where date_trunc('month', shipped_at) = '2024-02-01'",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    shipped_at >= '2024-02-01'::date
                    AND shipped_at < '2024-03-01'::date
                + no clock of the time zone was set back across midnight: TimeZone = Europe/Berlin
            "#]],
        );
        check(
            "time-range",
            "select id from orders where date_trunc('month', shipped_at) = '2024-02-10'",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    shipped_at >= '2024-02-10'::timestamptz
                    AND shipped_at < '2024-02-10'::timestamptz + '1 month'::interval
                    AND date_trunc('month', '2024-02-10'::timestamptz) = '2024-02-10'::timestamptz
                + no clock of the time zone was set back across midnight: TimeZone = Europe/Berlin
                - no clock of the time zone leaves out the start of a unit: TimeZone is Europe/Berlin, whose clocks change
            "#]],
        );
        check(
            "time-range",
            "select id from orders where date_trunc('hour', placed_at) = $1",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    placed_at >= $1::timestamp
                    AND placed_at < $1::timestamp + '1 hour'::interval
                    AND date_trunc('hour', $1::timestamp) = $1::timestamp
                $ $1 is not infinity
            "#]],
        );
        check(
            "time-range",
            "select id from orders where extract(year from placed_at) = 2024",
            expect![[r#"
                SELECT id
                FROM orders
                WHERE
                    placed_at >= '2024-01-01'::date
                    AND placed_at < '2025-01-01'::date
                + no clock of the time zone was set back across midnight: timestamp without time zone
            "#]],
        );
    }

    #[test]
    fn left_alone() {
        for sql in [
            "select id from orders where date_trunc('month', shipped_at) >= '2024-02-10'",
            "select id from orders where shipped_at::date = 'infinity'",
            "select id from orders where extract(month from placed_at) = 5",
            "select id from orders where placed_at::date = shipped_at::date",
            "select id from orders where placed_at = '2024-01-01'",
        ] {
            check("time-range", sql, expect![[r#""#]]);
        }
    }
}
