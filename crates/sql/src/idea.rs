//! Which change does a person want to try? `CREATE INDEX`, `DROP INDEX` and `SET`, as they type them.
//!
//! Source: PostgreSQL manual, "CREATE INDEX", "DROP INDEX", "SET"; `IndexStmt`, `DropStmt` and
//! `VariableSetStmt` in `src/backend/parser/gram.y`. Names come back as they were written: which
//! schema an unqualified one means is for a catalog to say.

use model::{KeyTarget, NullsOrder, SortOrder};
use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{
    DefElem, DropStmt, IndexElem, IndexStmt, LimitOption, Node, ObjectType, ResTarget, SelectStmt,
    SetOperation, SortByDir, SortByNulls, VariableSetKind, VariableSetStmt,
};

use crate::error::SqlError;

/// A change to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idea {
    /// `CREATE INDEX`.
    CreateIndex(Box<NewIndex>),
    /// `DROP INDEX`.
    DropIndex {
        /// The indexes.
        names: Vec<WrittenName>,
        /// `IF EXISTS`.
        if_exists: bool,
    },
    /// `SET` and `RESET`.
    Set {
        /// The setting, in lower case.
        name: String,
        /// Its value as text; `None` for `DEFAULT`.
        value: Option<String>,
    },
}

/// A name with or without a schema, out of its quotes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrittenName {
    /// The schema, when one was written.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for WrittenName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", model::quote_identifier(schema))?;
        }
        f.write_str(&model::quote_identifier(&self.name))
    }
}

/// An index as `CREATE INDEX` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIndex {
    /// The table.
    pub table: WrittenName,
    /// The name; PostgreSQL chooses one when there is none.
    pub name: Option<String>,
    /// The access method.
    pub access_method: String,
    /// `UNIQUE`.
    pub unique: bool,
    /// The key columns.
    pub keys: Vec<NewKey>,
    /// `INCLUDE`.
    pub include: Vec<String>,
    /// The predicate without `WHERE`.
    pub predicate: Option<String>,
    /// Storage parameters.
    pub with: Vec<(String, String)>,
    /// `CONCURRENTLY`.
    pub concurrently: bool,
    /// `IF NOT EXISTS`.
    pub if_not_exists: bool,
    /// `ON ONLY`: without the partitions.
    pub only: bool,
    /// `TABLESPACE`.
    pub tablespace: Option<String>,
}

/// A key column of a new index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The column or expression.
    pub target: KeyTarget,
    /// `COLLATE`.
    pub collation: Option<WrittenName>,
    /// The operator class.
    pub opclass: Option<WrittenName>,
    /// Parameters of the operator class.
    pub opclass_options: Vec<(String, String)>,
    /// The direction.
    pub order: SortOrder,
    /// Where NULLs stand.
    pub nulls: NullsOrder,
}

/// Why a text is not a change that can be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdeaError {
    /// It is not SQL.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// It is SQL of another kind.
    #[error("{statement} cannot be tried")]
    Unsupported {
        /// Its first words.
        statement: String,
        /// Why, in a sentence, when it is not for its kind.
        reason: Option<String>,
    },
}

impl IdeaError {
    /// What is known beyond the message, in sentences.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.detail(),
            Self::Unsupported { reason, .. } => reason.clone(),
        }
    }

    /// What to do, in sentences.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.hint(),
            Self::Unsupported { .. } => {
                Some("What can be tried are CREATE INDEX, DROP INDEX and SET of a planner setting.".into())
            }
        }
    }
}

/// Reads changes; a text may hold several, separated by semicolons.
///
/// # Errors
/// [`IdeaError`] says what is wrong with which statement.
pub fn ideas(text: &str) -> Result<Vec<Idea>, IdeaError> {
    let parsed = pg_query::parse(text, pg_query::ParserOptions::DEFAULT).map_err(|e| {
        IdeaError::Sql(match SqlError::from(e) {
            // Somebody typed it: nothing was cut off at track_activity_query_size.
            SqlError::Truncated { message } => SqlError::Invalid { message },
            other => other,
        })
    })?;
    let statements = parsed.protobuf.stmts;
    if statements.is_empty() {
        return Err(SqlError::Empty.into());
    }
    let mut found = Vec::new();
    for raw in statements {
        let at = usize::try_from(raw.stmt_location).unwrap_or(0);
        let length = usize::try_from(raw.stmt_len).unwrap_or(0);
        let end = if length == 0 { text.len() } else { at + length };
        let words = first_words(text.get(at..end).unwrap_or(text));
        let node = raw.stmt.and_then(|boxed| boxed.node).ok_or(SqlError::Empty)?;
        found.push(idea(node, &words)?);
    }
    Ok(found)
}

