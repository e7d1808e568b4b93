//! What no other text helps: `LIKE '%x%'`, `lower(c) = …` and `doc ->> 'k' = …` want an index of another kind, `SELECT *`
//! wants fewer columns.
//!
//! These give no text, only a sentence. `pgwright advise` tries the indexes on the planner twin.

use model::quote_identifier;

use super::super::level::Level;
use super::super::tree::{Constant, Expr, LikeKind};
use super::super::{Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "index-pointers",
    title: "a condition that wants an index of another kind, a list that wants fewer columns",
    sound_if: "the text stays",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let mut found: Vec<String> = Vec::new();
    for condition in &select.filter {
        condition.walk_level(&mut |e| found.extend(pointer(level, e)));
    }
    if level.is_root
        && let Some(advice) = wide_list(level)
    {
        found.push(advice);
    }
    found.dedup();
    found.into_iter().map(|advice| Found { advice: Some(advice), ..Found::default() }).collect()
}

fn pointer(level: &Level<'_, '_>, expr: &Expr) -> Option<String> {
    // Where an index of that kind is there already, nothing is said.
    let table_of = |e: &Expr, kind: &str| match e {
        Expr::Column(c) => {
            let relation = level.scope.table(&c.source)?;
            let column = quote_identifier(&c.name);
            let there = level
                .scope
                .facts
                .snapshot
                .indexes_of(&relation.name)
                .any(|i| i.indexdef.contains(kind) && i.indexdef.contains(&column));
            (!there).then(|| (relation.name.to_string(), column))
        }
        _ => None,
    };
    match expr {
        Expr::Like { kind: LikeKind::Like | LikeKind::Ilike, value, pattern, negated: false } => {
            let (table, column) = table_of(value, "trgm_ops")?;
            let Expr::Constant(Constant::Text(text)) = &**pattern else { return None };
            text.starts_with(['%', '_']).then(|| {
                format!(
                    "a pattern that begins with a wildcard is answered by a trigram index: CREATE INDEX ON {table} USING gin \
                     ({column} gin_trgm_ops), from the extension pg_trgm"
                )
            })
        }
        Expr::Operator { name, left: Some(left), right } if name == "=" => {
            let (side, _) = if left.columns().is_empty() { (right, left) } else { (left, right) };
            match &**side {
                Expr::Call(call)
                    if call.schema.is_none()
                        && matches!(call.name.as_str(), "lower" | "upper")
                        && call.args.len() == 1 =>
                {
                    let (table, column) = table_of(&call.args[0], &format!("{}(", call.name))?;
                    Some(format!(
                        "an index on the expression answers it: CREATE INDEX ON {table} ({}({column}))",
                        call.name
                    ))
                }
                Expr::Operator { name, left: Some(document), right: key } if name == "->>" => {
                    let (table, column) = table_of(document, "->>")?;
                    let Expr::Constant(Constant::Text(key)) = &**key else { return None };
                    Some(format!(
                        "an index on the expression answers it: CREATE INDEX ON {table} (({column} ->> {}))",
                        model::quote_literal(key)
                    ))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `SELECT *` of a wide table.
fn wide_list(level: &Level<'_, '_>) -> Option<String> {
    let select = level.select()?;
    let mut bytes = 0;
    let mut widest: Vec<(i32, String)> = Vec::new();
    for output in select.outputs.iter().filter(|o| o.star.is_some()) {
        let Expr::Column(column) = &output.expr else { continue };
        let width = level.scope.catalog_column(column).map_or(0, |c| c.average_width());
        bytes += width;
        widest.push((width, output.name.clone()));
    }
    if bytes < 200 || widest.len() < 3 {
        return None;
    }
    widest.sort_by_key(|(width, _)| std::cmp::Reverse(*width));
    let names: Vec<String> =
        widest.iter().take(3).map(|(width, name)| format!("{name} ({width} bytes)")).collect();
    Some(format!(
        "* lists {} columns of about {bytes} bytes a row, the widest {}: a list of those that the application uses can let \
         an index answer alone",
        widest.len(),
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn pointers() {
        check(
            "index-pointers",
            "select id from orders where note like '%x%'",
            expect![[r#"
            a pattern that begins with a wildcard is answered by a trigram index: CREATE INDEX ON public.orders USING gin (note gin_trgm_ops), from the extension pg_trgm
        "#]],
        );
        check(
            "index-pointers",
            "select id from customers where lower(email) = $1",
            expect![[r#"
            an index on the expression answers it: CREATE INDEX ON public.customers (lower(email))
        "#]],
        );
        check(
            "index-pointers",
            "select id from customers where settings ->> 'theme' = 'dark'",
            expect![[r#"
                an index on the expression answers it: CREATE INDEX ON public.customers ((settings ->> 'theme'))
            "#]],
        );
        check("index-pointers", "select id from orders where note like 'x%'", expect![[r#""#]]);
    }
}
