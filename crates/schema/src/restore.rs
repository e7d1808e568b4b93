//! How does a schema get into an empty database of a local server? Statement by statement, going on where one fails.
//!
//! The script is that of `pg_dump --schema-only`. What does not decide plans is left out: owners,
//! privileges, comments, triggers, policies (one who plans or tests there sees all rows), publications.
//! What could reach beyond the database is not run at all.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::attach::{self, Attachment};
use crate::error::{Error, explain};
use crate::lexer::{Statement, statements};
use crate::pipeline;

/// What becomes of a statement of the script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// Has no influence on plans.
    LeaveOut,
    /// Not something that a schema dump holds.
    Refuse,
    /// A setting of the restoring session; unknown ones do not matter.
    Setting,
    /// Needs a superuser and runs nothing of the snapshot's author.
    AsSuperuser,
    /// A foreign key.
    ForeignKey,
    /// A view, whose text the caller may want to change.
    View,
    /// Everything else.
    AsOwner,
}

/// What becomes of foreign keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignKeys {
    /// They are as they are written.
    AsWritten,
    /// They are not checked: a check would plan and so read the index's first page before it has its height.
    NotValid,
}

/// What could not be restored.
pub struct Restored {
    /// What could not be run, and why; the first twenty.
    pub notes: Vec<String>,
    /// Names of extensions that this machine does not have.
    pub missing_extensions: Vec<String>,
}

/// How many failures are told one by one.
const NOTES_MAX: usize = 20;

/// How many statements share a transaction. Each one of its own would be committed on its own, and waited
/// for; too many would hold too many locks.
const BATCH: usize = 100;

/// Runs the script. `owner` ends with the script's own settings; throw it away. `view` is given the text of
/// each view and gives the text that is run.
///
/// # Errors
/// When the server is gone; statements that fail become notes.
pub async fn restore(
    script: &str,
    owner: &Client,
    superuser: &Client,
    view: &(dyn Fn(&str) -> String + Sync),
    foreign_keys: ForeignKeys,
    major: u32,
) -> Result<Restored, Error> {
    let statements = statements(script);
    let mut restore = Restore {
        owner,
        superuser,
        view,
        foreign_keys,
        major,
        batch: Vec::new(),
        failures: Vec::new(),
        missing_extensions: Vec::new(),
    };
    let mut head = statements.iter().take_while(|s| treatment(s) == Treatment::Setting).count();
    for statement in &statements[..head] {
        restore.statement(statement).await?;
    }
    // Scripts of extensions run as superuser, and shall meet nothing that the snapshot's author wrote.
    for statement in statements.iter().filter(|s| comes_first(s)) {
        restore.statement(statement).await?;
    }
    while let Some(statement) = statements.get(head) {
        let attachments: Vec<Attachment> = statements[head..].iter().map_while(Attachment::read).collect();
        if attachments.is_empty() {
            head += 1;
            if !comes_first(statement) {
                restore.statement(statement).await?;
            }
        } else {
            let end = head + attachments.len();
            restore.attach(&statements[head..end], &attachments).await?;
            head = end;
        }
    }
    restore.flush().await?;
    let mut failures = restore.failures;
    let more = failures.len().saturating_sub(NOTES_MAX);
    failures.truncate(NOTES_MAX);
    if more > 0 {
        failures.push(format!(
            "{more} more statements of the schema failed on the local server, most of them as a result."
        ));
    }
    Ok(Restored { notes: failures, missing_extensions: restore.missing_extensions })
}

fn comes_first(statement: &Statement) -> bool {
    let words: Vec<&str> = statement.words.iter().take(2).map(String::as_str).collect();
    matches!(words.as_slice(), ["create", "schema" | "extension"])
}

struct Restore<'a> {
    owner: &'a Client,
    superuser: &'a Client,
    view: &'a (dyn Fn(&str) -> String + Sync),
    foreign_keys: ForeignKeys,
    major: u32,
    /// What the owner has to run next, with the statements it comes from.
    batch: Vec<(String, &'a Statement)>,
    failures: Vec<String>,
    missing_extensions: Vec<String>,
}

