//! How does a catalog query become rows of a struct, on every version of the server?
//!
//! One declaration makes the struct, embeds the SQL of `queries/`, chooses the variant for the
//! server's (or the extension's) version, reads columns by name, and carries what the test needs to
//! prove on every version that the prepared columns are those of the struct. A column that is NULL
//! where the struct has no `Option` is an error that names the column, never a default.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use futures_util::TryStreamExt as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Column, Row, Statement};

use crate::error::Error;
use crate::session::Session;

/// What decides between the variants of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The major version of the server.
    Server,
    /// The installed version of this extension.
    Extension(&'static str),
}

/// A SQL text and the first version that it is for.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// `15`, or `1.11` for an extension.
    pub since: &'static str,
    /// The file in `queries/`.
    pub file: &'static str,
    /// Its text.
    pub sql: &'static str,
}

/// What a column of the struct accepts.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSpec {
    /// The field's and the column's name.
    pub name: &'static str,
    /// Whether values of a type fit the field.
    pub accepts: fn(&Type) -> bool,
}

/// A declared query, as the registry holds it.
#[derive(Debug)]
pub struct CatalogQuery {
    /// The name that its comment `/* pgwright:name */` carries.
    pub name: &'static str,
    /// What decides between the variants.
    pub basis: Basis,
    /// The variants, oldest first.
    pub variants: &'static [Variant],
    /// The types of `$1`, `$2`, …
    pub parameters: &'static [Type],
    /// The columns, in the order of the struct.
    pub columns: &'static [ColumnSpec],
}

/// A version of a server or extension: `15` is `[15, 0]`, `1.11` is `[1, 11]`.
pub fn version(text: &str) -> [u32; 2] {
    let mut parts = text.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().unwrap_or(0)
    });
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
}

impl CatalogQuery {
    /// The text of the highest variant that is not above a version.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] when all variants are above it.
    pub fn variant(&self, found: &str) -> Result<&'static Variant, Error> {
        let wanted = version(found);
        self.variants.iter().rev().find(|v| version(v.since) <= wanted).ok_or_else(|| {
            let name = match self.basis {
                Basis::Server => String::new(),
                Basis::Extension(name) => format!(" ({name})"),
            };
            let oldest = self.variants.first().map_or("", |v| v.since).to_owned();
            Error::UnsupportedVersion { found: format!("{found}{name}"), oldest }
        })
    }
}

/// Implemented by [`catalog_query!`](crate::catalog_query).
pub trait CatalogRow: Sized {
    /// The declaration.
    const QUERY: CatalogQuery;

    /// Reads one row; `at` holds the position of each column of the declaration.
    ///
    /// # Errors
    /// [`Error::Decode`] when a value does not fit.
    fn from_row(row: &Row, at: &[usize]) -> Result<Self, Error>;
}

/// Where `@extschema@` of a query leads, as in the scripts of extensions.
const EXTENSION_SCHEMA: &str = "@extschema@";

