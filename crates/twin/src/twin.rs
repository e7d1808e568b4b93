//! The twin as its users see it: built from a snapshot, told of candidates, asked for plans.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use cluster::{Binaries, Server};
use model::QualifiedName;
use model::change::IndexDefinition;
use model::cost_model::{
    CandidateId, Combination, Configuration, CostError, CostModel, Planned, PlanningTimes, Registered,
};
use model::snapshot::{Relation, RelationKind, Snapshot};
use schema::{explain, pipeline, settings};
use serde_json::Value;
use tokio_postgres::types::Oid;
use tokio_postgres::{Client, Row};

use crate::clock::{self, Clock};
use crate::error::Error;
use crate::session::{As, DATABASE, connect};
use crate::sharing::{scans, shared_out};
use crate::size::Combinations;
use crate::switching::{self, Step, Switches};

/// How many statements are worth more sessions: a new one learns the catalog first, which takes as long as some plans.
const WORTH_MORE_SESSIONS: usize = 8;

/// How many statements are worth a second server: building it takes as long as some hundred plans.
const FEWEST_STATEMENTS_FOR_TWO: usize = 10;

/// Beyond this number of relations a second server takes too much memory.
const MOST_RELATIONS_FOR_TWO: usize = 300;

/// How a twin is built.
#[derive(Clone, Debug)]
pub struct TwinOptions {
    /// Which time statements are planned at.
    pub clock: Clock,
    /// Where clusters made by `initdb` are kept to be copied; building is a second slower without.
    pub template_dir: Option<PathBuf>,
    /// After how long planning a statement is given up.
    pub statement_timeout: Duration,
    /// Where the twin's temporary directory is made; `None` means in memory where there is room for it, else
    /// in `/tmp`.
    pub parent_dir: Option<PathBuf>,
    /// How many sessions plan when there are many statements to plan; one at least.
    pub sessions: usize,
    /// How many servers plan, each with all of the twin; one or two. What differs in its indexes cannot be planned by
    /// two sessions of one server at once. The second takes as much memory again.
    pub servers: usize,
}

impl Default for TwinOptions {
    fn default() -> Self {
        Self {
            clock: Clock::Snapshot,
            template_dir: None,
            statement_timeout: Duration::from_secs(10),
            parent_dir: None,
            sessions: std::thread::available_parallelism().map_or(1, |n| n.get().min(4)),
            servers: 1,
        }
    }
}

impl TwinOptions {
    /// What suits a search through many plans of a snapshot's statements: a second server, where there is a core for it,
    /// and a twin that is no large one.
    #[must_use]
    pub fn for_search(self, snapshot: &Snapshot) -> Self {
        let worth_it = self.sessions > 1
            && snapshot.statements.len() >= FEWEST_STATEMENTS_FOR_TWO
            && snapshot.relations.len() <= MOST_RELATIONS_FOR_TWO;
        Self { servers: if worth_it { 2 } else { 1 }, ..self }
    }
}

/// A relation of the twin.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) oid: Oid,
    /// Its file; `None` for what has none.
    pub(crate) path: Option<PathBuf>,
    pub(crate) pages: u64,
    pub(crate) relpages: i32,
    pub(crate) reltuples: f32,
    pub(crate) relallvisible: i32,
    pub(crate) relation: Relation,
    /// How many combinations of some columns' values there are.
    pub(crate) combinations: Vec<Combinations>,
}

/// A candidate that was created.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) oid: Oid,
    pub(crate) definition: IndexDefinition,
    pub(crate) bytes: model::Bytes,
}

