//! The one door: a phone's bundle, a desk's edit and the scheduler's events all enter documents here, in one transaction that
//! appends to the journal and writes the projections. What comes out of it is durable once the caller's transaction is.

mod actors;
mod aside;
mod forked;
mod places;
mod resupply;
mod shelf;

pub(crate) use aside::put_aside;
pub(crate) use resupply::{Proof, resupply};

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::authority::{Place, Subject};
use sync_core::document::{Acceptance, ChangeHash, Document, Inspected, Touch};
use sync_core::edit::{self, Draft, Edit, Pen};
use sync_core::error::EditError;
use sync_core::ids::{ActorId, AreaCode, DeviceId, DocumentId, Entropy, EventId, JournalId, UserId};
use sync_core::sync::server::{self, Bench, Opened, Reading, Verdict};
use sync_core::sync::wire::{Bundle, BundleEntry, PushOutcome, PushResult};
use sync_core::time::{Hlc, TimeClaim, Witness};

use shelf::{Names, Shelf};

use crate::accounts::{devices::Device, users};
use crate::db::{AnyConnection, DbError};
use crate::erasure;
use crate::journal::{self, Append, Grown};
use crate::moves;
use crate::objects::refs;
use crate::projection::{self, Arrival, Law, Searchable};

/// What a merge needs to know beside what is merged.
pub struct Context<'a> {
    /// The rules and calendar.
    pub law: &'a Law,
    /// The identity of the journal.
    pub journal: JournalId,
    /// The server's clock, ms UTC.
    pub now_ms: i64,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
}

/// Why a desk's edit was not made.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is no such document, or this person may not see it.
    #[error("there is no such document")]
    NotFound,
    /// The edit itself is at fault.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<diesel::result::Error> for MergeError {
    fn from(e: diesel::result::Error) -> Self {
        Self::Db(DbError::Query(e))
    }
}

/// Merges a verified bundle. `subject` holds every role that its author ever had; `is_last`: it is the last word of its phone.
pub fn bundle(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    opened: &Opened,
    subject: &Subject,
    device: &Device,
    tokens: &[i64],
    is_last: bool,
) -> Result<Vec<PushResult>, DbError> {
    let bundle = &opened.bundle;
    let codes: Vec<AreaCode> = bundle.entries.iter().map(|e| e.community.clone()).collect();
    let known: BTreeSet<AreaCode> = journal::lock(conn, &codes)?.into_iter().collect();
    let own_actors = actors::claim(conn, context, bundle)?;
    let mut shelf = Shelf::read(conn, bundle)?;
    let mut results = Vec::new();
    for (entry, readings) in opened.entries() {
        let taken = document_entry(
            conn,
            context,
            bundle,
            (entry, readings),
            subject,
            device,
            (tokens, is_last),
            &own_actors,
            &known,
            &mut shelf,
        );
        results.extend(taken?);
    }
    projection::index(conn, shelf.searchable)?;
    Ok(results)
}

#[expect(clippy::too_many_arguments, reason = "each is a different thing that the judgement rests on")]
fn document_entry(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    bundle: &Bundle,
    (entry, readings): (&BundleEntry, &[Reading]),
    subject: &Subject,
    device: &Device,
    (tokens, is_last): (&[i64], bool),
    own_actors: &BTreeSet<ActorId>,
    known: &BTreeSet<AreaCode>,
    shelf: &mut Shelf,
) -> Result<Vec<PushResult>, DbError> {
    let mut document = shelf.document(conn, entry.document)?;
    if document.is_none()
        && let Some(erased) = erasure::of(conn, entry.document)?
    {
        return erasure::late(conn, context, bundle, (entry, readings), &erased);
    }
    let none = BTreeMap::new();
    let standing = shelf.quarantined.get(&entry.document).unwrap_or(&none);
    // Nobody has rights in a community that this server does not know; whatever is sent for one is kept aside.
    let nobody = Subject { user: subject.user, grants: Vec::new() };
    let bench = Bench {
        subject: if known.contains(&entry.community) { subject } else { &nobody },
        actors: own_actors,
        revoked_ms: device.revoked_ms,
        tokens,
        former: shelf.former.get(&entry.document).map_or(&[], Vec::as_slice),
        quarantined: standing,
        now_ms: context.now_ms,
        is_last,
    };
    let before = document.as_ref().map(Place::of);
    let mut verdict = server::judge(&mut document, entry, readings, &bench);
    // Who decides in the community that an entry names learns nothing of a document that lies elsewhere.
    let is_here = |d: &Document| d.meta().community == entry.community;
    let mut scratch = document.clone().filter(|d| !verdict.quarantined.is_empty() && is_here(d));
    for kept in &verdict.quarantined {
        put_aside(conn, bundle, entry, kept, &mut scratch, context, tokens)?;
    }
    if let Some(document) = &mut document
        && !verdict.accepted.is_empty()
    {
        accept(conn, context, bundle, document, &mut verdict, tokens, (before, shelf))?;
    }
    Ok(verdict.results)
}

