//! Who answers "what would it cost if …"? The planner twin on this machine, or HypoPG on the user's
//! server. Commands ask either through the same [`CostModel`].

use cluster::Binaries;
use model::cost_model::{
    CandidateId, Combination, Configuration, CostError, CostModel, Planned, PlanningTimes, Registered,
};
use model::{IndexDefinition, QualifiedName, Snapshot, quote_identifier};
use postgres::{HypoPg, HypoPgOptions, SearchPath};
use twin::{Twin, TwinOptions};

use super::Context;
use super::context::SnapshotSource;
use crate::error::CommandError;

/// The engines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// A local server that plans as yours does and holds none of your rows.
    #[default]
    Twin,
    /// The extension HypoPG on your server: no local server programs are needed.
    Hypopg,
}

/// An engine at work.
pub enum Model {
    /// The planner twin.
    Twin(Box<Twin>),
    /// HypoPG on the user's server.
    HypoPg(Box<HypoPg>),
}

impl Model {
    /// Changes a setting of the session that plans and gives the value that it had.
    ///
    /// # Errors
    /// [`CostError::Statement`] when PostgreSQL refuses the name or the value.
    pub async fn set_planner_setting(&mut self, name: &str, value: &str) -> Result<String, CostError> {
        match self {
            Self::Twin(twin) => twin.set_planner_setting(name, value).await,
            Self::HypoPg(hypopg) => hypopg.set_planner_setting(name, value).await,
        }
    }

    /// The operator class that an unqualified name means.
    ///
    /// # Errors
    /// When the session fails.
    pub async fn operator_class(
        &self,
        access_method: &str,
        name: &str,
    ) -> Result<Option<QualifiedName>, CommandError> {
        Ok(match self {
            Self::Twin(twin) => twin.operator_class(access_method, name).await?,
            Self::HypoPg(hypopg) => hypopg.operator_class(access_method, name).await?,
        })
    }

    /// The collation that an unqualified name means.
    ///
    /// # Errors
    /// When the session fails.
    pub async fn collation(&self, name: &str) -> Result<Option<QualifiedName>, CommandError> {
        Ok(match self {
            Self::Twin(twin) => twin.collation(name).await?,
            Self::HypoPg(hypopg) => hypopg.collation(name).await?,
        })
    }

    /// Whether it can plan without an index that exists.
    pub fn hides_indexes(&self) -> bool {
        match self {
            Self::Twin(_) => true,
            Self::HypoPg(hypopg) => hypopg.hides_indexes(),
        }
    }
}

impl CostModel for Model {
    async fn register(&mut self, candidates: &[IndexDefinition]) -> Result<Vec<Registered>, CostError> {
        match self {
            Self::Twin(twin) => twin.register(candidates).await,
            Self::HypoPg(hypopg) => hypopg.register(candidates).await,
        }
    }

    async fn plan(&mut self, sql: &str, configuration: &Configuration) -> Result<Planned, CostError> {
        match self {
            Self::Twin(twin) => twin.plan(sql, configuration).await,
            Self::HypoPg(hypopg) => hypopg.plan(sql, configuration).await,
        }
    }

    async fn spelt_out(
        &mut self,
        candidates: &[CandidateId],
    ) -> Result<Vec<Option<IndexDefinition>>, CostError> {
        match self {
            Self::Twin(twin) => twin.spelt_out(candidates).await,
            Self::HypoPg(hypopg) => hypopg.spelt_out(candidates).await,
        }
    }

    fn learn_combinations(&mut self, known: &[Combination]) {
        match self {
            Self::Twin(twin) => twin.learn_combinations(known),
            Self::HypoPg(hypopg) => hypopg.learn_combinations(known),
        }
    }

    async fn plan_many(
        &mut self,
        requests: &[(&str, &Configuration)],
    ) -> Result<Vec<Result<Planned, CostError>>, CostError> {
        match self {
            Self::Twin(twin) => twin.plan_many(requests).await,
            Self::HypoPg(hypopg) => hypopg.plan_many(requests).await,
        }
    }

    async fn plan_generic(&mut self, sql: &str) -> Result<Planned, CostError> {
        match self {
            Self::Twin(twin) => twin.plan_generic(sql).await,
            Self::HypoPg(hypopg) => hypopg.plan_generic(sql).await,
        }
    }

    async fn time_planning(&mut self, sql: &str) -> Result<PlanningTimes, CostError> {
        match self {
            Self::Twin(twin) => twin.time_planning(sql).await,
            Self::HypoPg(hypopg) => hypopg.time_planning(sql).await,
        }
    }

    fn planner_calls(&self) -> u64 {
        match self {
            Self::Twin(twin) => twin.planner_calls(),
            Self::HypoPg(hypopg) => hypopg.planner_calls(),
        }
    }
}

