//! Decisions about refused changes. A supervisor lets one in, with what it builds on and what builds on it, or dismisses them with a
//! reason; either is written down for ever. Accepting sets aside the author's rights only: bytes, actor, order and authorship are
//! judged as for every other change.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use serde::Serialize;
use sync_core::authority::{Place, Subject};
use sync_core::document::{Acceptance, Admission, ChangeHash, Decoded, Document, Inspected, Touch, Trust};
use sync_core::error::{Refusal, RefusalCode};
use sync_core::ids::{AreaCode, DeviceId, DocumentId, UserId};
use sync_core::limits;
use sync_core::role::Role;
use sync_core::sync::wire::Decision;
use sync_core::time::Witness;
use utoipa::ToSchema;

use crate::db::tables::{actors, quarantine, users};
use crate::db::{AnyConnection, DbError};
use crate::journal;
use crate::merge::{self, Context, Entering};

/// Why a decision was not made.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such entry, or this person may not see it.
    #[error("there is no such entry, or you may not see it")]
    NotFound,
    /// Somebody has decided already, otherwise.
    #[error("this was decided already: {0}")]
    Decided(String),
    /// Nobody decides about his own work.
    #[error("nobody decides about his own work; ask another supervisor")]
    OwnWork,
    /// A reason is missing or too long.
    #[error("{0}")]
    Reason(&'static str),
    /// Refused for what it is, not for who wrote it.
    #[error("refused as `{code}`: no person's word makes it sound; dismiss it")]
    NotAcceptable {
        /// Why it was refused.
        code: String,
    },
    /// The document has moved on, or the change was never sound.
    #[error("it does not fit the document as it is now ({}): {}", .0.code, .0.detail)]
    DoesNotFit(Refusal),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for DecisionError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

/// What a decision came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Decided {
    /// `accepted` or `dismissed`.
    pub state: String,
    /// The entries that were decided together, the asked one among them.
    pub entries: Vec<String>,
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = quarantine)]
struct Row {
    id: String,
    document: String,
    kind: String,
    community: String,
    author: String,
    device: String,
    code: String,
    written_ms: i64,
    received_ms: i64,
    bytes: Vec<u8>,
    state: String,
    witness: Option<String>,
}

impl Row {
    fn damaged(&self) -> DbError {
        DbError::Row(format!("quarantine {}", self.id))
    }

    fn document(&self) -> Result<DocumentId, DbError> {
        self.document.parse().map_err(|_| self.damaged())
    }

    fn author(&self) -> Result<UserId, DbError> {
        self.author.parse().map_err(|_| self.damaged())
    }

    /// What was known of its time when it came. Entries of an older schema are held to their arrival.
    fn witness(&self) -> Witness {
        let known = self.witness.as_deref().and_then(|w| serde_json::from_str(w).ok());
        known.unwrap_or(Witness {
            received_ms: self.received_ms,
            earliest_ms: 0,
            latest_ms: self.received_ms,
            basis: sync_core::time::TimeBasis::Claimed,
        })
    }
}

/// The communities in which somebody decides.
pub fn communities(subject: &Subject) -> Vec<String> {
    let grants = subject.grants.iter().filter(|g| g.role == Role::Supervisor);
    grants.flat_map(|g| g.communities.iter().cloned().map(String::from)).collect()
}

/// Reads an entry that waits, under the lock of its community: whoever decides first has decided.
fn waiting(
    conn: &mut AnyConnection,
    subject: &Subject,
    id: &str,
    asked: &str,
) -> Result<Result<Row, Decided>, DecisionError> {
    let find = |conn: &mut AnyConnection| -> Result<Row, DecisionError> {
        let row = quarantine::table.find(id).select(Row::as_select()).first(conn).optional()?;
        row.filter(|r| communities(subject).contains(&r.community)).ok_or(DecisionError::NotFound)
    };
    let community = find(conn)?.community;
    let code = AreaCode::new(community).map_err(|_| DecisionError::NotFound)?;
    journal::lock(conn, &[code])?;
    let row = find(conn)?;
    if row.author()? == subject.user {
        return Err(DecisionError::OwnWork);
    }
    match row.state.as_str() {
        "waiting" => Ok(Ok(row)),
        // Asked twice, because an answer was lost: it stands.
        state if state == asked => Ok(Err(Decided { state: asked.to_owned(), entries: vec![row.id] })),
        state => Err(DecisionError::Decided(state.to_owned())),
    }
}

fn note(text: Option<&str>, required: bool) -> Result<String, DecisionError> {
    let text = text.unwrap_or_default().trim();
    if required && text.is_empty() {
        return Err(DecisionError::Reason("say why: its author will read it"));
    }
    if text.chars().count() > limits::REASON_CHARS_MAX || text.contains('\0') {
        return Err(DecisionError::Reason("a reason has at most 1000 characters and no NUL"));
    }
    Ok(text.to_owned())
}

