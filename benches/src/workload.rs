//! Which workloads are there, and how does each get into a database?

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;

use crate::measurement::Rows;
use crate::{movies, tpcds, tpch};

/// A query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Its number in the specification.
    pub number: u32,
    /// Its text, one statement without a semicolon.
    pub sql: String,
}

impl Query {
    /// `Q1`, `Q2`, …
    pub fn name(&self) -> String {
        format!("Q{}", self.number)
    }
}

/// A workload that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// TPC-H: 8 tables, 22 queries; where the peers' figures are from.
    Tpch,
    /// TPC-DS: 24 tables, 99 queries; loading it needs Python and PyPI.
    Tpcds,
    /// 21 tables of films, 68 queries of many joins over correlated columns; generated here.
    Movies,
}

impl Workload {
    /// The name of files and databases.
    pub fn id(self) -> &'static str {
        match self {
            Self::Tpch => "tpch",
            Self::Tpcds => "tpcds",
            Self::Movies => "movies",
        }
    }

    /// Its name in texts.
    pub fn title(self) -> &'static str {
        match self {
            Self::Tpch => "TPC-H",
            Self::Tpcds => "TPC-DS",
            Self::Movies => "films",
        }
    }

    /// What loaded data are made from; data made from something else are made anew.
    pub fn recipe(self) -> String {
        match self {
            Self::Tpch => format!("{}{}", tpch::SCHEMA, tpch::KEYS),
            Self::Tpcds => format!("{}{}", tpcds::EXPORT, tpcds::KEYS),
            Self::Movies => format!("{}{}", movies::SCHEMA, movies::KEYS),
        }
    }

    /// Numbers of queries whose nested loops without indexes cost so much that all others do not show in
    /// the sum.
    pub fn dwarfing(self) -> &'static [u32] {
        match self {
            Self::Tpch => &[2, 17, 20],
            Self::Tpcds => &[10, 35, 41],
            Self::Movies => &[],
        }
    }

    /// The queries.
    ///
    /// # Errors
    /// When they have to be fetched and cannot be.
    pub async fn queries(self, cache: &Path) -> Result<Vec<Query>> {
        let kept: PathBuf = cache.join(format!("{}.queries.json", self.id()));
        match self {
            Self::Tpch => Ok(tpch::queries()),
            Self::Movies => Ok(movies::queries()),
            Self::Tpcds if kept.is_file() => Ok(serde_json::from_str(&std::fs::read_to_string(kept)?)?),
            Self::Tpcds => {
                let queries = tpcds::Generator::install(cache).await?.queries().await?;
                std::fs::write(kept, serde_json::to_string(&queries)?)?;
                Ok(queries)
            }
        }
    }

    /// Makes tables, rows, keys and statistics in an empty database.
    ///
    /// # Errors
    /// When the generator fails or the server refuses something.
    pub async fn load(self, client: &Client, scale: f64, cache: &Path) -> Result<()> {
        client.batch_execute("BEGIN").await?;
        let keys = match self {
            Self::Tpch => {
                tpch::load::load(client, scale).await?;
                tpch::KEYS
            }
            Self::Tpcds => {
                tpcds::Generator::install(cache).await?.load(client, scale).await?;
                tpcds::KEYS
            }
            Self::Movies => {
                movies::load(client, scale).await?;
                movies::KEYS
            }
        };
        client.batch_execute("COMMIT").await?;
        client.batch_execute(keys).await?;
        client.batch_execute("VACUUM (FREEZE, ANALYZE)").await?;
        Ok(())
    }

    /// How an answer differs from the published one, where there is one.
    pub fn difference(self, query: &Query, scale: f64, rows: &Rows) -> Option<String> {
        let published = self == Self::Tpch && (scale - 1.0).abs() < f64::EPSILON;
        published.then(|| tpch::answers::difference(query.number, rows)).flatten()
    }
}