impl<'a> Restore<'a> {
    async fn statement(&mut self, statement: &'a Statement) -> Result<(), Error> {
        let sql = match treatment(statement) {
            Treatment::LeaveOut => return Ok(()),
            Treatment::Refuse => {
                self.failures.push(format!("The local server does not run \"{}\".", head(&statement.text)));
                return Ok(());
            }
            Treatment::Setting => {
                self.flush().await?;
                let _ = self.owner.simple_query(&statement.text).await;
                return Ok(());
            }
            Treatment::AsSuperuser => {
                self.flush().await?;
                let outcome = as_superuser(self.superuser, statement).await;
                return self.told(statement, outcome);
            }
            Treatment::ForeignKey if self.foreign_keys == ForeignKeys::NotValid => {
                format!("{} NOT VALID", statement.text)
            }
            Treatment::View => (self.view)(&statement.text),
            Treatment::AsOwner | Treatment::ForeignKey => statement.text.clone(),
        };
        self.batch.push((sql, statement));
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// Runs what has been gathered.
    async fn flush(&mut self) -> Result<(), Error> {
        let batch = std::mem::take(&mut self.batch);
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            let Err(failed) = self.together(rest).await else { return Ok(()) };
            let (before, from) = rest.split_at(failed.min(rest.len() - 1));
            // What stands before it went well a moment ago, and was rolled back with it.
            if self.together(before).await.is_err() {
                for gathered in before {
                    self.alone(gathered).await?;
                }
            }
            let Some((first, after)) = from.split_first() else { return Ok(()) };
            self.alone(first).await?;
            rest = after;
        }
        Ok(())
    }

    /// Runs statements in one transaction, or says which one failed.
    async fn together(&self, batch: &[(String, &Statement)]) -> Result<(), usize> {
        if batch.is_empty() {
            return Ok(());
        }
        let statements = batch.iter().map(|(sql, _)| sql.as_str());
        pipeline::together(self.owner, statements).await.map_err(|(failed, _)| failed)
    }

    async fn alone(&mut self, (sql, statement): &(String, &Statement)) -> Result<(), Error> {
        let mut outcome = pipeline::one(self.owner, sql).await;
        if outcome.is_err() && treatment(statement) == Treatment::ForeignKey {
            // Partitioned tables could not have such constraints before 18.
            outcome = pipeline::one(self.owner, &statement.text).await;
        }
        self.told(statement, outcome)
    }

    /// Attaches a run of partitions, those of large tables all at once.
    async fn attach(&mut self, statements: &'a [Statement], attachments: &[Attachment]) -> Result<(), Error> {
        let mut by_parent: BTreeMap<(bool, &str), Vec<&Attachment>> = BTreeMap::new();
        for attachment in attachments {
            by_parent.entry((attachment.is_index, &attachment.parent)).or_default().push(attachment);
        }
        by_parent.retain(|_, partitions| partitions.len() >= attach::MANY);
        let mut left: Vec<&Attachment> = Vec::new();
        if !by_parent.is_empty() {
            self.flush().await?;
        }
        for partitions in by_parent.values() {
            left.extend(attach::many(partitions, self.owner, self.superuser, self.major).await?);
        }
        for (statement, attachment) in statements.iter().zip(attachments) {
            let done = by_parent.contains_key(&(attachment.is_index, attachment.parent.as_str()))
                && !left.iter().any(|l| std::ptr::eq(*l, attachment));
            if !done {
                self.statement(statement).await?;
            }
        }
        Ok(())
    }

    fn told(
        &mut self,
        statement: &Statement,
        outcome: Result<(), tokio_postgres::Error>,
    ) -> Result<(), Error> {
        let Err(error) = outcome else { return Ok(()) };
        if self.owner.is_closed() || self.superuser.is_closed() {
            return Err(Error::sql("restoring the schema")(error));
        }
        // The schema "public" is there from the beginning.
        if error.code() != Some(&tokio_postgres::error::SqlState::DUPLICATE_SCHEMA) {
            let (message, _) = explain(&error);
            if statement.words.starts_with(&["create".to_owned(), "extension".to_owned()]) {
                self.missing_extensions.push(extension_name(&statement.text).to_owned());
            }
            self.failures.push(describe(statement, &message));
        }
        Ok(())
    }
}

async fn as_superuser(client: &Client, statement: &Statement) -> Result<(), tokio_postgres::Error> {
    pipeline::one(client, &statement.text).await?;
    if statement.words.iter().any(|w| w == "extension") {
        // Foreign tables are planned without connecting anywhere.
        client
            .batch_execute(
                "DO /* pgwright:schema_grant */ $$
                 DECLARE wrapper text;
                 BEGIN
                     FOR wrapper IN SELECT fdwname FROM pg_catalog.pg_foreign_data_wrapper LOOP
                         EXECUTE pg_catalog.format('GRANT USAGE ON FOREIGN DATA WRAPPER %I TO PUBLIC', wrapper);
                     END LOOP;
                 END $$",
            )
            .await?;
    }
    Ok(())
}

