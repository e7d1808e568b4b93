//! Of which constants and columns is a statement made, and which stand together? Whoever makes up data for
//! a statement wants values near its constants in the columns that are compared with them.
//!
//! Works on the tree of libpg_query by names alone: nothing is resolved, so two columns of one name count as
//! one, which for making up data is a gain.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::builtins::tells_the_time;
use crate::statement::ParsedStatement;
use crate::text::SENTINEL;

/// What a statement is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingredients {
    /// The texts of its constants, with the unquoted names of the columns in the same expressions.
    pub constants: BTreeMap<String, BTreeSet<String>>,
    /// The unquoted names of all columns that it names.
    pub columns: BTreeSet<String>,
    /// Pairs of columns that are compared with each other.
    pub compared: BTreeSet<(String, String)>,
    /// The numbers of its parameters, with the columns in the same expressions.
    pub parameters: BTreeMap<u32, BTreeSet<String>>,
    /// Whether it asks what time it is.
    pub tells_time: bool,
}

impl ParsedStatement {
    /// The statement's constants and columns.
    pub fn ingredients(&self) -> Ingredients {
        let mut found = Ingredients::default();
        if let Ok(tree) = serde_json::to_value(self.node()) {
            walk(&tree, &mut found);
        }
        found
    }
}

/// The constants and columns of an expression as a schema has it, for instance that of a CHECK constraint.
pub fn expression_ingredients(expression: &str) -> Ingredients {
    ParsedStatement::parse(&format!("SELECT {expression}")).map(|s| s.ingredients()).unwrap_or_default()
}

/// Nodes whose columns and constants have to do with each other.
const TOGETHER: &[&str] =
    &["AExpr", "FuncCall", "CoalesceExpr", "MinMaxExpr", "CaseExpr", "AIndirection", "RowExpr"];

