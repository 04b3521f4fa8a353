//! What a phone hands in to a restored server: changes of whomever that the server's own pledges prove to have stood in its journal.
//! They enter under their authors' names, and nobody's authority is judged again; what no pledge covers does not enter this way.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::authority::Place;
use sync_core::document::{Admission, ChangeHash, Decoded, Document, Inspected, Touch, Trust};
use sync_core::error::{Refusal, RefusalCode};
use sync_core::ids::{ActorId, DeviceId, UserId};
use sync_core::sync::pledge::Resupplied;
use sync_core::sync::server;
use sync_core::sync::wire::{Bytes, Delivery};
use sync_core::time::{TimeBasis, Witness};

use super::{Context, commit_one, forked};
use crate::db::tables::{actors, quarantine};
use crate::db::{AnyConnection, DbError};
use crate::erasure;
use crate::journal::{self, Append};

/// What the pledges of a request prove.
pub(crate) struct Proof {
    /// Changes that stood in a journal of this server, and with them all that they build on.
    pub(crate) pledged: BTreeSet<ChangeHash>,
    /// When the newest of the pledges was given, ms UTC: everything is older.
    pub(crate) at_ms: i64,
    /// Why a pledge counts for nothing, if one does.
    pub(crate) fault: Option<Refusal>,
}

/// Takes one document as far as it is proven and sound. The caller holds the lock of its community, if it knows the community.
pub(crate) fn resupply(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    proof: &Proof,
    handed: &Delivery,
    known_community: bool,
) -> Result<Resupplied, DbError> {
    let answer = |taken: usize, refused: Option<Refusal>, aside: Vec<ChangeHash>| Resupplied {
        document: handed.document,
        taken: u64::try_from(taken).unwrap_or(u64::MAX),
        refused: refused.map(|r| (r.code, r.detail)),
        aside,
    };
    let refuse = |refusal: Refusal| Ok(answer(0, Some(refusal), Vec::new()));
    if erasure::of(conn, handed.document)?.is_some() {
        return refuse(Refusal::new(RefusalCode::Erased, "the document was erased by law"));
    }
    if !known_community {
        let detail = format!("no community {} is known here; import the areas again", handed.community);
        return refuse(Refusal::new(RefusalCode::ForeignArea, detail));
    }
    let mut document = journal::load(conn, handed.document)?;
    let before = document.as_ref().map(Place::of);
    let mut whole = document.clone();
    let mut admitted = admit(&mut whole, proof, handed);
    match nameless(conn, whole.as_ref(), &admitted.entered)? {
        None => document = whole,
        // Nothing stands in the journal under a name that is guessed.
        Some(hash) => {
            let before = |c: &&Bytes| Document::links(c).is_some_and(|(known, _)| known != hash);
            let changes = handed.changes.iter().take_while(before).cloned().collect();
            admitted = admit(&mut document, proof, &Delivery { changes, ..handed.clone() });
            let detail = format!("nothing says who wrote {hash}: its author's phone can send it");
            admitted.refused = Some(Refusal::new(RefusalCode::Unproven, detail));
        }
    }
    let Admitted { entered, forks, refused } = admitted;
    let taken = entered.len();
    if let Some(document) = document.as_ref().filter(|_| taken > 0) {
        let mut appends = Vec::with_capacity(taken);
        for inspected in entered {
            appends.push(append(conn, context, proof, document, inspected)?);
        }
        commit_one(conn, context, document, &appends, before.as_ref())?;
        decided(conn, context, handed, &appends)?;
    }
    let roots: Vec<ChangeHash> =
        forks.iter().filter(|(_, r)| r.code == RefusalCode::Fork).map(|(c, _)| c.raw.hash).collect();
    let first = forks.first().map(|(_, refusal)| refusal.clone());
    if let Some(document) = document.filter(|_| !forks.is_empty()) {
        forked::keep(conn, context, proof, &document, forks)?;
    }
    Ok(answer(taken, refused.or(first), roots))
}

