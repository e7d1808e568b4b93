//! In what database is a schema restored? One with the source's encoding and collation, when this machine has
//! them, that belongs to a role which is not a superuser.

use model::quote_identifier;
use model::snapshot::Snapshot;

use crate::error::Error;
use crate::session::connect;

/// Creates a role and its database. Gives whether texts sort as at the source: without its locale on this
/// machine they sort in a similar order.
///
/// # Errors
/// When the server refuses.
pub async fn create_database(
    server: &cluster::Server,
    database: &str,
    owner: &str,
    snapshot: &Snapshot,
) -> Result<bool, Error> {
    let admin = connect(server, "postgres", None).await?;
    let what = "creating the local database";
    let (database, owner) = (quote_identifier(database), quote_identifier(owner));
    admin.batch_execute(&format!("CREATE ROLE {owner} LOGIN BYPASSRLS")).await.map_err(Error::sql(what))?;
    if server.binaries().major >= 14 {
        // Tables that an extension brought belong to the superuser.
        admin
            .batch_execute(&format!("GRANT pg_read_all_data, pg_write_all_data TO {owner}"))
            .await
            .map_err(Error::sql(what))?;
    }
    let base = format!("CREATE DATABASE {database} OWNER {owner} TEMPLATE template0");
    let source = &snapshot.server;
    let (encoding, collate, ctype) = (
        model::quote_literal(&source.encoding),
        model::quote_literal(&source.collate),
        model::quote_literal(&source.ctype),
    );
    let exact = format!("{base} ENCODING {encoding} LC_COLLATE {collate} LC_CTYPE {ctype}");
    let Err(error) = admin.batch_execute(&exact).await else { return Ok(true) };
    if error.as_db_error().is_none() {
        return Err(Error::sql(what)(error));
    }
    // ICU sorts much like the C library's locale of the same language.
    let language = source.collate.split(['.', '@']).next().unwrap_or_default().replace('_', "-");
    if server.binaries().major >= 15 && !language.is_empty() && !["C", "POSIX"].contains(&language.as_str()) {
        let icu = format!(
            "{base} ENCODING UTF8 LOCALE_PROVIDER icu ICU_LOCALE {} LOCALE 'C'",
            model::quote_literal(&language)
        );
        if admin.batch_execute(&icu).await.is_ok() {
            return Ok(false);
        }
    }
    admin.batch_execute(&format!("{base} ENCODING UTF8")).await.map_err(Error::sql(what))?;
    Ok(false)
}