/// The entry with everything that waits for the same document and hangs together with it: what it builds on and what builds on it.
fn chain(conn: &mut AnyConnection, row: &Row) -> Result<Vec<(Row, Option<Decoded>)>, DbError> {
    let rows: Vec<Row> = quarantine::table
        .filter(quarantine::document.eq(&row.document))
        .filter(quarantine::state.eq("waiting"))
        .filter(quarantine::author.eq(&row.author))
        // Whoever decides here decides about nothing that waits elsewhere.
        .filter(quarantine::community.eq(&row.community))
        .order((quarantine::received_ms, quarantine::id))
        .select(Row::as_select())
        .load(conn)?;
    let all: Vec<_> = rows.into_iter().map(|r| (Document::decode(&r.bytes).ok(), r)).map(|(d, r)| (r, d)).collect();
    let mut inside: BTreeSet<&str> = [row.id.as_str()].into();
    loop {
        let hashes: BTreeSet<ChangeHash> = members(&all, &inside).map(|d| d.raw.hash).collect();
        let below: BTreeSet<ChangeHash> = members(&all, &inside).flat_map(|d| d.deps.iter().copied()).collect();
        let joins = |d: &Decoded| below.contains(&d.raw.hash) || d.deps.iter().any(|x| hashes.contains(x));
        let before = inside.len();
        inside.extend(all.iter().filter(|(_, d)| d.as_ref().is_some_and(joins)).map(|(r, _)| r.id.as_str()));
        if inside.len() == before {
            break;
        }
    }
    let inside: BTreeSet<String> = inside.into_iter().map(str::to_owned).collect();
    Ok(all.into_iter().filter(|(r, _)| inside.contains(&r.id)).collect())
}

/// What would be decided together with an entry that waits: the others' ids.
pub fn together(conn: &mut AnyConnection, id: &str) -> Result<Vec<String>, DbError> {
    let waits = quarantine::table.find(id).filter(quarantine::state.eq("waiting"));
    let Some(row) = waits.select(Row::as_select()).first(conn).optional()? else { return Ok(Vec::new()) };
    Ok(chain(conn, &row)?.into_iter().map(|(r, _)| r.id).filter(|other| other != id).collect())
}

fn members<'a>(all: &'a [(Row, Option<Decoded>)], inside: &BTreeSet<&str>) -> impl Iterator<Item = &'a Decoded> {
    all.iter().filter(|(r, _)| inside.contains(r.id.as_str())).filter_map(|(_, d)| d.as_ref())
}

/// Refused for who wrote it, where or when; a supervisor can answer for that. What a phone said last, on ground that was not here, may
/// have it by now.
fn acceptable(code: &str) -> bool {
    use RefusalCode::{DependsOnRefused, ForeignArea, MissingDependency, NotAllowed, Revoked};
    [NotAllowed, ForeignArea, Revoked, DependsOnRefused, MissingDependency].iter().any(|c| c.as_str() == code)
}

/// What a supervisor's word cannot make good: an actor of somebody else, another name under the words, the server's own entries.
fn genuine(conn: &mut AnyConnection, row: &Row, decoded: &Decoded) -> Result<(), DecisionError> {
    let owner: Option<(String, String)> = actors::table
        .find(decoded.raw.actor.0.to_vec())
        .select((actors::device, actors::author))
        .first(conn)
        .optional()?;
    if owner == Some((row.device.clone(), row.author.clone())) {
        return Ok(());
    }
    Err(DecisionError::NotAcceptable { code: RefusalCode::ForeignActor.as_str().to_owned() })
}

fn own_words(author: UserId, inspected: &Inspected) -> Result<(), Refusal> {
    let forged = |touch: &Touch| match touch {
        Touch::Create { created_by } => *created_by != author,
        Touch::Event { event, .. } => event.by.user != author,
        Touch::Attachment { by, .. } => by.is_some_and(|by| by != author),
        Touch::Server | Touch::Unknown => true,
        Touch::Field { .. } | Touch::Item { .. } | Touch::Text { .. } => false,
    };
    if inspected.touches.iter().any(forged) {
        return Err(Refusal::new(RefusalCode::ForgedAuthor, "it speaks in another name than its author's"));
    }
    Ok(())
}

