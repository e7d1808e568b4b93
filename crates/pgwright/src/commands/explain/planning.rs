//! How does a statement get its plan? Parsed here, bound to typical values where it has parameters, planned or
//! measured by the server.

use advice::workload::Workload;
use postgres::explain::ExplainOptions;
use postgres::{SearchPath, SessionOptions, Target};
use sql::InputError;

use super::{Args, Explained, generic, measure, safety};
use crate::commands::Context;
use crate::error::CommandError;

/// Plans a statement that somebody typed.
pub(super) async fn of_text(
    context: &Context,
    args: &Args,
    what: &str,
    text: &str,
) -> Result<Explained, CommandError> {
    let statement = chosen(text, args.number).map_err(|e| {
        // One word is no statement; it may be the name of a file that is not there.
        let name = what.trim();
        if e.hint.is_none() && name.contains(['.', '/']) && !name.contains(char::is_whitespace) {
            e.hint(format!("There is no file \"{name}\" either."))
        } else {
            e
        }
    })?;
    let target = context.target()?;
    explain(context, target, statement, None, args).await
}

/// The one statement of a text, or the one that was asked for.
fn chosen(text: &str, number: Option<usize>) -> Result<&str, CommandError> {
    let refused = |e: InputError| {
        let several = matches!(e, InputError::Several { .. });
        let error = CommandError::from(e);
        if several { error.hint("Choose one with --number.") } else { error }
    };
    let Some(number) = number else { return sql::single_statement(text).map_err(refused) };
    let all = sql::statements(text).map_err(refused)?;
    number.checked_sub(1).and_then(|at| all.get(at).copied()).ok_or_else(|| {
        CommandError::new(format!("there is no statement number {number}"))
            .detail(format!("There are {} statements, numbered from 1.", all.len()))
    })
}

/// Plans a statement that the server counted.
pub(super) async fn of_queryid(
    context: &Context,
    args: &Args,
    queryid: i64,
) -> Result<Explained, CommandError> {
    let target = context.target()?;
    let session = context.connect(&target).await?;
    let (statements, _) = postgres::statements::read(&session).await?;
    let search_path = postgres::statements::search_path(&session, "\"$user\", public").await?;
    let found = statements.into_iter().find(|s| s.queryid == queryid).map(|s| s.query);
    let text = found.ok_or_else(|| {
        CommandError::new(format!("no statement has the queryid {queryid}"))
            .detail(format!("pg_stat_statements has no such entry for database \"{}\".", target.database()))
            .hint("\"pgwright profile\" lists the queryids. An entry may have been evicted or reset.")
    })?;
    explain(context, target, &text, Some(search_path), args).await
}