fn accept(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    bundle: &Bundle,
    document: &mut Document,
    verdict: &mut Verdict,
    tokens: &[i64],
    (before, shelf): (Option<Place>, &mut Shelf),
) -> Result<(), DbError> {
    let mut appends: Vec<Append> = Vec::with_capacity(verdict.accepted.len() + 1);
    let mut witnesses: Vec<(EventId, Witness)> = Vec::new();
    let mut named: BTreeSet<UserId> = [bundle.user].into();
    for accepted in &verdict.accepted {
        witnesses.extend(server::witnesses(accepted, tokens));
        named.extend(accepted.inspected.touches.iter().filter_map(|t| match t {
            Touch::Event { event, .. } => event.text("to").and_then(|to| to.parse::<UserId>().ok()),
            _ => None,
        }));
        appends.push(Append {
            change: accepted.inspected.raw.clone(),
            author: bundle.user,
            device: Some(bundle.device),
            written_ms: accepted.at.hlc.wall_ms,
            witness: accepted.witness,
        });
    }
    let used: BTreeSet<ActorId> = verdict.accepted.iter().map(|a| a.inspected.raw.actor).collect();
    let actors: Vec<_> = used.into_iter().map(|a| (a, bundle.user)).collect();
    let vouched = Vouched { witnesses, actors, named, accepted: Vec::new() };
    appends.extend(vouch(conn, context, document, &vouched, &mut shelf.names)?);
    let (positions, searchable) = commit(conn, context, document, &appends, before.as_ref())?;
    shelf.searchable.extend(searchable);
    let mut positions = positions.into_iter();
    for result in &mut verdict.results {
        if let PushOutcome::Accepted(position) = &mut result.outcome {
            *position = positions.next().unwrap_or_default();
        }
    }
    Ok(())
}

/// A change that is in the document already and enters the journal by a person's decision.
pub(crate) struct Entering {
    /// The change with what it does.
    pub(crate) inspected: Inspected,
    /// Who wrote it.
    pub(crate) author: UserId,
    /// On which device.
    pub(crate) device: Option<DeviceId>,
    /// When, as he says, ms UTC.
    pub(crate) written_ms: i64,
    /// What the server knows of its time.
    pub(crate) witness: Witness,
    /// Who let it in, where it had been refused.
    pub(crate) acceptance: Option<Acceptance>,
}

/// Enters changes that a person decided upon, each under its author's name. The caller holds the community's lock.
pub(crate) fn enter(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: &mut Document,
    entering: Vec<Entering>,
    before: Option<&Place>,
) -> Result<(), DbError> {
    let mut vouched = Vouched::default();
    let mut appends = Vec::with_capacity(entering.len() + 1);
    for entry in entering {
        let raw = entry.inspected.raw;
        vouched.named.insert(entry.author);
        vouched.actors.push((raw.actor, entry.author));
        for touch in &entry.inspected.touches {
            if let Touch::Event { id, event } = touch {
                vouched.witnesses.push((*id, entry.witness));
                vouched.named.extend(event.text("to").and_then(|to| to.parse::<UserId>().ok()));
            }
        }
        if let Some(acceptance) = entry.acceptance {
            vouched.named.insert(acceptance.by);
            vouched.accepted.push((raw.hash, acceptance));
        }
        let (author, device, written_ms, witness) = (entry.author, entry.device, entry.written_ms, entry.witness);
        appends.push(Append { change: raw, author, device, written_ms, witness });
    }
    appends.extend(vouch(conn, context, document, &vouched, &mut Names::new())?);
    commit_one(conn, context, document, &appends, before)
}

