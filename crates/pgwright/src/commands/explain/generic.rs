//! Which plan does a prepared statement get: one for its values, or the one for any? And what does the other cost?
//!
//! Source: PostgreSQL manual, "PREPARE" and `plan_cache_mode`; `choose_custom_plan()` in plancache.c: five plans for
//! values, then the generic one if its cost is not above their mean, planning counted.

use std::collections::BTreeMap;

use model::Millis;
use plan::Plan;
use plan::render::shape;
use postgres::explain::ExplainOptions;
use postgres::{Session, Target};
use sql::{ParsedStatement, Value};

use super::measure::{self, Measured};
use super::{Args, Explained};
use crate::commands::Context;
use crate::error::CommandError;
use crate::printer::one_line;

/// A plan for the values must take less than this share of the generic one's time to be called better.
const BETTER: f64 = 0.67;

/// What a generic plan is compared with.
pub(super) struct Compared {
    /// Whether a plan for the values is better, as far as was looked.
    pub better: bool,
    /// The comparison in words.
    pub told: String,
    /// Planner costs of the generic plan and of the one for the values.
    pub costs: (f64, f64),
}

/// The statement with the values that the user gave.
pub(super) fn given(parsed: &ParsedStatement, values: &[String]) -> Result<Option<String>, CommandError> {
    if values.is_empty() {
        return Ok(None);
    }
    let parameters = parsed.parameters();
    if parameters.len() != values.len() {
        return Err(CommandError::new(format!(
            "the statement has {} parameters and not {}",
            parameters.len(),
            values.len()
        ))
        .hint("Give --param once for each of $1, $2, …, in their order."));
    }
    let value = |text: &String| {
        if text == "NULL" { Value::Null } else { Value::Untyped(text.clone()) }
    };
    let bound: BTreeMap<u32, Value> = parameters.into_iter().zip(values.iter().map(value)).collect();
    Ok(Some(parsed.bind(&bound, None)))
}

/// The statement with the values that auto_explain logged with it (`Query Parameters`, since 16); `None` unless all are there.
pub(super) fn logged(text: &str, parameters: &str) -> Option<String> {
    let parsed = ParsedStatement::parse(executed(text)).ok()?;
    let values = sql::logged_parameters(&format!("Parameters: {parameters}"));
    let wanted = parsed.parameters();
    if wanted.is_empty() || !wanted.iter().all(|number| values.contains_key(number)) {
        return None;
    }
    let value = |text: Option<String>| text.map_or(Value::Null, Value::Untyped);
    Some(parsed.bind(&values.into_iter().map(|(number, text)| (number, value(text))).collect(), None))
}

/// What a logged text executes: SQL's `PREPARE name (types) AS …` is logged as it was written.
pub(super) fn executed(text: &str) -> &str {
    let is_prepare = text.trim_start().get(..8).is_some_and(|word| word.eq_ignore_ascii_case("prepare "));
    let body = text.to_ascii_lowercase().find(" as ").filter(|_| is_prepare);
    body.map_or(text, |at| text[at + 4..].trim().trim_end_matches(';'))
}

/// The literals that stand in a bound text in place of the parameters, in their order.
pub(super) fn arguments(parsed: &ParsedStatement, bound: &str) -> Option<Vec<String>> {
    const MARK: char = '\u{1}';
    let numbers: BTreeMap<u32, Value> =
        parsed.parameters().into_iter().map(|n| (n, Value::Number(format!("{MARK}{n}{MARK}")))).collect();
    let marked = parsed.bind(&numbers, None);
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    let mut pieces = marked.split(MARK);
    let mut rest = bound.strip_prefix(pieces.next()?)?;
    while let (Some(number), Some(piece)) = (pieces.next(), pieces.next()) {
        let whole = |at: &usize| rest[..*at].matches('\'').count() % 2 == 0;
        let end = if piece.is_empty() {
            rest.len()
        } else {
            rest.match_indices(piece).map(|(at, _)| at).find(|at| *at > 0 && whole(at))?
        };
        let literal = rest[..end].to_owned();
        rest = &rest[end + piece.len()..];
        let number = number.parse().ok()?;
        if found.insert(number, literal.clone()).is_some_and(|before| before != literal) {
            return None;
        }
    }
    // What was taken apart must come together again.
    let values = found.iter().map(|(n, literal)| (*n, Value::Number(literal.clone()))).collect();
    let parenthesised = found.values().any(|literal| literal.starts_with('-'));
    (!parenthesised && rest.is_empty() && parsed.bind(&values, None) == bound)
        .then(|| found.into_values().collect())
}

/// Whether the server plans every prepared statement without its values, for the role of the session.
pub(super) fn is_forced(explain: &serde_json::Value) -> bool {
    explain.pointer("/Settings/plan_cache_mode").and_then(serde_json::Value::as_str)
        == Some("force_generic_plan")
}

