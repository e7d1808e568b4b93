//! `pgwright doctor`: can pgwright work here? Every "no" comes with what mends it, whether that needs
//! a restart, and what works without.
//!
//! Source: PostgreSQL manual, "pg_stat_statements", "auto_explain", "Predefined Roles", "Run-time
//! Statistics", "Error Reporting and Logging".

use clap::Args as ClapArgs;
use cluster::Binaries;
use model::{Severity, quote_identifier};
use postgres::capabilities::Capabilities;
use serde::Serialize;

use super::Context;
use crate::error::{CommandResult, Exit};
use crate::printer::plain;

/// Arguments.
#[derive(ClapArgs, Debug)]
#[command(before_help = "Example:\n  pgwright doctor postgres://postgres@db.example.com/shop")]
pub struct Args {
    /// Print the SQL of a role with no more privileges than pgwright needs, for the database that the
    /// URL names. Connects to nothing.
    #[arg(long)]
    print_sql: bool,
    /// Exit with 1 when something of this severity or above is missing.
    #[arg(long, value_enum, default_value = "error")]
    fail_on: FailOn,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum FailOn {
    Info,
    Warning,
    Error,
}

impl From<FailOn> for Severity {
    fn from(level: FailOn) -> Self {
        match level {
            FailOn::Info => Self::Info,
            FailOn::Warning => Self::Warning,
            FailOn::Error => Self::Error,
        }
    }
}

/// What must happen for a remedy to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// At once.
    Immediate,
    /// After `SELECT pg_reload_conf()`.
    Reload,
    /// In sessions that begin afterwards.
    NewSessions,
    /// After the server was restarted.
    Restart,
}

impl Effect {
    fn words(self) -> &'static str {
        match self {
            Self::Immediate => "takes effect at once",
            Self::Reload => "takes effect after SELECT pg_reload_conf()",
            Self::NewSessions => "takes effect in new sessions",
            Self::Restart => "needs a restart of the server",
        }
    }
}

/// One question and its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Kebab-case and permanent.
    pub id: &'static str,
    /// Whether all is well.
    pub ok: bool,
    /// How much it matters when it is not.
    pub severity: Severity,
    /// What was found, in a line.
    pub found: String,
    /// The exact statement or configuration line that mends it.
    pub remedy: Option<String>,
    /// When the remedy takes effect.
    pub effect: Option<Effect>,
    /// What pgwright can still do without it.
    pub without: Option<String>,
}

fn fine(id: &'static str, found: impl Into<String>) -> Check {
    Check {
        id,
        ok: true,
        severity: Severity::Info,
        found: found.into(),
        remedy: None,
        effect: None,
        without: None,
    }
}

fn lacking(
    id: &'static str,
    severity: Severity,
    found: impl Into<String>,
    remedy: impl Into<String>,
    effect: Effect,
    without: impl Into<String>,
) -> Check {
    Check {
        id,
        ok: false,
        severity,
        found: found.into(),
        remedy: Some(remedy.into()),
        effect: Some(effect),
        without: Some(without.into()),
    }
}

/// Runs the command.
///
/// # Errors
/// Fails when the server cannot be reached or is older than 13.
pub async fn run(context: &Context, args: Args) -> CommandResult {
    let target = context.target()?;
    if args.print_sql {
        context.printer.out(&role_sql(target.database()))?;
        return Ok(Exit::Done);
    }
    let options = postgres::SessionOptions { allow_transaction_pooler: true, ..context.reading() };
    let session = target.connect(&options).await?;
    let capabilities = Capabilities::read(&session).await?;
    let binaries = Binaries::discover(&context.search());
    let pg_dump = context.pg_dump().ok().and_then(|program| cluster::client_major(&program));
    let checks = examine(&capabilities, target.database(), &binaries, pg_dump);
    if context.printer.json {
        let ready = checks.iter().all(|c| c.ok || c.severity < Severity::Error);
        context.printer.json(
            "doctor",
            &serde_json::json!({ "server_version": capabilities.version, "ready": ready, "checks": checks }),
        )?;
    } else {
        context.printer.out(&text(&checks))?;
    }
    let level = Severity::from(args.fail_on);
    Ok(if checks.iter().any(|c| !c.ok && c.severity >= level) { Exit::Findings } else { Exit::Done })
}

