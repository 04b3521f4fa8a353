//! The list projection: what lists and search show, without loading a document.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params_from_iter};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::authority::Place;
use crate::calendar::Calendar;
use crate::document::Document;
use crate::fold::{fold_patrol, folded_case};
use crate::ids::DocumentId;
use crate::rules::{RuleSet, due_ms, obligations};
use crate::search;
use crate::shape::DocumentKind;

/// One row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRow {
    /// The document.
    pub document: DocumentId,
    /// Its kind.
    pub kind: DocumentKind,
    /// Its community.
    pub community: String,
    /// Given, or the beginning of the text.
    pub title: String,
    /// Where it stands.
    pub status: String,
    /// The hall it lies with; none for a patrol.
    pub level: Option<String>,
    /// Code of the table `category`.
    pub category: Option<String>,
    /// Its grid.
    pub grid: Option<String>,
    /// Its building.
    pub building: Option<String>,
    /// When it was made, ms UTC.
    pub created_ms: i64,
    /// When it was last changed, by the authors' clocks, ms UTC.
    pub changed_ms: i64,
    /// When the next thing is due, ms UTC.
    pub due_ms: Option<i64>,
    /// Registers in conflict.
    pub conflicts: i64,
    /// Flagged passages.
    pub passages: i64,
    /// Whether somebody must look at it.
    pub needs_review: bool,
    /// Since when the record itself is on the server only, ms UTC; it was closed long ago and comes when it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_ms: Option<i64>,
    /// What is searched.
    #[serde(skip)]
    pub text: String,
}

/// What a list can be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ListFilter {
    /// A status.
    pub status: Option<String>,
    /// A level.
    pub level: Option<String>,
    /// Text that must occur.
    pub text: Option<String>,
    /// Only what somebody must look at.
    pub needs_review: Option<bool>,
    /// Only what has unsent changes.
    pub unsynced: Option<bool>,
    /// At most so many; 200 by default.
    pub limit: Option<u32>,
    /// Begin behind this document of the page before.
    pub after: Option<DocumentId>,
}

fn short(text: &str) -> String {
    let first = text.split(['。', '\n']).next().unwrap_or_default();
    first.chars().take(30).collect()
}

/// Computes the row of a document, without what is searched.
pub fn row_of(document: &Document) -> ListRow {
    let meta = document.meta();
    let place = Place::of(document);
    let mut row = ListRow {
        document: meta.id,
        kind: meta.kind,
        community: meta.community.to_string(),
        title: String::new(),
        status: String::new(),
        level: None,
        category: None,
        grid: place.grid.map(String::from),
        building: place.building.map(String::from),
        created_ms: meta.created_ms,
        changed_ms: document.history().iter().map(|c| c.at_ms).max().unwrap_or(meta.created_ms),
        due_ms: None,
        conflicts: 0,
        passages: 0,
        away_ms: None,
        needs_review: false,
        text: String::new(),
    };
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    match meta.kind {
        DocumentKind::Case => {
            let state = folded_case(document);
            row.title = state.text("title").map_or_else(|| short(&state.narrative), str::to_owned);
            row.status = state.status.as_str().to_owned();
            row.level = Some(state.level.as_str().to_owned());
            row.category = state.text("category").map(str::to_owned);
            row.due_ms = due_ms(&state, &obligations(&state, RuleSet::shipped(), Calendar::shipped(), i64::MIN));
            row.conflicts = count(state.conflicts.len());
            row.passages = count(state.passages.len());
            row.needs_review = state.needs_review();
        }
        DocumentKind::Patrol => {
            let state = fold_patrol(document);
            let detail = state.fields.get("place.detail").and_then(|v| v.as_str());
            row.title = detail.map_or_else(|| short(&state.notes), str::to_owned);
            row.status = state.status.as_str().to_owned();
            row.conflicts = count(state.conflicts.len());
            row.passages = count(state.passages.len());
            row.needs_review = !(state.conflicts.is_empty() && state.passages.is_empty());
        }
    }
    row
}

/// What a document is found by, with its title.
fn searched(document: &Document, title: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    match document.meta().kind {
        DocumentKind::Case => {
            let state = folded_case(document);
            words.push(state.narrative.clone());
            words.extend(state.fields.values().filter_map(|v| v.as_str().map(str::to_owned)));
            let items = state.parties.values().chain(state.statements.values());
            for item in items {
                words.extend(item.fields.values().filter_map(|v| v.as_str().map(str::to_owned)));
                words.extend(item.text.clone());
            }
            for event in &state.timeline {
                words.extend(event.body.values().filter_map(|v| v.as_str().map(str::to_owned)));
            }
            if let Some(entry) = state.text("category").and_then(|c| crate::reference::codes().entry("category", c)) {
                words.push(entry.zh.clone());
            }
        }
        DocumentKind::Patrol => {
            let state = fold_patrol(document);
            words.push(state.notes.clone());
            words.extend(state.fields.values().filter_map(|v| v.as_str().map(str::to_owned)));
            for hazard in state.hazards.values() {
                words.extend(hazard.fields.values().filter_map(|v| v.as_str().map(str::to_owned)));
            }
        }
    }
    words.push(title.to_owned());
    search::normalise(&words.join("\n"))
}

