//! How many different values do several columns have together? Statistics tell of each column alone, and the size of
//! an index on several depends on how many of its entries are equal.
//!
//! Columns that statements join with a whole unique key of another table hold its values: there are no more
//! combinations of them than that table has rows. The same goes for foreign keys of several columns.

use std::collections::{BTreeMap, BTreeSet};

use model::cost_model::Combination;
use model::snapshot::ConstraintKind;
use model::{KeyTarget, QualifiedName, Snapshot};

use crate::tables::Tables;
use crate::workload::Workload;

/// What joins and foreign keys tell of columns together.
pub(crate) fn known(snapshot: &Snapshot, workload: &Workload) -> Vec<Combination> {
    let tables = Tables::new(snapshot);
    let mut found: BTreeMap<(QualifiedName, BTreeSet<String>), f64> = BTreeMap::new();
    let mut note = |table: &QualifiedName, columns: BTreeSet<String>, of: &QualifiedName| {
        let Some(rows) = tables.relation(of).map(|r| tables.extent(r).rows) else { return };
        if columns.len() > 1 && table != of && rows >= 1.0 {
            let known = found.entry((table.clone(), columns)).or_insert(rows);
            *known = known.min(rows);
        }
    };
    for statement in &workload.statements {
        // Column by column of the other side, for each ordered pair of relations.
        let mut joined: BTreeMap<(usize, usize), BTreeMap<&str, &str>> = BTreeMap::new();
        for join in &statement.analysis.joins {
            for (this, other) in [(&join.left, &join.right), (&join.right, &join.left)] {
                let of_pair = joined.entry((this.relation, other.relation)).or_default();
                of_pair.insert(&other.column, &this.column);
            }
        }
        for ((this, other), columns) in joined.into_iter().filter(|(_, columns)| columns.len() > 1) {
            let relations = &statement.analysis.relations;
            let (Some(this), Some(other)) = (relations.get(this), relations.get(other)) else { continue };
            for key in unique_keys(&tables, &other.name) {
                let own: Option<BTreeSet<String>> =
                    key.iter().map(|column| columns.get(column.as_str()).map(|c| (*c).to_owned())).collect();
                if let Some(own) = own {
                    note(&this.name, own, &other.name);
                }
            }
        }
    }
    for constraint in snapshot.constraints.iter().filter(|c| c.kind == ConstraintKind::ForeignKey) {
        if let Some(references) = &constraint.references {
            note(&constraint.table, constraint.columns.iter().cloned().collect(), &references.table);
        }
    }
    found
        .into_iter()
        .map(|((table, columns), distinct)| Combination {
            table,
            columns: columns.into_iter().collect(),
            distinct,
        })
        .collect()
}

/// The columns of each unique key of a table.
fn unique_keys(tables: &Tables<'_>, table: &QualifiedName) -> Vec<Vec<String>> {
    let unique =
        tables.indexes(table).filter(|i| i.valid && i.definition.unique && i.definition.predicate.is_none());
    unique
        .filter_map(|index| {
            let keys = index.definition.keys.iter();
            keys.map(|key| match &key.target {
                KeyTarget::Column(name) => Some(name.clone()),
                KeyTarget::Expression(_) => None,
            })
            .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn joins_with_a_whole_key_bound_combinations() {
        let mut snapshot = fixture::snapshot();
        snapshot.relations = vec![
            fixture::table(
                "line",
                6e6,
                &["part int distinct=200000", "supplier int distinct=10000", "n int"],
            ),
            fixture::table(
                "supply",
                8e5,
                &["part int distinct=200000", "supplier int distinct=10000", "cost int"],
            ),
        ];
        snapshot.indexes = vec![fixture::index("supply", "supply_pkey", &["part", "supplier"], true)];
        let known_of = |query: &str| {
            let mut snapshot = snapshot.clone();
            snapshot.statements = vec![fixture::statement(1, query, 10, 10.0, 10)];
            known(&snapshot, &Workload::from_snapshot(&snapshot, &BTreeMap::new()))
        };
        let found = known_of(
            "SELECT sum(cost) FROM line l JOIN supply s ON s.part = l.part AND l.supplier = s.supplier WHERE l.n = $1",
        );
        let expected = Combination {
            table: fixture::name("line"),
            columns: vec!["part".into(), "supplier".into()],
            distinct: 8e5,
        };
        assert_eq!(found, [expected]);
        // Half of the key says nothing.
        assert_eq!(
            known_of("SELECT sum(cost) FROM line l JOIN supply s ON s.part = l.part AND s.cost = l.n"),
            []
        );
    }
}