/// The beginning of a statement on one line, in quotes.
pub(crate) fn first_words(statement: &str) -> String {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let few = words.iter().take(3).copied().collect::<Vec<_>>().join(" ");
    format!("\"{few}{}\"", if words.len() > 3 { " …" } else { "" })
}

pub(crate) fn unsupported(words: &str, reason: Option<&str>) -> IdeaError {
    IdeaError::Unsupported { statement: words.to_owned(), reason: reason.map(str::to_owned) }
}

fn idea(node: NodeEnum, words: &str) -> Result<Idea, IdeaError> {
    match node {
        NodeEnum::IndexStmt(index) => new_index(*index).map(|i| Idea::CreateIndex(Box::new(i))),
        NodeEnum::DropStmt(drop) if drop.remove_type == ObjectType::ObjectIndex as i32 => {
            Ok(Idea::DropIndex { if_exists: drop.missing_ok, names: dropped(&drop) })
        }
        NodeEnum::VariableSetStmt(set) => setting(&set, words),
        _ => Err(unsupported(words, None)),
    }
}

pub(crate) fn dropped(drop: &DropStmt) -> Vec<WrittenName> {
    drop.objects
        .iter()
        .filter_map(|object| match &object.node {
            Some(NodeEnum::List(list)) => written_name(&list.items),
            Some(NodeEnum::String(_)) if drop.remove_type == ObjectType::ObjectSchema as i32 => {
                written_name(std::slice::from_ref(object))
            }
            _ => None,
        })
        .collect()
}

fn setting(set: &VariableSetStmt, words: &str) -> Result<Idea, IdeaError> {
    let name = set.name.to_ascii_lowercase();
    match VariableSetKind::try_from(set.kind) {
        Ok(VariableSetKind::VarSetDefault | VariableSetKind::VarReset) => Ok(Idea::Set { name, value: None }),
        Ok(VariableSetKind::VarSetValue) => {
            let values: Vec<String> = set.args.iter().filter_map(constant).collect();
            if values.len() != set.args.len() || values.is_empty() {
                return Err(unsupported(words, Some("Its value is not a constant.")));
            }
            Ok(Idea::Set { name, value: Some(values.join(", ")) })
        }
        _ => Err(unsupported(words, Some("It does not name one setting."))),
    }
}

pub(crate) fn new_index(index: IndexStmt) -> Result<NewIndex, IdeaError> {
    let relation = index.relation.unwrap_or_default();
    let text = |t: String| (!t.is_empty()).then_some(t);
    let mut keys = Vec::new();
    for parameter in index.index_params {
        if let Some(NodeEnum::IndexElem(element)) = parameter.node {
            keys.push(new_key(*element)?);
        }
    }
    let include = index
        .index_including_params
        .into_iter()
        .filter_map(|parameter| match parameter.node {
            Some(NodeEnum::IndexElem(element)) => text(element.name),
            _ => None,
        })
        .collect();
    Ok(NewIndex {
        table: WrittenName { schema: text(relation.schemaname), name: relation.relname },
        name: text(index.idxname),
        access_method: text(index.access_method).unwrap_or_else(|| "btree".into()),
        unique: index.unique,
        keys,
        include,
        predicate: index.where_clause.map(|w| expression(*w)).transpose()?,
        with: options(&index.options),
        concurrently: index.concurrent,
        if_not_exists: index.if_not_exists,
        only: !relation.inh,
        tablespace: text(index.table_space),
    })
}

fn new_key(element: IndexElem) -> Result<NewKey, IdeaError> {
    let target = match element.expr {
        Some(node) => KeyTarget::Expression(expression(*node)?),
        None => KeyTarget::Column(element.name),
    };
    Ok(NewKey {
        target,
        collation: written_name(&element.collation),
        opclass: written_name(&element.opclass),
        opclass_options: options(&element.opclassopts),
        order: match SortByDir::try_from(element.ordering) {
            Ok(SortByDir::SortbyDesc) => SortOrder::Desc,
            _ => SortOrder::Asc,
        },
        nulls: match SortByNulls::try_from(element.nulls_ordering) {
            Ok(SortByNulls::SortbyNullsFirst) => NullsOrder::First,
            Ok(SortByNulls::SortbyNullsLast) => NullsOrder::Last,
            _ => NullsOrder::Default,
        },
    })
}