/// A local PostgreSQL that plans as the snapshot's server would. Dropping it stops the server.
pub struct Twin {
    pub(crate) server: Server,
    /// The superuser's session, which writes catalogs.
    pub(crate) admin: Client,
    /// The session that plans.
    pub(crate) planner: Client,
    /// More of them, for many statements at once.
    pub(crate) helpers: Vec<Client>,
    pub(crate) options: TwinOptions,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) stops_clock: bool,
    pub(crate) tables: BTreeMap<QualifiedName, Table>,
    /// The partitions of each partitioned table, one level down.
    pub(crate) partitions: HashMap<QualifiedName, Vec<QualifiedName>>,
    pub(crate) switches: Switches,
    pub(crate) candidates: Vec<Candidate>,
    /// How many indexes have been tried: their names are numbered.
    pub(crate) tried: usize,
    /// Names of candidates in the catalog, and under which they are shown.
    pub(crate) shown_names: HashMap<String, String>,
    pub(crate) calls: u64,
    /// How many times the first plan of each statement scans a table.
    pub(crate) scans: HashMap<u64, usize>,
    /// The same twin on a server of its own, to plan beside this one.
    pub(crate) companion: Option<Box<Twin>>,
    /// Extensions of the source that this machine does not have.
    pub(crate) missing_extensions: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Twin {
    /// Builds the twin of a snapshot.
    ///
    /// # Errors
    /// When the server does not start or a file cannot be extended. What of the schema cannot be
    /// restored is not an error but a note.
    pub async fn build(
        snapshot: &Snapshot,
        binaries: &Binaries,
        options: TwinOptions,
    ) -> Result<Self, Error> {
        if options.servers < 2 {
            return crate::build::build(snapshot, binaries, options).await;
        }
        let of_companion = TwinOptions { servers: 1, ..options.clone() };
        let (first, second) = tokio::join!(
            crate::build::build(snapshot, binaries, options),
            crate::build::build(snapshot, binaries, of_companion)
        );
        // One plans as well as two, only not as quickly.
        Ok(Self { companion: second.ok().map(Box::new), ..first? })
    }

    /// Chooses among local installations: the source's own major version, else the nearest newer
    /// one, which understands its schema, else the nearest older one; with a sentence of warning
    /// when it is not the same.
    ///
    /// # Errors
    /// [`Error::NoBinaries`] when there are none.
    pub fn choose_binaries(
        snapshot: &Snapshot,
        available: &[Binaries],
    ) -> Result<(Binaries, Option<String>), Error> {
        let source = snapshot.server.major();
        let distance = |b: &&Binaries| (b.major < source, b.major.abs_diff(source));
        let chosen = available.iter().min_by_key(distance).ok_or(Error::NoBinaries)?.clone();
        let warning = (chosen.major != source).then(|| {
            format!(
                "The server is PostgreSQL {source} and plans are made by PostgreSQL {}, the nearest version on this \
                 machine: costs may differ. Install the server package of PostgreSQL {source} for the same plans.",
                chosen.major
            )
        });
        Ok((chosen, warning))
    }

    /// What the twin could not take over from the snapshot, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The major version that plans.
    pub fn major(&self) -> u32 {
        self.server.binaries().major
    }

    /// The connection URI of the twin's database, for a look at it.
    pub fn url(&self) -> String {
        self.server.url(DATABASE)
    }

    /// The definition of a candidate.
    pub fn candidate(&self, id: CandidateId) -> Option<&IndexDefinition> {
        self.candidates.get(id.0 as usize).map(|c| &c.definition)
    }

    /// The predicted size of a candidate.
    pub fn candidate_bytes(&self, id: CandidateId) -> Option<model::Bytes> {
        self.candidates.get(id.0 as usize).map(|c| c.bytes)
    }

    /// Changes a setting of the planning session and gives the value that it had.
    ///
    /// # Errors
    /// [`CostError::Statement`] when PostgreSQL refuses the name or the value.
    pub async fn set_planner_setting(&mut self, name: &str, value: &str) -> Result<String, CostError> {
        const GET: &str = "SELECT /* pgwright:twin_setting */ pg_catalog.current_setting($1)";
        const SET: &str = "SELECT /* pgwright:twin_setting */ pg_catalog.set_config($1, $2, false)";
        let refused = |e: tokio_postgres::Error| match e.as_db_error() {
            Some(_) => {
                let (message, sqlstate) = explain(&e);
                CostError::Statement { message, sqlstate }
            }
            None => Error::sql("changing a setting")(e).into(),
        };
        // What plans differently from then on plans alone.
        self.companion = None;
        let row = self.planner.query_one(GET, &[&name]).await.map_err(refused)?;
        let before: String = row.try_get(0).map_err(refused)?;
        self.planner.execute(SET, &[&name, &value]).await.map_err(refused)?;
        // A session that is opened anew has it too.
        self.settings.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.settings.push((name.to_owned(), value.to_owned()));
        Ok(before)
    }

    /// Stops the server and removes its files.
    ///
    /// # Errors
    /// When the server does not stop.
    pub async fn stop(self) -> Result<(), Error> {
        let mut servers = Vec::new();
        let mut next = Some(Box::new(self));
        while let Some(twin) = next {
            let Self { server, admin, planner, helpers, companion, .. } = *twin;
            drop((admin, planner, helpers));
            servers.push(server);
            next = companion;
        }
        let stop = || servers.into_iter().try_for_each(Server::stop);
        match tokio::task::spawn_blocking(stop).await {
            Ok(stopped) => Ok(stopped?),
            // The task panicked; the servers were dropped and so stopped.
            Err(_) => Ok(()),
        }
    }

    pub(crate) fn is_partitioned(&self, table: &QualifiedName) -> bool {
        self.tables.get(table).is_some_and(|t| t.relation.kind == RelationKind::PartitionedTable)
    }

    /// How much work a statement is beside others: how many tables it joins, as far as that is known.
    fn work_of(&self, sql: &str) -> usize {
        self.scans.get(&switching::statement_number(sql)).copied().unwrap_or(1).max(1)
    }

    /// A table and all its partitions, those of partitions too.
    pub(crate) fn with_partitions(&self, table: &QualifiedName) -> Vec<QualifiedName> {
        let mut found = vec![table.clone()];
        let mut at = 0;
        while let Some(parent) = found.get(at) {
            let children = self.partitions.get(parent).cloned().unwrap_or_default();
            found.extend(children);
            at += 1;
        }
        found
    }

    /// Makes sure that there is a planning session: a statement may have ended it.
    pub(crate) async fn reopen_planner(&mut self) -> Result<(), Error> {
        if self.planner.is_closed() {
            let (planner, _) = Self::connect_planner(&self.server, &self.settings, &self.options).await?;
            self.planner = planner;
        }
        Ok(())
    }

    /// Opens the planning session anew.
    pub(crate) async fn connect_planner(
        server: &Server,
        settings: &[(String, String)],
        options: &TwinOptions,
    ) -> Result<(Client, Vec<String>), Error> {
        let planner = connect(server, DATABASE, As::Owner).await?;
        let unknown = settings::apply(&planner, settings).await;
        let timeout = options.statement_timeout.as_millis().to_string();
        let own = [
            ("statement_timeout", timeout.as_str()),
            // A function that is evaluated while planning shall not write.
            ("default_transaction_read_only", "on"),
        ];
        for (name, value) in own {
            planner
                .execute(
                    "SELECT /* pgwright:twin_setting */ pg_catalog.set_config($1, $2, false)",
                    &[&name, &value],
                )
                .await
                .map_err(Error::sql("setting up the planning session"))?;
        }
        Ok((planner, unknown))
    }

    /// Plans a statement with these indexes flipped, those that it does not scan left as they are.
    async fn plan_flipped(&mut self, sql: &str, wanted: &BTreeSet<Oid>) -> Result<Planned, CostError> {
        let statement = switching::statement_number(sql);
        loop {
            let step = self.switches.step(statement, wanted);
            let change = match &step {
                Step::Switch(change) => change,
                Step::Learn => &BTreeSet::new(),
            };
            self.reopen_planner().await?;
            let planned = self.switch_and_explain(change, sql).await?;
            let nothing_new = self.switches.learn(statement, &planned.explain);
            // A plan may scan what the plans before it did not: without a unique index a join comes back.
            let whole = matches!(step, Step::Switch(_))
                && (nothing_new || self.switches.step(statement, wanted) == Step::Switch(BTreeSet::new()));
            if whole {
                return Ok(planned);
            }
        }
    }

    /// Both travel together: waiting for the switch would take as long as a small plan.
    async fn switch_and_explain(&mut self, change: &BTreeSet<Oid>, sql: &str) -> Result<Planned, CostError> {
        self.calls += 1;
        let switch = (!change.is_empty()).then(|| self.switches.sql(change));
        let planner = &self.planner;
        let request = explain_sql(sql);
        let switched = async {
            match &switch {
                Some(sql) => planner.batch_execute(sql).await,
                None => Ok(()),
            }
        };
        let (switched, explained) = pipeline::two(switched, planner.query_typed(&request, &[])).await;
        switched.map_err(Error::sql("switching indexes"))?;
        self.switches.switched(change);
        self.read_plan(explained)
    }

    /// Plans statements with the same indexes flipped, several at a time.
    async fn plan_group(
        &mut self,
        statements: &[&str],
        wanted: &BTreeSet<Oid>,
    ) -> Result<Vec<Result<Planned, CostError>>, CostError> {
        let numbers: Vec<u64> = statements.iter().map(|sql| switching::statement_number(sql)).collect();
        let mut change = BTreeSet::new();
        // Those that must be learnt first are planned one by one.
        let mut ready = Vec::new();
        for (at, number) in numbers.iter().enumerate() {
            if let Step::Switch(of_statement) = self.switches.step(*number, wanted) {
                change.extend(of_statement);
                ready.push(at);
            }
        }
        self.reopen_planner().await?;
        if !change.is_empty() {
            let sql = self.switches.sql(&change);
            self.planner.batch_execute(&sql).await.map_err(Error::sql("switching indexes"))?;
            self.switches.switched(&change);
        }
        self.open_helpers(ready.len()).await?;
        self.calls += ready.len() as u64;
        let sessions: Vec<&Client> = std::iter::once(&self.planner).chain(&self.helpers).collect();
        let requests: Vec<String> = ready.iter().map(|at| explain_sql(statements[*at])).collect();
        let sent = requests.iter().zip(sessions.iter().cycle()).map(|(sql, s)| s.query_typed(sql, &[]));
        let answers = pipeline::all(sent).await;
        let mut plans: Vec<Option<Result<Planned, CostError>>> = statements.iter().map(|_| None).collect();
        for (at, answer) in ready.into_iter().zip(answers) {
            let planned = self.read_plan(answer);
            let whole = match &planned {
                Ok(planned) => {
                    self.switches.learn(numbers[at], &planned.explain)
                        || self.switches.step(numbers[at], wanted) == Step::Switch(BTreeSet::new())
                }
                Err(_) => true,
            };
            plans[at] = whole.then_some(planned);
        }
        let mut all = Vec::with_capacity(statements.len());
        for (sql, planned) in statements.iter().zip(plans) {
            all.push(match planned {
                Some(planned) => planned,
                None => self.plan_flipped(sql, wanted).await,
            });
        }
        Ok(all)
    }

    /// Plans statements one after another, each with its own indexes flipped. The next one is sent before the answer
    /// to the last has come, so that the server does not wait while an answer is read.
    async fn plan_in_turn(
        &mut self,
        requests: &[(&str, &BTreeSet<Oid>)],
    ) -> Result<Vec<Result<Planned, CostError>>, CostError> {
        struct Sent {
            at: usize,
            statement: u64,
            switch: Option<String>,
            explain: String,
            /// What differs from what is wanted, on tables that the statement is not known to scan.
            left: BTreeSet<Oid>,
        }
        self.reopen_planner().await?;
        let mut sent = Vec::new();
        for (at, (sql, wanted)) in requests.iter().enumerate() {
            let statement = switching::statement_number(sql);
            // What must be learnt first is planned by itself.
            let Step::Switch(change) = self.switches.step(statement, wanted) else { continue };
            let switch = (!change.is_empty()).then(|| self.switches.sql(&change));
            self.switches.switched(&change);
            let left = self.switches.differing(wanted);
            sent.push(Sent { at, statement, switch, explain: explain_sql(sql), left });
        }
        self.calls += sent.len() as u64;
        let planner = &self.planner;
        let answers = pipeline::all(sent.iter().map(|request| {
            let switched = async move {
                match &request.switch {
                    Some(sql) => planner.batch_execute(sql).await,
                    None => Ok(()),
                }
            };
            pipeline::two(switched, planner.query_typed(&request.explain, &[]))
        }))
        .await;
        let mut plans: Vec<Option<Result<Planned, CostError>>> = requests.iter().map(|_| None).collect();
        for (request, (switched, explained)) in sent.into_iter().zip(answers) {
            switched.map_err(Error::sql("switching indexes"))?;
            let planned = self.read_plan(explained);
            let whole = match &planned {
                Ok(planned) => {
                    self.switches.learn(request.statement, &planned.explain)
                        || !request.left.iter().any(|index| self.switches.matters(request.statement, *index))
                }
                Err(_) => true,
            };
            plans[request.at] = whole.then_some(planned);
        }
        let mut all = Vec::with_capacity(requests.len());
        for ((sql, wanted), planned) in requests.iter().zip(plans) {
            all.push(match planned {
                Some(planned) => planned,
                None => self.plan_flipped(sql, wanted).await,
            });
        }
        Ok(all)
    }

    /// Opens more planning sessions, when that many statements are worth it.
    async fn open_helpers(&mut self, statements: usize) -> Result<(), Error> {
        self.helpers.retain(|helper| !helper.is_closed());
        if statements >= WORTH_MORE_SESSIONS {
            while self.helpers.len() + 1 < self.options.sessions {
                let (helper, _) = Self::connect_planner(&self.server, &self.settings, &self.options).await?;
                self.helpers.push(helper);
            }
        }
        Ok(())
    }

    /// Makes a plan of what `EXPLAIN` answered.
    pub(crate) fn read_plan(
        &self,
        answer: Result<Vec<Row>, tokio_postgres::Error>,
    ) -> Result<Planned, CostError> {
        let rows = answer.map_err(|e| match e.as_db_error() {
            Some(_) => {
                let (message, sqlstate) = explain(&e);
                CostError::Statement {
                    message: self.with_what_is_missing(message, sqlstate.as_deref()),
                    sqlstate,
                }
            }
            None => CostError::Model { message: format!("the twin's server closed the connection: {e}") },
        })?;
        let not_a_plan = || CostError::Statement { message: "it has no plan".into(), sqlstate: None };
        let json: Value = rows.first().and_then(|r| r.try_get(0).ok()).ok_or_else(not_a_plan)?;
        let mut explain = match json {
            Value::Array(mut plans) if !plans.is_empty() => plans.swap_remove(0),
            _ => return Err(not_a_plan()),
        };
        let total_cost =
            explain.pointer("/Plan/Total Cost").and_then(Value::as_f64).ok_or_else(not_a_plan)?;
        self.rename(&mut explain);
        Ok(Planned { total_cost, explain })
    }

    /// A table, type or function may not be there because its extension is not.
    fn with_what_is_missing(&self, message: String, sqlstate: Option<&str>) -> String {
        // undefined_table, undefined_column, undefined_object, undefined_function
        let undefined = matches!(sqlstate, Some("42P01" | "42703" | "42704" | "42883"));
        match self.missing_extensions.as_slice() {
            [_, ..] if undefined => {
                let missing = self.missing_extensions.join(", ");
                format!("{message}; the planner twin lacks what extension {missing} brings")
            }
            _ => message,
        }
    }

    /// Shows candidates under their own names.
    fn rename(&self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, member) in members {
                    match member {
                        Value::String(name) if key == "Index Name" => {
                            if let Some(shown) = self.shown_names.get(name) {
                                name.clone_from(shown);
                            }
                        }
                        other => self.rename(other),
                    }
                }
            }
            Value::Array(elements) => elements.iter_mut().for_each(|e| self.rename(e)),
            _ => {}
        }
    }
}

