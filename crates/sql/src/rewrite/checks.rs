//! What does a CHECK constraint say of a condition? A row satisfies its checks, or they are unknown for it.
//!
//! Only checks of one column are looked at, and comparisons of that column with constants: where the column is not
//! NULL the check is known, so it is true. Source: PostgreSQL manual, "Constraints", and [`crate::implies`], which
//! decides what follows from what.

use model::quote_identifier;
use model::snapshot::RelationKind;

use super::facts::{Proofs, Scope};
use super::tree::{Column, Constant, Expr};
use super::writing;

/// Numbers with more digits are not told apart by [`crate::implies`].
const DIGITS_MAX: usize = 15;

/// What is left of a condition of which only "true" counts: that its column is not NULL, where a check implies it, or
/// `false`, where a check implies the opposite.
pub(crate) fn settled(scope: &Scope<'_>, condition: &Expr) -> Option<(Expr, Proofs)> {
    let column = compared(condition)?;
    let relation = scope.table(&column.source)?;
    if relation.kind == RelationKind::ForeignTable {
        return None;
    }
    let operand = Expr::Column(column.clone());
    let type_name = scope.type_of(&operand)?;
    let number = matches!(type_name.as_str(), "int2" | "int4" | "int8" | "numeric");
    let text = matches!(type_name.as_str(), "text" | "varchar") && scope.equal_is_same(&operand);
    if !(number || text && is_equality(condition)) {
        return None;
    }
    let mut bare = condition.clone();
    super::level::substitute(&mut bare, &|c| {
        Some(Expr::Column(Column { source: String::new(), name: c.name.clone() }))
    });
    let bare = writing::expression(&bare);
    for check in &scope.facts.snapshot.constraints {
        let Some(said) = said_of(check, &relation.name, &column.name) else { continue };
        if long_number(&bare) {
            continue;
        }
        let by = Proofs::from([format!("CHECK {}", quote_identifier(&check.name))]);
        let not_null = Expr::IsNull { inner: Box::new(operand.clone()), negated: true };
        let never = Expr::Constant(Constant::Boolean(false));
        if crate::implies(said, &bare) {
            return Some((not_null, by));
        }
        if number && crate::implies(said, &format!("NOT ({bare})")) {
            return Some((never, by));
        }
        if text && is_foreign_to(said, &column.name, condition) {
            let differs = matches!(condition, Expr::Operator { name, .. } if name == "<>");
            return Some((if differs { not_null } else { never }, by));
        }
    }
    None
}

/// `state <> 'dead'` as the other values that a check allows, or the other labels of an enum, in a place where only "true" counts: both are unknown for NULL.
pub(crate) fn others(scope: &Scope<'_>, condition: &Expr) -> Option<(Expr, Proofs)> {
    let (operand, named): (&Expr, Vec<&Expr>) = match condition {
        Expr::Operator { name, left: Some(left), right } if name == "<>" => (left, vec![right]),
        Expr::In { value, list, negated: true } => (value, list.iter().collect()),
        _ => return None,
    };
    let Expr::Column(column) = operand else { return None };
    let texts: Vec<&String> = named
        .into_iter()
        .map(|e| if let Expr::Constant(Constant::Text(text)) = e { Some(text) } else { None })
        .collect::<Option<_>>()?;
    if let Some(labels) = scope.labels(column).filter(|_| scope.facts.users.operators.is_empty()) {
        let all_named = texts.iter().all(|text| labels.contains(text));
        let rest = labels.into_iter().filter(|label| !texts.contains(&label));
        let list: Vec<Expr> = rest.map(|label| Expr::Constant(Constant::Text(label))).collect();
        let new = Expr::In { value: Box::new(operand.clone()), list, negated: false };
        return (all_named && !matches!(&new, Expr::In { list, .. } if list.is_empty()))
            .then(|| (new, Proofs::from(["the labels of the enum".to_owned()])));
    }
    let relation = scope.table(&column.source)?;
    let typed = matches!(scope.type_of(operand).as_deref(), Some("text" | "varchar"));
    if relation.kind == RelationKind::ForeignTable || !typed || !scope.equal_is_same(operand) {
        return None;
    }
    let mut proofs = Proofs::new();
    for check in &scope.facts.snapshot.constraints {
        let Some(said) = said_of(check, &relation.name, &column.name) else { continue };
        let listed = crate::expression_ingredients(said).constants;
        let all: Vec<String> = listed.keys().map(|text| model::quote_literal(text)).collect();
        let whole = format!("{} IN ({})", quote_identifier(&column.name), all.join(", "));
        if all.is_empty() || !texts.iter().all(|t| listed.contains_key(*t)) || !crate::implies(said, &whole) {
            continue;
        }
        let rest: Vec<Expr> = listed
            .keys()
            .filter(|text| !texts.contains(text))
            .map(|text| Expr::Constant(Constant::Text(text.clone())))
            .collect();
        if rest.is_empty() {
            continue;
        }
        proofs.insert(format!("CHECK {}", quote_identifier(&check.name)));
        return Some((Expr::In { value: Box::new(operand.clone()), list: rest, negated: false }, proofs));
    }
    None
}

