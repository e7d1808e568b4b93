//! How long does it take to make a table the first partition of a partitioned one, and what do writers notice?
//!
//! Nothing is copied, so only the checks that read the rows should take longer for a larger table.

use std::time::{Duration, Instant};

use anyhow::Result;
use apply::partition_conversion::{
    ConversionEvent, ConversionRequest, Method, Step, convert, finish_conversion,
};
use cluster::Server;
use comfy_table::{CellAlignment, Table, presets};
use postgres::{Environment, Target};
use serde::Serialize;

use super::ledger::{Account, Crew};
use super::{Args, connect, fill, named, options, request, said, table, untouched_are_missing};

/// What one size took.
#[derive(Debug, Serialize)]
struct Line {
    rows: u64,
    seconds: f64,
    longest_step: String,
    longest_step_seconds: f64,
    max_wait_ms: f64,
    lost_writes: usize,
    failed_transactions: usize,
}

/// Attaches tables of a tenth of the rows, and of all of them.
pub async fn run(args: &Args, server: &Server) -> Result<()> {
    let mut lines = Vec::new();
    for rows in [args.rows / 10, args.rows] {
        lines.push(attach(&Args { rows, ..args.clone() }, server).await?);
    }
    println!("{}", serde_json::json!({ "attach": lines }));
    Ok(())
}

async fn attach(args: &Args, server: &Server) -> Result<Line> {
    let database = format!("attach_{}", args.rows);
    connect(&server.url("postgres")).await?.batch_execute(&format!("create database {database}")).await?;
    let url = server.url(&database);
    let client = connect(&url).await?;
    fill(&client, args).await?;
    // The key of a partitioned table has its column.
    client
        .batch_execute(
            "alter table runs drop constraint runs_pkey, add primary key (id, created_at); checkpoint",
        )
        .await?;
    let target = Target::parse(Some(&url), &Environment::default())?;
    let crew = Crew::begin(&url, args).await?;
    let request = ConversionRequest { method: Some(Method::Attach), ..request()? };
    let began = Instant::now();
    let mut steps: Vec<(Step, Instant)> = Vec::new();
    let mut on_event = |event: ConversionEvent| {
        if let ConversionEvent::Done { step, .. } = event {
            steps.push((step, Instant::now()));
        }
    };
    convert(&target, &request, &options(args), &mut on_event).await.map_err(said)?;
    let seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(1)).await;
    finish_conversion(&target, &table(), &options(args), &mut |_| {}).await.map_err(said)?;
    let Account { mut lost, failed, waits } = crew.end(&client).await?;
    lost += untouched_are_missing(&client, args).await?;

    let mut text = Table::new();
    text.load_preset(presets::NOTHING).set_header(["step", "seconds", "longest transaction of a writer, ms"]);
    let mut longest = (String::new(), 0.0_f64);
    let mut from = began;
    for (step, to) in &steps {
        let took = (*to - from).as_secs_f64();
        if took > longest.1 {
            longest = (named(*step), took);
        }
        let wait = format!("{:.1}", waits.longest_between(from, *to));
        text.add_row([named(*step), format!("{took:.2}"), wait]);
        from = *to;
    }
    for column in text.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    if !args.json {
        println!("{} rows: {seconds:.2} s\n{text}", args.rows);
    }
    let (longest_step, longest_step_seconds) = longest;
    Ok(Line {
        rows: args.rows,
        seconds,
        longest_step,
        longest_step_seconds,
        max_wait_ms: waits.longest(),
        lost_writes: lost,
        failed_transactions: failed,
    })
}
