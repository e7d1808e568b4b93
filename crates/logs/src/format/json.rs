//! jsonlog: an object per line; a key without a value is left out.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Lines, lines};
use crate::entry::{Entry, Origin, Severity, read_time};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    user: Cow<'a, str>,
    #[serde(borrow)]
    dbname: Cow<'a, str>,
    pid: Option<u32>,
    #[serde(borrow)]
    remote_host: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Cow<'a, str>,
    #[serde(borrow)]
    error_severity: Cow<'a, str>,
    #[serde(borrow)]
    state_code: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    detail: Cow<'a, str>,
    #[serde(borrow)]
    hint: Cow<'a, str>,
    #[serde(borrow)]
    context: Cow<'a, str>,
    #[serde(borrow)]
    statement: Cow<'a, str>,
    #[serde(borrow)]
    application_name: Cow<'a, str>,
}

/// Whether a line is an entry.
pub(super) fn reads(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && memchr::memmem::find(line, b"\"error_severity\"").is_some()
}

pub(super) fn read(text: &[u8], take: &mut dyn FnMut(&Entry<'_>)) -> Lines {
    let mut unread = Lines::default();
    for (_, line) in lines(text) {
        let known = std::str::from_utf8(line).ok().and_then(|l| serde_json::from_str::<Object<'_>>(l).ok());
        // A text in another encoding than the log's own is no valid string; the rest of the line is.
        let lossy;
        let known = match known {
            Some(object) => Some(object),
            None if std::str::from_utf8(line).is_err() => {
                lossy = String::from_utf8_lossy(line);
                serde_json::from_str::<Object<'_>>(&lossy).ok()
            }
            None => None,
        };
        let severity = known.as_ref().and_then(|o| Severity::read(o.error_severity.as_bytes()));
        let (Some(object), Some(severity)) = (&known, severity) else {
            unread.push(line);
            continue;
        };
        let time = read_time(object.timestamp.as_bytes());
        take(&Entry {
            origin: Origin {
                time_ms: time.map(|t| t.0),
                zone: time.map(|t| t.1).unwrap_or_default(),
                pid: object.pid,
                session: object.session_id.as_bytes(),
                user: object.user.as_bytes(),
                database: object.dbname.as_bytes(),
                application: object.application_name.as_bytes(),
                host: object.remote_host.as_bytes(),
                sqlstate: object.state_code.as_bytes(),
            },
            severity,
            message: Cow::Borrowed(object.message.as_bytes()),
            detail: Cow::Borrowed(object.detail.as_bytes()),
            hint: Cow::Borrowed(object.hint.as_bytes()),
            context: Cow::Borrowed(object.context.as_bytes()),
            statement: Cow::Borrowed(object.statement.as_bytes()),
        });
    }
    unread
}