/// What a check that holds for every row says of one column and of nothing else.
fn said_of<'c>(
    check: &'c model::snapshot::Constraint,
    table: &model::QualifiedName,
    column: &str,
) -> Option<&'c str> {
    if check.table != *table || !check.validated {
        return None;
    }
    let said = check.check_condition().filter(|c| c.inherited)?.expression;
    let columns = crate::expression_ingredients(said).columns;
    (columns.len() == 1 && columns.contains(column) && !long_number(said)).then_some(said)
}

/// The column that a condition compares with constants, by operators that are unknown for NULL.
pub(super) fn compared(condition: &Expr) -> Option<&Column> {
    let constant = |e: &Expr| matches!(e, Expr::Constant(c) if *c != Constant::Null);
    match condition {
        Expr::Operator { name, left: Some(left), right } => match (&**left, &**right) {
            (Expr::Column(column), other)
                if constant(other) && matches!(name.as_str(), "=" | "<>" | "<" | "<=" | ">" | ">=") =>
            {
                Some(column)
            }
            _ => None,
        },
        Expr::In { value, list, negated: false } => match &**value {
            Expr::Column(column) if list.iter().all(constant) => Some(column),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a check lists the values that a column may have, and a condition names others only.
fn is_foreign_to(said: &str, column: &str, condition: &Expr) -> bool {
    let listed = crate::expression_ingredients(said).constants;
    let texts: Vec<String> = listed.keys().map(|text| model::quote_literal(text)).collect();
    let named: Vec<&Expr> = match condition {
        Expr::Operator { right, .. } => vec![right],
        Expr::In { list, .. } => list.iter().collect(),
        _ => return false,
    };
    let foreign = |e: &&Expr| matches!(e, Expr::Constant(Constant::Text(text)) if !listed.contains_key(text));
    !texts.is_empty()
        && named.iter().all(foreign)
        && crate::implies(said, &format!("{} IN ({})", quote_identifier(column), texts.join(", ")))
}

fn is_equality(condition: &Expr) -> bool {
    match condition {
        Expr::Operator { name, .. } => matches!(name.as_str(), "=" | "<>"),
        Expr::In { .. } => true,
        _ => false,
    }
}

pub(super) fn long_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit() && c != '.').any(|part| part.len() > DIGITS_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::Rewriter;
    use super::super::fixture::snapshot;

    #[track_caller]
    fn proved(before: &str, after: &str) -> bool {
        let snapshot = snapshot(
            "create table t (id int primary key, kind text not null check (kind in ('a', 'b')), rank int check (rank between 1 and 9), \
               big bigint not null check (big >= 9007199254740992), size int not null check (size > 0) no inherit, \
               low int not null, high int not null, check (low < high));",
        );
        Rewriter::new(&snapshot).prove(before, after).unwrap().is_some()
    }

    #[test]
    fn what_checks_say() {
        let all = "select id from t";
        assert!(proved("select id from t where kind in ('a', 'b')", all));
        assert!(proved("select id from t where kind in ('a', 'b', 'c')", all));
        assert!(proved("select id from t where kind = 'c'", "select id from t where false"));
        assert!(proved("select id from t where rank > 0", "select id from t where rank is not null"));
        assert!(proved("select id from t where rank > 9", "select id from t where false"));
        assert!(proved("select id from t where kind <> 'c' and rank = 5", "select id from t where rank = 5"));
    }

    #[test]
    fn labels_of_an_enum_differ() {
        let snapshot = snapshot(
            "create type level as enum ('low', 'high'); create table t (id int primary key, level level not null);",
        );
        let branches = |op: &str, one: &str, other: &str| {
            format!(
                "select id, level from t where level = '{one}' {op} select id, level from t where level = '{other}'"
            )
        };
        let found = Rewriter::new(&snapshot).rewrites(&branches("union", "low", "high")).unwrap();
        assert!(found.iter().any(|r| r.rule == "union-to-union-all"), "{found:?}");
        let found = Rewriter::new(&snapshot).rewrites(&branches("union", "low", "low")).unwrap();
        assert!(found.iter().all(|r| r.rule != "union-to-union-all"), "{found:?}");
    }

    #[test]
    fn what_checks_do_not_say() {
        let all = "select id from t";
        // Unknown is no violation.
        assert!(!proved("select id from t where rank > 0", all));
        assert!(!proved("select id from t where rank > 1", "select id from t where rank is not null"));
        assert!(!proved("select id from t where kind <> 'a'", "select id from t where false"));
        assert!(!proved("select id from t where not (rank > 0)", "select id from t where rank is null"));
        assert!(!proved("select id from t where big >= 9007199254740993", all));
        // A value, not a condition: unknown is shown.
        assert!(!proved("select rank > 0 as positive from t", "select rank is not null as positive from t"));
    }
}
