//! Erasure by law: one person asks, another decides. What is left of the file becomes a new document; the old one is destroyed in the
//! journal, the tables and the search index, phones are told to forget it, and nothing that arrives late can bring it back.

pub mod contents;
mod destroy;
mod files;
mod holders;
mod late;
mod verify;

use diesel::prelude::*;
use serde::Serialize;
use serde_json::json;
use sync_core::authority::Subject;
use sync_core::erase::{self, Part};
use sync_core::ids::DocumentId;
use sync_core::role::Role;
use utoipa::ToSchema;

use crate::audit::{Act, Origin};
use crate::db::tables::{erased_documents, erasures};
use crate::db::{AnyConnection, DbError};
use crate::journal;
use crate::merge::Context;
use crate::objects::ObjectsError;
use crate::reason::{self, ReasonError};

pub(crate) use destroy::TOMBSTONE;
pub use destroy::scrub;
pub(crate) use holders::{confirmed, remember, wiped};
pub(crate) use late::{late, of, orders};
pub use verify::{Found, Holder, Looked, Proof, prove, verify};

/// One erasure.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable, Serialize, ToSchema)]
#[diesel(table_name = erasures)]
pub struct Erasure {
    /// Its id.
    pub id: String,
    /// person, case or attachment.
    pub kind: String,
    /// The document concerned.
    pub document: String,
    /// The party or the attachment's hash; empty for a whole case.
    pub part: String,
    /// Its community.
    pub community: String,
    /// Why.
    pub reason: String,
    /// Who asked; the nil id is the operator.
    pub asked_by: String,
    /// When, ms UTC.
    pub asked_ms: i64,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When, ms UTC.
    pub decided_ms: Option<i64>,
    /// asked, done or declined.
    pub state: String,
}