/// Lets a refused change in, under its author's name, with everything that hangs together with it.
pub fn accept(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    subject: &Subject,
    id: &str,
    reason: Option<&str>,
) -> Result<Decided, DecisionError> {
    let reason = note(reason, false)?;
    let row = match waiting(conn, subject, id, "accepted")? {
        Ok(row) => row,
        Err(decided) => return Ok(decided),
    };
    let mut open: Vec<(Row, Decoded)> = Vec::new();
    for (row, decoded) in chain(conn, &row)? {
        let decoded = decoded.filter(|_| acceptable(&row.code));
        let decoded = decoded.ok_or_else(|| DecisionError::NotAcceptable { code: row.code.clone() })?;
        genuine(conn, &row, &decoded)?;
        open.push((row, decoded));
    }
    let mut document = journal::load(conn, row.document()?)?;
    if document.as_ref().is_some_and(|d| d.meta().community.as_str() != row.community) {
        let detail = "the document lies in another community than it was sent for";
        return Err(DecisionError::DoesNotFit(Refusal::new(RefusalCode::Malformed, detail)));
    }
    let before = document.as_ref().map(Place::of);
    let mut entering = Vec::new();
    let mut entries = Vec::new();
    while !open.is_empty() {
        let fits = |d: &Decoded| match &document {
            Some(document) => d.deps.iter().all(|dep| document.has(dep)),
            None => d.deps.is_empty(),
        };
        let Some(next) = open.iter().position(|(_, d)| fits(d)) else {
            let detail = "what it builds on is neither here nor in quarantine";
            return Err(DecisionError::DoesNotFit(Refusal::new(RefusalCode::MissingDependency, detail)));
        };
        let (row, decoded) = open.remove(next);
        let author = row.author()?;
        entries.push(row.id.clone());
        if let Some(inspected) = enter(&mut document, &row, &decoded, author).map_err(DecisionError::DoesNotFit)? {
            entering.push(Entering {
                inspected,
                author,
                device: row.device.parse::<DeviceId>().ok(),
                written_ms: row.written_ms,
                witness: row.witness(),
                acceptance: Some(Acceptance { by: subject.user, at_ms: context.now_ms }),
            });
        }
    }
    if let Some(document) = &mut document
        && !entering.is_empty()
    {
        merge::enter(conn, context, document, entering, before.as_ref())?;
    }
    decide(conn, context, subject, &entries, "accepted", &reason)
}

/// `None` when it is there already.
fn enter(
    document: &mut Option<Document>,
    row: &Row,
    decoded: &Decoded,
    author: UserId,
) -> Result<Option<Inspected>, Refusal> {
    if let Some(document) = document {
        let gate = |_: &Document, inspected: &Inspected| own_words(author, inspected);
        return match document.admit_decoded(decoded, Trust::Stranger, gate)? {
            Admission::Applied(inspected) => Ok(Some(inspected)),
            Admission::Duplicate(_) => Ok(None),
        };
    }
    let (founded, inspected) = Document::found_decoded(decoded, Trust::Stranger)?;
    own_words(author, &inspected)?;
    let meta = founded.meta();
    let same = meta.id.to_string() == row.document
        && meta.kind.as_str() == row.kind
        && meta.community.as_str() == row.community;
    if !same {
        return Err(Refusal::new(RefusalCode::Malformed, "the change founds another document than its envelope says"));
    }
    *document = Some(founded);
    Ok(Some(inspected))
}

/// Keeps a refused change out for good, with what builds on it. It stays on record.
pub fn dismiss(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    subject: &Subject,
    id: &str,
    reason: Option<&str>,
) -> Result<Decided, DecisionError> {
    let reason = note(reason, true)?;
    let row = match waiting(conn, subject, id, "dismissed")? {
        Ok(row) => row,
        Err(decided) => return Ok(decided),
    };
    let mut entries: Vec<String> = chain(conn, &row)?.into_iter().map(|(r, _)| r.id).collect();
    if entries.is_empty() {
        entries.push(row.id);
    }
    decide(conn, context, subject, &entries, "dismissed", &reason)
}

fn decide(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    subject: &Subject,
    entries: &[String],
    state: &str,
    reason: &str,
) -> Result<Decided, DecisionError> {
    diesel::update(quarantine::table.filter(quarantine::id.eq_any(entries)))
        .set((
            quarantine::state.eq(state),
            quarantine::decided_by.eq(Some(subject.user.to_string())),
            quarantine::decided_ms.eq(Some(context.now_ms)),
            quarantine::reason.eq(Some(reason)),
        ))
        .execute(conn)?;
    Ok(Decided { state: state.to_owned(), entries: entries.to_vec() })
}

/// What was decided about changes of a device that it does not know to be decided.
pub fn decisions(conn: &mut AnyConnection, device: DeviceId, asked: &[ChangeHash]) -> Result<Vec<Decision>, DbError> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    type Found = (Vec<u8>, String, Option<String>, Option<String>, Option<i64>);
    let hashes: Vec<Vec<u8>> = asked.iter().map(|h| h.0.to_vec()).collect();
    let rows: Vec<Found> = quarantine::table
        .filter(quarantine::hash.eq_any(hashes))
        .filter(quarantine::device.eq(device.to_string()))
        .filter(quarantine::state.ne("waiting"))
        .select((
            quarantine::hash,
            quarantine::state,
            quarantine::decided_by,
            quarantine::reason,
            quarantine::decided_ms,
        ))
        .load(conn)?;
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut out = Vec::new();
    for (hash, state, by, reason, decided_ms) in rows {
        let Ok(hash) = <[u8; 32]>::try_from(hash) else { continue };
        let by = by.unwrap_or_default();
        if !names.contains_key(&by) {
            let name = users::table.find(&by).select(users::name).first::<String>(conn).optional()?;
            names.insert(by.clone(), name.unwrap_or_default());
        }
        out.push(Decision {
            hash: ChangeHash(hash),
            accepted: state == "accepted",
            by: names.get(&by).cloned().unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            decided_ms: decided_ms.unwrap_or_default(),
        });
    }
    Ok(out)
}
