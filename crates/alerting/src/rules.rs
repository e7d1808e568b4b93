//! Which conditions are evaluated? Those of [`monitoring::alerts`] as the settings change them, and the user's own.

use std::collections::BTreeMap;
use std::time::Duration;

use monitoring::alerts::{Severity, alerts};
use serde::Serialize;

use crate::error::Error;
use crate::expression::{Expression, Need};
use crate::labels::Labels;
use crate::settings::{Settings, parse_duration};
use crate::template::Template;

/// A condition, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What is told of it.
    pub definition: Definition,
    pub(crate) expression: Expression,
    pub(crate) summary: Template,
    /// Whether it is about the server, so that nothing is known of it while the server is away.
    pub(crate) of_server: bool,
    /// The metrics that it looks at.
    pub(crate) metrics: Vec<String>,
    /// How far back its windows reach.
    pub(crate) reach_ms: i64,
}

/// A condition as it is read and shown.
#[derive(Clone, Debug, Serialize)]
pub struct Definition {
    /// Its name, unique.
    pub name: String,
    /// What it is about.
    pub group: String,
    /// How soon somebody has to look.
    pub severity: Severity,
    /// For how long the condition must have held, in seconds.
    pub hold_seconds: f64,
    /// The condition, in PromQL.
    pub expression: String,
    /// What is the case, in one line, with places for values.
    pub summary: String,
    /// Why it matters.
    pub meaning: String,
    /// What to do.
    pub action: String,
    /// The check of `pgwright lint` that finds the same and what mends it.
    pub lint_check: Option<&'static str>,
    /// The page with the procedure.
    pub runbook_url: Option<String>,
}

/// The group of alerts that the user wrote.
const OWN_GROUP: &str = "own";

/// The conditions that the settings ask for.
///
/// `gives` tells whether there may be samples of a name.
///
/// # Errors
/// When one cannot be evaluated, or a setting names an alert that there is not.
pub fn rules(settings: &Settings, gives: impl Fn(&str) -> bool) -> Result<Vec<Rule>, Error> {
    let named = settings.disable.iter().chain(settings.change.keys());
    for name in named {
        if alerts().iter().all(|a| a.name != name) {
            return Err(Error::NoSuchAlert { alert: name.clone() });
        }
    }
    let runbook = |name: &str| {
        let anchor = name.to_ascii_lowercase();
        let page = settings.runbooks.clone();
        let own = settings.external_url.as_ref().map(|url| format!("{}/alerts", url.trim_end_matches('/')));
        page.or(own).map(|page| format!("{page}#{anchor}"))
    };
    let mut definitions = Vec::new();
    for alert in alerts().iter().filter(|a| settings.disable.iter().all(|d| d != a.name)) {
        let change = settings.change.get(alert.name).cloned().unwrap_or_default();
        let usual = parse_duration(alert.hold)
            .map_err(|reason| Error::Condition { alert: alert.name.into(), reason: format!("{reason}.") })?;
        definitions.push(Definition {
            name: alert.name.into(),
            group: alert.group.into(),
            severity: change.severity.unwrap_or(alert.severity),
            hold_seconds: change.hold.unwrap_or(usual).as_secs_f64(),
            expression: change.expression.unwrap_or_else(|| alert.expression.into()),
            summary: alert.summary.into(),
            meaning: alert.meaning.into(),
            action: alert.action.into(),
            lint_check: alert.lint_check(),
            runbook_url: runbook(alert.name),
        });
    }
    for own in &settings.rule {
        if alerts().iter().any(|a| a.name == own.name) || definitions.iter().any(|d| d.name == own.name) {
            return Err(Error::TwoAlerts { alert: own.name.clone() });
        }
        definitions.push(Definition {
            name: own.name.clone(),
            group: OWN_GROUP.into(),
            severity: own.severity.unwrap_or(Severity::Warning),
            hold_seconds: own.hold.as_secs_f64(),
            expression: own.expression.clone(),
            summary: own.summary.clone(),
            meaning: own.meaning.clone(),
            action: own.action.clone(),
            lint_check: None,
            runbook_url: runbook(&own.name),
        });
    }
    definitions.into_iter().map(|definition| compile(definition, &gives)).collect()
}

