//! Of which servers is there history, and from when to when?

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::Session;
use postgres::tokio_postgres::types::Type;
use serde::Serialize;

use super::{Error, Known, Reader, ask, get, parameters, union};
use crate::level::{Extent, Extents, Level, Piece, Window};

/// A server of which there is history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// The beginning of what is kept; nothing before the first interval.
    pub from: Option<DateTime<Utc>>,
    /// The end of the last interval.
    pub to: Option<DateTime<Utc>>,
}

impl Reader {
    /// The servers of which there is history.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds no history.
    pub async fn sources(&self) -> Result<Vec<Source>, Error> {
        let session = self.session().await?;
        let found = self.known_sources(&session).await?;
        Ok(found
            .into_iter()
            .map(|(name, known)| Source {
                name,
                from: known.extents.values().map(|e| e.kept_from).min(),
                to: known.extents.get(&Level::Raw).map(|e| e.done_until),
            })
            .collect())
    }

    /// The server whose history this reader reads.
    ///
    /// # Errors
    /// As [`Self::sources`], and when it is not clear which is meant.
    pub async fn source(&self) -> Result<Source, Error> {
        let session = self.session().await?;
        let (name, known) = self.chosen(&session).await?;
        Ok(Source {
            name,
            from: known.extents.values().map(|e| e.kept_from).min(),
            to: known.extents.get(&Level::Raw).map(|e| e.done_until),
        })
    }

    /// The source that is read, and how far it reaches.
    pub(super) async fn known(&self, session: &Session) -> Result<Known, Error> {
        Ok(self.chosen(session).await?.1)
    }

    async fn chosen(&self, session: &Session) -> Result<(String, Known), Error> {
        let mut all = self.known_sources(session).await?;
        let names = |all: &BTreeMap<String, Known>| all.keys().cloned().collect();
        match &self.source {
            Some(wanted) => match all.remove_entry(wanted) {
                Some(found) => Ok(found),
                None => Err(Error::NoSource { wanted: wanted.clone(), known: names(&all) }),
            },
            None if all.len() > 1 => Err(Error::SeveralSources { known: names(&all) }),
            None => all.pop_first().ok_or_else(|| self.no_history()),
        }
    }

    fn no_history(&self) -> Error {
        Error::NoHistory { store: format!("database \"{}\"", self.store.database()) }
    }

    async fn known_sources(&self, session: &Session) -> Result<BTreeMap<String, Known>, Error> {
        let there = ask(
            session,
            "history_presence",
            "select /* pgwright:history_presence */ \
               pg_catalog.to_regclass('pgwright.history_level') is not null as there",
            &[],
        )
        .await?;
        if !there.first().map(|row| get(row, "there")).transpose()?.unwrap_or(false) {
            return Err(self.no_history());
        }
        let rows = ask(
            session,
            "history_sources",
            "select /* pgwright:history_sources */ s.source_id, s.name, l.level, l.kept_from, l.done_until \
             from pgwright.history_source s left join pgwright.history_level l using (source_id)",
            &[],
        )
        .await?;
        let mut found: BTreeMap<String, Known> = BTreeMap::new();
        for row in &rows {
            let source_id = get(row, "source_id")?;
            let known = found
                .entry(get(row, "name")?)
                .or_insert_with(|| Known { source_id, extents: Extents::new() });
            let level: Option<&str> = get(row, "level")?;
            if let Some(level) = level.and_then(Level::of_name) {
                let extent =
                    Extent { kept_from: get(row, "kept_from")?, done_until: get(row, "done_until")? };
                known.extents.insert(level, extent);
            }
        }
        Ok(found)
    }
}

impl Known {
    /// The seconds that were watched in a window, by bucket of a level.
    pub(super) async fn seconds(
        &self,
        session: &Session,
        pieces: &[Piece],
        level: Level,
    ) -> Result<BTreeMap<DateTime<Utc>, f64>, Error> {
        if pieces.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (rows, instants) = union("t.at, t.seconds", "interval", pieces, 2);
        let sql = format!("select /* pgwright:history_seconds */ u.at, u.seconds from ({rows}) u");
        let rows =
            ask(session, "history_seconds", &sql, &parameters(&self.source_id, &[], &instants)).await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            *found.entry(level.floor(get(row, "at")?)).or_insert(0.0) += get::<f64>(row, "seconds")?;
        }
        Ok(found)
    }
}

/// The texts of statements by `queryid`.
pub(super) async fn texts(
    session: &Session,
    source_id: i16,
    queryids: &[i64],
) -> Result<BTreeMap<i64, String>, Error> {
    let rows = ask(
        session,
        "history_texts",
        "select /* pgwright:history_texts */ t.queryid, t.query from pgwright.history_text t \
         where t.source_id = $1 and t.queryid = any ($2)",
        &[(&source_id, Type::INT2), (&queryids, Type::INT8_ARRAY)],
    )
    .await?;
    rows.iter().map(|row| Ok((get(row, "queryid")?, get(row, "query")?))).collect()
}

/// The window, cut to where there is history.
pub(super) fn clamped(window: Window, extents: &Extents) -> Window {
    let end = extents.get(&Level::Raw).map(|e| e.done_until);
    let begin = extents.values().map(|e| e.kept_from).min();
    let from = begin.map_or(window.from, |b| window.from.max(b));
    let to = end.map_or(window.to, |e| window.to.min(e));
    Window { from, to: to.max(from) }
}