fn text(checks: &[Check]) -> String {
    let mut out = String::new();
    for check in checks {
        let mark = match (check.ok, check.severity) {
            (true, _) => "ok  ",
            (false, Severity::Info) => "note",
            (false, Severity::Warning) => "warn",
            (false, Severity::Error) => "NO  ",
        };
        out.push_str(&format!("{mark}  {}: {}\n", check.id, plain(&check.found)));
        if let Some(remedy) = &check.remedy {
            for line in remedy.lines() {
                out.push_str(&format!("        {}\n", plain(line)));
            }
        }
        if let Some(effect) = check.effect {
            out.push_str(&format!("      {}", effect.words()));
            match &check.without {
                Some(without) => out.push_str(&format!("; without it: {}\n", plain(without))),
                None => out.push('\n'),
            }
        }
    }
    let missing = checks.iter().filter(|c| !c.ok && c.severity == Severity::Error).count();
    out.push_str(&match missing {
        0 => "\npgwright can work here\n".to_owned(),
        n => format!("\n{n} of {} checks must be mended before everything works\n", checks.len()),
    });
    out
}

/// Answers every question from what the session can do.
pub fn examine(
    capabilities: &Capabilities,
    database: &str,
    binaries: &[Binaries],
    pg_dump: Option<u32>,
) -> Vec<Check> {
    let mut checks = vec![version(capabilities), standby(capabilities), pooler(capabilities)];
    checks.extend(privileges(capabilities, database));
    checks.extend(statements(capabilities));
    checks.extend(observability(capabilities));
    checks.push(programs(capabilities, binaries, pg_dump));
    checks
}

fn version(c: &Capabilities) -> Check {
    if c.major() <= 18 {
        return fine("server-version", format!("PostgreSQL {}", c.version));
    }
    lacking(
        "server-version",
        Severity::Warning,
        format!("PostgreSQL {} is newer than the versions that were tested (13 to 18)", c.version),
        "-- a pgwright that was tested with this version",
        Effect::Immediate,
        "everything whose catalogs did not change",
    )
}

fn standby(c: &Capabilities) -> Check {
    if !c.in_recovery {
        return fine("primary", "the server is a primary and takes changes");
    }
    lacking(
        "primary",
        Severity::Warning,
        "the server is a standby and takes no changes",
        "-- connect to the primary for apply, undo and baseline",
        Effect::NewSessions,
        "doctor, profile, explain, snapshot and advise",
    )
}

fn pooler(c: &Capabilities) -> Check {
    if c.behind_transaction_pooler {
        return lacking(
            "direct-connection",
            Severity::Error,
            "a pooler in transaction mode stands between; session state and CREATE INDEX CONCURRENTLY do not work",
            "-- connect to the server's own port instead of the pooler's",
            Effect::NewSessions,
            "doctor",
        );
    }
    fine(
        "direct-connection",
        if c.behind_pooler { "a pooler in session mode stands between" } else { "no pooler stands between" },
    )
}

fn privileges(c: &Capabilities, database: &str) -> Vec<Check> {
    let user = quote_identifier(&c.user);
    let mut checks = Vec::new();
    checks.push(if c.superuser || c.pg_monitor {
        fine("monitor-privilege", format!("role {user} may read all statistics and settings"))
    } else {
        lacking(
            "monitor-privilege",
            Severity::Error,
            format!("role {user} is not a member of pg_monitor; other roles' statements are hidden"),
            format!("GRANT pg_monitor TO {user};"),
            Effect::NewSessions,
            "profile and advise for the statements of this role alone",
        )
    });
    checks.push(if c.superuser || c.pg_read_all_data {
        fine("read-privilege", format!("role {user} may see the planner statistics of every table"))
    } else {
        let remedy = if c.major() >= 14 {
            format!("GRANT pg_read_all_data TO {user};")
        } else {
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user};")
        };
        lacking(
            "read-privilege",
            Severity::Warning,
            format!(
                "pg_stats shows role {user} only the tables that it may read, and pg_dump needs them all"
            ),
            remedy,
            Effect::Immediate,
            "advice for the tables that the role may read; a snapshot only when it may read them all",
        )
    });
    let read_only = c.setting("default_transaction_read_only") == Some("on");
    checks.push(if read_only {
        lacking(
            "journal-privilege",
            Severity::Warning,
            format!("transactions of role {user} are read-only; apply, undo and baseline write"),
            format!(
                "ALTER ROLE {user} IN DATABASE {} SET default_transaction_read_only = off;",
                quote_identifier(database)
            ),
            Effect::NewSessions,
            "everything that only reads",
        )
    } else if c.superuser || c.can_create_in_database {
        fine("journal-privilege", format!("role {user} may create schema pgwright for the journal"))
    } else {
        lacking(
            "journal-privilege",
            Severity::Warning,
            format!("role {user} may not create a schema; apply and baseline need one for their journal"),
            format!(
                "GRANT CREATE ON DATABASE {} TO {user};\n-- and the role that owns the tables, to build indexes on them: GRANT owner TO {user};",
                quote_identifier(database)
            ),
            Effect::Immediate,
            "everything that only reads",
        )
    });
    checks
}