/// The text of an expression, as libpg_query prints it: the only element of a `SELECT`.
pub(crate) fn expression(node: Node) -> Result<String, IdeaError> {
    const SELECT: &str = "SELECT ";
    let target = ResTarget { val: Some(Box::new(node)), ..ResTarget::default() };
    let select = SelectStmt {
        target_list: vec![Node { node: Some(NodeEnum::ResTarget(Box::new(target))) }],
        limit_option: LimitOption::Default as i32,
        op: SetOperation::SetopNone as i32,
        ..SelectStmt::default()
    };
    let text = NodeEnum::SelectStmt(Box::new(select))
        .deparse(pg_query::DeparseOptions::default())
        .map_err(SqlError::from)?;
    Ok(text.strip_prefix(SELECT).unwrap_or(&text).to_owned())
}

pub(crate) fn written_name(parts: &[Node]) -> Option<WrittenName> {
    let mut parts: Vec<String> = parts.iter().filter_map(crate::lowering::string).collect();
    let name = parts.pop()?;
    // `database.schema.name`: the database is this one, or PostgreSQL will say so.
    Some(WrittenName { schema: parts.pop(), name })
}

/// `(fillfactor = 70, fastupdate)`; what has no value is switched on.
fn options(list: &[Node]) -> Vec<(String, String)> {
    list.iter()
        .filter_map(|node| match &node.node {
            Some(NodeEnum::DefElem(element)) => Some(option(element)),
            _ => None,
        })
        .collect()
}

fn option(element: &DefElem) -> (String, String) {
    let value = element.arg.as_deref().and_then(|arg| match &arg.node {
        // `off` is no reserved word and parses as the name of a type.
        Some(NodeEnum::TypeName(name)) => name.names.last().and_then(crate::lowering::string),
        _ => constant(arg),
    });
    (element.defname.clone(), value.unwrap_or_else(|| "true".into()))
}

/// A constant's text.
pub(crate) fn constant(node: &Node) -> Option<String> {
    Some(match node.node.as_ref()? {
        NodeEnum::AConst(constant) => match &constant.val {
            Some(Val::Ival(i)) => i.ival.to_string(),
            Some(Val::Fval(f)) => f.fval.clone(),
            Some(Val::Boolval(b)) => b.boolval.to_string(),
            Some(Val::Sval(s)) => s.sval.clone(),
            Some(Val::Bsval(_)) => return None,
            None if constant.isnull => return None,
            // Zero is protobuf's default and is not sent.
            None => "0".into(),
        },
        NodeEnum::Integer(i) => i.ival.to_string(),
        NodeEnum::Float(f) => f.fval.clone(),
        NodeEnum::Boolean(b) => b.boolval.to_string(),
        NodeEnum::String(s) => s.sval.clone(),
        _ => return None,
    })
}

