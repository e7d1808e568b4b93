//! How do ten thousand partitions get attached? `ATTACH PARTITION` looks at all partitions that are there
//! already, so each one is dearer than the one before.
//!
//! Source: `ATExecAttachPartition`, `StorePartitionBound`, `ATExecAttachPartitionIdx` and
//! `validatePartitionedIndex` in `src/backend/commands/tablecmds.c`. A bound does not name its parent. So the
//! partitions of a large table are attached to stand-ins, tables of the same partition key, in groups; then
//! the catalog gives them all to the table itself. Which bounds exclude each other the source has checked.

use tokio_postgres::Client;

use crate::error::Error;
use crate::lexer::{Kind, Statement, Token, Tokens};
use crate::pipeline;

/// Below this number statements are run as they stand.
pub(crate) const MANY: usize = 100;
/// Partitions of one stand-in.
const GROUP: usize = 50;
const SCHEMA: &str = "pgwright_partitions";

/// `ALTER TABLE ONLY parent ATTACH PARTITION child FOR VALUES …` or `ALTER INDEX parent ATTACH PARTITION
/// child`. Names are as the script has them, quoted where that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) is_index: bool,
    pub(crate) parent: String,
    child: String,
    /// What follows the child's name; nothing for an index.
    bound: String,
}

impl Attachment {
    /// Reads one, if the statement is one.
    pub(crate) fn read(statement: &Statement) -> Option<Self> {
        let is_index = match statement.words.as_slice() {
            [alter, kind, ..] if alter == "alter" && kind == "index" => true,
            [alter, kind, ..] if alter == "alter" && kind == "table" => false,
            _ => return None,
        };
        if !statement.words.windows(2).any(|w| w[0] == "attach" && w[1] == "partition") {
            return None;
        }
        let tokens: Vec<Token<'_>> =
            Tokens::new(&statement.text).filter(|t| !matches!(t.kind, Kind::Space | Kind::Comment)).collect();
        let mut rest = tokens.get(2..)?;
        if word(rest.first()?, "only") {
            rest = &rest[1..];
        }
        let parent = name(&mut rest)?;
        if !(word(rest.first()?, "attach") && word(rest.get(1)?, "partition")) {
            return None;
        }
        rest = &rest[2..];
        let child = name(&mut rest)?;
        // From the first token of the bound to the end.
        let bound = rest.first().map_or("", |first| {
            let start = first.text.as_ptr() as usize - statement.text.as_ptr() as usize;
            statement.text.get(start..).unwrap_or_default()
        });
        Some(Self { is_index, parent, child, bound: bound.trim().to_owned() })
    }

    fn is_default(&self) -> bool {
        self.bound.eq_ignore_ascii_case("default")
    }
}

fn word(token: &Token<'_>, expected: &str) -> bool {
    token.kind == Kind::Word && token.text.eq_ignore_ascii_case(expected)
}

fn name(tokens: &mut &[Token<'_>]) -> Option<String> {
    let is_part = |t: &Token<'_>| matches!(t.kind, Kind::Word | Kind::QuotedIdentifier);
    let first = tokens.first().filter(|t| is_part(t))?;
    if tokens.get(1).is_some_and(|t| t.text == ".") {
        let second = tokens.get(2).filter(|t| is_part(t))?;
        *tokens = &tokens[3..];
        return Some(format!("{}.{}", first.text, second.text));
    }
    *tokens = &tokens[1..];
    Some(first.text.to_owned())
}

/// Attaches many partitions of one table or index. What could not be attached is given back, to be run as
/// it stands.
pub(crate) async fn many<'a>(
    attachments: &[&'a Attachment],
    owner: &Client,
    superuser: &Client,
    major: u32,
) -> Result<Vec<&'a Attachment>, Error> {
    match attachments.first() {
        Some(first) if first.is_index => indexes(attachments, superuser, major).await,
        Some(_) => tables(attachments, owner, superuser).await,
        None => Ok(Vec::new()),
    }
}

