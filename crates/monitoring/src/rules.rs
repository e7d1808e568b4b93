//! The alerts as a rule file of Prometheus.
//!
//! Source: Prometheus documentation, "Alerting rules".

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alerts::{Alert, alerts};

#[derive(Serialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    alert: &'static str,
    expr: &'static str,
    #[serde(rename = "for")]
    hold: &'static str,
    labels: BTreeMap<&'static str, &'static str>,
    annotations: BTreeMap<&'static str, String>,
}

/// Where the pages of a server are that is one of several: series of `pgwright serve --servers` tell which one it is.
const SERVER: &str = "{{ with $labels.server }}/s/{{ . }}{{ end }}";

/// The rule file. With `runbooks`, the address of a page, every alert has a link `ADDRESS#name` to its procedure; with
/// `external_url`, the address of pgwright's own pages, one to the page that shows it in detail, and without the former to the
/// procedure there.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn rules(runbooks: Option<&str>, external_url: Option<&str>) -> Result<String, serde_norway::Error> {
    let mut groups: Vec<Group> = Vec::new();
    for alert in alerts() {
        let name = format!("pgwright-{}", alert.group);
        let rule = rule(alert, runbooks, external_url.map(|url| url.trim_end_matches('/')));
        match groups.iter_mut().find(|g| g.name == name) {
            Some(group) => group.rules.push(rule),
            None => groups.push(Group { name, rules: vec![rule] }),
        }
    }
    serde_norway::to_string(&File { groups })
}

fn rule(alert: &Alert, runbooks: Option<&str>, external_url: Option<&str>) -> Rule {
    let mut annotations: BTreeMap<&str, String> = [
        ("summary", alert.summary.replace("$labels.instance }}", "or $labels.server $labels.instance }}")),
        ("description", alert.meaning.to_owned()),
        ("action", alert.action.to_owned()),
    ]
    .into();
    if let Some(finding) = alert.finding() {
        annotations.insert("finding", finding);
    }
    if let Some(url) = external_url {
        let page = alert.page();
        let parameter = |(name, label): &(&str, &str)| format!("{name}={{{{ $labels.{label} | urlquery }}}}");
        let parameters: Vec<String> = page.parameters.iter().map(parameter).collect();
        let mark = if parameters.is_empty() { "" } else { "?" };
        annotations
            .insert("finding_url", format!("{url}{SERVER}{}{mark}{}", page.path, parameters.join("&")));
    }
    let own = external_url.map(|url| format!("{url}{SERVER}/alerts"));
    if let Some(page) = runbooks.or(own.as_deref()) {
        annotations.insert("runbook_url", format!("{page}#{}", alert.name.to_ascii_lowercase()));
    }
    Rule {
        alert: alert.name,
        expr: alert.expression,
        hold: alert.hold,
        labels: [("severity", alert.severity.as_str())].into(),
        annotations,
    }
}