/// Runs a query of which the server's version decides.
///
/// Nothing is prepared by name, so this works behind a pooler in transaction mode as well.
///
/// # Errors
/// Those of [`Error::from_query`], and [`Error::Decode`].
pub async fn read<R: CatalogRow>(
    client: &Client,
    version_num: i32,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<R>, Error> {
    let variant = R::QUERY.variant(&(version_num / 10_000).to_string())?;
    run(client, variant.sql, parameters).await
}

/// Runs a query of which the version of an extension decides.
///
/// # Errors
/// As [`read`].
pub async fn read_extension<R: CatalogRow>(
    client: &Client,
    extension_version: &str,
    extension_schema: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<R>, Error> {
    let variant = R::QUERY.variant(extension_version)?;
    run(client, &in_schema(variant.sql, extension_schema), parameters).await
}

/// The text of a query with the extension's schema put in.
pub fn in_schema(sql: &str, schema: &str) -> String {
    sql.replace(EXTENSION_SCHEMA, &model::quote_identifier(schema))
}

async fn run<R: CatalogRow>(
    client: &Client,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<R>, Error> {
    let query = &R::QUERY;
    let typed: Vec<_> = parameters.iter().copied().zip(query.parameters.iter().cloned()).collect();
    let rows =
        client.query_typed(sql, &typed).await.map_err(|error| Error::from_query(query.name, &error))?;
    decode(&rows)
}

/// As [`read_extension`], for what may be a hundred thousand rows: each is handed on and gone before the next comes, as far
/// as they are not sent faster.
///
/// # Errors
/// As [`read`].
pub async fn read_extension_each<R: CatalogRow>(
    client: &Client,
    (version, schema): (&str, &str),
    parameters: &[&(dyn ToSql + Sync)],
    mut each: impl FnMut(R),
) -> Result<(), Error> {
    let query = &R::QUERY;
    let sql = in_schema(query.variant(version)?.sql, schema);
    let typed: Vec<_> = parameters.iter().copied().zip(query.parameters.iter().cloned()).collect();
    let failed = |error: tokio_postgres::Error| Error::from_query(query.name, &error);
    let rows = client.query_typed_raw(&sql, typed).await.map_err(failed)?;
    let mut rows = std::pin::pin!(rows);
    let mut at = None;
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let at = match &mut at {
            Some(at) => at,
            none => none.insert(places::<R>(row.columns())?),
        };
        each(R::from_row(&row, at)?);
    }
    Ok(())
}

/// A query that one session runs many times a second. It is prepared, because to parse and plan it takes the server as
/// long as to run it; behind a pooler in transaction mode it is not, as for [`read`].
pub struct Repeated<R> {
    statement: Option<(Statement, Vec<usize>)>,
    row: PhantomData<fn() -> R>,
}

impl<R: CatalogRow> Repeated<R> {
    /// Prepares it for a session, with which alone it can be read.
    ///
    /// # Errors
    /// Those of [`Error::from_query`].
    pub async fn prepare(session: &Session) -> Result<Self, Error> {
        let variant = R::QUERY.variant(&(session.version_num() / 10_000).to_string())?;
        let statement = if session.behind_transaction_pooler() {
            None
        } else {
            let prepared = session.prepare_typed(variant.sql, R::QUERY.parameters).await;
            let prepared = prepared.map_err(|error| Error::from_query(R::QUERY.name, &error))?;
            let at = places::<R>(prepared.columns())?;
            Some((prepared, at))
        };
        Ok(Self { statement, row: PhantomData })
    }

    /// Runs it.
    ///
    /// # Errors
    /// As [`read`].
    pub async fn read(&self, session: &Session, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<R>, Error> {
        let Some((statement, at)) = &self.statement else {
            return read(session, session.version_num(), parameters).await;
        };
        let rows = session
            .query(statement, parameters)
            .await
            .map_err(|error| Error::from_query(R::QUERY.name, &error))?;
        rows.iter().map(|row| R::from_row(row, at)).collect()
    }
}

fn decode<R: CatalogRow>(rows: &[Row]) -> Result<Vec<R>, Error> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let at = places::<R>(first.columns())?;
    rows.iter().map(|row| R::from_row(row, &at)).collect()
}

/// Where the columns of the struct stand. Names are resolved once, not once per row.
fn places<R: CatalogRow>(columns: &[Column]) -> Result<Vec<usize>, Error> {
    let names: BTreeMap<&str, usize> =
        columns.iter().enumerate().map(|(at, column)| (column.name(), at)).collect();
    R::QUERY
        .columns
        .iter()
        .map(|column| {
            names.get(column.name).copied().ok_or_else(|| Error::Decode {
                query: R::QUERY.name.into(),
                column: column.name.into(),
                reason: "the query has no such column".into(),
            })
        })
        .collect()
}

/// Reads one column; used by the macro.
///
/// # Errors
/// [`Error::Decode`] when the value does not fit.
pub fn column<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    at: usize,
    query: &str,
    name: &str,
) -> Result<T, Error> {
    row.try_get(at).map_err(|error| Error::Decode {
        query: query.to_owned(),
        column: name.to_owned(),
        reason: crate::error::root_cause(&error),
    })
}

/// Declares a catalog query: its row struct, its variants by version, its parameters.
///
/// ```text
/// catalog_query! {
///     /// Size and access counters of every table.
///     pub struct TableActivity { table_oid: u32, last_seq_scan: Option<DateTime<Utc>> }
///     name "table_activity"
///     server { 13 => "table_activity.sql", 16 => "table_activity.since_16.sql" }
/// }
/// ```
///
/// Variants by the version of an extension are declared with
/// `extension "pg_stat_statements" { 1.8 => "statements.sql" }`, parameters with
/// `parameters [INT4, TEXT]` at the end. The files stand in `queries/` of the calling crate.
#[macro_export]
macro_rules! catalog_query {
    (
        $(#[$meta:meta])*
        $vis:vis struct $row:ident {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty ),* $(,)?
        }
        name $name:literal
        $(server { $($since:literal => $file:literal),+ $(,)? })?
        $(extension $extension:literal { $($ext_since:literal => $ext_file:literal),+ $(,)? })?
        $(parameters [ $($parameter:ident),* $(,)? ])?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)] // Fields carry the names of PostgreSQL's columns.
        $vis struct $row {
            $( $(#[$field_meta])* pub $field: $type ),*
        }

        impl $crate::catalog_query::CatalogRow for $row {
            const QUERY: $crate::catalog_query::CatalogQuery = $crate::catalog_query::CatalogQuery {
                name: $name,
                $(
                    basis: $crate::catalog_query::Basis::Server,
                    variants: &[$($crate::catalog_query::Variant {
                        since: stringify!($since),
                        file: $file,
                        sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $file)),
                    }),+],
                )?
                $(
                    basis: $crate::catalog_query::Basis::Extension($extension),
                    variants: &[$($crate::catalog_query::Variant {
                        since: stringify!($ext_since),
                        file: $ext_file,
                        sql: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/queries/", $ext_file)),
                    }),+],
                )?
                parameters: &[$($($crate::tokio_postgres::types::Type::$parameter),*)?],
                columns: &[$($crate::catalog_query::ColumnSpec {
                    name: stringify!($field),
                    accepts: <$type as $crate::tokio_postgres::types::FromSql>::accepts,
                }),*],
            };

            fn from_row(
                row: &$crate::tokio_postgres::Row,
                at: &[usize],
            ) -> Result<Self, $crate::Error> {
                let mut at = at.iter().copied();
                Ok(Self {
                    $( $field: $crate::catalog_query::column(
                        row, at.next().unwrap_or(usize::MAX), $name, stringify!($field),
                    )? ),*
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_parts_and_not_as_decimals() {
        assert!(version("1.9") < version("1.10"));
        assert_eq!(version("18beta1"), [18, 0]);
        assert_eq!(version("15.20 (Debian 15.20-0+deb12u1)"), [15, 20]);
    }

    #[test]
    fn the_highest_variant_not_above_the_version_is_taken() {
        const fn variant(since: &'static str) -> Variant {
            Variant { since, file: "", sql: "" }
        }
        const VARIANTS: &[Variant] = &[variant("1.8"), variant("1.9"), variant("1.11")];
        let query = CatalogQuery {
            name: "q",
            basis: Basis::Extension("x"),
            variants: VARIANTS,
            parameters: &[],
            columns: &[],
        };
        assert_eq!(query.variant("1.10").unwrap().since, "1.9");
        assert_eq!(query.variant("1.12").unwrap().since, "1.11");
        assert_eq!(query.variant("1.7").unwrap_err().to_string(), "PostgreSQL 1.7 (x) is not supported");
    }
}