async fn tables<'a>(
    attachments: &[&'a Attachment],
    owner: &Client,
    superuser: &Client,
) -> Result<Vec<&'a Attachment>, Error> {
    let what = "attaching partitions";
    // The table's catalog row names its default partition.
    let (default, listed): (Vec<&Attachment>, Vec<&Attachment>) =
        attachments.iter().partition(|a| a.is_default());
    let mut left = default;
    let Some(parent) = listed.first().map(|a| a.parent.as_str()) else { return Ok(left) };
    let key: Option<String> = owner
        .query_one(
            "SELECT /* pgwright:schema_partition_key */
                 pg_catalog.pg_get_partkeydef(pg_catalog.to_regclass($1)::pg_catalog.oid)",
            &[&parent],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(Error::sql(what))?;
    let Some(key) = key else {
        left.extend(listed);
        return Ok(left);
    };
    let groups: Vec<&[&Attachment]> = listed.chunks(GROUP).collect();
    let stand_ins: Vec<String> = (0..groups.len()).map(|n| format!("{SCHEMA}.stand_in_{n}")).collect();
    let create: Vec<String> = stand_ins
        .iter()
        .map(|s| format!("CREATE TABLE {s} (LIKE {parent} INCLUDING GENERATED) PARTITION BY {key}"))
        .collect();
    let schema = format!("CREATE SCHEMA {SCHEMA}");
    let all = std::iter::once(schema.as_str()).chain(create.iter().map(String::as_str));
    if pipeline::together(owner, all).await.is_err() {
        left.extend(listed);
        return Ok(left);
    }
    for (group, stand_in) in groups.iter().zip(&stand_ins) {
        let sql: Vec<String> = group
            .iter()
            .map(|a| format!("ALTER TABLE ONLY {stand_in} ATTACH PARTITION {} {}", a.child, a.bound))
            .collect();
        if pipeline::together(owner, sql.iter().map(String::as_str)).await.is_err() {
            left.extend(group.iter().copied());
        }
    }
    let moved = format!(
        "DO /* pgwright:schema_partitions */ $$
         DECLARE
             parent pg_catalog.oid := pg_catalog.to_regclass({0})::pg_catalog.oid;
             stand_ins pg_catalog.oid[] := ARRAY(
                 SELECT c.oid FROM pg_catalog.pg_class AS c
                 JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = '{SCHEMA}');
             children pg_catalog.oid[] := ARRAY(
                 SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = ANY (stand_ins));
         BEGIN
             UPDATE pg_catalog.pg_inherits SET inhparent = parent WHERE inhparent = ANY (stand_ins);
             UPDATE pg_catalog.pg_depend SET refobjid = parent
             WHERE refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND refobjid = ANY (stand_ins)
                 AND classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid = ANY (children);
             -- An update of their rows makes every session forget what it knew of them.
             UPDATE pg_catalog.pg_class SET relhassubclass = true WHERE oid = parent;
             UPDATE pg_catalog.pg_class SET relhassubclass = false WHERE oid = ANY (stand_ins);
             UPDATE pg_catalog.pg_class SET relispartition = true WHERE oid = ANY (children);
         END $$;
         DROP SCHEMA {SCHEMA} CASCADE",
        model::quote_literal(parent)
    );
    superuser.batch_execute(&moved).await.map_err(Error::sql(what))?;
    Ok(left)
}

async fn indexes<'a>(
    attachments: &[&'a Attachment],
    superuser: &Client,
    major: u32,
) -> Result<Vec<&'a Attachment>, Error> {
    let Some(parent) = attachments.first().map(|a| a.parent.as_str()) else { return Ok(Vec::new()) };
    let children: Vec<&str> = attachments.iter().map(|a| a.child.as_str()).collect();
    let (column, value) = if major >= 14 { (", inhdetachpending", ", false") } else { ("", "") };
    let sql = format!(
        "WITH /* pgwright:schema_partition_indexes */ parent AS (
                 SELECT pg_catalog.to_regclass($1)::pg_catalog.oid AS oid
             ), child AS (
                 SELECT pg_catalog.to_regclass(n.name)::pg_catalog.oid AS oid
                 FROM pg_catalog.unnest($2::pg_catalog.text[]) AS n (name)
             ), inherited AS (
                 INSERT INTO pg_catalog.pg_inherits (inhrelid, inhparent, inhseqno{column})
                 SELECT c.oid, p.oid, 1{value} FROM child AS c CROSS JOIN parent AS p
                 WHERE c.oid IS NOT NULL AND p.oid IS NOT NULL
                 RETURNING inhrelid
             ), depended AS (
                 INSERT INTO pg_catalog.pg_depend (classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype)
                 SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.inhrelid, 0,
                     'pg_catalog.pg_class'::pg_catalog.regclass, p.oid, 0, 'P'
                 FROM inherited AS i CROSS JOIN parent AS p
             ), marked AS (
                 UPDATE pg_catalog.pg_class AS c
                 SET relispartition = c.relispartition OR c.oid <> p.oid,
                     relhassubclass = c.relhassubclass OR c.oid = p.oid
                 FROM parent AS p
                 WHERE c.oid = p.oid OR c.oid IN (SELECT i.inhrelid FROM inherited AS i)
             ), validated AS (
                 UPDATE pg_catalog.pg_index AS i SET indisvalid = true FROM parent AS p WHERE i.indexrelid = p.oid
             )
             SELECT pg_catalog.count(*) FROM inherited"
    );
    let attached: i64 = superuser
        .query_one(&sql, &[&parent, &children])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(Error::sql("attaching the indexes of partitions"))?;
    // What is not there cannot be attached, which running the statement will say.
    Ok(if attached == children.len() as i64 { Vec::new() } else { attachments.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::statements;

    #[test]
    fn attachments_are_read_from_a_dump() {
        for (sql, parent, child, bound) in [
            (
                "ALTER TABLE ONLY public.r ATTACH PARTITION public.r_1 FOR VALUES FROM ('a') TO (MAXVALUE)",
                "public.r",
                "public.r_1",
                "FOR VALUES FROM ('a') TO (MAXVALUE)",
            ),
            (
                "ALTER TABLE ONLY \"My S\".\"attach partition\" ATTACH PARTITION \"My S\".\"x.y\" DEFAULT",
                "\"My S\".\"attach partition\"",
                "\"My S\".\"x.y\"",
                "DEFAULT",
            ),
            ("ALTER INDEX public.i ATTACH PARTITION public.i_1", "public.i", "public.i_1", ""),
        ] {
            let found = Attachment::read(&statements(sql)[0]).unwrap();
            assert_eq!(
                (found.parent.as_str(), found.child.as_str(), found.bound.as_str()),
                (parent, child, bound)
            );
        }
        for sql in ["ALTER TABLE t ADD COLUMN attach int", "CREATE TABLE t (a int)", "ALTER TABLE ONLY"] {
            assert_eq!(Attachment::read(&statements(sql)[0]), None, "{sql}");
        }
    }
}