/// What became of the changes that were handed in for one document.
struct Admitted {
    /// In the document now.
    entered: Vec<Inspected>,
    /// Proven, and yet not to be merged: another change holds the place of one, or what one builds on is not to be merged.
    forks: Vec<(Decoded, Refusal)>,
    /// Why the next one, and with it the rest, was not looked into.
    refused: Option<Refusal>,
}

/// Lets in what is proven, in order, up to the first that is not, or does not fit. A fork stops only what builds on it.
fn admit(document: &mut Option<Document>, proof: &Proof, handed: &Delivery) -> Admitted {
    let (mut decoded, mut fault): (Vec<Decoded>, _) = (Vec::new(), None);
    for bytes in &handed.changes {
        match Document::decode(bytes) {
            Ok(change) => decoded.push(change),
            Err(refusal) => {
                fault = Some(refusal);
                break;
            }
        }
    }
    let mut proven = proof.pledged.clone();
    for change in decoded.iter().rev() {
        if proven.contains(&change.raw.hash) {
            proven.extend(change.deps.iter().copied());
        }
    }
    let mut admitted = Admitted { entered: Vec::new(), forks: Vec::new(), refused: None };
    let mut out: BTreeSet<ChangeHash> = BTreeSet::new();
    for change in decoded {
        let hash = change.raw.hash;
        if document.as_ref().is_some_and(|d| d.has(&hash)) {
            continue;
        }
        if !proven.contains(&hash) {
            admitted.refused = Some(proof.fault.clone().unwrap_or_else(|| {
                let detail = format!("no pledge covers {hash}: its author's phone can send it");
                Refusal::new(RefusalCode::Unproven, detail)
            }));
            return admitted;
        }
        if let Some(dep) = change.deps.iter().find(|d| out.contains(d)) {
            let refusal = Refusal::new(RefusalCode::DependsOnRefused, format!("it builds on {dep}, which was refused"));
            out.insert(hash);
            admitted.forks.push((change, refusal));
            continue;
        }
        match enter(document, handed, &change) {
            Ok(inspected) => admitted.entered.push(inspected),
            Err(refusal) if refusal.code == RefusalCode::Fork => {
                out.insert(hash);
                admitted.forks.push((change, refusal));
            }
            Err(refusal) => {
                admitted.refused = Some(refusal);
                return admitted;
            }
        }
    }
    admitted.refused = fault;
    admitted
}

fn enter(document: &mut Option<Document>, handed: &Delivery, change: &Decoded) -> Result<Inspected, Refusal> {
    let fits = |d: &Document| {
        let meta = d.meta();
        meta.id == handed.document && meta.kind == handed.kind && meta.community == handed.community
    };
    let foreign =
        || Refusal::new(RefusalCode::Malformed, "the changes are of another document than they are handed in for");
    if let Some(document) = document {
        if !fits(document) {
            return Err(foreign());
        }
        return match document.admit_decoded(change, Trust::Server, |_, _| Ok(()))? {
            Admission::Applied(inspected) => Ok(inspected),
            Admission::Duplicate(hash) => Err(Refusal::new(RefusalCode::Malformed, format!("{hash} comes twice"))),
        };
    }
    let (founded, inspected) = Document::found_decoded(change, Trust::Server)?;
    if !fits(&founded) {
        return Err(foreign());
    }
    *document = Some(founded);
    Ok(inspected)
}

/// The journal's entry of a change that comes back. What the server once wrote down about it is in the document itself.
fn append(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    proof: &Proof,
    document: &Document,
    inspected: Inspected,
) -> Result<Append, DbError> {
    let (author, device) = owner(conn, context, document, &inspected)?;
    let witnesses = document.witnesses();
    let witnessed = inspected.touches.iter().find_map(|t| match t {
        Touch::Event { id, .. } => witnesses.get(id).copied(),
        _ => None,
    });
    // It stood in the journal when the pledge was given; nothing more is known of its time.
    let witness = witnessed.unwrap_or(Witness {
        received_ms: proof.at_ms,
        earliest_ms: 0,
        latest_ms: proof.at_ms,
        basis: if server::is_desk_actor(inspected.raw.actor) { TimeBasis::Server } else { TimeBasis::Claimed },
    });
    Ok(Append { written_ms: inspected.at_ms, change: inspected.raw, author, device, witness })
}