/// Explains a statement by its generic plan, and says what a plan for the values would do.
pub(super) async fn explain(
    context: &Context,
    target: &Target,
    session: &Session,
    parsed: &ParsedStatement,
    candidate: &str,
    args: &Args,
) -> Result<Explained, CommandError> {
    let text = parsed.text();
    let arguments = arguments(parsed, candidate).ok_or_else(|| {
        CommandError::new("the values of the parameters could not be told apart")
            .hint("Give them: --param VALUE once for each of $1, $2, …, in their order.")
    })?;
    let base = super::planning::explain_options(args);
    let generic = ExplainOptions { generic: true, arguments, ..base.clone() };
    let unmeasured = ExplainOptions { analyze: false, buffers: false, ..base.clone() };
    let estimated = |value: &serde_json::Value| Plan::from_json(value);
    let custom = postgres::explain::explain(session, candidate, &unmeasured).await;
    let custom = custom.map_err(|e| measure::in_text(e, candidate))?;
    let of_any = ExplainOptions { analyze: false, buffers: false, ..generic.clone() };
    let planned =
        postgres::explain::explain(session, text, &of_any).await.map_err(|e| measure::in_text(e, text))?;
    let same = shape(&estimated(&planned)?) == shape(&estimated(&custom)?);
    let mut notes = vec![format!(
        "this is the plan for any value of the parameters; the values were: {}",
        one_line(candidate, 400)
    )];
    // The plan for the values goes first, so that a cold cache is not held against the generic one.
    let custom = match (same, args.analyze) {
        (false, true) => measure::run(context, target, session, candidate, &base).await?,
        _ => Measured { explain: custom, cut_short: None, waits: Vec::new() },
    };
    let measured = measure::run(context, target, session, text, &generic).await?;
    notes.extend(measured.cut_short.clone());
    let compared = compare(
        &estimated(&measured.explain)?,
        &estimated(&custom.explain)?,
        same,
        custom.cut_short.is_some(),
    );
    notes.push(compared.told.clone());
    Ok(Explained {
        sql: Some(candidate.to_owned()),
        explain: measured.explain,
        target: Some(target.clone()),
        notes,
        compared: Some(compared),
        unbound: None,
        search_path: super::planning::schemas_of(session).await,
        waits: measured.waits,
    })
}

fn compare(generic: &Plan, custom: &Plan, same: bool, cut_short: bool) -> Compared {
    let cost = |plan: &Plan| plan.root().map_or(0.0, |root| root.total_cost);
    let costs = (cost(generic), cost(custom));
    if same {
        let told = format!(
            "a plan for these values is the same (cost {:.0} instead of {:.0})",
            cost(custom),
            cost(generic)
        );
        return Compared { better: false, told, costs };
    }
    if cut_short {
        return Compared {
            better: false,
            told: "a plan for these values is another and did not end in time".into(),
            costs,
        };
    }
    let (Some(before), Some(after)) = (generic.execution_ms, custom.execution_ms) else {
        let took = custom.execution_ms.map(|ms| format!("; measured, it takes {}", Millis(ms)));
        let told = format!(
            "a plan for these values is another: cost {:.0} instead of {:.0}{}",
            cost(custom),
            cost(generic),
            took.unwrap_or_default()
        );
        // The generic one was stopped, or nothing was measured.
        return Compared { better: true, told, costs };
    };
    // It is planned anew each time.
    let after = after + custom.planning_ms.unwrap_or(0.0);
    let pages = |plan: &Plan| plan.root().map_or(0, |root| root.usage.pages());
    let better = after < BETTER * before;
    let told = format!(
        "a plan for these values takes {} instead of {}, planning counted, and {} instead of {} buffers{}",
        Millis(after),
        Millis(before),
        pages(custom),
        pages(generic),
        if better { "" } else { ": the generic plan does no harm here" }
    );
    Compared { better, told, costs }
}

/// What a prepared statement gets after five executions, where that is another plan than the one for the values.
pub(super) async fn after_five(
    session: &Session,
    text: &str,
    custom: &serde_json::Value,
    args: &Args,
) -> Option<String> {
    if session.behind_transaction_pooler() {
        return None;
    }
    let options = ExplainOptions { statement_timeout: args.timeout, ..ExplainOptions::generic() };
    let generic = postgres::explain::explain(session, text, &options).await.ok()?;
    let (generic, custom) = (Plan::from_json(&generic).ok()?, Plan::from_json(custom).ok()?);
    if shape(&generic) == shape(&custom) {
        return None;
    }
    let cost = |plan: &Plan| plan.root().map_or(0.0, |root| root.total_cost);
    let likely = if cost(&generic) <= cost(&custom) { "will" } else { "may" };
    Some(format!(
        "executed by a prepared statement it {likely} get another plan after five executions, the generic one (cost {:.0} instead \
         of {:.0}): --generic shows it",
        cost(&generic),
        cost(&custom)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_were_logged_stand_for_parameters() {
        let text = "select * from t where a = $1 and b = $2";
        assert_eq!(
            logged(text, "$1 = 'it''s', $2 = NULL").unwrap(),
            "select * from t where a = 'it''s' and b = NULL"
        );
        let prepared = format!("PREPARE q(int) AS {text};");
        assert_eq!(
            logged(&prepared, "$1 = '5', $2 = '6'").unwrap(),
            "select * from t where a = '5' and b = '6'"
        );
        assert_eq!(logged(text, "$1 = '5'"), None, "one is missing");
        assert_eq!(logged(text, "$1 = '5', $2 = 'cut off...'"), None, "log_parameter_max_length");
        assert_eq!(logged("select 1", ""), None);
    }

    #[test]
    fn values_are_found_where_they_were_put() {
        let parsed =
            ParsedStatement::parse("select * from t where a = $2 and b in ($1, $2) limit $3").unwrap();
        let bound = given(&parsed, &["x, 'y".into(), "7".into(), "NULL".into()]).unwrap().unwrap();
        assert_eq!(bound, "select * from t where a = '7' and b in ('x, ''y', '7') limit NULL");
        assert_eq!(arguments(&parsed, &bound).unwrap(), ["'x, ''y'", "'7'", "NULL"]);
        assert_eq!(arguments(&parsed, "select 1"), None);
        assert_eq!(
            arguments(&parsed, &bound.replace("limit NULL", "limit NULL offset 1")).unwrap()[2],
            "NULL offset 1"
        );
        let other = bound.replacen("'7'", "'8'", 1);
        assert_eq!(arguments(&parsed, &other), None, "one parameter has one value");
        assert!(given(&parsed, &["1".into()]).is_err());
    }
}