const COLUMNS: &str = "document, kind, community, title, status, level, category, grid, building, created_ms, changed_ms, due_ms, \
                       conflicts, passages, needs_review, away_ms";
const PLACES: &str = "?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, NULL";

/// Notes how a document stands. The words of a new one are taken down, and found once [`index`] has them; what is new in one that was
/// there is put into the index when somebody searches ([`refresh`]): taking a long text out of it and putting it in again, at every
/// edit, is much of the cost.
pub fn note(tx: &Transaction<'_>, document: &Document) -> Result<(), StoreError> {
    let mut row = row_of(document);
    let id = row.document.to_string();
    let here: Option<bool> = tx
        .prepare_cached("SELECT away_ms IS NULL FROM list WHERE document = ?1")?
        .query_row([&id], |r| r.get(0))
        .optional()?;
    if here == Some(true) {
        let (columns, places) = (COLUMNS, PLACES);
        let sql = format!("UPDATE list SET ({columns}, stale) = ({places}, 1) WHERE document = ?1");
        tx.prepare_cached(&sql)?.execute(rusqlite::params![
            id,
            row.kind.as_str(),
            row.community,
            row.title,
            row.status,
            row.level,
            row.category,
            row.grid,
            row.building,
            row.created_ms,
            row.changed_ms,
            row.due_ms,
            row.conflicts,
            row.passages,
            row.needs_review,
        ])?;
        return Ok(());
    }
    row.text = searched(document, &row.title);
    put(tx, &row)
}

/// Whether there are records whose words, or newest words, are not in the index yet.
pub fn is_stale(conn: &Connection) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT 1 FROM list WHERE stale = 1) OR EXISTS (SELECT 1 FROM list WHERE indexed = 0)";
    Ok(conn.prepare_cached(query)?.query_row([], |r| r.get(0))?)
}

/// Puts the newest words of every record into the index. A record that cannot be read stays as it is found now.
pub fn refresh(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let ids: Vec<String> = tx
        .prepare_cached("SELECT document FROM list WHERE stale = 1")?
        .query_map([], |r| r.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let Ok(document) = id.parse() else { continue };
        if let Some(stored) = super::documents::load_readable(tx, document)? {
            let title: String =
                tx.prepare_cached("SELECT title FROM list WHERE document = ?1")?.query_row([&id], |r| r.get(0))?;
            tx.prepare_cached("UPDATE list SET text = ?2 WHERE document = ?1 AND text <> ?2")?
                .execute((&id, searched(&stored.document, &title)))?;
        }
        tx.prepare_cached("UPDATE list SET stale = 0 WHERE document = ?1")?.execute([&id])?;
    }
    index(tx)
}

/// Puts the words of all records into the index that were taken down since it was last asked.
pub fn index(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let fresh = "INSERT INTO search (rowid, text) SELECT number, text FROM list WHERE indexed = 0 ORDER BY number";
    tx.prepare_cached(fresh)?.execute([])?;
    tx.prepare_cached("UPDATE list SET indexed = 1 WHERE indexed = 0")?.execute([])?;
    Ok(())
}

/// Writes a row. What is searched is touched only where it has changed.
pub fn put(tx: &Transaction<'_>, row: &ListRow) -> Result<(), StoreError> {
    let id = row.document.to_string();
    let values = rusqlite::params![
        id,
        row.kind.as_str(),
        row.community,
        row.title,
        row.status,
        row.level,
        row.category,
        row.grid,
        row.building,
        row.created_ms,
        row.changed_ms,
        row.due_ms,
        row.conflicts,
        row.passages,
        row.needs_review,
        row.text,
    ];
    let known: Option<bool> = tx
        .prepare_cached("SELECT text = ?2 FROM list WHERE document = ?1")?
        .query_row((&id, &row.text), |r| r.get(0))
        .optional()?;
    let (columns, places) = (COLUMNS, PLACES);
    match known {
        None => {
            tx.prepare_cached(&format!("INSERT INTO list ({columns}, text) VALUES ({places}, ?16)"))?.execute(values)?
        }
        Some(true) => tx
            .prepare_cached(&format!("UPDATE list SET ({columns}) = ({places}) WHERE document = ?1 AND text = ?16"))?
            .execute(values)?,
        Some(false) => tx
            .prepare_cached(&format!("UPDATE list SET ({columns}, text) = ({places}, ?16) WHERE document = ?1"))?
            .execute(values)?,
    };
    Ok(())
}