fn walk(value: &Json, found: &mut Ingredients) {
    match value {
        Json::Object(map) => {
            for (key, inner) in map {
                match key.as_str() {
                    "AConst" => {
                        if let Some(constant) = constant(inner) {
                            found.constants.entry(constant).or_default();
                        }
                    }
                    "ParamRef" => {
                        if let Some(parameter) = parameter(inner) {
                            found.parameters.entry(parameter).or_default();
                        }
                    }
                    "ColumnRef" => found.columns.extend(column(inner)),
                    "SqlvalueFunction" => found.tells_time = true,
                    "FuncCall" => found.tells_time |= tells_time(inner),
                    "SubLink" => compare_sublink(inner, found),
                    _ => {}
                }
                if key == "AExpr" {
                    compare_sides(inner, found);
                }
                walk(inner, found);
                if TOGETHER.contains(&key.as_str()) {
                    let mut own = Level::default();
                    own.gather(inner);
                    for constant in own.constants {
                        found.constants.entry(constant).or_default().extend(own.columns.iter().cloned());
                    }
                    for parameter in own.parameters {
                        found.parameters.entry(parameter).or_default().extend(own.columns.iter().cloned());
                    }
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|v| walk(v, found)),
        _ => {}
    }
}

/// Columns and constants of an expression without those of queries within it.
#[derive(Default)]
struct Level {
    constants: BTreeSet<String>,
    parameters: BTreeSet<u32>,
    columns: BTreeSet<String>,
}

impl Level {
    fn gather(&mut self, value: &Json) {
        match value {
            Json::Object(map) => {
                for (key, inner) in map {
                    match key.as_str() {
                        "AConst" => self.constants.extend(constant(inner)),
                        "ParamRef" => self.parameters.extend(parameter(inner)),
                        "ColumnRef" => self.columns.extend(column(inner)),
                        "subselect" => {}
                        _ => self.gather(inner),
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|v| self.gather(v)),
            _ => {}
        }
    }
}

fn constant(node: &Json) -> Option<String> {
    let value = node.get("val")?.as_object()?;
    let (kind, inner) = value.iter().next()?;
    match kind.as_str() {
        "Ival" => Some(inner.get("ival")?.as_i64()?.to_string()),
        "Fval" => Some(inner.get("fval")?.as_str()?.to_owned()),
        "Boolval" => Some(inner.get("boolval")?.as_bool()?.to_string()),
        "Sval" => {
            let text = inner.get("sval")?.as_str()?;
            // What repair put in place of a parameter is no constant of the statement.
            (!text.starts_with(SENTINEL)).then(|| text.to_owned())
        }
        "Bsval" => Some(inner.get("bsval")?.as_str()?.trim_start_matches(['b', 'x']).to_owned()),
        _ => None,
    }
}

fn parameter(node: &Json) -> Option<u32> {
    u32::try_from(node.get("number")?.as_i64()?).ok()
}

/// The last part of a column's name; nothing for `t.*`.
fn column(node: &Json) -> Option<String> {
    let last = node.get("fields")?.as_array()?.last()?;
    last.pointer("/node/String/sval")?.as_str().map(str::to_owned)
}

fn tells_time(call: &Json) -> bool {
    let name = call.get("funcname").and_then(Json::as_array).and_then(|names| names.last());
    let name = name.and_then(|n| n.pointer("/node/String/sval")).and_then(Json::as_str);
    name.is_some_and(|name| tells_the_time(name) || name == "age")
}

fn compare_sides(node: &Json, found: &mut Ingredients) {
    let side = |name: &str| {
        let mut level = Level::default();
        if let Some(inner) = node.get(name) {
            level.gather(inner);
        }
        level.columns
    };
    pair(&side("lexpr"), &side("rexpr"), found);
}

/// `a IN (SELECT b …)` compares `a` with `b`.
fn compare_sublink(node: &Json, found: &mut Ingredients) {
    let mut outer = Level::default();
    if let Some(inner) = node.get("testexpr") {
        outer.gather(inner);
    }
    let mut inner = Level::default();
    if let Some(targets) = node.pointer("/subselect/node/SelectStmt/target_list") {
        inner.gather(targets);
    }
    pair(&outer.columns, &inner.columns, found);
}

fn pair(left: &BTreeSet<String>, right: &BTreeSet<String>, found: &mut Ingredients) {
    for l in left {
        for r in right.iter().filter(|r| *r != l) {
            found.compared.insert(if l < r { (l.clone(), r.clone()) } else { (r.clone(), l.clone()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Ingredients {
        ParsedStatement::parse(sql).unwrap().ingredients()
    }

    #[test]
    fn constants_know_the_columns_they_are_compared_with() {
        let found = of("select a, 'label' from t where lower(b) = 'x' and c between -5 and 1.5 \
                        and d in ('p', 'q') and e is true and f->>'key' = 'v' and created > now() - interval '1 day'");
        let columns = |constant: &str| {
            found.constants[constant].iter().map(String::as_str).collect::<Vec<_>>().join(",")
        };
        assert_eq!(columns("label"), "");
        assert_eq!(columns("x"), "b");
        assert_eq!(columns("-5"), "c");
        assert_eq!(columns("1.5"), "c");
        assert_eq!(columns("q"), "d");
        assert_eq!(columns("key"), "f");
        assert_eq!(columns("v"), "f");
        assert_eq!(columns("1 day"), "created");
        let bound = of("select 1 from t where a = $1 and b between $2 and $3 limit $4");
        assert_eq!(bound.parameters[&3].iter().collect::<Vec<_>>(), ["b"]);
        assert!(bound.parameters[&4].is_empty());
        assert!(found.tells_time && found.columns.contains("e"));
        assert!(!of("select 1").tells_time);
    }

    #[test]
    fn columns_of_joins_and_of_in_are_paired() {
        let found = of("select * from a join b on a.x = b.y where a.z not in (select w from c where k = 1)");
        let pairs: Vec<String> = found.compared.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(pairs, ["w=z", "x=y"]);
        // The constant within the query does not belong to the column outside of it.
        assert_eq!(found.constants["1"].iter().collect::<Vec<_>>(), ["k"]);
    }

    #[test]
    fn expressions_of_a_schema_are_read() {
        let found = expression_ingredients("((status)::text = ANY (ARRAY['new'::text, 'paid'::text]))");
        assert!(found.constants["paid"].contains("status"));
        assert_eq!(expression_ingredients("not ("), Ingredients::default());
    }
}
