//! How is the schema written down as SQL? By `pg_dump`, which alone knows how.
//!
//! Source: PostgreSQL manual, "pg_dump". It refuses servers newer than itself and reads older ones.
//! The password reaches it through its environment, never through its command line.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::catalog_query::version;
use crate::error::Error;
use crate::target::Target;

/// What is not part of a schema that is rebuilt elsewhere: owners, grants and tablespaces that do
/// not exist there, publications and subscriptions that would begin to replicate.
const OPTIONS: &[&str] = &[
    "--schema-only",
    "--no-owner",
    "--no-privileges",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--no-password",
    "--encoding=UTF8",
    "--exclude-schema=pgwright",
];

/// What `pg_dump` is to do.
#[derive(Clone, Debug)]
pub(crate) struct DumpRequest<'a> {
    pub program: &'a Path,
    pub target: &'a Target,
    pub server_version_num: i32,
    pub lock_wait_timeout: Duration,
    /// Whether the role may keep `pg_dump`'s queries out of `pg_stat_statements`.
    pub untracked: bool,
}

/// Runs `pg_dump` and returns the SQL.
pub(crate) async fn dump(request: &DumpRequest<'_>) -> Result<String, Error> {
    check_version(request).await?;
    let mut command = Command::new(request.program);
    command
        .args(OPTIONS)
        .arg(format!("--lock-wait-timeout={}", request.lock_wait_timeout.as_millis().max(1)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, value) in request.target.libpq_environment() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if request.untracked {
        let given = request.target.rest.get("options").map_or("", String::as_str);
        command.env("PGOPTIONS", format!("{given} -c pg_stat_statements.track=none").trim_start());
    }
    let output = command.output().await.map_err(|_| missing(request))?;
    if !output.status.success() {
        return Err(failure(&String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout)
        .map(|sql| without_psql_commands(&sql))
        .map_err(|_| Error::PgDumpFailed { stderr: "The output is not UTF-8.".into() })
}

fn missing(request: &DumpRequest<'_>) -> Error {
    Error::PgDumpMissing {
        path: PathBuf::from(request.program),
        server_version: display_version(request.server_version_num),
    }
}

/// `150012` is `15.12`.
fn display_version(num: i32) -> String {
    format!("{}.{}", num / 10_000, num % 10_000)
}

/// Only the major version counts: `pg_dump` 15.3 dumps a server of 15.12.
async fn check_version(request: &DumpRequest<'_>) -> Result<(), Error> {
    let output = Command::new(request.program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|_| missing(request))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)"
    let Some(found) = text.strip_prefix("pg_dump (PostgreSQL) ").and_then(|t| t.split_whitespace().next())
    else {
        return Err(missing(request));
    };
    let [major, _] = version(found);
    if i64::from(major) < i64::from(request.server_version_num / 10_000) {
        return Err(Error::PgDumpTooOld {
            path: PathBuf::from(request.program),
            pg_dump_version: found.to_owned(),
            server_version: display_version(request.server_version_num),
        });
    }
    Ok(())
}

fn failure(stderr: &str) -> Error {
    // "pg_dump: error: query failed: ERROR:  permission denied for table t"
    if let Some((_, denied)) = stderr.split_once("permission denied for ") {
        let object = denied.lines().next().unwrap_or_default().trim().to_owned();
        return Error::PrivilegeDenied { object, query: PG_DUMP.into() };
    }
    let lines: Vec<&str> = stderr.lines().filter(|line| !line.trim().is_empty()).take(6).collect();
    Error::PgDumpFailed { stderr: lines.join("\n") }
}

/// The name under which a refusal to `pg_dump` is reported.
pub(crate) const PG_DUMP: &str = "pg_dump";

/// Takes out settings at the head of a dump that the server does not have: a `pg_dump` that is newer
/// than the server writes `SET transaction_timeout = 0;`, which a restore into the server's own
/// version would stumble over.
pub(crate) fn without_unknown_settings(sql: &str, known: impl Fn(&str) -> bool) -> String {
    // The head ends where the comment of the first object begins.
    let head = sql.find("\n-- Name: ").unwrap_or(sql.len());
    let (head, body) = sql.split_at(head);
    let mut out = String::with_capacity(sql.len());
    for line in head.split_inclusive('\n') {
        let setting = line.strip_prefix("SET ").and_then(|rest| rest.split_once(" = ")).map(|(name, _)| name);
        if setting.is_none_or(&known) {
            out.push_str(line);
        }
    }
    out.push_str(body);
    out
}

/// Since the minor releases of August 2025 a dump begins with `\restrict` and ends with
/// `\unrestrict` and a random key, which mean something to psql only.
fn without_psql_commands(sql: &str) -> String {
    let mut key = None;
    let mut out = String::with_capacity(sql.len());
    for line in sql.split_inclusive('\n') {
        let text = line.trim_end();
        if let (None, Some(found)) = (&key, text.strip_prefix("\\restrict ")) {
            key = Some(found.to_owned());
            continue;
        }
        // The key is random, so no function's body holds this line.
        if key.is_some() && text.strip_prefix("\\unrestrict ") == key.as_deref() {
            continue;
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn psql_commands_of_a_dump_are_taken_out() {
        let sql = "--\n\\restrict abc\n\nSELECT 1;\n\\unrestrict other\n\\unrestrict abc\n\n";
        assert_eq!(without_psql_commands(sql), "--\n\nSELECT 1;\n\\unrestrict other\n\n");
        assert_eq!(without_psql_commands("SELECT 1;"), "SELECT 1;");
    }

    #[test]
    fn settings_that_the_server_does_not_have_are_taken_out() {
        let sql = "--\nSET lock_timeout = 0;\nSET transaction_timeout = 0;\n\n-- Name: t\nSET x = 1;\n";
        let known = |name: &str| name == "lock_timeout";
        let expected = "--\nSET lock_timeout = 0;\n\n-- Name: t\nSET x = 1;\n";
        assert_eq!(without_unknown_settings(sql, known), expected);
    }

    #[test]
    fn a_refusal_names_the_object() {
        let error = failure("pg_dump: error: query failed: ERROR:  permission denied for table t\ndetail");
        assert!(matches!(error, Error::PrivilegeDenied { object, .. } if object == "table t"));
    }
}