/// The extended protocol takes one statement only, so nothing can hide behind a semicolon.
fn explain_sql(sql: &str) -> String {
    format!("EXPLAIN (FORMAT JSON) {sql}")
}

impl CostModel for Twin {
    async fn register(&mut self, candidates: &[IndexDefinition]) -> Result<Vec<Registered>, CostError> {
        let mut companion = self.companion.take();
        let others = async {
            match &mut companion {
                Some(twin) => Some(crate::candidates::register(twin, candidates).await),
                None => None,
            }
        };
        let (own, others) = tokio::join!(crate::candidates::register(self, candidates), others);
        let own = own?;
        // What does not know the same candidates by the same numbers is not asked any more.
        self.companion = companion.filter(|_| others.is_some_and(|others| others.is_ok_and(|o| o == own)));
        Ok(own)
    }

    async fn spelt_out(
        &mut self,
        candidates: &[CandidateId],
    ) -> Result<Vec<Option<IndexDefinition>>, CostError> {
        Ok(crate::spelling::spelt_out(self, candidates).await?)
    }

    fn learn_combinations(&mut self, known: &[Combination]) {
        if let Some(twin) = &mut self.companion {
            twin.learn_combinations(known);
        }
        for Combination { table, columns, distinct } in known {
            let Some(table) = self.tables.get_mut(table) else { continue };
            let number = |name: &String| {
                table.relation.column(name).map(|column| column.attnum).filter(|attnum| *attnum != 0)
            };
            let Some(columns) = columns.iter().map(number).collect::<Option<BTreeSet<i16>>>() else {
                continue;
            };
            // What the server counted is better than a bound.
            if !table.combinations.iter().any(|c| c.columns == columns) {
                table.combinations.push(Combinations { columns, distinct: *distinct });
            }
        }
    }