/// The value of a list of libraries with one more, what is there kept.
fn with_library(list: &str, library: &str) -> String {
    list.split(',')
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .chain([library])
        .map(model::quote_literal)
        .collect::<Vec<_>>()
        .join(", ")
}

fn statements(c: &Capabilities) -> Vec<Check> {
    let s = &c.pg_stat_statements;
    let mut checks = Vec::new();
    if !s.preloaded {
        let files = if s.available {
            ""
        } else {
            "\n-- the server lacks the files: install its contrib package first"
        };
        checks.push(lacking(
            "statements-preloaded",
            Severity::Error,
            "pg_stat_statements is not preloaded",
            format!(
                "ALTER SYSTEM SET shared_preload_libraries = {};{files}",
                with_library(&c.shared_preload_libraries, "pg_stat_statements")
            ),
            Effect::Restart,
            "explain for statements that you name yourself, snapshot, journal and undo",
        ));
    } else {
        checks.push(fine("statements-preloaded", "pg_stat_statements is preloaded"));
    }
    match &s.installed {
        Some(extension) => checks.push(fine(
            "statements-installed",
            format!(
                "pg_stat_statements {} is installed in schema {}",
                extension.version,
                quote_identifier(&extension.schema)
            ),
        )),
        None => checks.push(lacking(
            "statements-installed",
            Severity::Error,
            "pg_stat_statements is not installed in this database",
            "CREATE EXTENSION pg_stat_statements;",
            Effect::Immediate,
            "explain for statements that you name yourself, snapshot, journal and undo",
        )),
    }
    if let (true, Some(extension), Some(unreadable)) = (s.preloaded, &s.installed, &s.unreadable) {
        checks.push(lacking(
            "statements-readable",
            Severity::Error,
            format!("pg_stat_statements could not be read: {}", unreadable.message),
            unreadable_remedy(c, &extension.schema, unreadable),
            Effect::Immediate,
            "explain for statements that you name yourself, snapshot, journal and undo",
        ));
    }
    if !s.preloaded {
        return checks;
    }
    match c.setting("pg_stat_statements.track") {
        Some("none") => checks.push(lacking(
            "statements-track",
            Severity::Error,
            "pg_stat_statements.track is none; nothing is counted",
            "ALTER SYSTEM SET pg_stat_statements.track = 'top';",
            Effect::Reload,
            "nothing that needs counters",
        )),
        Some(track) => checks.push(fine("statements-track", format!("pg_stat_statements.track is {track}"))),
        None => {}
    }
    if let Some(max) = c.setting("pg_stat_statements.max").and_then(|m| m.parse::<i64>().ok()) {
        checks.push(if max >= 1000 {
            fine("statements-max", format!("pg_stat_statements.max is {max}"))
        } else {
            lacking(
                "statements-max",
                Severity::Warning,
                format!("pg_stat_statements.max is {max}; rare statements are evicted before they are seen"),
                "ALTER SYSTEM SET pg_stat_statements.max = 5000;",
                Effect::Restart,
                "advice for the statements that stay",
            )
        });
    }
    checks
}

/// The views are open to everybody unless somebody took that away.
fn unreadable_remedy(
    c: &Capabilities,
    schema: &str,
    unreadable: &postgres::capabilities::Unreadable,
) -> String {
    if unreadable.sqlstate.as_deref() != Some("42501") {
        return unreadable.hint.clone().unwrap_or_else(|| {
            "DROP EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_statements;".into()
        });
    }
    let (schema, user) = (quote_identifier(schema), quote_identifier(&c.user));
    let views = ["pg_stat_statements", "pg_stat_statements_info"];
    let views: Vec<_> =
        views.iter().take(if c.major() >= 14 { 2 } else { 1 }).map(|v| format!("{schema}.{v}")).collect();
    format!("GRANT USAGE ON SCHEMA {schema} TO {user};\nGRANT SELECT ON {} TO {user};", views.join(", "))
}

