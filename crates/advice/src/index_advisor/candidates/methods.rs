//! Candidates of other access methods: GIN for documents, arrays, text search and trigrams, GiST for ranges, shapes,
//! networks and distances, SP-GiST for prefixes and networks, hash for long keys, BRIN for large tables in the order
//! of a column.
//!
//! Source: PostgreSQL manual, "GIN: Built-in Operator Classes", "GiST: Built-in Operator Classes", "SP-GiST: Built-in
//! Operator Classes", "BRIN Indexes", `pg_trgm`.

use std::collections::BTreeSet;

use model::{IndexKey, KeyTarget, QualifiedName};
use sql::{Expression, KeyExpression, Operator};

use super::{Occasion, Shape};

/// From this width on a hash index is much smaller than a B-tree: it holds four bytes of each value.
const HASH_WIDTH: i32 = 24;

pub(super) fn other_access_methods(occasion: &Occasion<'_>) -> BTreeSet<Shape> {
    let mut shapes = BTreeSet::new();
    for predicate in &occasion.relation_use.predicates {
        let (Some(target), Some(kind)) = (occasion.target(&predicate.key), kind(occasion, &predicate.key))
        else {
            continue;
        };
        let mut add = |access_method: &str, opclass: Option<QualifiedName>| {
            shapes.insert(shape(access_method, target.clone(), opclass));
        };
        let built_in = |name: &str| Some(QualifiedName::new("pg_catalog", name));
        match &predicate.operator {
            Operator::Other(operator) => match (operator.as_str(), &kind) {
                ("@>" | "@?" | "@@", Kind::Document) => add("gin", built_in("jsonb_path_ops")),
                ("?" | "?|" | "?&", Kind::Document) => add("gin", None),
                ("@>" | "<@" | "&&", Kind::Array) => add("gin", None),
                ("@@", Kind::TextVector) => add("gin", None),
                ("@>" | "<@" | "&&" | "-|-" | "<<" | ">>" | "&<" | "&>", Kind::Range) => add("gist", None),
                (
                    "@>" | "<@" | "&&" | "<<" | ">>" | "&<" | "&>" | "<<|" | "|>>" | "&<|" | "|&>" | "~="
                    | "<^" | ">^",
                    Kind::Shape,
                ) => add("gist", None),
                ("<<" | "<<=" | ">>" | ">>=" | "&&", Kind::Network) => {
                    add("gist", built_in("inet_ops"));
                    add("spgist", None);
                }
                ("^@", Kind::Text) => add("spgist", None),
                ("~" | "~*" | "%" | "<%" | "%>" | "<<%" | "%>>", Kind::Text) => {
                    if let Some(opclass) = trigrams(occasion, "gin_trgm_ops") {
                        add("gin", Some(opclass));
                    }
                }
                _ => {}
            },
            Operator::Like { .. } if kind == Kind::Text => {
                if let Some(opclass) = trigrams(occasion, "gin_trgm_ops") {
                    add("gin", Some(opclass));
                }
            }
            Operator::Equal | Operator::AnyOf | Operator::In
                if predicate.disjunct.is_none() && kind == Kind::Text && is_wide(occasion, &target) =>
            {
                add("hash", None);
            }
            operator if operator.is_range() => {
                if let KeyTarget::Column(name) = &target
                    && is_in_the_tables_order(occasion, name)
                {
                    add("brin", None);
                }
            }
            _ => {}
        }
    }
    for nearest in &occasion.relation_use.nearest {
        let (Some(target), Some(kind)) = (occasion.target(&nearest.key), kind(occasion, &nearest.key)) else {
            continue;
        };
        match kind {
            Kind::Shape => drop(shapes.insert(shape("gist", target, None))),
            Kind::Text => {
                if let Some(opclass) = trigrams(occasion, "gist_trgm_ops") {
                    shapes.insert(shape("gist", target, Some(opclass)));
                }
            }
            _ => {}
        }
    }
    shapes
}

fn shape(access_method: &str, target: KeyTarget, opclass: Option<QualifiedName>) -> Shape {
    Shape {
        access_method: access_method.into(),
        ..Shape::btree(vec![IndexKey { target, opclass, ..IndexKey::column("") }])
    }
}

/// What operator classes there are for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Document,
    Array,
    TextVector,
    Range,
    Shape,
    Network,
    Other,
}

