//! What a phone receives: whole documents first, then changes in journal order; and what it must forget. A cursor never skips, because
//! positions are handed out under the community's lock; what somebody may not see is left out, and the cursor passes over it. Other
//! rights, and documents that move, cost only the difference.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::authority::{Place, Subject};
use sync_core::document::ChangeHash;
use sync_core::ids::{AreaCode, DeviceId, DocumentId};
use sync_core::limits;
use sync_core::shape::DocumentKind;
use sync_core::sync::server::scope;
use sync_core::sync::wire::{Bytes, Cursor, Delivery, Doubt};

use crate::db::{AnyConnection, DbError};
use crate::journal::{self, Key};
use crate::moves::{self, Move};
use crate::orders::Purge;
use crate::queries;
use crate::scopes::{self, Held, Known};

/// What a request is answered with.
#[derive(Debug, Default)]
pub struct Feed {
    /// In journal order within each community.
    pub deliveries: Vec<Delivery>,
    /// Where the phone stands afterwards.
    pub cursors: Vec<Cursor>,
    /// Documents of which this server lacks what the phone holds.
    pub wanted: Vec<Doubt>,
    /// What the phone must forget, as far as this request has shown it.
    pub purge: Purge,
    /// Of each doubt that was looked into, whether every head stands here and the asker may see it.
    pub standing: Vec<bool>,
    /// Doubts at the end of the request's list that were not looked into.
    pub unanswered: u32,
    /// True when the answer is full and there is more.
    pub more: bool,
    bytes: usize,
}

const BATCH: i64 = 256;

impl Feed {
    fn full(&self) -> bool {
        self.bytes >= limits::RESPONSE_TARGET_BYTES
    }

    fn deliver(&mut self, document: DocumentId, kind: DocumentKind, community: &AreaCode, changes: Vec<Vec<u8>>) {
        self.bytes += changes.iter().map(|c| c.len() + 8).sum::<usize>() + 64;
        let changes = changes.into_iter().map(Bytes::from);
        match self.deliveries.last_mut().filter(|d| d.document == document) {
            Some(last) => last.changes.extend(changes),
            None => self.deliveries.push(Delivery {
                document,
                kind,
                community: community.clone(),
                changes: changes.collect(),
            }),
        }
    }
}

/// Who asks, and what he said of himself.
pub struct Asker<'a> {
    /// The phone.
    pub device: DeviceId,
    /// Its owner with the roles held now.
    pub subject: &'a Subject,
    /// Where it stands in this journal; none of them counts when it last met another.
    pub cursors: &'a [Cursor],
    /// The communities of its cursors, whichever journal they are of.
    pub holding: &'a [AreaCode],
    /// Documents in doubt.
    pub doubts: &'a [Doubt],
    /// This journal began with a restore: what a phone holds beyond it is wanted before it is ordered to be forgotten.
    pub restored: bool,
    /// Documents of which the phone holds more than it can prove.
    pub unproven: &'a [DocumentId],
    /// Documents of which it has just sent something: it holds them, wherever its cursors stand.
    pub pushed: &'a [DocumentId],
    /// Changes that it has just sent itself.
    pub sent: &'a BTreeSet<ChangeHash>,
    /// Closed records that have not changed since then (ms UTC) are no longer handed to who is new to them; asked for by a doubt
    /// they come.
    pub history_from_ms: i64,
}

