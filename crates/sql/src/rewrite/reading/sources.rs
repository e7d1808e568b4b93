//! Common table expressions, functions in `FROM` and grouping sets of the parse tree.
//!
//! Source: PostgreSQL manual, "WITH Queries", "Table Functions" and "GROUPING SETS, CUBE, and ROLLUP"; the names of a
//! function's columns are those of its `OUT` parameters in `pg_proc.dat`, or else its alias.

use pg_query::NodeEnum;
use pg_query::protobuf::{self, GroupingSetKind, Node, SelectStmt, SetOperation};

use super::super::tree::{Column, Cte, From, Function, GroupingSet, Output, Query, Select, SetsOf};
use super::{KnownCte, Read, Reader, of_source, renamed, strings};

impl Reader<'_> {
    pub(super) fn ctes_of(&mut self, select: &SelectStmt) -> Read<Vec<Cte>> {
        let mut ctes = Vec::new();
        let Some(with) = &select.with_clause else { return Ok(ctes) };
        for node in &with.ctes {
            let Some(NodeEnum::CommonTableExpr(cte)) = &node.node else { continue };
            let Some(NodeEnum::SelectStmt(inner)) = cte.ctequery.as_ref().and_then(|q| q.node.as_ref())
            else {
                return Err("a part of it writes".into());
            };
            if cte.search_clause.is_some() || cte.cycle_clause.is_some() {
                return Err("its recursion has a SEARCH or CYCLE clause".into());
            }
            if self.taken.contains(&cte.ctename) {
                return Err(format!("the name {} is used twice in it", cte.ctename));
            }
            // A recursive one has the columns of its first side, and is in its own sight.
            let first = inner.larg.as_deref().filter(|_| with.recursive && is_union(inner));
            if let Some(first) = first {
                let taken = self.taken.clone();
                let names = self.query(first)?.output_names();
                self.taken = taken;
                let columns = renamed(names, &cte.aliascolnames);
                self.ctes.push(KnownCte { name: cte.ctename.clone(), columns });
            }
            self.taken.insert(cte.ctename.clone());
            let query = self.query(inner)?;
            if first.is_some() {
                self.ctes.pop();
            }
            let columns = renamed(query.output_names(), &cte.aliascolnames);
            self.ctes.push(KnownCte { name: cte.ctename.clone(), columns: columns.clone() });
            ctes.push(Cte {
                name: cte.ctename.clone(),
                columns,
                recursive: first.is_some() && reads(&query, &cte.ctename),
                query,
                materialized: cte.ctematerialized == protobuf::CteMaterialize::Always as i32,
            });
        }
        Ok(ctes)
    }

    pub(super) fn group_keys(&mut self, select: &SelectStmt, body: &mut Select) -> Read<()> {
        if select.group_distinct {
            return Err("it has distinct grouping sets".into());
        }
        for node in &select.group_clause {
            match &node.node {
                Some(NodeEnum::GroupingSet(set)) => body.sets.push(self.grouping_set(set, &body.outputs)?),
                _ => body.group.push(self.group_key(node, &body.outputs)?),
            }
        }
        Ok(())
    }

    fn grouping_set(&mut self, set: &protobuf::GroupingSet, outputs: &[Output]) -> Read<GroupingSet> {
        let kind = match GroupingSetKind::try_from(set.kind) {
            Ok(GroupingSetKind::GroupingSetEmpty) => return Ok(GroupingSet::Keys(Vec::new())),
            Ok(GroupingSetKind::GroupingSetRollup) => SetsOf::Rollup,
            Ok(GroupingSetKind::GroupingSetCube) => SetsOf::Cube,
            Ok(GroupingSetKind::GroupingSetSets) => SetsOf::Sets,
            _ => return Err("its grouping sets are unusual".into()),
        };
        let mut sets = Vec::new();
        for node in &set.content {
            sets.push(match &node.node {
                Some(NodeEnum::GroupingSet(inner)) => self.grouping_set(inner, outputs)?,
                Some(NodeEnum::RowExpr(row)) => {
                    let keys = row.args.iter().map(|key| self.group_key(key, outputs));
                    GroupingSet::Keys(keys.collect::<Read<_>>()?)
                }
                _ => GroupingSet::Keys(vec![self.group_key(node, outputs)?]),
            });
        }
        Ok(GroupingSet::Of(kind, sets))
    }

    pub(super) fn function(
        &mut self,
        range: &protobuf::RangeFunction,
    ) -> Read<(From, Vec<(String, Column)>)> {
        let unusual = || "a function stands in its FROM in an unusual way".to_owned();
        let [Node { node: Some(NodeEnum::List(list)) }] = range.functions.as_slice() else {
            return Err(unusual());
        };
        let Some(NodeEnum::FuncCall(call)) = list.items.first().and_then(|n| n.node.as_ref()) else {
            return Err(unusual());
        };
        let plain = call.agg_order.is_empty()
            && call.agg_filter.is_none()
            && call.over.is_none()
            && !call.agg_star
            && !call.agg_distinct
            && !call.func_variadic;
        let columns_defined = list.items.get(1).is_some_and(|n| n.node.is_some());
        if !plain || columns_defined || !range.coldeflist.is_empty() {
            return Err(unusual());
        }
        let name = match strings(&call.funcname).as_slice() {
            [name] => name.clone(),
            [schema, name] if schema == "pg_catalog" => name.clone(),
            other => return Err(format!("{}() stands in its FROM", other.join("."))),
        };
        let alias = range.alias.as_ref();
        let visible = alias.map_or(&name, |a| &a.aliasname).clone();
        let mut names = match columns_of(&name, call.args.len()) {
            Some([]) => vec![visible.clone()],
            Some(own) => own.iter().map(|&own| own.to_owned()).collect(),
            None => {
                return Err(format!("{name}() stands in its FROM, of which no more is known here"));
            }
        };
        if range.ordinality {
            names.push("ordinality".into());
        }
        let given = alias.map_or(&[][..], |a| &a.colnames);
        let names = renamed(names, given);
        let args = call.args.iter().map(|arg| self.expr(arg)).collect::<Read<Vec<_>>>()?;
        let alias = self.unique(&visible);
        let columns = of_source(&alias, &names);
        self.enter(&visible, None, columns.clone());
        let renamed = !given.is_empty() || alias != visible;
        let function = Function { name, args, ordinality: range.ordinality, alias, columns: names, renamed };
        Ok((From::Function(function), columns))
    }
}

/// The names of a set-returning function's columns: its alias where there are none. `None` for what is not known.
fn columns_of(name: &str, args: usize) -> Option<&'static [&'static str]> {
    match name {
        "generate_series"
        | "generate_subscripts"
        | "regexp_matches"
        | "regexp_split_to_table"
        | "string_to_table"
        | "json_object_keys"
        | "jsonb_object_keys" => Some(&[]),
        // With several arrays it has several columns.
        "unnest" if args == 1 => Some(&[]),
        "json_array_elements"
        | "jsonb_array_elements"
        | "json_array_elements_text"
        | "jsonb_array_elements_text" => Some(&["value"]),
        "json_each" | "jsonb_each" | "json_each_text" | "jsonb_each_text" => Some(&["key", "value"]),
        _ => None,
    }
}

fn is_union(select: &SelectStmt) -> bool {
    select.op == SetOperation::SetopUnion as i32
}

/// Whether a common table expression is a source in a query.
fn reads(query: &Query, name: &str) -> bool {
    let mut found = false;
    query.levels(&mut |level| {
        let leaves = level.select().map(Select::leaves).unwrap_or_default();
        found |= leaves.iter().any(|leaf| matches!(leaf, From::Cte { name: read, .. } if read == name));
    });
    found
}
