//! May this number be changed, and is it? The targets of columns and statistics objects, `n_distinct` and storage
//! parameters of autovacuum, with the former number as their opposite.
//!
//! Source: PostgreSQL manual, "ALTER TABLE" (SHARE UPDATE EXCLUSIVE for all of these), "ALTER STATISTICS". One
//! statement, one catalog row: it is done or it is not.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{Change, Number, Parameter, QualifiedName};
use tokio_postgres::Client;

use super::{Condition, Inspection, Operation, Site};
use crate::action::Action;
use crate::catalog::{self, Current};
use crate::error::Error;
use crate::objection::Objection;

/// See the module.
pub(super) struct SetParameter;

/// What a change of this kind says.
struct Wanted<'a> {
    table: &'a QualifiedName,
    parameter: &'a Parameter,
    value: &'a Number,
    former: Option<&'a Number>,
}

impl<'a> Wanted<'a> {
    fn of(action: &'a Action) -> Option<Self> {
        match action {
            Action::Change(Change::SetParameter { table, parameter, value, former }) => {
                Some(Self { table, parameter, value, former: former.as_ref() })
            }
            _ => None,
        }
    }

    fn is_made(&self, current: Option<&str>) -> bool {
        current.is_some_and(|text| self.value.equals(text))
    }

    fn is_former(&self, current: Option<&str>) -> bool {
        match (self.former, current) {
            (None, None) => true,
            (Some(former), Some(text)) => former.equals(text),
            _ => false,
        }
    }
}

impl Operation for SetParameter {
    fn id(&self) -> &'static str {
        "set_parameter"
    }

    fn action(&self) -> &'static str {
        "set a parameter of"
    }

    fn undo_action(&self) -> &'static str {
        "set back a parameter of"
    }

    fn accepts(&self, action: &Action) -> bool {
        Wanted::of(action).is_some()
    }

    fn statement(&self, action: &Action) -> String {
        Wanted::of(action).map(|w| w.parameter.set_sql(w.table, Some(w.value))).unwrap_or_default()
    }

    fn undo_statement(&self, action: &Action) -> Option<String> {
        Wanted::of(action).map(|w| w.parameter.set_sql(w.table, w.former))
    }

    fn changes_schema(&self) -> bool {
        true
    }

    fn waits_for_transactions(&self) -> bool {
        false
    }

    fn takes_name(&self) -> bool {
        false
    }

    fn preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match Wanted::of(action) {
                Some(wanted) => preflight(site, &wanted).await,
                None => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn undo_preflight<'a>(
        &'a self,
        site: &'a Site<'a>,
        action: &'a Action,
        _made: Option<(u32, &'a str)>,
    ) -> BoxFuture<'a, Result<Inspection, Error>> {
        async move {
            match Wanted::of(action) {
                Some(wanted) => undo_preflight(site, &wanted).await,
                None => Ok(Inspection::default()),
            }
        }
        .boxed()
    }

    fn inspect<'a>(
        &'a self,
        client: &'a Client,
        action: &'a Action,
    ) -> BoxFuture<'a, Result<Condition, Error>> {
        async move {
            let Some(wanted) = Wanted::of(action) else { return Ok(Condition::NotDone) };
            let Current::Value(current) = catalog::parameter(client, wanted.table, wanted.parameter).await?
            else {
                return Ok(Condition::NotDone);
            };
            Ok(if wanted.is_made(current.as_deref()) {
                Condition::Done { made: None }
            } else if wanted.is_former(current.as_deref()) {
                Condition::NotDone
            } else {
                Condition::Foreign { found: found(wanted.parameter, current.as_deref()) }
            })
        }
        .boxed()
    }
}

fn found(parameter: &Parameter, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("the {} is {value}", parameter.title()),
        None => format!("the {} is not set", parameter.title()),
    }
}

async fn preflight(site: &Site<'_>, wanted: &Wanted<'_>) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    // What a step before this one makes is not there yet.
    let made_before = matches!(wanted.parameter, Parameter::ObjectTarget { .. }) && wanted.former.is_none();
    match catalog::parameter(site.client, wanted.table, wanted.parameter).await? {
        Current::NoStatistics if made_before => {}
        Current::Value(current) if wanted.is_made(current.as_deref()) => {
            inspection.already =
                Some(format!("The {} is {} already.", wanted.parameter.title(), wanted.value));
        }
        Current::Value(current) if !wanted.is_former(current.as_deref()) => {
            inspection.object_to(changed(wanted, wanted.former, current.as_deref()));
        }
        Current::Value(_) => {}
        missing => missing_objection(wanted, missing, &mut inspection),
    }
    object_to_owner(site, wanted.table, &mut inspection).await?;
    Ok(inspection)
}

async fn undo_preflight(site: &Site<'_>, wanted: &Wanted<'_>) -> Result<Inspection, Error> {
    let mut inspection = Inspection::default();
    match catalog::parameter(site.client, wanted.table, wanted.parameter).await? {
        Current::Value(current) if wanted.is_made(current.as_deref()) => {}
        Current::Value(current) if wanted.is_former(current.as_deref()) => {
            inspection.already =
                Some(format!("The {} had already been set back by somebody else.", wanted.parameter.title()));
        }
        Current::Value(current) => {
            inspection.object_to(changed(wanted, Some(wanted.value), current.as_deref()));
        }
        // What is gone has no parameter to set back.
        Current::NoTable | Current::NoColumn | Current::NoStatistics => {
            inspection.already =
                Some(format!("What had the {} is not there any more.", wanted.parameter.title()));
        }
    }
    if inspection.already.is_none() {
        object_to_owner(site, wanted.table, &mut inspection).await?;
    }
    Ok(inspection)
}

fn missing_objection(wanted: &Wanted<'_>, missing: Current, inspection: &mut Inspection) {
    let table = wanted.table.clone();
    inspection.object_to(match (missing, wanted.parameter) {
        (
            Current::NoColumn,
            Parameter::ColumnTarget { column } | Parameter::ColumnDistinct { column, .. },
        ) => Objection::ColumnsMissing { table, columns: vec![column.clone()] },
        (Current::NoStatistics, Parameter::ObjectTarget { statistics }) => {
            Objection::StatisticsMissing { name: statistics.clone() }
        }
        _ => Objection::TableMissing { table },
    });
}

fn changed(wanted: &Wanted<'_>, expected: Option<&Number>, current: Option<&str>) -> Objection {
    Objection::ParameterChanged {
        table: wanted.table.clone(),
        expected: found(wanted.parameter, expected.map(Number::as_str)),
        found: found(wanted.parameter, current),
    }
}

async fn object_to_owner(
    site: &Site<'_>,
    table: &QualifiedName,
    inspection: &mut Inspection,
) -> Result<(), Error> {
    if let Some(facts) = catalog::table_facts(site.client, table).await?
        && !facts.is_owner
    {
        inspection.object_to(Objection::NotOwner {
            table: table.clone(),
            owner: facts.owner,
            role: site.facts.role.clone(),
        });
    }
    Ok(())
}
