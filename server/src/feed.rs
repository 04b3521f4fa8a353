//! What a phone receives: whole documents first, then changes in journal order. A cursor never skips, because positions are handed
//! out under the community's lock; what somebody may not see is left out, and the cursor passes over it.

use std::collections::BTreeSet;

use sync_core::authority::Subject;
use sync_core::document::ChangeHash;
use sync_core::ids::{AreaCode, DocumentId};
use sync_core::limits;
use sync_core::shape::DocumentKind;
use sync_core::sync::server::scope;
use sync_core::sync::wire::{Bytes, Cursor, Delivery, Doubt};

use crate::db::{AnyConnection, DbError};
use crate::journal::{self, Entry};

/// What a request is answered with.
#[derive(Debug, Default)]
pub struct Feed {
    /// In journal order within each community.
    pub deliveries: Vec<Delivery>,
    /// Where the phone stands afterwards.
    pub cursors: Vec<Cursor>,
    /// Documents of which this server lacks what the phone holds.
    pub wanted: Vec<Doubt>,
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

/// Collects the answer. `known` are changes that the phone has just sent itself.
pub fn collect(
    conn: &mut AnyConnection,
    subject: &Subject,
    cursors: &[Cursor],
    doubts: &[Doubt],
    known: &BTreeSet<ChangeHash>,
) -> Result<Feed, DbError> {
    let mut feed = Feed::default();
    for doubt in doubts {
        resolve(conn, subject, doubt, &mut feed)?;
    }
    for community in subject.communities() {
        let Some(head) = journal::head(conn, &community)? else { continue };
        let scope = scope(subject, &community);
        let cursor =
            cursors.iter().find(|c| c.community == community && c.scope == scope && (0..=head).contains(&c.position));
        // Whoever has read nothing, or under other rights, begins with whole documents as they are now; changes follow from here.
        let fresh = || Cursor {
            community: community.clone(),
            position: head,
            backfill: Some(DocumentId(uuid::Uuid::nil())),
            scope,
        };
        let mut cursor = cursor.cloned().unwrap_or_else(fresh);
        if head == 0 {
            cursor.backfill = None;
        }
        if cursor.backfill.is_some() {
            backfill(conn, subject, &mut cursor, &mut feed)?;
        }
        if cursor.backfill.is_none() {
            follow(conn, subject, &mut cursor, head, known, &mut feed)?;
        }
        feed.cursors.push(cursor);
    }
    Ok(feed)
}

fn readable(row: &journal::DocumentRow, subject: &Subject) -> Result<Option<(DocumentId, DocumentKind)>, DbError> {
    let place = row.place()?;
    Ok(subject.may_read(&place).then_some((place.document, place.kind)))
}

fn backfill(conn: &mut AnyConnection, subject: &Subject, cursor: &mut Cursor, feed: &mut Feed) -> Result<(), DbError> {
    while let Some(last) = cursor.backfill {
        if feed.full() {
            feed.more = true;
            return Ok(());
        }
        let rows = journal::documents_after(conn, &cursor.community, last, BATCH)?;
        let mut visible = Vec::new();
        for row in &rows {
            visible.extend(readable(row, subject)?);
        }
        let ids: Vec<String> = visible.iter().map(|(id, _)| id.to_string()).collect();
        let mut entries = journal::of_documents(conn, &ids)?;
        let mut filled = false;
        for (id, kind) in visible {
            let changes = entries.remove(&id.to_string()).unwrap_or_default();
            feed.deliver(id, kind, &cursor.community, changes.into_iter().map(|e| e.bytes).collect());
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

fn follow(
    conn: &mut AnyConnection,
    subject: &Subject,
    cursor: &mut Cursor,
    head: i64,
    known: &BTreeSet<ChangeHash>,
    feed: &mut Feed,
) -> Result<(), DbError> {
    while cursor.position < head {
        if feed.full() {
            feed.more = true;
            return Ok(());
        }
        let entries = journal::after(conn, &cursor.community, cursor.position, BATCH)?;
        if entries.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<String> = entries.iter().map(|e| e.document.clone()).collect();
        let rows = journal::document_rows(conn, &ids.into_iter().collect::<Vec<_>>())?;
        for entry in entries {
            cursor.position = entry.position;
            let Entry { document, bytes, .. } = &entry;
            if entry.change_hash().is_some_and(|h| known.contains(&h)) {
                continue;
            }
            let Some(row) = rows.get(document) else { continue };
            if let Some((id, kind)) = readable(row, subject)? {
                feed.deliver(id, kind, &cursor.community, vec![bytes.clone()]);
            }
            if feed.full() {
                break;
            }
        }
    }
    Ok(())
}

/// Compares what a phone holds of a document with what is here, in both directions.
fn resolve(conn: &mut AnyConnection, subject: &Subject, doubt: &Doubt, feed: &mut Feed) -> Result<(), DbError> {
    let Some(row) = journal::document_row(conn, doubt.document)? else {
        feed.wanted.push(Doubt { document: doubt.document, heads: Vec::new() });
        return Ok(());
    };
    let Some((id, kind)) = readable(&row, subject)? else { return Ok(()) };
    let Some(document) = journal::load(conn, id)? else { return Ok(()) };
    if doubt.heads.iter().any(|h| !document.has(h)) {
        feed.wanted.push(Doubt { document: id, heads: document.heads() });
    }
    let changes: Vec<_> = document.changes_since(&doubt.heads).into_iter().map(|c| c.bytes).collect();
    if !changes.is_empty() {
        let community = document.meta().community.clone();
        feed.deliver(id, kind, &community, changes);
    }
    Ok(())
}