/// What the server writes down about what it takes in.
#[derive(Default)]
struct Vouched {
    witnesses: Vec<(EventId, Witness)>,
    actors: Vec<(ActorId, UserId)>,
    named: BTreeSet<UserId>,
    accepted: Vec<(ChangeHash, Acceptance)>,
}

/// The server's own change about what it has just accepted.
fn vouch(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: &mut Document,
    vouched: &Vouched,
    names: &mut Names,
) -> Result<Option<Append>, DbError> {
    let mut people = Vec::new();
    for user in &vouched.named {
        let name = match names.get(user) {
            Some(known) => known.clone(),
            None => {
                let name = users::by_id(conn, *user)?.map(|row| row.name);
                names.insert(*user, name.clone());
                name
            }
        };
        people.extend(name.map(|name| (*user, name)));
    }
    let actor = server::desk_actor(context.journal, UserId::SYSTEM);
    let Vouched { witnesses, actors, accepted, .. } = vouched;
    let change = server::vouch(document, actor, context.now_ms, witnesses, actors, &people, accepted)
        .map_err(|e| DbError::Row(format!("document {}: {e}", document.meta().id)))?;
    Ok(change.map(|change| Append {
        change,
        author: UserId::SYSTEM,
        device: None,
        written_ms: context.now_ms,
        witness: Witness::server(context.now_ms),
    }))
}

/// Takes up a document that the server made of another one, whole.
pub(crate) fn adopt(conn: &mut AnyConnection, context: &Context<'_>, document: &Document) -> Result<(), DbError> {
    let append = |change| Append {
        change,
        author: UserId::SYSTEM,
        device: None,
        written_ms: context.now_ms,
        witness: Witness::server(context.now_ms),
    };
    let appends: Vec<_> = document.changes().into_iter().map(append).collect();
    commit_one(conn, context, document, &appends, None)
}

/// Appends, stores, projects and has one document found: the end of every way through the door that takes no other along.
fn commit_one(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: &Document,
    appends: &[Append],
    before: Option<&Place>,
) -> Result<(), DbError> {
    let (_, searchable) = commit(conn, context, document, appends, before)?;
    projection::index(conn, searchable)
}

/// Appends, stores and projects: the end of every way through the door. Gives the positions, and what the search index must take up.
fn commit(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: &Document,
    appends: &[Append],
    before: Option<&Place>,
) -> Result<(Vec<i64>, Option<Searchable>), DbError> {
    let meta = document.meta();
    let is_known = before.is_some();
    let positions = journal::append(conn, &meta.community, meta.id, appends)?;
    let position = positions.last().copied().unwrap_or_default();
    let bytes = appends.iter().map(|a| a.change.bytes.len()).sum();
    journal::store(conn, document, position, if is_known { Grown::By(bytes) } else { Grown::New(bytes) })?;
    refs::note(conn, document)?;
    if let Some(before) = before {
        moves::note(conn, before, &Place::of(document), position, context.now_ms)?;
    }
    let first_ms = if is_known { first_arrival(conn, meta.id)? } else { None };
    // When they came as the journal says: what comes back after a restore was here before.
    let came = |append: Option<&Append>| append.map_or(context.now_ms, |a| a.witness.received_ms);
    let arrival =
        Arrival { first_ms: first_ms.unwrap_or(came(appends.first())), last_ms: came(appends.last()), position };
    let searchable = projection::write(conn, &projection::compute(document, arrival, context.law)?, is_known)?;
    Ok((positions, searchable))
}