/// Since when a record of which this is all that is left is on the server only, ms UTC.
pub fn away_since(conn: &Connection, id: DocumentId) -> Result<Option<i64>, StoreError> {
    let row = conn
        .prepare_cached("SELECT away_ms FROM list WHERE document = ?1")?
        .query_row([id.to_string()], |r| r.get(0))
        .optional()?;
    Ok(row.flatten())
}

/// Whether anything of a community stands in the list, be it away.
pub fn holds(conn: &Connection, community: &str) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT 1 FROM list WHERE community = ?1)";
    Ok(conn.prepare_cached(query)?.query_row([community], |r| r.get(0))?)
}

/// Records of a community that have left the phone.
pub fn away_of(conn: &Connection, community: &str) -> Result<Vec<DocumentId>, StoreError> {
    let mut statement = conn
        .prepare_cached("SELECT document FROM list WHERE community = ?1 AND away_ms IS NOT NULL ORDER BY document")?;
    let rows = statement.query_map([community], |r| r.get::<_, String>(0))?;
    let ids: Vec<String> = rows.collect::<Result<_, _>>()?;
    Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
}

/// Takes the rows of a community out.
pub fn forget_community(tx: &Transaction<'_>, community: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM list WHERE community = ?1", [community])?;
    Ok(())
}

/// Writes the index anew, so that it holds nothing of what was taken out of it. Costs as much as the index is large.
pub fn leave_no_trace(tx: &Transaction<'_>) -> Result<(), StoreError> {
    tx.execute("INSERT INTO search (search) VALUES ('optimize')", [])?;
    Ok(())
}

/// Rows of a kind, last changed first.
pub fn page(conn: &Connection, kind: DocumentKind, filter: &ListFilter) -> Result<Vec<ListRow>, StoreError> {
    let mut sql = format!("SELECT {COLUMNS} FROM list WHERE kind = ?");
    let mut values: Vec<Value> = vec![kind.as_str().to_owned().into()];
    let mut and = |clause: &str, value: Option<Value>| {
        sql.push_str(" AND ");
        sql.push_str(clause);
        values.extend(value);
    };
    if let Some(status) = &filter.status {
        and("status = ?", Some(status.clone().into()));
    }
    if let Some(level) = &filter.level {
        and("level = ?", Some(level.clone().into()));
    }
    if let Some(review) = filter.needs_review {
        and("needs_review = ?", Some(i64::from(review).into()));
    }
    if let Some(unsynced) = filter.unsynced {
        let clause = if unsynced { "EXISTS" } else { "NOT EXISTS" };
        and(&format!("{clause} (SELECT 1 FROM outbox WHERE outbox.document = list.document)"), None);
    }
    for word in search::normalise(filter.text.as_deref().unwrap_or_default()).split(' ').filter(|w| !w.is_empty()) {
        // Trigrams know words of three characters and more; shorter ones are looked for in the text itself.
        if word.chars().count() >= 3 {
            let quoted = format!("\"{}\"", word.replace('"', "\"\""));
            and("number IN (SELECT rowid FROM search WHERE search MATCH ?)", Some(quoted.into()));
        } else {
            and("text LIKE ? ESCAPE '\\'", Some(search::like_pattern(word).into()));
        }
    }
    if let Some(after) = filter.after {
        and(
            "(changed_ms, document) < (SELECT changed_ms, document FROM list WHERE document = ?)",
            Some(after.to_string().into()),
        );
    }
    sql.push_str(" ORDER BY changed_ms DESC, document DESC LIMIT ?");
    values.push(i64::from(filter.limit.unwrap_or(200).min(1_000)).into());
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |r| {
        let document: String = r.get(0)?;
        let kind: String = r.get(1)?;
        Ok((document, kind, row(r)?))
    })?;
    let mut out = Vec::new();
    for found in rows {
        let (document, kind, make) = found?;
        if let (Ok(document), Some(kind)) = (document.parse(), DocumentKind::parse(&kind)) {
            out.push(ListRow { document, kind, ..make });
        }
    }
    Ok(out)
}

fn row(r: &rusqlite::Row<'_>) -> Result<ListRow, rusqlite::Error> {
    Ok(ListRow {
        document: DocumentId(uuid::Uuid::nil()),
        kind: DocumentKind::Case,
        community: r.get(2)?,
        title: r.get(3)?,
        status: r.get(4)?,
        level: r.get(5)?,
        category: r.get(6)?,
        grid: r.get(7)?,
        building: r.get(8)?,
        created_ms: r.get(9)?,
        changed_ms: r.get(10)?,
        due_ms: r.get(11)?,
        conflicts: r.get(12)?,
        passages: r.get(13)?,
        needs_review: r.get(14)?,
        away_ms: r.get(15)?,
        text: String::new(),
    })
}
