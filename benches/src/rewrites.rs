//! Is a rewrite that pgwright recommends ever slower than what was written, or another answer?
//!
//! `pgwright rewrite --measure` is run as a user runs it, for every statement of a schema: TPC-H's 22 queries or the
//! demo's, and a set of statements that people should not write. What it recommends is then measured again and
//! apart from it, by turns and in processor time, and both answers are compared row by row (as bags, in one
//! snapshot). A recommendation that is slower here is one that its gates should have stopped.

mod demo;
mod offers;
mod report;
mod schema;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use postgres::{ChecksumOptions, Environment, SessionOptions, Target};
use tokio_postgres::NoTls;

use crate::measurement::{Stopwatch, WithAndWithout};
pub use demo::Demo;
use offers::Offer;
pub use offers::Pgwright;
use report::{Line, Report};
pub use schema::demo_statements;
use schema::{Named, TpchSchema};

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whose tables and statements.
    #[arg(long, value_enum, default_value_t = Data::Tpch)]
    data: Data,
    /// The scale of the data.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// The major version of PostgreSQL for TPC-H.
    #[arg(long)]
    major: Option<u32>,
    /// The pgwright that is measured; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    pgwright: Option<PathBuf>,
    /// Only statements whose name holds this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often both texts are run by turns.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds after which a run is ended.
    #[arg(long, default_value_t = 60)]
    timeout: u32,
    /// Print nothing but the JSON line.
    #[arg(long)]
    json: bool,
    /// Where loaded data are kept.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// A schema with statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Data {
    /// TPC-H with foreign keys and indexes.
    Tpch,
    /// The model registry of `pgwright demo`, with the indexes that pgwright gave it.
    Demo,
}

impl Args {
    fn say(&self, text: &str) {
        if !self.json {
            eprintln!("{text}");
        }
    }
}

/// Runs the benchmark and prints what it found.
///
/// # Errors
/// When a server does not start, or something that must work does not.
pub async fn run(args: Args) -> Result<()> {
    let pgwright = Pgwright::find(args.pgwright.clone())?;
    let report = match args.data {
        Data::Tpch => {
            let schema = TpchSchema::start(&args.cache, args.scale, args.major, &|t| args.say(t)).await?;
            let report = measure(&args, &pgwright, &schema.url(), schema::tpch_statements()).await;
            schema.stop().await?;
            report?
        }
        Data::Demo => {
            args.say("loading the demo and letting it advise; its own report is not looked at");
            let demo = Demo::start(&pgwright, args.scale).await?;
            let report = measure(&args, &pgwright, &demo.url, demo_statements()).await;
            demo.stop()?;
            report?
        }
    };
    if !args.json {
        print!("{}", report.text());
    }
    println!("{}", report.summary());
    Ok(())
}

async fn measure(args: &Args, pgwright: &Pgwright, url: &str, statements: Vec<Named>) -> Result<Report> {
    let mut report = Report::new(args.data, args.scale, pgwright.rules().await?);
    for statement in statements {
        if args.only.as_ref().is_some_and(|only| !statement.name.contains(only)) {
            continue;
        }
        args.say(&format!("{}: asking pgwright", statement.name));
        let answer = pgwright.rewrite(url, &statement.sql, args.timeout).await;
        let answer = answer.with_context(|| format!("rewriting {}", statement.name))?;
        report.statements += 1;
        report.fired.extend(answer.fired);
        if let Some(reason) = answer.passed_over {
            report.passed_over.push((statement.name.clone(), reason));
        }
        for offer in answer.offers {
            let line = again(args, url, &statement, offer).await;
            report.lines.push(line.with_context(|| format!("measuring {}", statement.name))?);
        }
    }
    Ok(report)
}

/// Measures what is recommended again; what is not is kept as it was told.
async fn again(args: &Args, url: &str, statement: &Named, offer: Offer) -> Result<Line> {
    let mut line = Line { statement: statement.name.clone(), offer, by_turns: None, same: None };
    if !line.offer.recommended {
        return Ok(line);
    }
    args.say(&format!("{}: {} by turns", line.statement, line.offer.rules.join(", ")));
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let stopwatch = Stopwatch::new(client, args.timeout).await?;
    // The first run of each warms the cache.
    stopwatch.run(&line.offer.before).await?;
    stopwatch.run(&line.offer.after).await?;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds.max(1) {
        before.push(stopwatch.run(&line.offer.before).await?.0);
        after.push(stopwatch.run(&line.offer.after).await?.0);
    }
    line.by_turns = Some(WithAndWithout::of(after, before));
    // Where the application passes other parameters, another page is the point.
    if line.offer.same_rows_expected {
        line.same = same_rows(args, url, &line.offer).await?;
    }
    Ok(line)
}

/// Whether both answers are the same; `None` when a text takes too long.
async fn same_rows(args: &Args, url: &str, offer: &Offer) -> Result<Option<bool>> {
    let target = Target::parse(Some(url), &Environment::default())?;
    let session = target.connect(&SessionOptions::for_user_statements()).await?;
    let options = ChecksumOptions {
        statement_timeout: std::time::Duration::from_secs(u64::from(args.timeout)),
        ..ChecksumOptions::default()
    };
    match postgres::bag_checksums(&session, &offer.before, &offer.after, &options).await {
        Ok((before, after)) => Ok(Some(before == after)),
        Err(postgres::Error::Timeout { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