/// Explains a text; a text that the server counted comes with its `search_path`; one that somebody typed
/// has that of the role.
async fn explain(
    context: &Context,
    target: Target,
    text: &str,
    search_path: Option<String>,
    args: &Args,
) -> Result<Explained, CommandError> {
    let parsed = sql::ParsedStatement::parse(text)?;
    if parsed.kind() == sql::StatementKind::Utility {
        let is_explain = text.trim_start().get(..7).is_some_and(|w| w.eq_ignore_ascii_case("explain"));
        return Err(CommandError::new("a utility statement has no plan").hint(if is_explain {
            "Leave EXPLAIN out: pgwright adds it, and runs the statement only with --analyze."
        } else {
            "SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES and TABLE can be explained."
        }));
    }
    let options = SessionOptions {
        read_only: !args.allow_writes,
        lock_timeout: Some(context.settings.lock_timeout),
        statement_timeout: Some(args.timeout),
        search_path: search_path.map_or(SearchPath::RoleDefault, SearchPath::Set),
        ..SessionOptions::for_user_statements()
    };
    let session = target.connect(&options).await?;
    let mut notes = Vec::new();
    let schemas = schemas_of(&session).await;
    let done = |sql: String, measured: measure::Measured, mut notes: Vec<String>| {
        notes.extend(measured.cut_short);
        Explained {
            sql: Some(sql),
            explain: measured.explain,
            target: Some(target.clone()),
            notes,
            compared: None,
            unbound: None,
            search_path: schemas.clone(),
            waits: measured.waits,
        }
    };
    let given = generic::given(&parsed, &args.param)?;
    if parsed.parameters().is_empty() {
        if args.analyze {
            safety::check(&session, text, args).await?;
        }
        if args.allow_writes {
            notes.push(
                "run in a transaction that was rolled back; sequences that it advanced stay advanced, and what its \
                 triggers and functions did outside of the database stays done"
                    .into(),
            );
        }
        let explain = measure::run(context, &target, &session, text, &explain_options(args)).await?;
        return Ok(done(text.to_owned(), explain, notes));
    }
    let generic = ExplainOptions { statement_timeout: args.timeout, ..ExplainOptions::generic() };
    if args.generic && !args.analyze && (args.quick || given.is_none()) {
        let explain = measure::run(context, &target, &session, text, &generic).await?;
        return Ok(done(text.to_owned(), explain, notes));
    }
    let typical = given.is_none();
    let found = match given {
        Some(candidate) => Ok(vec![candidate]),
        None => bound(context, &target, text).await?,
    };
    let candidates = match found {
        Ok(candidates) => candidates,
        // Without values there is still the plan that no value has influenced.
        Err(reason) if !args.analyze => {
            notes.push(format!("planned without values for its parameters, because {reason}"));
            let explain = measure::run(context, &target, &session, text, &generic).await?;
            return Ok(done(text.to_owned(), explain, notes));
        }
        Err(reason) => {
            return Err(CommandError::new("no values could be found for the parameters of the statement")
                .detail(format!("The advisor passes over it: {reason}."))
                .hint("Give values with --param, once for each of $1, …, or leave --analyze out."));
        }
    };
    let mut last = None;
    for candidate in candidates {
        if args.analyze {
            safety::check(&session, &candidate, args).await?;
        }
        let base = ExplainOptions { analyze: false, buffers: false, ..explain_options(args) };
        let planned = match postgres::explain::explain(&session, &candidate, &base).await {
            Ok(planned) => planned,
            Err(e) => {
                last = Some(measure::in_text(e, &candidate));
                continue;
            }
        };
        if args.generic || generic::is_forced(&planned) {
            return generic::explain(context, &target, &session, &parsed, &candidate, args).await;
        }
        match measure::run(context, &target, &session, &candidate, &explain_options(args)).await {
            Ok(explain) => {
                let shown = crate::printer::one_line(&candidate, 400);
                let whose =
                    if typical { "typical values from the statistics" } else { "the values that were given" };
                notes.push(format!("planned with {whose}: {shown}"));
                notes.extend(generic::after_five(&session, text, &planned, args).await);
                return Ok(done(candidate, explain, notes));
            }
            Err(e) => last = Some(e),
        }
    }
    Err(last.unwrap_or_else(|| {
        CommandError::new("no values could be found for the parameters of the statement")
            .hint("Give values with --param, once for each of $1, …, or add --generic.")
    }))
}

/// The schemas in which a session looks for names without one; a pooler may give each statement another session.
pub(super) async fn schemas_of(session: &postgres::Session) -> Option<String> {
    let schemas = postgres::catalog::current_schemas(session, session.version_num()).await.ok()?;
    Some(schemas.join(", "))
}

pub(super) fn explain_options(args: &Args) -> ExplainOptions {
    let base = if args.analyze { ExplainOptions::analyze() } else { ExplainOptions::default() };
    ExplainOptions { statement_timeout: args.timeout, may_write: args.allow_writes, ..base }
}

/// The statement with typical values, the most usual first, or why there are none.
async fn bound(
    context: &Context,
    target: &Target,
    text: &str,
) -> Result<Result<Vec<String>, String>, CommandError> {
    let mut snapshot = context.snapshot_of(target).await?;
    let mut statement = snapshot.statements.iter().find(|s| s.query == text).cloned().unwrap_or_else(|| {
        model::snapshot::Statement { query: text.to_owned(), calls: 1, ..Default::default() }
    });
    statement.toplevel = true;
    statement.calls = statement.calls.max(1);
    snapshot.statements = vec![statement];
    let workload = Workload::from_snapshot(&snapshot, &Default::default());
    if let Some(skipped) = workload.skipped.first() {
        return Ok(Err(skipped.reason.clone()));
    }
    let mut bindings: Vec<_> = workload.statements.into_iter().flat_map(|s| s.bindings).collect();
    bindings.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    Ok(Ok(bindings.into_iter().flat_map(|b| b.variants).collect()))
}
