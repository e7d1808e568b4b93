//! Candidates of other access methods: GIN for documents, arrays, text search and trigrams, GiST for
//! ranges, BRIN for large tables in the order of a column.
//!
//! Source: PostgreSQL manual, "GIN: Built-in Operator Classes", "BRIN Indexes", `pg_trgm`.

use std::collections::BTreeSet;

use model::{IndexKey, QualifiedName};
use sql::Operator;

use super::{Occasion, Shape};

pub(super) fn other_access_methods(occasion: &Occasion<'_>) -> BTreeSet<Shape> {
    let mut shapes = BTreeSet::new();
    for predicate in &occasion.relation_use.predicates {
        let Some(name) = predicate.key.column() else { continue };
        let Some(column) = occasion.relation.column(name) else { continue };
        let base = column.base_type.name.as_str();
        let array = column.type_category == 'A';
        let method = |access_method: &str, opclass: Option<QualifiedName>| Shape {
            access_method: access_method.into(),
            ..Shape::btree(vec![IndexKey { opclass, ..IndexKey::column(name) }])
        };
        match &predicate.operator {
            Operator::Other(operator) => match (operator.as_str(), base) {
                ("@>" | "@?" | "@@", "jsonb") => {
                    let path_ops = QualifiedName::new("pg_catalog", "jsonb_path_ops");
                    shapes.insert(method("gin", Some(path_ops)));
                }
                ("?" | "?|" | "?&", "jsonb") => drop(shapes.insert(method("gin", None))),
                ("@>" | "<@" | "&&", _) if array => drop(shapes.insert(method("gin", None))),
                ("@@", "tsvector") => drop(shapes.insert(method("gin", None))),
                ("@>" | "<@" | "&&" | "-|-" | "<<" | ">>", _) if column.type_category == 'R' => {
                    shapes.insert(method("gist", None));
                }
                ("~" | "~*" | "%", _) => shapes.extend(trigram(occasion, name, column.type_category)),
                _ => {}
            },
            Operator::Like { .. } => shapes.extend(trigram(occasion, name, column.type_category)),
            operator if operator.is_range() => {
                let statistics = column.statistics.as_ref();
                let correlation = statistics.and_then(|s| s.correlation).unwrap_or(0.0).abs();
                let ordered = f64::from(correlation) >= occasion.options.min_brin_correlation;
                if ordered && occasion.relation.pages >= occasion.options.min_brin_pages {
                    shapes.insert(method("brin", None));
                }
            }
            _ => {}
        }
    }
    shapes
}

/// A trigram index, where the extension is installed.
fn trigram(occasion: &Occasion<'_>, name: &str, category: char) -> Option<Shape> {
    let extension = occasion.snapshot.extensions.iter().find(|e| e.name == "pg_trgm")?;
    (category == 'S').then(|| Shape {
        access_method: "gin".into(),
        ..Shape::btree(vec![IndexKey {
            opclass: Some(QualifiedName::new(extension.schema.clone(), "gin_trgm_ops")),
            ..IndexKey::column(name)
        }])
    })
}
