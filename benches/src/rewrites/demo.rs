//! Where does the demo's database come from? From `pgwright demo --keep`, which leaves its server up.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio_postgres::NoTls;

use super::offers::Pgwright;

/// What the demo lacks for one of the statements.
const SCHEMA: &str = include_str!("demo_schema.sql");

/// A demo that was left running.
pub struct Demo {
    /// Its database.
    pub url: String,
    pid: i32,
    data_dir: PathBuf,
}

impl Demo {
    /// Loads the demo; its workload is played for a moment only, so that there is something to advise on.
    ///
    /// # Errors
    /// When the demo fails.
    pub async fn start(pgwright: &Pgwright, scale: f64) -> Result<Self> {
        let reports = std::env::temp_dir().join(format!("pgwright-rewrites-{}", std::process::id()));
        let (scale, out) = (scale.to_string(), reports.display().to_string());
        let arguments = ["demo", "--scale", &scale, "--duration", "5s", "--keep", "--json", "--out", &out];
        let ran = pgwright.run(&arguments).await;
        let _ = std::fs::remove_dir_all(&reports);
        let json: Value = serde_json::from_str(&ran?.0)?;
        let kept = &json["kept"];
        let demo = Self {
            url: kept["url"].as_str().context("the demo does not say where its server is")?.to_owned(),
            pid: kept["pid"].as_i64().and_then(|p| i32::try_from(p).ok()).context("its pid is missing")?,
            data_dir: kept["data_dir"].as_str().context("its folder is missing")?.into(),
        };
        let (client, connection) = tokio_postgres::connect(&demo.url, NoTls).await?;
        tokio::spawn(connection);
        client.batch_execute(SCHEMA).await?;
        client.batch_execute("VACUUM (ANALYZE)").await?;
        Ok(demo)
    }

    /// Ends the server and removes its data.
    ///
    /// # Errors
    /// When it cannot be ended.
    pub fn stop(self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(self.pid).context("the server has no process")?;
        // A fast shutdown: sessions are ended.
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        while rustix::process::test_kill_process(pid).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        // The folder of its data and its socket, which the demo made for them alone.
        let made = self
            .data_dir
            .parent()
            .filter(|p| p.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgwright-")));
        std::fs::remove_dir_all(made.unwrap_or(&self.data_dir))?;
        Ok(())
    }
}
