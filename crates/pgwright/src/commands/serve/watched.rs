//! One server that is watched: what samples it, keeps its history and judges its alerts, from the beginning to the end.

use std::sync::Arc;
use std::time::Duration;

use alerting::Alerts;
use exporter::{Exporter, Options};
use postgres::metrics::Pace;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use web::App;

use super::{Args, workshop};
use crate::commands::{Context, history_store};
use crate::error::CommandError;

/// A server that is watched.
pub struct Watched {
    pub app: App,
    stop: watch::Sender<bool>,
    workshop: workshop::Workshop,
    sampling: JoinHandle<()>,
    judging: Option<JoinHandle<()>>,
    keeping: Option<JoinHandle<()>>,
}

impl Watched {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the store takes no history, or the settings of alerts cannot be used. A server that is away is no error.
    pub async fn begin(context: &Context, args: &Args, mut options: Options) -> Result<Self, CommandError> {
        let (stop, stopping) = watch::channel(false);
        let interval = options.interval("statements", Pace::Seldom);
        let keeping =
            history_store::begin(context, &args.keeping, &options.target, interval, stopping.clone()).await?;
        options.history = keeping.as_ref().map(|(tap, _)| tap.clone());
        let exporter = Arc::new(Exporter::new(options));
        let alerts = match context.settings.alerts.enabled {
            true => Some(Arc::new(Alerts::new(&context.settings.alerts, exporter.clone())?)),
            false => None,
        };
        let history = args.keeping.reader(context)?.map(Arc::new);
        let sampling = tokio::spawn({
            let (exporter, stopping) = (exporter.clone(), stopping.clone());
            async move { exporter.run(stopping).await }
        });
        let judging = alerts.clone().map(|alerts| tokio::spawn(alerts.run(stopping)));
        let workshop = workshop::Workshop::new(context);
        let app = App {
            exporter,
            workshop: Arc::new(workshop.clone()),
            history,
            alerts,
            fixes_every: args.fixes_every(),
        };
        let keeping = keeping.map(|(_, task)| task);
        Ok(Self { app, stop, workshop, sampling, judging, keeping })
    }

    /// Becomes true when it is to end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Says that it is to end.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }

    /// Ends it: what is being changed is cleaned up, what has to outlive this is written down.
    pub async fn end(self) {
        self.stop();
        self.workshop.close().await;
        if let Some(judging) = self.judging {
            let _ = tokio::time::timeout(Duration::from_secs(2), judging).await;
        }
        let _ = tokio::time::timeout(Duration::from_secs(10), self.sampling).await;
        if let Some(keeping) = self.keeping {
            let _ = tokio::time::timeout(Duration::from_secs(10), keeping).await;
        }
    }
}
