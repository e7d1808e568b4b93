//! Which tables with row security does one statement read and the other not? Tiny databases know no policies: that answers
//! are the same on them says nothing of a join that policies make a filter.

use std::collections::BTreeSet;

use model::{QualifiedName, Snapshot};
use sql::{ParsedStatement, SnapshotCatalog};

/// The tables with row security that one of two statements reads and the other does not, sorted. A view reads with its
/// owner's rights, so that one table read by a view and by a statement is read in two ways.
pub fn policies_of_one(snapshot: &Snapshot, before: &str, after: &str) -> Vec<QualifiedName> {
    let catalog = SnapshotCatalog::new(snapshot);
    let read = |statement: &str| -> (BTreeSet<QualifiedName>, BTreeSet<QualifiedName>) {
        let Ok(parsed) = ParsedStatement::parse(statement) else { return Default::default() };
        let analysis = parsed.analyze(&catalog);
        let guarded = |name: &QualifiedName| snapshot.relation(name).is_some_and(|r| r.row_security);
        let tables = analysis.tables().into_iter().filter(|name| guarded(name)).cloned().collect();
        (tables, analysis.views)
    };
    let ((before, views), (after, views_after)) = (read(before), read(after));
    match views == views_after {
        true => before.symmetric_difference(&after).cloned().collect(),
        false => before.union(&after).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_policies_may_hide_from_one() {
        let table = |name: &str, row_security: bool| {
            serde_json::json!({
                "oid": 1, "name": { "schema": "public", "name": name }, "kind": "table", "reltuples": 1.0, "relpages": 1,
                "relallvisible": 0, "pages": 1, "table_bytes": 0, "indexes_bytes": 0, "options": [], "unlogged": false,
                "row_security": row_security, "parent": null, "partition_key": null, "partition_bound": null,
                "extension": null, "columns": [], "activity": null,
            })
        };
        let mut snapshot = Snapshot::nothing();
        for value in [table("a", true), table("b", false), table("c", true)] {
            snapshot.relations.push(serde_json::from_value(value).expect("a relation"));
        }
        let names = |before: &str, after: &str| -> Vec<String> {
            policies_of_one(&snapshot, before, after).into_iter().map(|n| n.name).collect()
        };
        assert_eq!(
            names("select from b join a using (x) join c using (y)", "select from b join c using (y)"),
            ["a"]
        );
        assert_eq!(names("select from b", "select from c where exists (select from a)"), ["a", "c"]);
        assert_eq!(
            names("select from a where x in (select y from b)", "select from a join b on x = y"),
            Vec::<String>::new()
        );
        // What only a view reads is read.
        snapshot.schema_sql =
            "CREATE VIEW public.v AS\n SELECT a.x FROM public.a;\n\nCREATE VIEW public.w AS\n SELECT v.x \
                               FROM public.v;\n"
                .into();
        let names = |before: &str, after: &str| -> Vec<String> {
            policies_of_one(&snapshot, before, after).into_iter().map(|n| n.name).collect()
        };
        assert_eq!(names("select from b join w using (x)", "select from b"), ["a"]);
        // And it is read with the rights of the view's owner.
        assert_eq!(names("select x from w", "select x from a"), ["a"]);
        assert_eq!(names("select x from w", "select x from w where x is not null"), Vec::<String>::new());
    }
}