    async fn plan(&mut self, sql: &str, configuration: &Configuration) -> Result<Planned, CostError> {
        let wanted = self.switches.of(configuration)?;
        match self.stops_clock {
            true => self.plan_flipped(&clock::stop(sql), &wanted).await,
            false => self.plan_flipped(sql, &wanted).await,
        }
    }

    async fn plan_many(
        &mut self,
        requests: &[(&str, &Configuration)],
    ) -> Result<Vec<Result<Planned, CostError>>, CostError> {
        let mut groups: BTreeMap<BTreeSet<Oid>, Vec<usize>> = BTreeMap::new();
        for (at, (_, configuration)) in requests.iter().enumerate() {
            groups.entry(self.switches.of(configuration)?).or_default().push(at);
        }
        let texts: Vec<Cow<'_, str>> = requests
            .iter()
            .map(|(sql, _)| match self.stops_clock {
                true => Cow::Owned(clock::stop(sql)),
                false => Cow::Borrowed(*sql),
            })
            .collect();
        let mut plans: Vec<Option<Result<Planned, CostError>>> = requests.iter().map(|_| None).collect();
        // Sessions see the same indexes: several plan at once only what is planned with the same ones.
        let (large, small): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(_, members)| members.len() >= WORTH_MORE_SESSIONS);
        for (wanted, members) in large {
            let statements: Vec<&str> = members.iter().map(|at| texts[*at].as_ref()).collect();
            let planned = self.plan_group(&statements, &wanted).await?;
            for (at, planned) in members.into_iter().zip(planned) {
                plans[at] = Some(planned);
            }
        }
        let in_turn: Vec<(usize, &BTreeSet<Oid>)> =
            small.iter().flat_map(|(wanted, members)| members.iter().map(move |at| (*at, wanted))).collect();
        let mut companion = self.companion.take();
        let (own, others) = match &companion {
            Some(_) => shared_out(&in_turn, |at| self.work_of(&texts[at])),
            None => (in_turn, Vec::new()),
        };
        let own_requests: Vec<(&str, &BTreeSet<Oid>)> =
            own.iter().map(|(at, wanted)| (texts[*at].as_ref(), *wanted)).collect();
        let of_others = async {
            match &mut companion {
                Some(twin) => {
                    let mut wanted = Vec::new();
                    for (at, _) in &others {
                        wanted.push(twin.switches.of(requests[*at].1)?);
                    }
                    let requests: Vec<(&str, &BTreeSet<Oid>)> =
                        others.iter().zip(&wanted).map(|((at, _), w)| (texts[*at].as_ref(), w)).collect();
                    twin.plan_in_turn(&requests).await
                }
                None => Ok(Vec::new()),
            }
        };
        let (own_plans, others_plans) = tokio::join!(self.plan_in_turn(&own_requests), of_others);
        self.companion = companion;
        let planned = own.iter().zip(own_plans?).chain(others.iter().zip(others_plans?));
        for ((at, _), planned) in planned {
            plans[*at] = Some(planned);
        }
        for (text, planned) in texts.iter().zip(&plans) {
            if let Some(Ok(planned)) = planned {
                let known = self.scans.entry(switching::statement_number(text)).or_default();
                if *known == 0 {
                    *known = scans(&planned.explain);
                }
            }
        }
        let missing = || Err(CostError::Model { message: "a statement was not planned".into() });
        Ok(plans.into_iter().map(|planned| planned.unwrap_or_else(missing)).collect())
    }

    async fn plan_generic(&mut self, sql: &str) -> Result<Planned, CostError> {
        match self.stops_clock {
            true => crate::preparing::plan_generic(self, &clock::stop(sql)).await,
            false => crate::preparing::plan_generic(self, sql).await,
        }
    }

    async fn time_planning(&mut self, sql: &str) -> Result<PlanningTimes, CostError> {
        match self.stops_clock {
            true => crate::preparing::time_planning(self, &clock::stop(sql)).await,
            false => crate::preparing::time_planning(self, sql).await,
        }
    }

    fn planner_calls(&self) -> u64 {
        self.calls + self.companion.as_ref().map_or(0, |twin| twin.calls)
    }
}

impl std::fmt::Debug for Twin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twin")
            .field("server", &self.server)
            .field("tables", &self.tables.len())
            .field("candidates", &self.candidates.len())
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
