//! A database with tables whose names are hostile, and what the tests ask about it.

use std::process::Command;
use std::time::Duration;

use apply::{ApplyPlan, Error, Event, ExecuteOptions, Run};
use cluster::Server;
use model::{
    Benefit, Change, Confidence, IndexDefinition, IndexKey, LockLevel, Price, QualifiedName, Recommendation,
};
use postgres::{Environment, Target};
use tokio_postgres::Client;

/// A database of one test.
pub struct World {
    pub url: String,
    pub target: Target,
    pub client: Client,
    pub major: u32,
    pub server_program: Option<std::path::PathBuf>,
}

pub const SCHEMA: &str = r#"
    create schema "My Schema";
    create table "My Schema"."a""b.c" (id bigint primary key, "Größe" integer, "select" text, stamp timestamptz);
    insert into "My Schema"."a""b.c"
        select n, n % 100, 'text ' || n, '2026-01-01'::timestamptz + n * interval '1 minute'
        from generate_series(1, 5000) n;
    create table plain (id integer primary key, x integer, y text);
    insert into plain select n, n % 50, 'y' || n from generate_series(1, 2000) n;
    create index plain_y_idx on plain (y);
"#;

impl World {
    pub async fn on(server: &Server) -> Self {
        let database = testkit::database(server).await;
        let client = testkit::connect(&database.url).await;
        client.batch_execute(SCHEMA).await.unwrap();
        let target = target(&database.url);
        let server_program = server.binaries().program("pg_dump");
        Self { url: database.url, target, client, major: server.binaries().major, server_program }
    }

    pub async fn another_client(&self) -> Client {
        testkit::connect(&self.url).await
    }

    pub async fn sql(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The value of a query, as text.
    pub async fn value(&self, sql: &str) -> String {
        let sql = format!("select coalesce(({sql})::text, '')");
        self.client.query_one(&sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
    }

    /// Every index by name and definition, with a mark on the invalid ones.
    pub async fn indexes(&self) -> String {
        self.value(
            "select string_agg(format('%s%s', case when indisvalid then '' else 'INVALID ' end, \
               pg_get_indexdef(indexrelid)), E'\\n' order by pg_get_indexdef(indexrelid)) \
             from pg_index i join pg_class c on c.oid = indexrelid \
             where relnamespace in (select oid from pg_namespace where nspname in ('public', 'My Schema', 'Other'))",
        )
        .await
    }

    /// Everything in the catalog of user schemas that an index could change, for the versions whose
    /// `pg_dump` this machine lacks.
    async fn catalog(&self) -> String {
        let relations = self
            .value(
                "select string_agg(format('%s %I.%I %s %s', relkind, nspname, relname, reloptions, relacl), \
                   E'\\n' order by nspname, relname) \
                 from pg_class c join pg_namespace n on n.oid = relnamespace \
                 where nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'pgwright')",
            )
            .await;
        format!("{relations}\n{}", self.indexes().await)
    }

    /// `pg_dump --schema-only` without schema `pgwright`, and the catalog's own account.
    pub async fn schema_dump(&self) -> String {
        let mut dump = self.catalog().await;
        if let Some(program) = self.pg_dump() {
            let output = Command::new(program)
                .args(["--schema-only", "--exclude-schema=pgwright", "--dbname", &self.url])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("CREATE TABLE public.plain"));
            // Newer minor versions fence the dump with a random key.
            dump.extend(text.lines().filter(|l| !l.contains("restrict ")).flat_map(|l| [l, "\n"]));
        }
        dump
    }

    /// A `pg_dump` that is not older than the server.
    fn pg_dump(&self) -> Option<std::path::PathBuf> {
        if self.server_program.is_some() {
            return self.server_program.clone();
        }
        testkit::versions().into_iter().filter(|b| b.major >= self.major).find_map(|b| b.program("pg_dump"))
    }
}

pub fn target(url: &str) -> Target {
    Target::parse(Some(url), &Environment::default()).unwrap()
}

pub fn hostile_table() -> QualifiedName {
    QualifiedName::new("My Schema", "a\"b.c")
}

pub fn plain_table() -> QualifiedName {
    QualifiedName::new("public", "plain")
}

pub fn index(table: QualifiedName, name: &str, columns: &[&str]) -> IndexDefinition {
    IndexDefinition::btree(table, name, columns.iter().map(|c| IndexKey::column(*c)).collect())
}

pub fn create(table: QualifiedName, name: &str, columns: &[&str]) -> Change {
    Change::CreateIndex { index: index(table, name, columns) }
}

pub fn drop_plain_y() -> Change {
    Change::DropIndex {
        name: QualifiedName::new("public", "plain_y_idx"),
        table: plain_table(),
        definition: "CREATE INDEX plain_y_idx ON public.plain USING btree (y)".into(),
    }
}

pub fn recommendation(id: &str, changes: Vec<Change>) -> Recommendation {
    Recommendation {
        id: id.into(),
        title: format!("recommendation {id}"),
        resolves: vec![format!("check:{id}")],
        changes,
        sql: Vec::new(),
        undo_sql: Vec::new(),
        benefit: Benefit::default(),
        price: Price::default(),
        lock: LockLevel::ShareUpdateExclusive,
        lock_duration: "For the time of the build; it stops nobody.".into(),
        reversible: true,
        confidence: Confidence::High,
        rationale: String::new(),
        verification: String::new(),
        statements: Vec::new(),
        rejected: Vec::new(),
    }
}

pub fn plan_of(id: &str, changes: Vec<Change>) -> ApplyPlan {
    apply::plan(&[recommendation(id, changes)])
}

/// Options whose waits suit a test.
pub fn quick() -> ExecuteOptions {
    ExecuteOptions {
        lock_timeout: Duration::from_millis(100),
        transaction_timeout: Duration::from_secs(20),
        // Generous, since others use the machine.
        max_lock: Duration::from_secs(2),
        tries: 3,
        backoff: Duration::from_millis(20),
        longest_backoff: Duration::from_millis(100),
        cleanup_timeout: Duration::from_millis(500),
        poll: Duration::from_millis(50),
        ..ExecuteOptions::default()
    }
}

pub async fn execute(world: &World, plan: &ApplyPlan, options: &ExecuteOptions) -> Result<Run, Error> {
    apply::execute(&world.target, plan, options, &mut |_| {}).await
}

/// The kind of an event, as it is serialized.
pub fn kind(event: &Event) -> String {
    serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned()
}

/// The error as the binary shows it.
pub fn shown(error: &Error) -> String {
    let part =
        |name: &str, text: Option<String>| text.map(|t| format!("\n  {name}: {t}")).unwrap_or_default();
    format!("error: {error}{}{}", part("detail", error.detail()), part("hint", error.hint()))
}
