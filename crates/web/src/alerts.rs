//! How do alerts stand, for programs, and what is silenced? `GET /api/alerts`, `POST /api/silences`,
//! `DELETE /api/silences/ID`.

use std::sync::Arc;

use alerting::{Alerts, Error, NewSilence};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use serde::Serialize;
use serde_json::{Value, json};

use crate::guard::{Identity, is_from_elsewhere};

/// The pages, of a state of their own.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(alerts: Arc<Alerts>) -> Router<S> {
    Router::new()
        .route("/api/alerts", get(standing))
        .route("/api/silences", post(silence))
        .route("/api/silences/{id}", delete(unsilence))
        .with_state(alerts)
}

async fn standing(State(alerts): State<Arc<Alerts>>) -> Response {
    answer(StatusCode::OK, "alert_state", &alerts.standing())
}

async fn silence(
    State(alerts): State<Arc<Alerts>>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = refuse(&identity, &headers) {
        return refused;
    }
    // A form of another site cannot send this type.
    let json =
        headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    if !json {
        return failure(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the content type is not application/json",
            None,
            None,
        );
    }
    let new: NewSilence = match serde_json::from_slice(&body) {
        Ok(new) => new,
        Err(e) => {
            let detail = Some(format!("{e}."));
            return failure(StatusCode::BAD_REQUEST, "could not understand the silence", detail, None);
        }
    };
    match alerts.silence(new) {
        Ok(silence) => answer(StatusCode::CREATED, "silence", &silence),
        Err(error) => failed(StatusCode::BAD_REQUEST, &error),
    }
}

async fn unsilence(
    State(alerts): State<Arc<Alerts>>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    if let Some(refused) = refuse(&identity, &headers) {
        return refused;
    }
    match alerts.unsilence(&id) {
        Ok(silence) => answer(StatusCode::OK, "silence", &silence),
        Err(error) => failed(StatusCode::NOT_FOUND, &error),
    }
}

/// Pages of others may not change anything, and where people are asked who they are, only operators may.
fn refuse(identity: &Identity, headers: &HeaderMap) -> Option<Response> {
    if is_from_elsewhere(headers) {
        return Some(failure(
            StatusCode::FORBIDDEN,
            "the request comes from a page of another site",
            None,
            None,
        ));
    }
    (!identity.may_silence()).then(|| {
        let hint = Some("Give a user with role operator, with --user and --password-file.".to_owned());
        failure(StatusCode::FORBIDDEN, "only an operator may change what is silenced", None, hint)
    })
}

fn answer(status: StatusCode, schema: &str, data: &impl Serialize) -> Response {
    let mut object = serde_json::Map::new();
    object.insert("schema".into(), format!("pgwright.{schema}").into());
    object.insert("schema_version".into(), 1.into());
    if let Ok(Value::Object(fields)) = serde_json::to_value(data) {
        object.extend(fields);
    }
    write(status, &Value::Object(object))
}

fn failed(status: StatusCode, error: &Error) -> Response {
    failure(status, &error.to_string(), error.detail(), error.hint())
}

fn failure(status: StatusCode, message: &str, detail: Option<String>, hint: Option<String>) -> Response {
    write(status, &json!({ "error": message, "detail": detail, "hint": hint }))
}

fn write(status: StatusCode, value: &Value) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, content_type, format!("{value}\n")).into_response()
}