/// Collects the answer.
pub fn collect(conn: &mut AnyConnection, asker: &Asker<'_>) -> Result<Feed, DbError> {
    let mut feed = Feed::default();
    for (index, doubt) in asker.doubts.iter().enumerate() {
        if feed.full() {
            feed.unanswered = u32::try_from(asker.doubts.len() - index).unwrap_or(u32::MAX);
            feed.more = true;
            break;
        }
        let standing = resolve(conn, asker, doubt, &mut feed)?;
        feed.standing.push(standing);
    }
    let known = scopes::of_device(conn, asker.device)?;
    let communities = asker.subject.communities();
    // What of a community nothing may be seen any more, goes as a whole.
    let gone: Vec<&AreaCode> = asker.holding.iter().filter(|c| !communities.contains(c)).collect();
    let spoken_of: BTreeSet<String> = asker.unproven.iter().chain(asker.pushed).map(ToString::to_string).collect();
    for row in journal::document_rows(conn, &spoken_of.into_iter().collect::<Vec<_>>())?.values() {
        let place = row.place()?;
        let goes = !gone.contains(&&place.community) || asker.unproven.contains(&place.document);
        feed.purge.documents.extend(Some(place.document).filter(|_| goes && !asker.subject.may_read(&place)));
    }
    feed.purge.communities.extend(gone.into_iter().cloned());
    for community in &communities {
        let Some(head) = journal::head(conn, community)? else { continue };
        let mut cursor = begin(conn, asker, community, head, &known, &mut feed)?;
        if cursor.backfill.is_some() {
            backfill(conn, asker, &mut cursor, &mut feed)?;
        }
        if cursor.backfill.is_none() {
            follow(conn, asker, &mut cursor, head, &mut feed)?;
        }
        feed.cursors.push(cursor);
    }
    Ok(feed)
}

/// Where to go on: where the phone stands; or, under other rights, with what it does not hold yet.
fn begin(
    conn: &mut AnyConnection,
    asker: &Asker<'_>,
    community: &AreaCode,
    head: i64,
    known: &Known,
    feed: &mut Feed,
) -> Result<Cursor, DbError> {
    let now = scope(asker.subject, community);
    let stands = asker.cursors.iter().find(|c| c.community == *community && (0..=head).contains(&c.position));
    let served = stands.and_then(|c| known.get(&(community.to_string(), c.scope)));
    if let Some(cursor) = stands.filter(|c| c.scope == now)
        && let Some(served) = served
    {
        let others = known.range((community.to_string(), 0)..=(community.to_string(), u64::MAX)).count() > 1;
        if cursor.backfill.is_none() && (others || !served.bases.is_empty()) {
            scopes::settled(conn, asker.device, (community, now), asker.subject)?;
        }
        return Ok(cursor.clone());
    }
    let last = stands.zip(served).map(|(cursor, served)| (served, cursor.backfill));
    let fresh = scopes::begin(conn, asker.device, (community, now), asker.subject, last)?;
    let nil = DocumentId(uuid::Uuid::nil());
    match (stands, last) {
        (Some(cursor), Some(_)) => {
            let held = Held::before(asker.subject.user, &fresh);
            narrow(conn, asker, cursor, &held, feed)?;
            Ok(Cursor { backfill: Some(nil), scope: now, ..cursor.clone() })
        }
        // Whoever has read nothing begins with whole documents as they are now; changes follow from here.
        _ => {
            // A phone that holds something, nobody knows under which rights, begins anew.
            if stands.is_some() {
                feed.purge.communities.push(community.clone());
            }
            let backfill = Some(nil).filter(|_| head > 0);
            Ok(Cursor { community: community.clone(), position: head, backfill, scope: now })
        }
    }
}

/// Finds what the phone holds and may no longer see.
fn narrow(
    conn: &mut AnyConnection,
    asker: &Asker<'_>,
    cursor: &Cursor,
    held: &Held,
    feed: &mut Feed,
) -> Result<(), DbError> {
    let moved = moves::behind(conn, &cursor.community, cursor.position)?;
    let mut last = DocumentId(uuid::Uuid::nil());
    loop {
        let rows = journal::documents_after(conn, &cursor.community, last, BATCH)?;
        for row in &rows {
            let place = row.place()?;
            let then = place_then(&place, moved.get(&row.id));
            let seen = asker.subject.may_read(&place) || asker.subject.may_read(&then);
            if held.holds(&then) && !seen {
                feed.purge.documents.push(place.document);
            }
            last = place.document;
        }
        if i64::try_from(rows.len()).is_ok_and(|n| n < BATCH) {
            return Ok(());
        }
    }
}

/// Where a document lay at a position, given the moves behind it.
fn place_then(now: &Place, moved: Option<&Vec<Move>>) -> Place {
    moved.and_then(|m| m.first()).map_or_else(|| now.clone(), |first| first.before(now))
}

