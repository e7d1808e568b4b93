//! `SELECT DISTINCT column FROM table` → from one value to the next through an index.
//!
//! PostgreSQL reads every row to find a few values. A recursive query looks up the smallest value, then the smallest one
//! above it, and so on. Source: PostgreSQL wiki, "Loose indexscan".

use model::change::KeyTarget;
use model::quote_identifier;

use super::super::level::Level;
use super::super::tree::{Distinct, Expr, From};
use super::super::{Condition, Found, Rule};

pub(super) const RULE: Rule = Rule {
    id: "distinct-to-skip-scan",
    title: "DISTINCT of an indexed column becomes a walk through its index",
    sound_if: "the column is NOT NULL; an index begins with it",
    find,
};

fn find(level: &Level<'_, '_>) -> Vec<Found> {
    let Some(select) = level.select() else { return Vec::new() };
    let query = level.query;
    let plain = level.is_root
        && select.distinct == Distinct::All
        && select.filter.is_empty()
        && !select.is_grouped()
        && query.is_bare();
    let ([From::Table(table)], [output]) = (select.from.as_slice(), select.outputs.as_slice()) else {
        return Vec::new();
    };
    let Expr::Column(column) = &output.expr else { return Vec::new() };
    let Some(relation) = level.scope.table(&table.alias) else { return Vec::new() };
    let Some(of) = relation.column(&column.name) else { return Vec::new() };
    let indexed = level.scope.facts.snapshot.indexes_of(&relation.name).any(|i| {
        let first = i.definition.keys.first().map(|k| &k.target);
        i.valid
            && i.definition.access_method == "btree"
            && i.definition.predicate.is_none()
            && first == Some(&KeyTarget::Column(column.name.clone()))
    });
    // Of equal values that are not the same DISTINCT shows one and the walk another.
    if !plain || !indexed || table.only || !level.scope.equal_is_same(&output.expr) || !of.has_btree_opclass {
        return Vec::new();
    }
    let source =
        if table.schema_written { relation.name.to_string() } else { quote_identifier(&relation.name.name) };
    let name = quote_identifier(&column.name);
    let shown = quote_identifier(&output.name);
    let walk = quote_identifier(&level.free_name("walk"));
    let text = format!(
        "WITH RECURSIVE {walk} AS (\n    (SELECT t.{name} FROM {source} t ORDER BY t.{name} LIMIT 1)\n    UNION ALL\n    \
         SELECT (SELECT t.{name} FROM {source} t WHERE t.{name} > {walk}.{name} ORDER BY t.{name} LIMIT 1)\n    \
         FROM {walk}\n    WHERE {walk}.{name} IS NOT NULL\n)\nSELECT {name} AS {shown}\nFROM {walk}\nWHERE {name} IS NOT NULL"
    );
    let proved = level.scope.stored_not_null(column);
    let proved = proved.map_err(|why| format!("{why}: DISTINCT lists NULL, the walk does not"));
    let claim = format!("{} is not NULL", level.scope.display(column));
    vec![Found { text: Some(text), conditions: vec![Condition::new(claim, proved)], ..Found::default() }]
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::check;

    #[test]
    fn walks() {
        check(
            "distinct-to-skip-scan",
            "select distinct order_id from items",
            expect![[r#"
            WITH RECURSIVE walk AS (
                (SELECT t.order_id FROM items t ORDER BY t.order_id LIMIT 1)
                UNION ALL
                SELECT (SELECT t.order_id FROM items t WHERE t.order_id > walk.order_id ORDER BY t.order_id LIMIT 1)
                FROM walk
                WHERE walk.order_id IS NOT NULL
            )
            SELECT order_id AS order_id
            FROM walk
            WHERE order_id IS NOT NULL
            + items.order_id is not NULL: NOT NULL of items.order_id
        "#]],
        );
        check(
            "distinct-to-skip-scan",
            "select distinct email as mail from customers",
            expect![[r#"
            WITH RECURSIVE walk AS (
                (SELECT t.email FROM customers t ORDER BY t.email LIMIT 1)
                UNION ALL
                SELECT (SELECT t.email FROM customers t WHERE t.email > walk.email ORDER BY t.email LIMIT 1)
                FROM walk
                WHERE walk.email IS NOT NULL
            )
            SELECT email AS mail
            FROM walk
            WHERE email IS NOT NULL
            - customers.email is not NULL: customers.email may be NULL: DISTINCT lists NULL, the walk does not
        "#]],
        );
        for sql in [
            "select distinct note from orders",
            "select distinct order_id from items where quantity > 1",
            "select distinct order_id, sku from items",
        ] {
            check("distinct-to-skip-scan", sql, expect![[r#""#]]);
        }
    }
}
