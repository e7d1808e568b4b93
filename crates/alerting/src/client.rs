//! How is a running `pgwright serve` asked how its alerts stand, and told to be quiet?

use std::path::Path;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::receivers::{client, reason_of, secret};
use crate::silences::Silence;
use crate::standing::Standing;
use crate::watch::NewSilence;

/// How to say who one is; files hold the secrets.
#[derive(Clone, Copy, Debug)]
pub enum Credentials<'a> {
    /// Nobody asks.
    None,
    /// The file of a token.
    Token(&'a Path),
    /// A user, and the file of the password.
    User(&'a str, &'a Path),
}

/// A `pgwright serve` that is asked.
pub struct Server {
    client: Client,
    url: Url,
    token: Option<HeaderValue>,
    user: Option<(String, String)>,
}

/// Why it did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Refusal {
    fn new(message: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { message: message.into(), detail: Some(detail.into()), hint: None }
    }

    fn with_hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What is known beyond the message.
    pub fn detail(&self) -> Option<String> {
        self.detail.clone()
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

#[derive(Deserialize)]
struct Failure {
    error: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl Server {
    /// Names it; nothing is asked yet.
    ///
    /// # Errors
    /// When the address is none, or a file cannot be read.
    pub fn new(url: &str, credentials: Credentials<'_>) -> Result<Self, Refusal> {
        let unusable = |detail: String| Refusal::new(format!("could not use the address \"{url}\""), detail);
        let parsed = Url::parse(url).map_err(|e| unusable(format!("{e}.")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(unusable("It begins with http: or https:.".into()));
        }
        let read =
            |file: &Path| secret(file).map_err(|e| Refusal::new("could not read the token or password", e));
        let (mut token, mut user) = (None, None);
        match credentials {
            Credentials::None => {}
            Credentials::Token(file) => {
                let value = HeaderValue::from_str(&format!("Bearer {}", read(file)?))
                    .map_err(|_| Refusal::new("could not use the token", "It cannot stand in a header."))?;
                token = Some(value);
            }
            Credentials::User(name, file) => user = Some((name.to_owned(), read(file)?)),
        }
        Ok(Self { client: client().map_err(unusable)?, url: parsed, token, user })
    }

    /// How its alerts stand.
    ///
    /// # Errors
    /// When it cannot be reached or does not answer as a `pgwright serve` does.
    pub async fn standing(&self) -> Result<Standing, Refusal> {
        self.ask(Method::GET, "api/alerts", None).await
    }

    /// Keeps alerts quiet.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn silence(&self, new: &NewSilence) -> Result<Silence, Refusal> {
        let body = serde_json::to_string(new)
            .map_err(|e| Refusal::new("could not write the silence", e.to_string()))?;
        self.ask(Method::POST, "api/silences", Some(body)).await
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// When it refuses, or there is none.
    pub async fn unsilence(&self, id: &str) -> Result<Silence, Refusal> {
        self.ask(Method::DELETE, &format!("api/silences/{id}"), None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, Refusal> {
        let unreachable = |e: &reqwest::Error| {
            Refusal::new(format!("could not ask {}", self.url), format!("{}.", reason_of(e)))
                .with_hint("Name the address at which \"pgwright serve\" listens, and --token-file or --user where it asks for one.")
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        if let Some((name, password)) = &self.user {
            request = request.basic_auth(name, Some(password));
        }
        let answer = request.send().await.map_err(|e| unreachable(&e.without_url()))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|e| unreachable(&e.without_url()))?;
        if status.is_success() {
            return serde_json::from_str(&text).map_err(|e| {
                Refusal::new(format!("could not understand the answer of {}", self.url), format!("{e}."))
            });
        }
        Err(match serde_json::from_str::<Failure>(&text) {
            Ok(failure) => Refusal { message: failure.error, detail: failure.detail, hint: failure.hint },
            Err(_) => Refusal::new(format!("{} refused", self.url), format!("It answered {status}."))
                .with_hint(
                    "Is it a \"pgwright serve\" that evaluates alerts, and are --token-file or --user right?",
                ),
        })
    }
}