fn compile(definition: Definition, gives: &impl Fn(&str) -> bool) -> Result<Rule, Error> {
    let alert = || definition.name.clone();
    let expression = Expression::parse(&definition.expression)
        .map_err(|reason| Error::Condition { alert: alert(), reason })?;
    let summary =
        Template::parse(&definition.summary).map_err(|reason| Error::Summary { alert: alert(), reason })?;
    let mut needs = BTreeMap::new();
    expression.needs(&mut needs);
    if let Some(metric) = needs.keys().find(|metric| !gives(metric)) {
        return Err(Error::Metric { alert: alert(), metric: metric.clone() });
    }
    Ok(Rule {
        of_server: needs.keys().any(|metric| !metric.starts_with("pgwright_")),
        metrics: needs.keys().cloned().collect(),
        reach_ms: needs.values().map(|need| need.recent_ms).max().unwrap_or(0),
        expression,
        summary,
        definition,
    })
}

impl Rule {
    /// Where what is wrong stands in detail, as [`monitoring::alerts::Alert::finding`].
    pub(crate) fn finding(&self, labels: &Labels) -> Option<String> {
        let queryid = labels.get("queryid");
        match self.definition.lint_check {
            Some(check) => Some(format!("pgwright lint, check {check}")),
            None => (!queryid.is_empty()).then(|| format!("pgwright history --statement {queryid}")),
        }
    }

    /// The page of pgwright's own that shows what is wrong in detail: path and parameters.
    pub(crate) fn page(&self, labels: &Labels) -> String {
        let definition = &self.definition;
        let page = monitoring::alerts::page(&definition.name, &definition.group, |label| {
            !labels.get(label).is_empty()
        });
        let parameters = page.parameters.iter().map(|(name, label)| (*name, labels.get(label)));
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        let query = encoded.extend_pairs(parameters).finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}{mark}{query}", page.path)
    }

    pub(crate) fn hold(&self) -> Duration {
        Duration::from_secs_f64(self.definition.hold_seconds)
    }
}

/// What rules need of which metric.
pub(crate) fn needs(rules: &[Rule]) -> BTreeMap<String, Need> {
    let mut needs = BTreeMap::new();
    for rule in rules {
        rule.expression.needs(&mut needs);
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Change, RuleSettings};

    #[test]
    fn every_alert_that_pgwright_has_is_evaluated_by_itself() {
        let rules = rules(&Settings::default(), exporter::gives).unwrap();
        assert_eq!(rules.len(), alerts().len());
        let slower = rules.iter().find(|r| r.definition.name == "PostgresStatementSlower").unwrap();
        assert_eq!((slower.of_server, slower.reach_ms, slower.hold().as_secs()), (true, 1_800_000, 900));
        assert!(rules.iter().filter(|r| !r.of_server).all(|r| r.expression_is_of_pgwright()));
    }

    impl Rule {
        fn expression_is_of_pgwright(&self) -> bool {
            !self.definition.expression.contains("postgres_")
        }
    }

    #[test]
    fn settings_change_disable_and_add() {
        let own = RuleSettings {
            name: "Own".into(),
            expression: "postgres_connections > 5".into(),
            hold: Duration::ZERO,
            severity: None,
            summary: "{{ $value }}".into(),
            meaning: String::new(),
            action: String::new(),
        };
        let mut settings = Settings { disable: vec!["PostgresRestarted".into()], ..Settings::default() };
        let change = Change { hold: Some(Duration::from_secs(1)), ..Change::default() };
        settings.change.insert("PostgresDown".into(), change);
        settings.rule.push(own.clone());
        settings.external_url = Some("https://pg.example.com/".into());
        let made = rules(&settings, exporter::gives).unwrap();
        assert_eq!(made.len(), alerts().len());
        assert_eq!(made[0].definition.hold_seconds, 1.0);
        assert_eq!(
            made[0].definition.runbook_url.as_deref(),
            Some("https://pg.example.com/alerts#postgresdown")
        );
        let error = |change: &dyn Fn(&mut RuleSettings)| {
            let mut own = own.clone();
            change(&mut own);
            let settings = Settings { rule: vec![own], ..Settings::default() };
            rules(&settings, exporter::gives).unwrap_err().to_string()
        };
        assert!(error(&|o| o.expression = "absent(x)".into()).contains("condition of alert \"Own\""));
        assert!(
            error(&|o| o.expression = "postgres_conections > 5".into()).contains("\"postgres_conections\"")
        );
        assert!(error(&|o| o.summary = "{{ x }}".into()).contains("summary of alert \"Own\""));
        assert!(error(&|o| o.name = "PostgresDown".into()).contains("two alerts"));
        settings.disable.push("Own".into());
        assert!(rules(&settings, exporter::gives).is_err());
    }
}