/// Whole documents as they were at the cursor's position, those that the phone does not hold yet.
fn backfill(conn: &mut AnyConnection, asker: &Asker<'_>, cursor: &mut Cursor, feed: &mut Feed) -> Result<(), DbError> {
    let subject = asker.subject;
    let served = scopes::of_device(conn, asker.device)?.remove(&(cursor.community.to_string(), cursor.scope));
    let held = served.map(|s| Held::before(subject.user, &s)).unwrap_or_default();
    let moved = moves::behind(conn, &cursor.community, cursor.position)?;
    while let Some(last) = cursor.backfill {
        if feed.full() {
            feed.more = true;
            return Ok(());
        }
        let rows = journal::documents_after(conn, &cursor.community, last, BATCH)?;
        let mut wanted = Vec::new();
        for row in &rows {
            let place = row.place()?;
            let then = place_then(&place, moved.get(&row.id));
            if subject.may_read(&place) && subject.may_read(&then) && !held.holds(&then) {
                wanted.push((place.document, place.kind));
            }
        }
        let ids: Vec<String> = wanted.iter().map(|(id, _)| id.to_string()).collect();
        let history = queries::closed_before(conn, &ids, asker.history_from_ms)?;
        let mut entries = journal::of_documents(conn, &ids)?;
        let mut filled = false;
        for (id, kind) in wanted.into_iter().filter(|(id, _)| !history.contains(&id.to_string())) {
            // What came later follows as changes: nothing is sent twice.
            let changes = entries.remove(&id.to_string()).unwrap_or_default().into_iter();
            let changes: Vec<Vec<u8>> = changes.filter(|e| e.position <= cursor.position).map(|e| e.bytes).collect();
            if changes.is_empty() {
                continue;
            }
            feed.deliver(id, kind, &cursor.community, changes);
            if feed.full() {
                cursor.backfill = Some(id);
                filled = true;
                break;
            }
        }
        if filled {
            continue;
        }
        cursor.backfill = match rows.last() {
            Some(row) if i64::try_from(rows.len()).is_ok_and(|n| n == BATCH) => {
                Some(row.id.parse().map_err(|_| DbError::Row(format!("document {}", row.id)))?)
            }
            _ => None,
        };
    }
    Ok(())
}

/// What a move behind the cursor means to the phone.
enum Passage {
    /// It leaves its sight: forget it there.
    Leaves(i64),
    /// It comes into sight there: send it whole, and nothing of it before.
    Comes(i64),
}

/// How the moves of a document behind a cursor change what may be seen of it; none when it was and is in sight, or neither.
fn passage(subject: &Subject, now: &Place, moved: Option<&Vec<Move>>) -> Option<Passage> {
    let moved = moved?;
    let first = moved.first()?;
    match (subject.may_read(&first.before(now)), subject.may_read(now)) {
        (true, false) => Some(Passage::Leaves(first.position)),
        (false, true) => moved.iter().find(|m| subject.may_read(&m.after(now))).map(|m| Passage::Comes(m.position)),
        _ => None,
    }
}

fn follow(
    conn: &mut AnyConnection,
    asker: &Asker<'_>,
    cursor: &mut Cursor,
    head: i64,
    feed: &mut Feed,
) -> Result<(), DbError> {
    if cursor.position >= head {
        return Ok(());
    }
    let moved = moves::behind(conn, &cursor.community, cursor.position)?;
    while cursor.position < head {
        if feed.full() {
            feed.more = true;
            return Ok(());
        }
        let keys = journal::keys_after(conn, &cursor.community, cursor.position, BATCH)?;
        if keys.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<&String> = keys.iter().map(|k| &k.document).collect();
        let rows = journal::document_rows(conn, &ids.into_iter().cloned().collect::<Vec<_>>())?;
        let mut passages: BTreeMap<&str, (Place, Option<Passage>)> = BTreeMap::new();
        for (id, row) in &rows {
            let place = row.place()?;
            let passage = passage(asker.subject, &place, moved.get(id));
            passages.insert(id, (place, passage));
        }
        // Only what is for this phone is read.
        let steps: Vec<_> = keys.iter().map(|key| (key.position, step(asker, key, &passages))).collect();
        let plain =
            steps.iter().filter(|(_, step)| matches!(step, Some(Step::Change(_)))).map(|(position, _)| *position);
        let mut changes = journal::handed_at(conn, &cursor.community, &plain.collect::<Vec<_>>())?;
        for (position, step) in steps {
            cursor.position = position;
            match step {
                None => {}
                Some(Step::Forget(place)) => feed.purge.documents.push(place.document),
                Some(Step::Whole(place)) => {
                    let all = journal::of_document(conn, place.document)?.into_iter();
                    let all = all.filter(|e| e.position <= position).map(|e| e.bytes).collect();
                    feed.deliver(place.document, place.kind, &cursor.community, all);
                }
                Some(Step::Change(place)) => {
                    // What was erased since its key was read has no bytes any more, and nothing is delivered of it.
                    if let Some(change) = changes.remove(&position).filter(|bytes| !bytes.is_empty()) {
                        feed.deliver(place.document, place.kind, &cursor.community, vec![change]);
                    }
                }
            }
            if feed.full() {
                break;
            }
        }
    }
    Ok(())
}