/// Functions in an expression; `now` for the key words that mean it.
pub(crate) fn calls(node: &Node) -> Vec<String> {
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(call) = map.get("FuncCall") {
                    let name: Vec<&str> = call
                        .get("funcname")
                        .and_then(|n| n.as_array())
                        .into_iter()
                        .flatten()
                        .filter_map(|n| n.pointer("/node/String/sval").and_then(|s| s.as_str()))
                        .filter(|part| *part != "pg_catalog")
                        .collect();
                    found.push(name.join("."));
                }
                map.values().for_each(|v| walk(v, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|v| walk(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(tree) = serde_json::to_value(node) {
        walk(&tree, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        let shown = match ideas(text) {
            Ok(found) => found.iter().map(|i| format!("{}\n", show(i))).collect(),
            Err(e) => {
                format!("{e} | {} | {}\n", e.detail().unwrap_or_default(), e.hint().unwrap_or_default())
            }
        };
        expected.assert_eq(&shown);
    }

    fn show(idea: &Idea) -> String {
        match idea {
            Idea::CreateIndex(index) => {
                let keys: Vec<String> = index.keys.iter().map(show_key).collect();
                format!(
                    "{} on {} {} ({}) include {:?} where {:?} with {:?} unique {} concurrently {} if not exists {} only {} tablespace {:?}",
                    index.name.as_deref().unwrap_or("-"),
                    index.table,
                    index.access_method,
                    keys.join(", "),
                    index.include,
                    index.predicate,
                    index.with,
                    index.unique,
                    index.concurrently,
                    index.if_not_exists,
                    index.only,
                    index.tablespace,
                )
            }
            Idea::DropIndex { names, if_exists } => {
                let names: Vec<String> = names.iter().map(ToString::to_string).collect();
                format!("drop {} if exists {if_exists}", names.join(" and "))
            }
            Idea::Set { name, value } => format!("{name} = {value:?}"),
        }
    }

    fn show_key(key: &NewKey) -> String {
        let name = |n: &Option<WrittenName>| n.as_ref().map_or_else(|| "-".into(), ToString::to_string);
        let target = match &key.target {
            KeyTarget::Column(column) => column.clone(),
            KeyTarget::Expression(text) => format!("<{text}>"),
        };
        format!(
            "{target} {} {} {:?} {:?} {:?}",
            name(&key.collation),
            name(&key.opclass),
            key.opclass_options,
            key.order,
            key.nulls
        )
    }

    #[test]
    fn every_clause_of_create_index_is_read() {
        check(
            "create index on orders (customer_id)",
            expect![[r#"
                - on orders btree (customer_id - - [] Asc Default) include [] where None with [] unique false concurrently false if not exists false only false tablespace None
            "#]],
        );
        check(
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"My \"\"idx\" ON ONLY \"My Schema\".\"a\"\"b.c\" USING gist \
             (\"we\"\"ird\" COLLATE pg_catalog.\"C\" public.gist_trgm_ops (siglen = 32) DESC NULLS LAST, lower(b), \
              (c || '''x'), ((d ->> 'k')::int) nulls first) INCLUDE (e, \"F\") \
             WITH (fillfactor = 70, fastupdate = off, buffering = 'auto', deduplicate_items) TABLESPACE fast \
             WHERE e IS NOT NULL AND \"F\" IN (1, 2) AND f = 'it''s'",
            expect![[r#"
                My "idx on "My Schema"."a""b.c" gist (we"ird pg_catalog."C" public.gist_trgm_ops [("siglen", "32")] Desc Last, <lower(b)> - - [] Asc Default, <c || '''x'> - - [] Asc Default, <(d ->> 'k')::int> - - [] Asc First) include ["e", "F"] where Some("e IS NOT NULL AND \"F\" IN (1, 2) AND f = 'it''s'") with [("fillfactor", "70"), ("fastupdate", "off"), ("buffering", "auto"), ("deduplicate_items", "true")] unique true concurrently true if not exists true only true tablespace Some("fast")
            "#]],
        );
    }

    #[test]
    fn several_changes_and_their_values() {
        check(
            "drop index concurrently if exists a, \"B\".c cascade; set work_mem = '64MB'; set local random_page_cost to 1.1; \
             set enable_seqscan = off; set jit to true; set effective_cache_size = 0; reset work_mem; \
             set session cursor_tuple_fraction to default; set geqo_seed = -1",
            expect![[r#"
                drop a and "B".c if exists true
                work_mem = Some("64MB")
                random_page_cost = Some("1.1")
                enable_seqscan = Some("off")
                jit = Some("true")
                effective_cache_size = Some("0")
                work_mem = None
                cursor_tuple_fraction = None
                geqo_seed = Some("-1")
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_tried_is_refused() {
        for (text, expected) in [
            (
                "alter table orders add column x int",
                expect![[r#"
                    "alter table orders …" cannot be tried |  | What can be tried are CREATE INDEX, DROP INDEX and SET of a planner setting.
                "#]],
            ),
            (
                "drop table orders",
                expect![[r#"
                    "drop table orders" cannot be tried |  | What can be tried are CREATE INDEX, DROP INDEX and SET of a planner setting.
                "#]],
            ),
            (
                "set a = 1; select 1",
                expect![[r#"
                    "select 1" cannot be tried |  | What can be tried are CREATE INDEX, DROP INDEX and SET of a planner setting.
                "#]],
            ),
            (
                "reset all",
                expect![[r#"
                    "reset all" cannot be tried | It does not name one setting. | What can be tried are CREATE INDEX, DROP INDEX and SET of a planner setting.
                "#]],
            ),
            (
                "create index on orders (",
                expect![[r#"
                    statement is not valid SQL | The parser says: syntax error at end of input. | 
                "#]],
            ),
            (
                "  -- nothing\n",
                expect![[r#"
                statement text is empty |  | 
            "#]],
            ),
        ] {
            check(text, expected);
        }
    }
}