fn first_arrival(conn: &mut AnyConnection, document: DocumentId) -> Result<Option<i64>, DbError> {
    use crate::db::tables::journal as j;
    let first = j::table.filter(j::document.eq(document.to_string())).order(j::position);
    Ok(first.select(j::received_ms).first(conn).optional()?)
}

fn pen<'a>(context: &'a Context<'_>, subject: Option<&'a Subject>) -> Pen<'a> {
    Pen {
        subject,
        device: None,
        actor: server::desk_actor(context.journal, subject.map_or(UserId::SYSTEM, |s| s.user)),
        at: TimeClaim { hlc: Hlc { wall_ms: context.now_ms, count: 0 }, anchor: None },
        entropy: context.entropy,
    }
}

fn by_desk(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: &mut Document,
    change: sync_core::document::RawChange,
    user: UserId,
    edits: &[Edit],
    before: Option<&Place>,
) -> Result<(), DbError> {
    let actor = change.actor;
    let known = document.witnesses();
    let fresh = document.events().into_keys().filter(|id| !known.contains_key(id));
    let witnesses: Vec<_> = fresh.map(|id| (id, Witness::server(context.now_ms))).collect();
    let mut named: BTreeSet<UserId> = [user].into();
    named.extend(edits.iter().filter_map(|e| match e {
        Edit::AddEvent { body, .. } => body.get("to").and_then(|v| v.as_str()).and_then(|s| s.parse::<UserId>().ok()),
        _ => None,
    }));
    let mut appends = vec![Append {
        change,
        author: user,
        device: None,
        written_ms: context.now_ms,
        witness: Witness::server(context.now_ms),
    }];
    let vouched = Vouched { witnesses, actors: vec![(actor, user)], named, accepted: Vec::new() };
    appends.extend(vouch(conn, context, document, &vouched, &mut Names::new())?);
    commit_one(conn, context, document, &appends, before)
}

/// Makes a document at a desk.
pub fn create(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    draft: &Draft,
    subject: &Subject,
) -> Result<DocumentId, MergeError> {
    if journal::lock(conn, std::slice::from_ref(&draft.community))?.is_empty() {
        return Err(MergeError::Edit(EditError::InvalidValue {
            field: "community".into(),
            problem: format!("`{}` is no community", draft.community),
            remedy: "use the code of a community of the import file".into(),
        }));
    }
    places::check(conn, &draft.community, &draft.edits)?;
    let (mut document, change) = edit::create(draft, &pen(context, Some(subject)))?;
    let id = document.meta().id;
    by_desk(conn, context, &mut document, change, subject.user, &draft.edits, None)?;
    Ok(id)
}

/// What an edit at a desk came to.
#[derive(Debug)]
pub struct Entered {
    /// The change, or `None` if nothing changed.
    pub change: Option<ChangeHash>,
    /// Ids of the items and events made, in the order of the edits.
    pub made: Vec<String>,
}

/// Edits a document at a desk (`subject`), or for the server itself (`None`).
pub fn edits(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: DocumentId,
    edits: &[Edit],
    subject: Option<&Subject>,
) -> Result<Entered, MergeError> {
    let row = journal::document_row(conn, document)?.ok_or(MergeError::NotFound)?;
    let place = row.place()?;
    if subject.is_some_and(|s| !s.may_read(&place)) {
        return Err(MergeError::NotFound);
    }
    journal::lock(conn, std::slice::from_ref(&place.community))?;
    places::check(conn, &place.community, edits)?;
    let mut document = journal::load(conn, document)?.ok_or(MergeError::NotFound)?;
    let pen = pen(context, subject);
    let before = Place::of(&document);
    let edited = edit::apply(&mut document, edits, &pen)?;
    let hash = edited.change.as_ref().map(|c| c.hash);
    if let Some(change) = edited.change {
        by_desk(
            conn,
            context,
            &mut document,
            change,
            subject.map_or(UserId::SYSTEM, |s| s.user),
            edits,
            Some(&before),
        )?;
    }
    Ok(Entered { change: hash, made: edited.made })
}
