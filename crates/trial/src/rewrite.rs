//! How many pages would a rewrite leave of a table's TOAST and of its indexes?
//!
//! Whatever the method, the answer comes from PostgreSQL itself: the sample is written into a table of the same
//! columns, storage and options, rewritten with `VACUUM FULL`, the index is built on it, and the sizes are scaled to
//! all rows. The keys of a GIN index repeat, so the index is built on half of the sample too, and how it grew from one to
//! the other is how it is taken to grow further. A tree grows as its rows do, but small ones are emptier than large ones:
//! half of what a half says counts. Of a sample that is the whole table nothing has to be scaled.

use model::snapshot::Relation;
use model::{IndexDefinition, QualifiedName, quote_identifier, quote_literal};
use schema::pipeline;
use tokio_postgres::Client;

use crate::error::Error;
use crate::server::{SCHEMA, Source, Trial, message};

/// Below so many pages of the sample's index their number is chance.
const MIN_PAGES: f64 = 20.0;
/// Options of a table that decide how its pages are filled.
const OPTIONS: &[&str] = &["fillfactor", "toast_tuple_target"];
const WHAT: &str = "rewriting a sample";

/// Pages after a rewrite.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewritten {
    /// Of the TOAST table; 0 when nothing is stored there.
    pub toast_pages: f64,
    /// Of each index that was asked for, or why it is not known.
    pub indexes: Vec<Result<f64, String>>,
}

impl Trial {
    /// Rewrites a sample, builds indexes on it, reads their sizes, and drops it. For TOAST the sample has to have all
    /// columns of the table. What PostgreSQL refuses is told.
    ///
    /// # Errors
    /// When the local server fails.
    pub async fn rewrite(
        &mut self,
        source: &Source<'_>,
        indexes: &[IndexDefinition],
    ) -> Result<Result<Rewritten, String>, Error> {
        self.reopen().await?;
        let table = QualifiedName::new(SCHEMA, "rewritten");
        let half = QualifiedName::new(SCHEMA, "half");
        let drop = format!("DROP TABLE IF EXISTS {table}, {half}");
        let done = self.rewrite_into(source, indexes, &table, &half, &drop).await;
        self.reopen().await?;
        pipeline::one(&self.client, &drop).await.map_err(Error::sql("dropping a sample"))?;
        match done {
            Ok(rewritten) => Ok(Ok(rewritten)),
            Err(error) => message(error, WHAT).map(Err),
        }
    }

    async fn rewrite_into(
        &self,
        source: &Source<'_>,
        indexes: &[IndexDefinition],
        table: &QualifiedName,
        half: &QualifiedName,
        drop: &str,
    ) -> Result<Rewritten, tokio_postgres::Error> {
        let client = &self.client;
        pipeline::one(client, drop).await?;
        pipeline::one(client, &create(source, table, self.major())).await?;
        for column in source.relation.columns.iter().filter(|c| !source.columns.contains(&c.name)) {
            let name = quote_identifier(&column.name);
            pipeline::one(client, &format!("ALTER TABLE {table} DROP COLUMN {name} CASCADE")).await?;
        }
        self.copy(table, &source.data).await?;
        pipeline::one(client, &format!("VACUUM (FULL, ANALYZE) {table}")).await?;
        let facts = source.facts;
        let factor = if facts.is_whole { 1.0 } else { (facts.of_rows / facts.rows.max(1.0)).max(1.0) };
        let toast = format!(
            "SELECT coalesce(pg_catalog.pg_relation_size(c.reltoastrelid), 0) FROM pg_catalog.pg_class AS c \
             WHERE c.oid = {}::pg_catalog.regclass AND c.reltoastrelid <> 0",
            quote_literal(&table.to_string())
        );
        let toast_pages = pages(client, &toast).await? * factor;
        if factor > 1.0 && !indexes.is_empty() {
            let of = format!(
                "CREATE TABLE {half} AS SELECT * FROM {table} TABLESAMPLE BERNOULLI (50) REPEATABLE (1)"
            );
            pipeline::one(client, &of).await?;
            pipeline::one(client, &format!("VACUUM (ANALYZE) {half}")).await?;
        }
        let mut found = Vec::new();
        for index in indexes {
            found.push(match build(client, index, table).await {
                Err(error) if error.as_db_error().is_none() => return Err(error),
                Err(error) => Err(schema::explain(&error).0),
                Ok(whole) if factor <= 1.0 => Ok(whole),
                Ok(whole) if whole < MIN_PAGES => {
                    Err(format!("{whole:.0} pages of the sample's index are too few to tell"))
                }
                Ok(whole) => match build(client, index, half).await {
                    Ok(part) => Ok(extrapolated(part, whole, factor, index.access_method == "gin")),
                    Err(error) => Err(schema::explain(&error).0),
                },
            });
        }
        Ok(Rewritten { toast_pages, indexes: found })
    }
}

/// The table with the types, storage, compression and options of the user's own, which the local server has empty.
fn create(source: &Source<'_>, table: &QualifiedName, major: u32) -> String {
    let compression = if major >= 14 { " INCLUDING COMPRESSION" } else { "" };
    let options: Vec<String> = options(source.relation).collect();
    let with = if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) };
    format!("CREATE TABLE {table} (LIKE {} INCLUDING STORAGE{compression}){with}", source.relation.name)
}

fn options(relation: &Relation) -> impl Iterator<Item = String> + '_ {
    let options = relation.options.iter().filter_map(|o| o.split_once('='));
    options
        .filter(|(name, _)| OPTIONS.contains(name))
        .map(|(name, value)| format!("{name} = {}", quote_literal(value)))
}

/// Builds an index on a table, reads its size and drops it.
async fn build(
    client: &Client,
    index: &IndexDefinition,
    table: &QualifiedName,
) -> Result<f64, tokio_postgres::Error> {
    // Of what is unique in the table a sample is as well, but it was not read at the same instant as the statistics.
    let index = IndexDefinition {
        table: table.clone(),
        name: "rewritten_index".into(),
        unique: false,
        ..index.clone()
    };
    pipeline::one(client, &index.create_sql(false)).await?;
    let name = index.qualified_name();
    let size = format!("SELECT pg_catalog.pg_relation_size({})", quote_literal(&name.to_string()));
    let pages = pages(client, &size).await;
    pipeline::one(client, &format!("DROP INDEX {name}")).await?;
    pages
}

async fn pages(client: &Client, sql: &str) -> Result<f64, tokio_postgres::Error> {
    let bytes = client.query_opt(sql, &[]).await?.map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    Ok(bytes as f64 / 8192.0)
}

/// The size at `factor` times the rows, when half of the rows gave `half` and all of them `whole`: a power of the number
/// of rows, no less than its square root and no more than proportional to it. Of a tree, which is proportional to it when
/// it is large, the power is halfway to that.
fn extrapolated(half: f64, whole: f64, factor: f64, repeats: bool) -> f64 {
    let seen = ((whole - 1.0).max(1.0) / (half - 1.0).max(1.0)).log2().clamp(0.5, 1.0);
    let exponent = if repeats { seen } else { 0.5 * (seen + 1.0) };
    // All but the meta page or the root.
    1.0 + (whole - 1.0) * factor.powf(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_grows_on_as_it_has_grown() {
        assert_eq!(extrapolated(51.0, 101.0, 4.0, true), 401.0);
        let slower = extrapolated(71.0, 101.0, 4.0, true);
        assert!((200.0..310.0).contains(&slower), "{slower}");
        assert!(extrapolated(71.0, 101.0, 4.0, false) > slower);
    }
}
