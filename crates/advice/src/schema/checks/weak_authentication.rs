//! May somebody log in without a password, or with one that is easily stolen?
//!
//! Rules of `pg_hba.conf` as the server read them (`pg_hba_file_rules`, for superusers and whoever was granted it).
//! `trust` asks for nothing; `password` sends it in clear text; `md5` keeps what is as good as the password, unless the
//! stored one is a SCRAM verifier, which the method accepts too. Source: PostgreSQL manual, "Authentication Methods".

use model::schema::HbaRule;
use model::{ObjectRef, Severity};

use super::Check;
use crate::schema::{Facts, LintFinding, Remedy};

pub(super) const CHECK: Check = Check {
    id: "weak-authentication",
    title: "log-in without a password, or with a weak one",
    severity: Severity::Warning,
    on: true,
    needs_schema_facts: true,
    run,
};

fn run(facts: &Facts<'_>) -> Vec<LintFinding> {
    let rules = facts.snapshot.schema.hba_rules.iter().flatten();
    let scram = facts.snapshot.setting("password_encryption") == Some("scram-sha-256");
    let mut found: Vec<LintFinding> = rules.filter_map(|rule| judge(rule, scram)).collect();
    // A rule that stands in the file twice is one fault.
    found.dedup_by(|a, b| a.finding.key == b.finding.key);
    found
}

fn judge(rule: &HbaRule, scram: bool) -> Option<LintFinding> {
    let local = rule.kind == "local"
        || rule.address.as_deref().is_some_and(|a| {
            a.starts_with("127.") || a.starts_with("::1") || a == "samehost"
        });
    let encrypted = matches!(rule.kind.as_str(), "hostssl" | "hostgssenc");
    let (severity, what, detail) = match rule.method.as_str() {
        "trust" if local => (
            Severity::Warning,
            "lets everybody on the machine log in without a password",
            "Any account of the machine can become any role of the rule, superusers among them. peer asks the operating \
             system who it is.",
        ),
        "trust" => (
            Severity::Error,
            "lets everybody log in over the network without a password",
            "Whoever reaches the port can become any role of the rule, superusers among them.",
        ),
        "password" if !encrypted && !local => (
            Severity::Warning,
            "asks for the password in clear text",
            "Everybody on the way can read it. Use scram-sha-256, over TLS.",
        ),
        "md5" if scram => (
            Severity::Info,
            "accepts md5",
            "Roles whose password was set since password_encryption is scram-sha-256 use SCRAM under this method; others \
             still use md5, which 18 warns of and a later version removes.",
        ),
        "md5" => (
            Severity::Warning,
            "accepts md5",
            "What the server stores for md5 is as good as the password, and md5 is broken. 18 warns of it, and a later \
             version removes it.",
        ),
        _ => return None,
    };
    let line = |method: &str| {
        let mut parts = vec![rule.kind.clone(), rule.databases.join(","), rule.users.join(",")];
        parts.extend(rule.address.clone());
        parts.push(method.to_owned());
        parts.join(" ")
    };
    let better = if rule.kind == "local" { "peer" } else { "scram-sha-256" };
    let mut sql = vec![format!("-- line {} of pg_hba.conf: {}", rule.line, line(better))];
    if rule.method == "md5" {
        sql.push("ALTER SYSTEM SET password_encryption = 'scram-sha-256'".into());
        sql.push("-- set each password again, with \\password in psql".into());
    }
    sql.push("SELECT pg_reload_conf()".into());
    Some(
        CHECK
            .finding(
                ObjectRef::HbaRule { rule: line(&rule.method) },
                format!("rule \"{}\" {what}", line(&rule.method)),
                detail,
            )
            .severity(severity)
            .with("line", rule.line)
            .mended_by(Remedy::without_lock(sql, "Sessions that are open stay open.")),
    )
}
