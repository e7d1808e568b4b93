//! Everything that Prometheus and Grafana need, as files of one folder.

use crate::dashboards::dashboards;
use crate::{grafana, rules};

/// Why the files cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that YAML cannot hold.
    #[error("could not write YAML: {0}")]
    Yaml(#[from] serde_norway::Error),
    /// A value that JSON cannot hold.
    #[error("could not write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What the files are made for.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Addresses where `pgwright serve` listens, as Prometheus reaches them.
    pub scraped: Vec<String>,
    /// Where Prometheus listens, as Grafana reaches it.
    pub prometheus: String,
    /// The page that alerts link to.
    pub runbooks: Option<String>,
    /// The address of pgwright's own pages, that alerts link to.
    pub external_url: Option<String>,
}

/// Paths below the folder, and what stands in each.
///
/// # Errors
/// When something cannot be written as YAML or JSON.
pub fn files(stack: &Stack) -> Result<Vec<(String, String)>, Error> {
    let mut files = vec![
        ("prometheus.yml".to_owned(), prometheus(stack)?),
        (
            "rules/pgwright.yml".to_owned(),
            rules::rules(stack.runbooks.as_deref(), stack.external_url.as_deref())?,
        ),
        ("grafana/provisioning/datasources/pgwright.yml".to_owned(), datasource(stack)?),
        ("grafana/provisioning/dashboards/pgwright.yml".to_owned(), provider()?),
    ];
    for board in dashboards() {
        let text = serde_json::to_string_pretty(&grafana::json(board))?;
        files.push((format!("grafana/dashboards/{}.json", board.uid), format!("{text}\n")));
    }
    files.push(("compose.yml".to_owned(), compose()?));
    Ok(files)
}

fn yaml(value: &serde_json::Value) -> Result<String, Error> {
    Ok(serde_norway::to_string(value)?)
}

fn prometheus(stack: &Stack) -> Result<String, Error> {
    yaml(&serde_json::json!({
        "global": { "scrape_interval": "15s", "evaluation_interval": "15s" },
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [{
            "job_name": "pgwright",
            "static_configs": [{ "targets": stack.scraped }],
        }],
    }))
}

fn datasource(stack: &Stack) -> Result<String, Error> {
    yaml(&serde_json::json!({
        "apiVersion": 1,
        "datasources": [{
            "name": "Prometheus", "type": "prometheus", "access": "proxy", "url": stack.prometheus, "isDefault": true,
        }],
    }))
}

fn provider() -> Result<String, Error> {
    yaml(&serde_json::json!({
        "apiVersion": 1,
        "providers": [{
            "name": "pgwright", "type": "file", "folder": "PostgreSQL",
            "options": { "path": "/var/lib/grafana/dashboards" },
        }],
    }))
}

fn compose() -> Result<String, Error> {
    yaml(&serde_json::json!({
        "services": {
            "prometheus": {
                "image": "prom/prometheus:v2.53.4",
                "network_mode": "host",
                "command": [
                    "--config.file=/etc/prometheus/prometheus.yml",
                    "--web.listen-address=127.0.0.1:9090",
                    "--storage.tsdb.retention.time=30d",
                ],
                "volumes": [
                    "./prometheus.yml:/etc/prometheus/prometheus.yml:ro",
                    "./rules:/etc/prometheus/rules:ro",
                    "prometheus:/prometheus",
                ],
            },
            "grafana": {
                "image": "grafana/grafana:11.6.1",
                "network_mode": "host",
                "environment": { "GF_SERVER_HTTP_ADDR": "127.0.0.1", "GF_USERS_ALLOW_SIGN_UP": "false" },
                "volumes": [
                    "./grafana/provisioning:/etc/grafana/provisioning:ro",
                    "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
                    "grafana:/var/lib/grafana",
                ],
            },
        },
        "volumes": { "prometheus": {}, "grafana": {} },
    }))
}
