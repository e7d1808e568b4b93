//! How is somebody told? One file for each kind of receiver; here is what they have in common.

mod alertmanager;
mod email;
mod slack;
mod webhook;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use monitoring::alerts::Severity;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;
use crate::message::{Message, Notice};
use crate::outbox::Paces;
use crate::settings::{ReceiverKind, ReceiverSettings, Settings};
use crate::silences::Matchers;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How often Alertmanager is told again what fires: it takes silence for an end.
const ALERTMANAGER_REPEAT_MS: i64 = 60_000;

/// Somebody who is told.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub name: String,
    pub kind: ReceiverKind,
    pub paces: Paces,
    pub tells_resolved: bool,
    min_severity: Severity,
    matchers: Option<Matchers>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Http(Http),
    Email(Box<email::Mailer>),
}

/// Where requests go, and with what.
struct Http {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

// Addresses of webhooks and tokens are secrets.
impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

impl Receiver {
    /// Whether an alert is of its concern.
    pub fn concerns(&self, notice: &Notice) -> bool {
        notice.severity >= self.min_severity && self.matchers.as_ref().is_none_or(|m| m.hold(&notice.labels))
    }

    /// Tells it, once.
    ///
    /// # Errors
    /// Why it did not arrive, in words without secrets.
    pub async fn tell(&self, message: &Message) -> Result<(), String> {
        match (&self.way, self.kind) {
            (Way::Email(mailer), _) => mailer.send(message).await,
            (Way::Http(http), ReceiverKind::Slack) => http.post(&slack::body(message)).await,
            (Way::Http(http), ReceiverKind::Alertmanager) => http.post(&alertmanager::body(message)).await,
            (Way::Http(http), _) => http.post(&webhook::body(message)).await,
        }
    }
}

impl Http {
    async fn post(&self, body: &serde_json::Value) -> Result<(), String> {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        // An error names the address, which may be a secret.
        let answer = request.send().await.map_err(|e| reason_of(&e.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }
}

/// An error with its causes, the last of which tells most.
pub(crate) fn reason_of(error: &dyn std::error::Error) -> String {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    reason
}

/// Those of the settings, ready to be told.
///
/// # Errors
/// When one lacks something, or its files cannot be read.
pub(crate) fn receivers(settings: &Settings) -> Result<Vec<Receiver>, Error> {
    let mut made: Vec<Receiver> = Vec::new();
    for receiver in &settings.notify {
        let name = receiver.name.clone().unwrap_or_else(|| receiver.kind.as_str().to_owned());
        let wrong = |reason: String| Error::Receiver { receiver: name.clone(), reason };
        if made.iter().any(|r| r.name == name) {
            return Err(wrong("There are two receivers of that name; give each its own.".into()));
        }
        let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let paces = match receiver.kind {
            // It groups, waits and repeats by itself.
            ReceiverKind::Alertmanager => {
                Paces { wait_ms: 0, interval_ms: 0, repeat_ms: ALERTMANAGER_REPEAT_MS }
            }
            _ => Paces {
                wait_ms: ms(settings.group_wait),
                interval_ms: ms(settings.group_interval),
                repeat_ms: ms(settings.repeat_interval),
            },
        };
        let way = match receiver.kind {
            ReceiverKind::Email => Way::Email(Box::new(email::Mailer::new(receiver).map_err(wrong)?)),
            _ => Way::Http(http(receiver).map_err(wrong)?),
        };
        made.push(Receiver {
            kind: receiver.kind,
            paces,
            tells_resolved: receiver.resolved.unwrap_or(true),
            min_severity: receiver.min_severity.unwrap_or(Severity::Info),
            matchers: receiver.matchers.as_deref().map(Matchers::parse).transpose()?,
            way,
            name,
        });
    }
    Ok(made)
}

/// Whether a message arrived.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// The receiver.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Why the message did not arrive.
    pub failure: Option<String>,
}

/// Sends every receiver a message that says that it is none.
///
/// # Errors
/// When a receiver lacks something.
pub async fn test_receivers(settings: &Settings) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = Vec::new();
    let now_ms = chrono::Utc::now().timestamp_millis();
    let name = "PgwrightTest";
    for receiver in receivers(settings)? {
        let told = [
            ("summary", "this is a test of pgwright; nothing is wrong"),
            ("action", "Nothing: that it arrives is all there is to it."),
        ];
        let notice = Notice {
            phase: crate::judge::Phase::Firing,
            severity: Severity::Info,
            labels: [("alertname", name), ("severity", "info")].into_iter().collect(),
            annotations: told.into_iter().map(|(name, text)| (name, text.to_owned())).collect(),
            since_ms: now_ms,
            fired_ms: now_ms,
            resolved_ms: None,
            value: 1.0,
            link: settings.external_url.clone(),
            page: "/alerts".into(),
        };
        let message = Message {
            receiver: receiver.name.clone(),
            alert: name.into(),
            firing: vec![notice],
            resolved: Vec::new(),
            external_url: settings.external_url.clone(),
        };
        let failure = receiver.tell(&message).await.err();
        outcomes.push(Outcome { name: receiver.name, kind: receiver.kind.as_str().into(), failure });
    }
    Ok(outcomes)
}

fn http(settings: &ReceiverSettings) -> Result<Http, String> {
    let of_mail = [
        ("smtp", settings.smtp.is_some()),
        ("encryption", settings.encryption.is_some()),
        ("from", settings.from.is_some()),
        ("to", !settings.to.is_empty()),
        ("user", settings.user.is_some()),
        ("password_file", settings.password_file.is_some()),
    ];
    if let Some((key, _)) = of_mail.iter().find(|(_, given)| *given) {
        return Err(format!("\"{key}\" is for receivers of kind \"email\"."));
    }
    let text = match (&settings.url, &settings.url_file) {
        (Some(url), None) => url.clone(),
        (None, Some(file)) => secret(file)?,
        _ => return Err("It needs \"url\" or \"url_file\", one of them.".into()),
    };
    let mut url = Url::parse(&text).map_err(|e| format!("Its address is none: {e}."))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("Its address begins with \"{}:\"; it is http: or https:.", url.scheme()));
    }
    if settings.kind == ReceiverKind::Alertmanager && !url.path().ends_with("/alerts") {
        url.set_path(&format!("{}/api/v2/alerts", url.path().trim_end_matches('/')));
    }
    let authorization = match &settings.token_file {
        None => None,
        Some(file) => {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", secret(file)?))
                .map_err(|_| "Its token cannot stand in a header.".to_owned())?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    Ok(Http { client: client()?, url, authorization })
}

/// A client for HTTP.
///
/// # Errors
/// When TLS cannot be set up, in a sentence.
pub(crate) fn client() -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(tls()?)
        .timeout(ATTEMPT)
        // Where it leads must not get what was meant for another.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("pgwright/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| format!("{}.", reason_of(&e)))
}

/// TLS with the certificates that the system trusts.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("{e}."))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The content of a file without the end of its line.
pub(crate) fn secret(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("\"{}\": {e}.", file.display()))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("\"{}\" is empty.", file.display())),
        text => Ok(text.to_owned()),
    }
}