fn observability(c: &Capabilities) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(match c.setting("track_io_timing") {
        Some("on") => fine("io-timing", "track_io_timing is on"),
        _ => lacking(
            "io-timing",
            Severity::Info,
            "track_io_timing is off; plans do not say how long reading took",
            "ALTER SYSTEM SET track_io_timing = on;  -- measure its price with pg_test_timing",
            Effect::Reload,
            "everything; I/O shows as blocks only",
        ),
    });
    checks.push(match c.setting("log_min_duration_statement") {
        Some("-1") | None => lacking(
            "slow-statement-log",
            Severity::Info,
            "slow statements are not logged (log_min_duration_statement is -1)",
            "ALTER SYSTEM SET log_min_duration_statement = '1s';",
            Effect::Reload,
            "everything; there are no sample values of slow statements",
        ),
        Some(ms) => fine("slow-statement-log", format!("statements over {ms} ms are logged")),
    });
    let prefix = c.setting("log_line_prefix").unwrap_or_default();
    let has_time = ["%m", "%t", "%n"].iter().any(|e| prefix.contains(e));
    checks.push(if has_time && prefix.contains("%p") {
        fine("log-line-prefix", format!("log_line_prefix is {prefix:?}"))
    } else {
        lacking(
            "log-line-prefix",
            Severity::Info,
            format!("log_line_prefix is {prefix:?}; lines cannot be assigned to a time and a process"),
            "ALTER SYSTEM SET log_line_prefix = '%m [%p] %q%u@%d/%a ';",
            Effect::Reload,
            "everything that does not read logs",
        )
    });
    checks.push(if c.auto_explain_loaded {
        fine("auto-explain", "auto_explain is loaded")
    } else {
        lacking(
            "auto-explain",
            Severity::Info,
            "auto_explain is not loaded; plans of slow executions are not logged",
            format!(
                "ALTER SYSTEM SET session_preload_libraries = {};\nALTER SYSTEM SET auto_explain.log_min_duration = '500ms';\nALTER SYSTEM SET auto_explain.log_format = 'json';",
                with_library(&c.session_preload_libraries, "auto_explain")
            ),
            Effect::Reload,
            "everything; plans are those that EXPLAIN gives now",
        )
    });
    checks
}

fn programs(c: &Capabilities, binaries: &[Binaries], pg_dump: Option<u32>) -> Check {
    let major = c.major();
    let Some(pg_dump) = pg_dump else {
        return lacking(
            "twin-programs",
            Severity::Error,
            "pg_dump was not found on this machine; a snapshot needs it",
            "apt-get install postgresql-client",
            Effect::Immediate,
            "profile and explain",
        );
    };
    if pg_dump < major {
        return lacking(
            "twin-programs",
            Severity::Error,
            format!("pg_dump {pg_dump} is older than the server and refuses to dump it; a snapshot needs it"),
            format!("apt-get install postgresql-client-{major}"),
            Effect::Immediate,
            "profile and explain; advise on another machine with --snapshot",
        );
    }
    match binaries.iter().find(|b| b.major == major) {
        Some(b) => fine("twin-programs", format!("PostgreSQL {} is here for the planner twin", b.version)),
        None => lacking(
            "twin-programs",
            if binaries.is_empty() { Severity::Error } else { Severity::Warning },
            format!("no PostgreSQL {major} server programs on this machine for the planner twin"),
            format!("apt-get install postgresql-{major}"),
            Effect::Immediate,
            if binaries.is_empty() {
                "snapshot, profile, explain and baseline; advise on another machine with --snapshot"
            } else {
                "advice by a twin of another major version, whose costs may differ"
            },
        ),
    }
}

/// A role that can do what pgwright does, and no more.
fn role_sql(database: &str) -> String {
    let database = quote_identifier(database);
    format!(
        "-- A role for pgwright. Run as a superuser, or as the administrator of a managed service.\n\
         -- Give it a password with \\password pgwright in psql, which does not put it into the log.\n\
         CREATE ROLE pgwright LOGIN CONNECTION LIMIT 10;\n\
         GRANT CONNECT ON DATABASE {database} TO pgwright;\n\
         -- statistics, settings and everybody's statements\n\
         GRANT pg_monitor TO pgwright;\n\
         -- planner statistics (pg_stats) and pg_dump --schema-only ask for SELECT; 14 and later:\n\
         GRANT pg_read_all_data TO pgwright;\n\
         -- on 13, for each schema instead:\n\
         -- GRANT USAGE ON SCHEMA public TO pgwright; GRANT SELECT ON ALL TABLES IN SCHEMA public TO pgwright;\n\
         -- so that nothing that it runs can write by accident or run for ever\n\
         ALTER ROLE pgwright SET default_transaction_read_only = on;\n\
         ALTER ROLE pgwright SET statement_timeout = '60s';\n\
         ALTER ROLE pgwright SET lock_timeout = '2s';\n\
         \n\
         -- Only for apply, undo and baseline: the journal's schema, and the right to build indexes,\n\
         -- which only the owner of a table has.\n\
         -- ALTER ROLE pgwright SET default_transaction_read_only = off;\n\
         -- GRANT CREATE ON DATABASE {database} TO pgwright;\n\
         -- GRANT <owner of the tables> TO pgwright;\n"
    )
}
