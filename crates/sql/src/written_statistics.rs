//! Which statistics does a person want to try? `CREATE STATISTICS` as they type it.
//!
//! Source: PostgreSQL manual, "CREATE STATISTICS"; `CreateStatsStmt` in `src/backend/parser/gram.y`.

use model::StatisticsKind;
use pg_query::NodeEnum;
use pg_query::protobuf::{CreateStatsStmt, Node};

use crate::error::SqlError;
use crate::idea::{IdeaError, WrittenName, expression, first_words, unsupported, written_name};

/// Statistics as `CREATE STATISTICS` describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenStatistics {
    /// The name, when one was written.
    pub name: Option<WrittenName>,
    /// The table.
    pub table: WrittenName,
    /// What they hold, sorted; all kinds when none was written, and none for a single expression.
    pub kinds: Vec<StatisticsKind>,
    /// The unquoted columns.
    pub columns: Vec<String>,
    /// The expressions.
    pub expressions: Vec<String>,
}

/// Reads one `CREATE STATISTICS`.
///
/// # Errors
/// [`IdeaError`] says what is wrong with the text.
pub fn written_statistics(text: &str) -> Result<WrittenStatistics, IdeaError> {
    let parsed = pg_query::parse(text, pg_query::ParserOptions::DEFAULT).map_err(|e| {
        IdeaError::Sql(match SqlError::from(e) {
            // Somebody typed it: nothing was cut off.
            SqlError::Truncated { message } => SqlError::Invalid { message },
            other => other,
        })
    })?;
    let mut statements = parsed.protobuf.stmts.into_iter();
    let first = statements.next().and_then(|raw| raw.stmt).and_then(|boxed| boxed.node);
    match (first, statements.next()) {
        (None, _) => Err(SqlError::Empty.into()),
        (Some(_), Some(_)) => Err(unsupported(&first_words(text), Some("one statement at a time"))),
        (Some(NodeEnum::CreateStatsStmt(statement)), None) => statistics(statement, text),
        (Some(_), None) => Err(unsupported(&first_words(text), Some("CREATE STATISTICS is expected"))),
    }
}

fn statistics(statement: CreateStatsStmt, text: &str) -> Result<WrittenStatistics, IdeaError> {
    let relation = statement.relations.into_iter().find_map(|node| match node.node {
        Some(NodeEnum::RangeVar(range)) => Some(range),
        _ => None,
    });
    let Some(relation) = relation else {
        return Err(unsupported(&first_words(text), Some("they are of one table")));
    };
    let (mut columns, mut expressions) = (Vec::new(), Vec::new());
    for node in statement.exprs {
        let Some(NodeEnum::StatsElem(element)) = node.node else { continue };
        match element.expr {
            Some(node) => expressions.push(expression(*node)?),
            None => columns.push(element.name),
        }
    }
    let mut kinds = kinds(&statement.stat_types, text)?;
    let several = columns.len() + expressions.len() > 1;
    if several && kinds.is_empty() {
        kinds = vec![StatisticsKind::Ndistinct, StatisticsKind::Dependencies, StatisticsKind::Mcv];
    }
    let schema = (!relation.schemaname.is_empty()).then_some(relation.schemaname);
    Ok(WrittenStatistics {
        name: written_name(&statement.defnames),
        table: WrittenName { schema, name: relation.relname },
        kinds,
        columns,
        expressions,
    })
}

fn kinds(nodes: &[Node], text: &str) -> Result<Vec<StatisticsKind>, IdeaError> {
    let mut kinds = Vec::new();
    for word in nodes.iter().filter_map(crate::lowering::string) {
        kinds.push(match word.as_str() {
            "ndistinct" => StatisticsKind::Ndistinct,
            "dependencies" => StatisticsKind::Dependencies,
            "mcv" => StatisticsKind::Mcv,
            _ => {
                let known = "the kinds are ndistinct, dependencies and mcv";
                return Err(unsupported(&first_words(text), Some(known)));
            }
        });
    }
    kinds.sort();
    kinds.dedup();
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood() {
        let found = written_statistics(
            "CREATE STATISTICS IF NOT EXISTS s.\"S\" (mcv, dependencies) ON \"A\", lower(b), (c + 1) FROM public.\"t.x\";",
        )
        .unwrap();
        assert_eq!(found.kinds, [StatisticsKind::Dependencies, StatisticsKind::Mcv]);
        assert_eq!(
            (found.columns, found.expressions),
            (vec!["A".to_owned()], vec!["lower(b)".into(), "c + 1".into()])
        );
        assert_eq!(found.table.to_string(), "public.\"t.x\"");
        assert_eq!(found.name.unwrap().to_string(), "s.\"S\"");
        let all = written_statistics("create statistics on a, b from t").unwrap();
        assert_eq!((all.kinds.len(), all.name), (3, None));
        assert!(written_statistics("create statistics on (lower(a)) from t").unwrap().kinds.is_empty());
    }

    #[test]
    fn what_is_something_else_is_refused_with_its_words() {
        for (text, expected) in [
            ("", "empty"),
            ("select 1", "CREATE STATISTICS is expected"),
            ("create statistics (mcv) on a, b from t; drop table t", "one statement"),
            ("create statistics (magic) on a, b from t", "the kinds are"),
            ("create statistics on a b from t", "syntax"),
        ] {
            let error = written_statistics(text).unwrap_err();
            let all = format!("{error} {}", error.detail().unwrap_or_default());
            assert!(all.contains(expected), "{text}: {all}");
        }
    }
}