/// What an entry of the journal is to a phone that passes it.
enum Step<'a> {
    /// With it the document leaves the phone's sight.
    Forget(&'a Place),
    /// With it the document comes into sight: all of it up to here.
    Whole(&'a Place),
    /// A change to take in.
    Change(&'a Place),
}

fn step<'a>(asker: &Asker<'_>, key: &Key, passages: &'a BTreeMap<&str, (Place, Option<Passage>)>) -> Option<Step<'a>> {
    let (place, passage) = passages.get(key.document.as_str())?;
    match passage {
        Some(Passage::Leaves(at)) if *at == key.position => Some(Step::Forget(place)),
        Some(Passage::Comes(at)) if *at == key.position => Some(Step::Whole(place)),
        Some(Passage::Comes(at)) if key.position < *at => None,
        _ if key.change_hash().is_some_and(|h| asker.sent.contains(&h)) => None,
        _ => asker.subject.may_read(place).then_some(Step::Change(place)),
    }
}

/// Compares what a phone holds of a document with what is here, in both directions. Gives whether every head stands here, as far as its
/// owner may know.
fn resolve(conn: &mut AnyConnection, asker: &Asker<'_>, doubt: &Doubt, feed: &mut Feed) -> Result<bool, DbError> {
    let Some(row) = journal::document_row(conn, doubt.document)? else {
        feed.wanted.push(Doubt { document: doubt.document, heads: Vec::new() });
        return Ok(false);
    };
    let place = row.place()?;
    if !asker.subject.may_read(&place) {
        hidden(conn, asker, doubt, feed)?;
        return Ok(false);
    }
    let Some(document) = journal::load(conn, place.document)? else { return Ok(false) };
    let lacks = doubt.heads.iter().any(|h| !document.has(h));
    if lacks {
        feed.wanted.push(Doubt { document: place.document, heads: document.heads() });
    }
    let changes: Vec<_> = document.changes_since(&doubt.heads).into_iter().map(|c| c.bytes).collect();
    if !changes.is_empty() {
        feed.deliver(place.document, place.kind, &place.community, changes);
    }
    Ok(!lacks && !doubt.heads.is_empty())
}

/// Answers a doubt about a document that the phone's owner may not see. Who names a change of it has held it, and is to forget it; after
/// a restore not before it has handed in what is lacking here. Everybody else is answered as if there were no such document: what he
/// hands in after that is judged, and then it is told that he is to forget it.
fn hidden(conn: &mut AnyConnection, asker: &Asker<'_>, doubt: &Doubt, feed: &mut Feed) -> Result<(), DbError> {
    let document = if doubt.heads.is_empty() { None } else { journal::load(conn, doubt.document)? };
    match document.filter(|d| doubt.heads.iter().any(|h| d.has(h))) {
        None => feed.wanted.push(Doubt { document: doubt.document, heads: Vec::new() }),
        Some(d) if asker.restored && !doubt.heads.iter().all(|h| d.has(h)) => {
            feed.wanted.push(Doubt { document: doubt.document, heads: d.heads() });
        }
        Some(_) => feed.purge.documents.push(doubt.document),
    }
    Ok(())
}