/// Whose an actor is: as the table says, or as the lost server wrote it into the document. Who is found there is noted, so that nobody
/// else can claim it.
fn owner(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    document: &Document,
    inspected: &Inspected,
) -> Result<(UserId, Option<DeviceId>), DbError> {
    let actor = inspected.raw.actor;
    let known: Option<(String, String)> =
        actors::table.find(actor.0.to_vec()).select((actors::device, actors::author)).first(conn).optional()?;
    let named = named(document, inspected);
    if let Some((device, author)) = known {
        let known: UserId = author.parse().map_err(|_| DbError::Row(format!("actor {}", actor.to_hex())))?;
        // The lost server's word is proven; since the restore anybody may have claimed an actor of which this one knew nothing.
        if named.is_none_or(|named| named == known) {
            return Ok((known, device.parse().ok()));
        }
        diesel::delete(actors::table.find(actor.0.to_vec())).execute(conn)?;
    }
    let author = named.unwrap_or(UserId::SYSTEM);
    if author != UserId::SYSTEM && !server::is_desk_actor(actor) {
        note(conn, context, actor, author)?;
    }
    Ok((author, None))
}

/// Whom the document, or the change itself, names as its author. What the server wrote for itself names nobody.
pub(super) fn named(document: &Document, inspected: &Inspected) -> Option<UserId> {
    let vouched = document.actors().get(&inspected.raw.actor).copied();
    vouched.or_else(|| said(&inspected.touches))
}

/// The first change of a person of whom nothing says who he is: the lost server's word for him has not come along.
fn nameless(
    conn: &mut AnyConnection,
    document: Option<&Document>,
    entered: &[Inspected],
) -> Result<Option<ChangeHash>, DbError> {
    let Some(document) = document else { return Ok(None) };
    let mut told: BTreeSet<ActorId> = BTreeSet::new();
    for inspected in entered {
        let actor = inspected.raw.actor;
        if server::is_desk_actor(actor) || named(document, inspected).is_some() || told.contains(&actor) {
            told.insert(actor);
            continue;
        }
        let known: Option<String> =
            actors::table.find(actor.0.to_vec()).select(actors::author).first(conn).optional()?;
        if known.is_none() {
            return Ok(Some(inspected.raw.hash));
        }
    }
    Ok(None)
}

/// Whom a change names as its author: the lost server had compared it with the signature.
fn said(touches: &[Touch]) -> Option<UserId> {
    touches.iter().find_map(|touch| match touch {
        Touch::Create { created_by } => Some(*created_by),
        Touch::Event { event, .. } => Some(event.by.user),
        Touch::Attachment { by, .. } => *by,
        _ => None,
    })
}

fn note(conn: &mut AnyConnection, context: &Context<'_>, actor: ActorId, author: UserId) -> Result<(), DbError> {
    diesel::insert_into(actors::table)
        .values((
            actors::actor.eq(actor.0.to_vec()),
            actors::device.eq(""),
            actors::author.eq(author.to_string()),
            actors::first_ms.eq(context.now_ms),
        ))
        .execute(conn)?;
    Ok(())
}

/// What waits in quarantine by the backup and was let in afterwards need not be decided once more.
fn decided(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    handed: &Delivery,
    appends: &[Append],
) -> Result<(), DbError> {
    // Only what its author sent: others may have sent the same as theirs, and that was not let in.
    let mut by_author: BTreeMap<UserId, Vec<Vec<u8>>> = BTreeMap::new();
    for append in appends {
        by_author.entry(append.author).or_default().push(append.change.hash.0.to_vec());
    }
    for (author, hashes) in by_author {
        for some in hashes.chunks(500) {
            let rows = quarantine::table
                .filter(quarantine::document.eq(handed.document.to_string()))
                .filter(quarantine::author.eq(author.to_string()))
                .filter(quarantine::hash.eq_any(some));
            diesel::update(rows)
                .set((quarantine::state.eq("accepted"), quarantine::decided_ms.eq(Some(context.now_ms))))
                .execute(conn)?;
        }
    }
    Ok(())
}