fn treatment(statement: &Statement) -> Treatment {
    let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
    let has = |pair: [&str; 2]| words.windows(2).any(|w| w == pair);
    match words.as_slice() {
        ["set" | "reset", ..] => Treatment::Setting,
        ["select", "pg_catalog", "set_config", ..] => Treatment::Setting,
        ["select", "pg_catalog", "setval", ..] => Treatment::LeaveOut,
        ["grant" | "revoke" | "comment" | "security", ..] => Treatment::LeaveOut,
        ["create", "extension", ..]
        | ["create", "operator", "class" | "family", ..]
        | ["alter", "operator", "family", ..] => Treatment::AsSuperuser,
        ["create" | "alter", kind, ..]
            if [
                "trigger",
                "event",
                "policy",
                "publication",
                "subscription",
                "role",
                "user",
                "group",
                "database",
            ]
            .contains(kind) =>
        {
            Treatment::LeaveOut
        }
        ["create", "constraint" | "tablespace", ..] | ["create", "or", "replace", "trigger", ..] => {
            Treatment::LeaveOut
        }
        ["alter", "default" | "system" | "tablespace", ..] => Treatment::LeaveOut,
        ["alter", "table", .., "trigger", _] | ["alter", "table", .., "trigger"]
            if has(["disable", "trigger"])
                || has(["enable", "trigger"])
                || has(["always", "trigger"])
                || has(["replica", "trigger"]) =>
        {
            Treatment::LeaveOut
        }
        ["alter", .., "owner", "to"] | ["alter", .., "owner", "to", _] => Treatment::LeaveOut,
        ["alter", "table", ..] if has(["foreign", "key"]) && !has(["not", "valid"]) => Treatment::ForeignKey,
        ["create", "view", ..]
        | ["create", "or", "replace", "view", ..]
        | ["create", "recursive", "view", ..]
        | ["create", "materialized", "view", ..] => Treatment::View,
        ["create" | "alter", ..] => Treatment::AsOwner,
        _ => Treatment::Refuse,
    }
}

fn describe(statement: &Statement, message: &str) -> String {
    let words: Vec<&str> = statement.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", "extension", ..] => {
            let name = extension_name(&statement.text);
            format!(
                "Extension {name} is not available to the local server ({message}): tables that use its types are \
                 missing there. Install the package that brings it for the local PostgreSQL."
            )
        }
        _ => format!("The local server could not run \"{}\": {message}.", head(&statement.text)),
    }
}

/// The name in `CREATE EXTENSION IF NOT EXISTS name WITH SCHEMA …`, quoted as it was.
fn extension_name(text: &str) -> &str {
    text.split_whitespace()
        .skip(2)
        .find(|w| !["if", "not", "exists"].contains(&w.to_ascii_lowercase().as_str()))
        .unwrap_or_default()
}

/// The beginning of a statement, on one line.
fn head(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_of_a_dump_has_its_treatment() {
        use Treatment::*;
        for (sql, expected) in [
            ("SET statement_timeout = 0", Setting),
            ("SELECT pg_catalog.set_config('search_path', '', false)", Setting),
            ("SELECT pg_read_file('/etc/passwd')", Refuse),
            ("COPY t TO PROGRAM 'sh'", Refuse),
            ("DO $$ BEGIN END $$", Refuse),
            ("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public", AsSuperuser),
            ("COMMENT ON EXTENSION pg_trgm IS 'x'", LeaveOut),
            ("CREATE TABLE \"My Schema\".\"trigger\" (a int)", AsOwner),
            ("ALTER TABLE \"My Schema\".t OWNER TO app", LeaveOut),
            ("ALTER TABLE \"My Schema\".t OWNER TO \"App\"", LeaveOut),
            ("ALTER FUNCTION public.f(integer) OWNER TO app", LeaveOut),
            ("ALTER TABLE ONLY public.a ADD CONSTRAINT b FOREIGN KEY (c) REFERENCES public.d(e)", ForeignKey),
            ("ALTER TABLE public.a ADD CONSTRAINT b FOREIGN KEY (c) REFERENCES d(e) NOT VALID", AsOwner),
            ("ALTER TABLE public.t DISABLE TRIGGER audit", LeaveOut),
            ("CREATE TRIGGER audit BEFORE INSERT ON t EXECUTE FUNCTION f()", LeaveOut),
            ("CREATE POLICY p ON t USING (true)", LeaveOut),
            ("CREATE OR REPLACE VIEW v AS SELECT 1", View),
            ("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH NO DATA", View),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT ALL ON TABLES TO b", LeaveOut),
            ("CREATE INDEX i ON t USING btree (a)", AsOwner),
        ] {
            let parsed = statements(sql);
            assert_eq!(treatment(&parsed[0]), expected, "{sql}");
        }
    }

    #[test]
    fn a_missing_extension_is_named() {
        let parsed = statements("CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public");
        assert!(describe(&parsed[0], "no").starts_with("Extension \"uuid-ossp\" is not available"));
    }
}
