//! Who reads, judges and tells? One task reads samples and judges at each interval; each receiver has a task of its own, so
//! that one that is slow or away delays no other.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use exporter::exposition::{Kind, label, sample};
use exporter::fleet::SERVER;
use exporter::{Beside, Chunk, Exporter};
use tokio::sync::watch as signal;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use crate::error::Error;
use crate::evaluation::Moment;
use crate::history::History;
use crate::judge::{Judge, Phase, UP};
use crate::labels::Labels;
use crate::message::{Message, Notice};
use crate::outbox::{self, Told};
use crate::receivers::{Receiver, receivers};
use crate::rules::{Definition, needs, rules};
use crate::settings::Settings;
use crate::silences::{ReadySilence, Silence, inhibitor, inhibits, time};
use crate::standing::{Standing, StandingAlert, StandingReceiver};
use crate::state_file::{self, Kept, KeptAlert};

/// What alerting tells of itself.
pub const METRICS: &[(&str, Kind, &str)] = &[
    (
        "pgwright_alert_evaluations_failed",
        Kind::Gauge,
        "Conditions that could not be evaluated the last time",
    ),
    (
        "pgwright_alert_samples_left_out_total",
        Kind::Counter,
        "Samples for conditions for which there was no room",
    ),
    ("pgwright_alert_series", Kind::Gauge, "Series kept for conditions"),
    ("pgwright_alerts", Kind::Gauge, "Alerts by how they stand"),
    (
        "pgwright_notifications_total",
        Kind::Counter,
        "Messages on alerts by receiver and by whether they arrived",
    ),
];

/// Receivers are tried again after 1 s, 2 s and so on, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often a receiver looks whether something is due.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Judges alerts and tells of them.
#[derive(Debug)]
pub struct Alerts {
    settings: Settings,
    exporter: Arc<Exporter>,
    receivers: Vec<Receiver>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    history: History,
    judge: Judge,
    silences: Vec<ReadySilence>,
    told: Vec<Told>,
    counts: Vec<Counts>,
    evaluated_ms: Option<i64>,
    /// What was written to the state file last.
    written: Kept,
    write_failure: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Counts {
    sent: u64,
    failed: u64,
    last_sent_ms: Option<i64>,
    failure: Option<String>,
}

/// A silence that somebody asks for.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// Which alerts, as in PromQL: `alertname="PostgresDown", datname=~"shop.*"`.
    pub matchers: String,
    /// Until when, as RFC 3339; for ever when it is not said.
    pub until: Option<String>,
    /// Why.
    pub comment: String,
}