impl Context {
    /// The snapshot that an engine needs: HypoPG has the schema on the server, so nothing is dumped.
    ///
    /// # Errors
    /// Fails when the file cannot be read or the server cannot be reached, and when HypoPG is to plan on a
    /// file.
    pub async fn snapshot_for(
        &self,
        engine: Engine,
        source: &SnapshotSource,
    ) -> Result<Snapshot, CommandError> {
        if engine == Engine::Twin {
            return self.snapshot(source).await;
        }
        if source.snapshot.is_some() {
            return Err(CommandError::new("a snapshot file cannot be planned with HypoPG")
                .detail("HypoPG plans on the server itself.")
                .hint("Leave --what-if hypopg out: the planner twin is made for snapshot files."));
        }
        let target = self.target()?;
        let session = self.connect(&target).await?;
        let spinner = self.printer.spinner("reading the catalog and the statistics");
        let lock_timeout = self.settings.lock_timeout;
        let snapshot = postgres::snapshot::read_without_schema(&session, lock_timeout).await;
        spinner.finish_and_clear();
        let mut snapshot = snapshot?;
        snapshot.notes.retain(|note| note != postgres::snapshot::NOT_DUMPED);
        Ok(snapshot)
    }

    /// Starts an engine on a snapshot; what it cannot do is told as notes.
    ///
    /// # Errors
    /// Fails when no server programs are there for a twin, or HypoPG is not on the server.
    pub async fn start_model(&self, engine: Engine, snapshot: &Snapshot) -> Result<Model, CommandError> {
        self.start_with(engine, snapshot, TwinOptions::default()).await
    }

    /// Starts an engine for a search through many plans of a snapshot's statements.
    ///
    /// # Errors
    /// As [`Self::start_model`].
    pub async fn start_search_model(
        &self,
        engine: Engine,
        snapshot: &Snapshot,
    ) -> Result<Model, CommandError> {
        self.start_with(engine, snapshot, TwinOptions::default().for_search(snapshot)).await
    }

    async fn start_with(
        &self,
        engine: Engine,
        snapshot: &Snapshot,
        options: TwinOptions,
    ) -> Result<Model, CommandError> {
        match engine {
            Engine::Twin => {
                let found = Binaries::discover(&self.search());
                let (binaries, warning) = Twin::choose_binaries(snapshot, &found)?;
                if let Some(warning) = warning {
                    self.printer.status(&format!("warning: {warning}"));
                }
                Ok(Model::Twin(Box::new(self.build_twin_with(snapshot, &binaries, options).await?)))
            }
            Engine::Hypopg => {
                let options = HypoPgOptions {
                    lock_timeout: self.settings.lock_timeout,
                    search_path: search_path_of(snapshot),
                    ..HypoPgOptions::default()
                };
                let connected = HypoPg::connect(&self.target()?, &options).await;
                let hypopg = connected.map_err(|e| match e {
                    postgres::Error::ExtensionMissing { .. } => {
                        CommandError::from(e).detail("HypoPG is an extension of the user's own server.").hint(
                            "Run CREATE EXTENSION hypopg in this database (on Debian: apt install \
                             postgresql-NN-hypopg), or leave --what-if hypopg out for the planner twin.",
                        )
                    }
                    other => other.into(),
                })?;
                for note in hypopg.notes() {
                    self.printer.status(&format!("note: {note}"));
                }
                Ok(Model::HypoPg(Box::new(hypopg)))
            }
        }
    }

    /// Builds a twin with certain server programs.
    ///
    /// # Errors
    /// Fails when the twin does not start.
    pub async fn build_twin(&self, snapshot: &Snapshot, binaries: &Binaries) -> Result<Twin, CommandError> {
        self.build_twin_with(snapshot, binaries, TwinOptions::default()).await
    }

    async fn build_twin_with(
        &self,
        snapshot: &Snapshot,
        binaries: &Binaries,
        options: TwinOptions,
    ) -> Result<Twin, CommandError> {
        let spinner = self.printer.spinner("building the planner twin");
        let template_dir = self.settings.cache_dir().map(|dir| dir.join("clusters"));
        let built = Twin::build(snapshot, binaries, TwinOptions { template_dir, ..options }).await;
        spinner.finish_and_clear();
        let twin = built?;
        for note in twin.notes() {
            self.printer.status(&format!("note: {note}"));
        }
        Ok(twin)
    }
}

/// The path of the roles that ran the statements, and behind it every schema, because sessions may set
/// another path than their role has.
fn search_path_of(snapshot: &Snapshot) -> SearchPath {
    let user = quote_identifier(&snapshot.server.user);
    let path = snapshot.settings.get("search_path").filter(|s| s.source != "session");
    let mut path = path.map_or("\"$user\", public", |s| s.setting.as_str()).replace("\"$user\"", &user);
    let schemas: std::collections::BTreeSet<&str> =
        snapshot.relations.iter().map(|r| r.name.schema.as_str()).collect();
    for schema in schemas {
        path.push_str(if path.is_empty() { "" } else { ", " });
        path.push_str(&quote_identifier(schema));
    }
    SearchPath::Set(path)
}