/// A document that is no more.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = erased_documents)]
#[expect(missing_docs, reason = "the migration documents the columns")]
pub struct Erased {
    pub document: String,
    pub kind: String,
    pub community: String,
    pub position: i64,
    pub erasure: String,
    pub successor: Option<String>,
    pub erased_ms: i64,
}

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
pub enum ErasureError {
    /// There is no such document, part or erasure, or this person may not see it.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The kind is none.
    #[error("`{0}` is no kind of erasure: use person, case or attachment")]
    Kind(String),
    /// What was given as reason is none.
    #[error(transparent)]
    Reason(#[from] ReasonError),
    /// Who asked may not decide.
    #[error("an erasure is decided by another person than the one who asked")]
    SamePerson,
    /// It was decided before.
    #[error("this erasure was decided before")]
    Decided,
    /// What is left could not be written.
    #[error("what is left could not be made into a document: {0}")]
    Remake(String),
    /// The store of contents failed.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for ErasureError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

/// What shall be erased, and why.
#[derive(Debug, Clone)]
pub struct Wish {
    /// person, case or attachment.
    pub kind: String,
    /// The document.
    pub document: DocumentId,
    /// The party or the hash; empty for a whole document.
    pub part: String,
    /// Why: 8 to 500 characters, without numbers of persons.
    pub reason: String,
}

fn part_of(kind: &str, part: &str) -> Result<Option<Part>, ErasureError> {
    match (kind, part) {
        ("person", id) if !id.is_empty() => Ok(Some(Part::Person(id.to_owned()))),
        ("attachment", hash) if !hash.is_empty() => Ok(Some(Part::Attachment(hash.to_owned()))),
        ("case", "") => Ok(None),
        ("person" | "attachment" | "case", _) => Err(ErasureError::NotFound("part")),
        (other, _) => Err(ErasureError::Kind(other.chars().take(40).collect())),
    }
}

/// Whether somebody may ask for and decide erasures of a community: its supervisors.
pub fn may(subject: &Subject, community: &str) -> bool {
    let covers = |g: &sync_core::authority::Grant| g.communities.iter().any(|c| c.as_str() == community);
    subject.grants.iter().any(|g| g.role == Role::Supervisor && covers(g))
}

/// Notes what somebody asks; nothing is erased yet.
pub fn ask(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    origin: &Origin,
    wish: &Wish,
) -> Result<Erasure, ErasureError> {
    let reason = reason::checked(&wish.reason)?;
    let part = part_of(&wish.kind, &wish.part)?;
    let row = journal::document_row(conn, wish.document)?.ok_or(ErasureError::NotFound("document"))?;
    let document = journal::load(conn, wish.document)?.ok_or(ErasureError::NotFound("document"))?;
    if part.is_some_and(|part| !erase::has(&document, &part)) {
        return Err(ErasureError::NotFound("part"));
    }
    let erasure = Erasure {
        id: DocumentId::from_parts(context.now_ms, context.entropy.ten()).to_string(),
        kind: wish.kind.clone(),
        document: wish.document.to_string(),
        part: wish.part.clone(),
        community: row.community,
        reason: reason.to_owned(),
        asked_by: origin.user.to_string(),
        asked_ms: context.now_ms,
        decided_by: None,
        decided_ms: None,
        state: "asked".into(),
    };
    diesel::insert_into(erasures::table).values(&erasure).execute(conn)?;
    record(conn, context, origin, "erasure.ask", &erasure, json!({}))?;
    Ok(erasure)
}

fn record(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    origin: &Origin,
    action: &'static str,
    erasure: &Erasure,
    detail: serde_json::Value,
) -> Result<(), DbError> {
    let act = Act::new(origin, action, &erasure.document).community(&erasure.community).reason(&erasure.reason);
    let mut told = json!({ "erasure": erasure.id, "kind": erasure.kind });
    if let (Some(told), Some(more)) = (told.as_object_mut(), detail.as_object()) {
        told.extend(more.clone());
    }
    act.detail(told).record(conn, context.now_ms, context.entropy)
}

/// One erasure.
pub fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Erasure>, DbError> {
    Ok(erasures::table.find(id).select(Erasure::as_select()).first(conn).optional()?)
}

/// Erasures of communities, last asked first; of all when `None`.
pub fn list(conn: &mut AnyConnection, communities: Option<&[String]>) -> Result<Vec<Erasure>, DbError> {
    let mut query = erasures::table.into_boxed();
    if let Some(communities) = communities {
        query = query.filter(erasures::community.eq_any(communities));
    }
    Ok(query.order(erasures::id.desc()).limit(500).select(Erasure::as_select()).load(conn)?)
}

/// Decides: erases, or declines. Gives the document that was made of the rest. Whoever asked may not decide; `alone` is for the
/// operator's command line, where nobody else is known.
pub fn decide(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    origin: &Origin,
    id: &str,
    approve: bool,
    alone: bool,
) -> Result<Option<DocumentId>, ErasureError> {
    let erasure = find(conn, id)?.ok_or(ErasureError::NotFound("erasure"))?;
    if erasure.asked_by == origin.user.to_string() && !alone && approve {
        return Err(ErasureError::SamePerson);
    }
    // Two who decide at once: the second waits here, and finds it decided.
    let open = erasures::table.find(id).filter(erasures::state.eq("asked"));
    let decided = diesel::update(open).set((
        erasures::state.eq(if approve { "done" } else { "declined" }),
        erasures::decided_by.eq(Some(origin.user.to_string())),
        erasures::decided_ms.eq(Some(context.now_ms)),
    ));
    if decided.execute(conn)? == 0 {
        return Err(ErasureError::Decided);
    }
    if !approve {
        record(conn, context, origin, "erasure.decline", &erasure, json!({}))?;
        return Ok(None);
    }
    let part = part_of(&erasure.kind, &erasure.part)?;
    let successor = destroy::destroy(conn, context, &erasure, part.as_ref())?;
    let detail = json!({ "successor": successor.map(|s| s.to_string()) });
    record(conn, context, origin, "erasure.done", &erasure, detail)?;
    Ok(successor)
}