/// What a key is, as far as its column or its outermost function tells.
pub(super) fn kind(occasion: &Occasion<'_>, key: &KeyExpression) -> Option<Kind> {
    match key {
        KeyExpression::Column(name) => {
            let column = occasion.relation.column(name)?;
            Some(kind_of_type(&column.base_type.name, column.type_category))
        }
        KeyExpression::Expression { expression, .. } => Some(kind_of(occasion, expression)),
    }
}

fn kind_of(occasion: &Occasion<'_>, expression: &Expression) -> Kind {
    match expression {
        Expression::Column(column) => match occasion.relation.column(&column.column) {
            Some(column) => kind_of_type(&column.base_type.name, column.type_category),
            None => Kind::Other,
        },
        Expression::Cast { to, .. } => {
            let base = to.split('(').next().unwrap_or(to).trim();
            match base {
                "character varying" => Kind::Text,
                _ if base.ends_with("[]") => Kind::Array,
                _ if base.ends_with("range") => Kind::Range,
                _ => kind_of_type(base, ' '),
            }
        }
        Expression::Collate { inner, .. } => kind_of(occasion, inner),
        Expression::Coalesce(items) => items.first().map_or(Kind::Other, |first| kind_of(occasion, first)),
        Expression::Operator { name, left: Some(left), right } => match name.as_str() {
            "->>" | "#>>" => Kind::Text,
            "->" | "#>" => kind_of(occasion, left),
            "||" => match kind_of(occasion, left) {
                Kind::Other => kind_of(occasion, right),
                known => known,
            },
            _ => Kind::Other,
        },
        Expression::Constant(sql::Literal::Text(_)) => Kind::Text,
        Expression::Function { name, args, .. } => match name.as_str() {
            "lower"
            | "upper"
            | "initcap"
            | "btrim"
            | "ltrim"
            | "rtrim"
            | "left"
            | "right"
            | "substr"
            | "substring"
            | "replace"
            | "regexp_replace"
            | "translate"
            | "md5"
            | "reverse"
            | "split_part"
            | "lpad"
            | "rpad"
            | "jsonb_extract_path_text"
            | "immutable_unaccent"
            | "f_unaccent"
            | "unaccent" => Kind::Text,
            "to_tsvector" | "setweight" | "strip" => Kind::TextVector,
            "jsonb_extract_path" | "to_jsonb" => Kind::Document,
            "point" | "box" | "circle" | "polygon" | "st_transform" | "st_setsrid" => Kind::Shape,
            "tstzrange" | "tsrange" | "daterange" | "int4range" | "int8range" | "numrange" => Kind::Range,
            "string_to_array" | "array_remove" | "array_cat" | "array_append" => Kind::Array,
            _ => match args.as_slice() {
                [only] => kind_of(occasion, only),
                _ => Kind::Other,
            },
        },
        _ => Kind::Other,
    }
}

fn kind_of_type(base: &str, category: char) -> Kind {
    match base {
        "text" | "varchar" => Kind::Text,
        "jsonb" => Kind::Document,
        "tsvector" => Kind::TextVector,
        "point" | "box" | "circle" | "polygon" | "geometry" | "geography" => Kind::Shape,
        "inet" | "cidr" => Kind::Network,
        _ => match category {
            'A' => Kind::Array,
            'R' => Kind::Range,
            'I' => Kind::Network,
            _ => Kind::Other,
        },
    }
}

/// An operator class of `pg_trgm`, where the extension is installed.
fn trigrams(occasion: &Occasion<'_>, opclass: &str) -> Option<QualifiedName> {
    let extension = occasion.snapshot.extensions.iter().find(|e| e.name == "pg_trgm")?;
    Some(QualifiedName::new(extension.schema.clone(), opclass))
}

fn is_wide(occasion: &Occasion<'_>, target: &KeyTarget) -> bool {
    let KeyTarget::Column(name) = target else { return false };
    occasion.statistics(name).is_some_and(|s| s.avg_width >= HASH_WIDTH)
}

/// Whether a table is large and in the order of a column: a summary for a range of pages then tells which pages to
/// read. Of a partitioned table each partition counts, and of times that grow each is in order.
fn is_in_the_tables_order(occasion: &Occasion<'_>, name: &str) -> bool {
    let mut parts = vec![occasion.relation];
    parts.extend(occasion.tables.children(&occasion.relation.name));
    let correlation = parts
        .iter()
        .filter_map(|part| part.column(name)?.statistics.as_ref()?.correlation)
        .map(|c| f64::from(c.abs()))
        .reduce(f64::min);
    occasion.extent.pages >= occasion.options.min_brin_pages
        && correlation.is_some_and(|c| c >= occasion.options.min_brin_correlation)
}