impl Alerts {
    /// Puts it together from settings, and takes over what the state file kept.
    ///
    /// # Errors
    /// When a condition cannot be evaluated, a receiver lacks something or a file cannot be read.
    pub fn new(settings: &Settings, exporter: Arc<Exporter>) -> Result<Self, Error> {
        if settings.interval < Duration::from_millis(100) || settings.interval > Duration::from_secs(300) {
            return Err(Error::Range { setting: "interval", reason: "It is 100ms to 5m.".into() });
        }
        for (setting, address) in [("external_url", &settings.external_url), ("runbooks", &settings.runbooks)]
        {
            let Some(address) = address else { continue };
            let read = url::Url::parse(address).ok();
            if !read.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
                return Err(Error::Address { setting, address: address.clone() });
            }
        }
        let own = |sample: &str| METRICS.iter().any(|(name, ..)| *name == sample);
        let rules = rules(settings, |sample| exporter.gives(sample) || own(sample))?;
        let receivers = receivers(settings)?;
        let mut silences = Vec::new();
        for (number, silence) in settings.silence.iter().enumerate() {
            silences.push(ReadySilence::configured(silence, number)?);
        }
        let kept = match &settings.state_file {
            Some(file) => state_file::read(file)?,
            None => Kept::default(),
        };
        for silence in &kept.silences {
            silences.push(ReadySilence::new(silence.clone())?);
        }
        let mut needs = needs(&rules);
        needs.entry(UP.to_owned()).or_default();
        let mut target =
            vec![("instance".to_owned(), exporter.instance()), ("job".to_owned(), "pgwright".to_owned())];
        target.extend(exporter.options().server.clone().map(|name| (SERVER.to_owned(), name)));
        let mut judge = Judge::new(rules);
        judge.restore(kept.active.iter().map(|a| (a.alert.clone(), a.labels.clone(), a.active.clone())));
        let told = receivers.iter().map(|r| kept.told.get(&r.name).cloned().unwrap_or_default()).collect();
        Ok(Self {
            state: Mutex::new(State {
                history: History::new(&needs, target),
                judge,
                silences,
                told,
                counts: vec![Counts::default(); receivers.len()],
                evaluated_ms: None,
                written: kept,
                write_failure: None,
            }),
            settings: settings.clone(),
            exporter,
            receivers,
        })
    }

    /// Reads, judges and tells until `stop` becomes true.
    pub async fn run(self: Arc<Self>, mut stop: signal::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for number in 0..self.receivers.len() {
            tasks.spawn(self.clone().tell_again_and_again(number));
        }
        let began = (Instant::now(), wall_ms());
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            // The clock on the wall may jump; what is measured with must not.
            let elapsed_ms = i64::try_from(began.0.elapsed().as_millis()).unwrap_or(i64::MAX);
            self.look(began.1 + elapsed_ms);
            self.keep().await;
        }
        self.keep().await;
        // Dropped with the tasks: who was being told is told again after the restart.
    }

    /// Reads the last samples and judges.
    fn look(&self, reading_ms: i64) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.history.begin(reading_ms);
        let mut texts: Vec<String> = Vec::new();
        let history = &state.history;
        self.exporter.read(|family| history.wants(family), |text| texts.push(text.to_owned()));
        texts.iter().for_each(|text| state.history.add(text));
        let at = Moment { reading_ms, wall_seconds: wall_ms() as f64 / 1000.0 };
        state.judge.judge(&state.history, at);
        state.evaluated_ms = Some(reading_ms);
        state.silences.retain(|s| s.silence.configured || !s.is_over(wall_ms()));
        let chunks = self.chunks(state);
        drop(guard);
        self.exporter.put_up(Beside::Alerts, chunks, self.settings.interval * 3 + Duration::from_secs(30));
    }

    fn chunks(&self, state: &State) -> Vec<Chunk> {
        let mut texts: Vec<String> = vec![String::new(); METRICS.len()];
        let mut put = |name: &str, labels: &[(&str, &str)], value: u64| {
            let mut block = String::new();
            labels.iter().for_each(|(name, value)| label(name, value, &mut block));
            if let Some(at) = METRICS.iter().position(|m| m.0 == name) {
                sample(name, &block, &value.to_string(), &mut texts[at]);
            }
        };
        let failed = state.judge.failures.iter().flatten().count() as u64;
        put("pgwright_alert_evaluations_failed", &[], failed);
        put("pgwright_alert_samples_left_out_total", &[], state.history.left_out);
        put("pgwright_alert_series", &[], state.history.series_kept() as u64);
        for phase in [Phase::Pending, Phase::Firing, Phase::Resolved] {
            let count =
                state.judge.active.iter().flat_map(|a| a.values()).filter(|a| a.phase == phase).count();
            put("pgwright_alerts", &[("state", phase.as_str())], count as u64);
        }
        for (receiver, counts) in self.receivers.iter().zip(&state.counts) {
            for (result, count) in [("sent", counts.sent), ("failed", counts.failed)] {
                let labels = [("receiver", receiver.name.as_str()), ("result", result)];
                put("pgwright_notifications_total", &labels, count);
            }
        }
        METRICS
            .iter()
            .zip(texts)
            .map(|((name, kind, help), text)| Chunk::new(*name, *kind, *help, text))
            .collect()
    }

    /// Tells one receiver what is due, whenever something is.
    async fn tell_again_and_again(self: Arc<Self>, number: usize) {
        let Some(receiver) = self.receivers.get(number) else { return };
        let mut pause = Duration::ZERO;
        let mut looked: Option<(Instant, Option<i64>)> = None;
        loop {
            sleep(LOOK.max(pause)).await;
            let evaluated_ms = self.lock().evaluated_ms;
            // Between two judgements only time goes on.
            if looked.is_some_and(|(at, seen)| seen == evaluated_ms && at.elapsed() < LOOK_AGAIN) {
                continue;
            }
            looked = Some((Instant::now(), evaluated_ms));
            let Some(message) = self.due(number, receiver) else { continue };
            let outcome = receiver.tell(&message).await;
            let now_ms = wall_ms();
            let mut state = self.lock();
            let counts = &mut state.counts[number];
            match outcome {
                Ok(()) => {
                    (counts.sent, counts.last_sent_ms, counts.failure) =
                        (counts.sent + 1, Some(now_ms), None);
                    state.told[number].told(&message, now_ms);
                    pause = Duration::ZERO;
                    // There may be more.
                    looked = None;
                }
                Err(reason) => {
                    (counts.failed, counts.failure) = (counts.failed + 1, Some(reason));
                    looked = None;
                    pause = (pause * 2).clamp(Duration::from_secs(1), LONGEST_PAUSE);
                }
            }
        }
    }

    fn due(&self, number: usize, receiver: &Receiver) -> Option<Message> {
        let now_ms = wall_ms();
        let mut state = self.lock();
        // Before the first look nothing is known, and what is restored might be over.
        state.evaluated_ms?;
        let of_it: Vec<outbox::Standing> = self
            .standings(&state, now_ms)
            .into_iter()
            .map(|s| outbox::Standing {
                muted: s.silenced_by.is_some() || s.inhibited_by.is_some(),
                notice: s.notice,
            })
            .filter(|s| s.notice.phase != Phase::Pending && receiver.concerns(&s.notice))
            .collect();
        let told = &mut state.told[number];
        told.forget(&of_it, receiver.paces, receiver.tells_resolved, now_ms);
        let mut message = told.due(&of_it, receiver.paces, receiver.tells_resolved, now_ms)?;
        message.receiver = receiver.name.clone();
        message.external_url = self.settings.external_url.clone();
        Some(message)
    }

    /// Everything that stands, with what keeps it quiet.
    fn standings(&self, state: &State, now_ms: i64) -> Vec<Judged> {
        let mut judged: Vec<Judged> = Vec::new();
        for (rule, active) in state.judge.rules.iter().zip(&state.judge.active) {
            for (labels, active) in active {
                let notice = self.notice(rule, labels, active);
                judged.push(Judged {
                    silenced_by: None,
                    inhibited_by: None,
                    kept: active.kept,
                    definition: rule.definition.clone(),
                    notice,
                });
            }
        }
        let firing: Vec<Labels> = judged
            .iter()
            .filter(|j| j.notice.phase == Phase::Firing && inhibits(&j.definition.name))
            .map(|j| j.notice.labels.clone())
            .collect();
        for one in &mut judged {
            let labels = &one.notice.labels;
            let silence = state.silences.iter().find(|s| s.covers(labels, now_ms));
            one.silenced_by = silence.map(|s| s.silence.id.clone());
            one.inhibited_by = inhibitor(labels, firing.iter()).map(|l| l.get("alertname").to_owned());
        }
        judged
    }

    fn notice(&self, rule: &crate::rules::Rule, labels: &Labels, active: &crate::judge::Active) -> Notice {
        let definition = &rule.definition;
        let own = self.settings.external_url.as_ref().map(|url| url.trim_end_matches('/'));
        let page = rule.page(labels);
        let annotations = [
            ("summary", Some(rule.summary.render(labels, active.value))),
            ("description", Some(definition.meaning.clone())),
            ("action", Some(definition.action.clone())),
            ("runbook_url", definition.runbook_url.clone()),
            ("finding", rule.finding(labels)),
            ("finding_url", own.map(|url| format!("{url}{page}"))),
        ];
        let mut notice = Notice {
            phase: active.phase,
            severity: definition.severity,
            labels: labels
                .with([("alertname", definition.name.as_str()), ("severity", definition.severity.as_str())]),
            annotations: annotations
                .into_iter()
                .filter_map(|(name, text)| Some((name, text.filter(|t| !t.is_empty())?)))
                .collect(),
            since_ms: active.since_ms,
            fired_ms: active.fired_ms.unwrap_or(active.since_ms),
            resolved_ms: active.resolved_ms,
            value: active.value,
            link: None,
            page,
        };
        notice.link = own.map(|url| format!("{url}/alerts#{}", notice.anchor()));
        notice
    }

    /// Those that fire and that nobody keeps quiet, the worst first.
    pub fn firing(&self) -> Vec<StandingAlert> {
        let mut alerts = self.standing().alerts;
        alerts.retain(|a| a.state == Phase::Firing && a.silenced_by.is_none() && a.inhibited_by.is_none());
        alerts
    }

    /// The conditions that are judged.
    pub fn definitions(&self) -> Vec<Definition> {
        self.lock().judge.rules.iter().map(|rule| rule.definition.clone()).collect()
    }

    /// How alerts stand now.
    pub fn standing(&self) -> Standing {
        let now_ms = wall_ms();
        let state = self.lock();
        let mut alerts: Vec<StandingAlert> =
            self.standings(&state, now_ms).into_iter().map(Judged::standing).collect();
        let phase = |a: &StandingAlert| match a.state {
            Phase::Firing => 0,
            Phase::Pending => 1,
            Phase::Resolved => 2,
        };
        let rank = |a: &StandingAlert| (phase(a), Reverse(a.severity));
        alerts.sort_by(|a, b| (rank(a), &a.alert, &a.labels).cmp(&(rank(b), &b.alert, &b.labels)));
        let receivers = self.receivers.iter().zip(&state.counts).map(|(receiver, counts)| StandingReceiver {
            name: receiver.name.clone(),
            kind: receiver.kind.as_str().to_owned(),
            sent: counts.sent,
            failed: counts.failed,
            last_sent: counts.last_sent_ms.map(time),
            failure: counts.failure.clone(),
        });
        Standing {
            evaluated: state.evaluated_ms.map(time),
            conditions: state.judge.rules.len(),
            alerts,
            silences: state.silences.iter().map(|s| s.silence.clone()).collect(),
            receivers: receivers.collect(),
            notes: notes(&state),
        }
    }

    /// Keeps alerts quiet from now on.
    ///
    /// # Errors
    /// When matchers or time cannot be used, or the time is over.
    pub fn silence(&self, new: NewSilence) -> Result<Silence, Error> {
        let silence = ReadySilence::new(Silence {
            id: Uuid::new_v4().to_string(),
            matchers: new.matchers,
            until: new.until,
            comment: new.comment,
            configured: false,
        })?;
        if silence.is_over(wall_ms()) {
            let time = silence.silence.until.clone().unwrap_or_default();
            return Err(Error::Time { time, reason: "It is over.".into() });
        }
        let told = silence.silence.clone();
        self.lock().silences.push(silence);
        Ok(told)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// When there is none of that id, or it stands in pgwright.toml.
    pub fn unsilence(&self, id: &str) -> Result<Silence, Error> {
        let mut state = self.lock();
        let found = state.silences.iter().position(|s| s.silence.id == id && !s.silence.configured);
        match found {
            Some(at) => Ok(state.silences.remove(at).silence),
            None => Err(Error::NoSuchSilence { id: id.to_owned() }),
        }
    }

    /// Writes the state file when there is something new to keep.
    async fn keep(&self) {
        let Some(file) = self.settings.state_file.clone() else { return };
        let kept = {
            let mut state = self.lock();
            let kept = self.kept(&state);
            if kept == state.written {
                return;
            }
            state.written = kept.clone();
            kept
        };
        let written = tokio::task::spawn_blocking(move || state_file::write(&file, kept)).await;
        let failure = match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error}: {}", error.detail().unwrap_or_default())),
            Err(error) => Some(error.to_string()),
        };
        let mut state = self.lock();
        if failure.is_some() {
            // Tried again the next time.
            state.written = Kept::default();
        }
        state.write_failure = failure;
    }

    fn kept(&self, state: &State) -> Kept {
        let active = state.judge.rules.iter().zip(&state.judge.active).flat_map(|(rule, active)| {
            active.iter().map(|(labels, active)| KeptAlert {
                alert: rule.definition.name.clone(),
                labels: labels.clone(),
                // What changes all the time is not worth writing.
                active: crate::judge::Active { value: 0.0, kept: false, ..active.clone() },
            })
        });
        let told = self.receivers.iter().zip(&state.told).map(|(r, told)| (r.name.clone(), told.clone()));
        Kept {
            version: state.written.version,
            silences: state
                .silences
                .iter()
                .filter(|s| !s.silence.configured)
                .map(|s| s.silence.clone())
                .collect(),
            active: active.collect(),
            told: told.collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An alert with what keeps it quiet.
struct Judged {
    notice: Notice,
    definition: Definition,
    silenced_by: Option<String>,
    inhibited_by: Option<String>,
    kept: bool,
}

impl Judged {
    fn standing(self) -> StandingAlert {
        let Self { notice, definition, silenced_by, inhibited_by, kept } = self;
        StandingAlert {
            summary: notice.annotation("summary").to_owned(),
            alert: definition.name,
            group: definition.group,
            severity: definition.severity,
            state: notice.phase,
            since: time(notice.since_ms),
            fired: (notice.phase != Phase::Pending).then(|| time(notice.fired_ms)),
            resolved: notice.resolved_ms.map(time),
            value: Some(notice.value).filter(|v| v.is_finite()),
            anchor: notice.anchor(),
            page: notice.page,
            labels: notice.labels,
            meaning: definition.meaning,
            action: definition.action,
            lint_check: definition.lint_check.map(str::to_owned),
            runbook_url: definition.runbook_url,
            silenced_by,
            inhibited_by,
            kept,
        }
    }
}

fn notes(state: &State) -> Vec<String> {
    let failed = state.judge.rules.iter().zip(&state.judge.failures).filter_map(|(rule, failure)| {
        let reason = failure.as_ref()?;
        Some(format!("{} could not be evaluated: {reason}", rule.definition.name))
    });
    let mut notes: Vec<String> = failed.collect();
    if state.history.left_out > 0 {
        notes.push(format!(
            "There was no room for {} samples; conditions on them do not hold. Lower --objects or --statements.",
            state.history.left_out
        ));
    }
    if state.history.cut_short > 0 {
        notes.push("The past is kept for a shorter time than conditions look back, to save memory.".into());
    }
    if let Some(failure) = &state.write_failure {
        notes.push(format!("What is silenced and told would not outlive a restart: {failure}"));
    }
    notes
}

fn wall_ms() -> i64 {
    Utc::now().timestamp_millis()
}
