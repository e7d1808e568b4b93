//! What does pgwright say when it is asked as a user asks it? Its program is run and its JSON is read.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;

/// The program that is measured.
pub struct Pgwright {
    path: PathBuf,
}

/// A rewrite that pgwright offers.
#[derive(Clone, Debug, Serialize)]
pub struct Offer {
    /// The rules that made it.
    pub rules: Vec<String>,
    /// `proved`, `tested`, `refuted` or `refused`.
    pub state: String,
    /// `cheaper`, `cheaper_with_indexes` or `not_cheaper`.
    pub worth: String,
    /// Planner cost after, as a share of the one before.
    pub cost_ratio: f64,
    /// What pgwright measured, in milliseconds before and after.
    pub measured_ms: Option<(f64, f64)>,
    /// Whether it is recommended in the end.
    pub recommended: bool,
    /// Whether both texts are to give the same rows: not when the application passes other parameters.
    pub same_rows_expected: bool,
    /// The statement with values.
    #[serde(skip)]
    pub before: String,
    /// The rewrite with the same values.
    #[serde(skip)]
    pub after: String,
}

impl Offer {
    /// Whether the planner's costs alone would recommend it.
    pub fn by_cost(&self) -> bool {
        self.state == "proved" && self.worth != "not_cheaper"
    }
}

/// What pgwright says of one statement.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rules that gave a text or a sentence.
    pub fired: BTreeSet<String>,
    /// Other texts.
    pub offers: Vec<Offer>,
    /// Why there is nothing.
    pub passed_over: Option<String>,
}

impl Pgwright {
    /// The program that was named, or the one that was built beside this one.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(named: Option<PathBuf>) -> Result<Self> {
        let beside = std::env::current_exe()?.with_file_name("pgwright");
        let path = named.unwrap_or(beside);
        if !path.is_file() {
            bail!("{} is not there; cargo build --release -p pgwright makes it", path.display());
        }
        Ok(Self { path })
    }

    /// Runs it and gives what it printed on standard output and on standard error.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn run(&self, arguments: &[&str]) -> Result<(String, String)> {
        let output = self.output(arguments).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("pgwright {} failed: {}", arguments.first().unwrap_or(&""), said.trim());
        }
        Ok((String::from_utf8(output.stdout)?, said))
    }

    /// Runs it and gives what it printed on standard output and its exit code, 0 or 1.
    ///
    /// # Errors
    /// When it ends with another code, with what it said.
    pub async fn run_to_code(&self, arguments: &[&str]) -> Result<(String, i32)> {
        let output = self.output(arguments).await?;
        let Some(code) = output.status.code().filter(|code| matches!(code, 0 | 1)) else {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("pgwright {} failed: {}", arguments.first().unwrap_or(&""), said.trim());
        };
        Ok((String::from_utf8(output.stdout)?, code))
    }

    async fn output(&self, arguments: &[&str]) -> Result<std::process::Output> {
        tokio::process::Command::new(&self.path)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("running {}", self.path.display()))
    }

    /// Asks for rewrites of a statement, measured.
    ///
    /// # Errors
    /// When pgwright fails or its JSON is not what it documents.
    pub async fn rewrite(&self, url: &str, sql: &str, timeout_s: u32) -> Result<Answer> {
        let timeout = format!("{timeout_s}s");
        let arguments = ["rewrite", sql, "--url", url, "--measure", "--all", "--timeout", &timeout, "--json"];
        let (json, _) = self.run(&arguments).await?;
        let json: Value = serde_json::from_str(&json)?;
        let statement = json.pointer("/statements/0").context("the answer has no statement")?;
        read(statement).context("the answer is not what it should be")
    }

    /// The ids of all rules.
    ///
    /// # Errors
    /// When pgwright fails.
    pub async fn rules(&self) -> Result<BTreeSet<String>> {
        let (json, _) = self.run(&["rewrite", "--list", "--json"]).await?;
        let json: Value = serde_json::from_str(&json)?;
        let rules = json["rules"].as_array().context("the list has no rules")?;
        Ok(rules.iter().filter_map(|r| r["id"].as_str()).map(str::to_owned).collect())
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn read(statement: &Value) -> Option<Answer> {
    let mut answer =
        Answer { passed_over: statement["passed_over"].as_str().map(str::to_owned), ..Answer::default() };
    for pointer in statement["pointers"].as_array()? {
        answer.fired.insert(pointer["rule"].as_str()?.to_owned());
    }
    for rewrite in statement["rewrites"].as_array()? {
        let rules = texts(&rewrite["rules"]);
        answer.fired.extend(rules.iter().cloned());
        let execution = rewrite["executions"].get(0)?;
        let measured = &rewrite["measured"];
        answer.offers.push(Offer {
            rules,
            state: rewrite["state"].as_str()?.to_owned(),
            worth: rewrite["worth"].as_str()?.to_owned(),
            cost_ratio: rewrite["cost_after"].as_f64()? / rewrite["cost_before"].as_f64()?,
            measured_ms: measured["before_ms"].as_f64().zip(measured["after_ms"].as_f64()),
            recommended: rewrite["recommended"].as_bool()?,
            same_rows_expected: texts(&rewrite["application"]).is_empty(),
            before: execution["before"].as_str()?.to_owned(),
            after: execution["after"].as_str()?.to_owned(),
        });
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_rules_and_figures() {
        let statement = serde_json::json!({
            "pointers": [{ "rule": "index-pointers", "advice": "…" }],
            "rewrites": [{ "rules": ["or-chain"], "state": "proved", "worth": "cheaper", "cost_before": 10.0,
                "cost_after": 5.0, "recommended": true, "application": [], "measured": { "before_ms": 2.0, "after_ms": 1.0 },
                "executions": [{ "before": "select 1", "after": "select 2" }] }] });
        let answer = read(&statement).unwrap();
        assert_eq!(answer.fired, BTreeSet::from(["index-pointers".to_owned(), "or-chain".to_owned()]));
        let offer = &answer.offers[0];
        assert_eq!((offer.cost_ratio, offer.measured_ms, offer.by_cost()), (0.5, Some((2.0, 1.0)), true));
        assert!(offer.same_rows_expected);
        assert!(read(&serde_json::json!({ "rewrites": [{}], "pointers": [] })).is_none());
    }
}
