//! What the server refused: taken out of the document with what builds on it, kept with its words, and never sent again. What builds on
//! it and was not sent yet is sent all the same: the server keeps it beside what it builds on, where people decide about both.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Transaction;
use sha2::{Digest, Sha256};

use super::refork;
use crate::document::{Admission, ChangeHash, ChangeInfo, Document, Touch, Trust};
use crate::error::RefusalCode;
use crate::ids::{ActorId, DocumentId};
use crate::phone::{Phone, PhoneError};
use crate::store::StoreError;
use crate::store::actors;
use crate::store::documents::{self, StoredDocument};
use crate::store::outbox::{self, OutboxRow, RefusedChange};
use crate::sync::server::{describe, preview};

type Reasons = BTreeMap<ChangeHash, (RefusalCode, String)>;

/// Takes refused changes, and what builds on them, out of the document; keeps their words; goes on under a new actor. Gives how many
/// changes were taken out.
pub(in crate::phone) fn withdraw(
    phone: &Phone,
    tx: &Transaction<'_>,
    id: DocumentId,
    changes: &[(ChangeHash, RefusalCode, String)],
    now_ms: i64,
) -> Result<u64, PhoneError> {
    let mut reasons = named(tx, id, changes)?;
    let mut count = 0;
    let forked: BTreeSet<ChangeHash> =
        reasons.iter().filter(|(_, (code, _))| *code == RefusalCode::Fork).map(|(hash, _)| *hash).collect();
    if !forked.is_empty() {
        // A restored backup: whatever this phone writes next is written under actors that nobody knows.
        phone.take_new_actors(tx)?;
        let remade = refork::remake(phone, tx, id, &forked)?;
        count += u64::try_from(remade.len()).unwrap_or(0);
        reasons.retain(|hash, _| !remade.contains(hash));
    }
    if let Some(StoredDocument { document, .. }) = documents::load_readable(tx, id)? {
        count += take_out(phone, tx, &document, &reasons, now_ms)?;
    }
    // The document was forgotten or cannot be read: what is known of the change is the change.
    for row in outbox::of_document(tx, id)? {
        let Some((code, detail)) = reasons.get(&row.hash) else { continue };
        keep_row(tx, id, &row, (*code, detail), now_ms)?;
        outbox::remove(tx, &row.hash)?;
        count += 1;
    }
    Ok(count)
}

/// Keeps the words of what is unsent of a document that must be forgotten: it is still sent, but whether anybody takes it is not this
/// phone's to say any more.
pub(in crate::phone) fn keep_unsent(
    tx: &Transaction<'_>,
    id: DocumentId,
    (code, detail): (RefusalCode, &str),
    now_ms: i64,
) -> Result<(), PhoneError> {
    outbox::of_document(tx, id)?.iter().try_for_each(|row| keep_row(tx, id, row, (code, detail), now_ms))
}

fn keep_row(
    tx: &Transaction<'_>,
    id: DocumentId,
    row: &OutboxRow,
    why: (RefusalCode, &str),
    now_ms: i64,
) -> Result<(), PhoneError> {
    let kind = documents::envelope(tx, id)?.map_or(crate::shape::DocumentKind::Case, |(kind, _)| kind);
    // Not every change writes words: one may only have emptied a field.
    let words = Document::written(&row.bytes).filter(|words| !words.is_empty());
    let words = words.unwrap_or_else(|| preview(kind, &row.bytes, &mut None).join("\n"));
    keep(tx, id, row.hash, why, words, &row.bytes, now_ms)
}

/// The refused changes by their own names: bytes that the server could not read it names by their digest.
fn named(
    tx: &Transaction<'_>,
    id: DocumentId,
    changes: &[(ChangeHash, RefusalCode, String)],
) -> Result<Reasons, PhoneError> {
    let unsent = outbox::of_document(tx, id)?;
    let named = |hash: &ChangeHash| {
        let row = unsent.iter().find(|r| r.hash == *hash);
        let row = row.or_else(|| unsent.iter().find(|r| hash.0 == <[u8; 32]>::from(Sha256::digest(&r.bytes))));
        row.map_or(*hash, |r| r.hash)
    };
    Ok(changes.iter().map(|(hash, code, detail)| (named(hash), (*code, detail.clone()))).collect())
}

fn take_out(
    phone: &Phone,
    tx: &Transaction<'_>,
    document: &Document,
    spoken_of: &Reasons,
    now_ms: i64,
) -> Result<u64, PhoneError> {
    let id = document.meta().id;
    let mut reasons = spoken_of.clone();
    let history = document.history();
    // History is in causal order: what builds on a refused change is met after it.
    for change in &history {
        if reasons.contains_key(&change.hash) {
            continue;
        }
        if let Some(dep) = change.deps.iter().find(|d| reasons.contains_key(d)) {
            let detail = format!("it builds on {dep}, which was refused");
            reasons.insert(change.hash, (RefusalCode::DependsOnRefused, detail));
        }
    }
    let infos: BTreeMap<ChangeHash, &ChangeInfo> = history.iter().map(|c| (c.hash, c)).collect();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut replay: Option<Document> = None;
    let mut count = 0;
    for change in document.changes() {
        let touches = match &mut replay {
            None => match Document::found(&change.bytes, Trust::Server) {
                Ok((founded, inspected)) => {
                    replay = Some(founded);
                    inspected.touches
                }
                Err(_) => Vec::new(),
            },
            Some(document) => match document.admit(&change.bytes, Trust::Server, |_, _| Ok(())) {
                Ok(Admission::Applied(inspected)) => inspected.touches,
                _ => Vec::new(),
            },
        };
        let Some((code, detail)) = reasons.get(&change.hash) else {
            kept.push(change.bytes);
            continue;
        };
        // What another phone brought is its author's to keep.
        if actors::owner(tx, change.actor)?.is_some() {
            let words = words(document, infos.get(&change.hash).copied(), &touches);
            keep(tx, id, change.hash, (*code, detail), words, &change.bytes, now_ms)?;
            if spoken_of.contains_key(&change.hash) {
                outbox::remove(tx, &change.hash)?;
            }
        }
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    if kept.is_empty() {
        documents::forget(tx, id)?;
        return Ok(count);
    }
    let agreed = Document::from_changes(kept.iter().map(Vec::as_slice), Trust::Server)
        .map_err(|e| StoreError::Damaged(format!("document {id}: {e}")))?;
    documents::save(tx, &agreed, ActorId(phone.0.host.sixteen()))?;
    documents::mark_synced(tx, id, now_ms)?;
    Ok(count)
}

/// What a change says, for a person to read: what it does, and every text and event in full as its author left them.
fn words(document: &Document, info: Option<&ChangeInfo>, touches: &[Touch]) -> String {
    let mut words: Vec<String> = touches.iter().map(describe).collect();
    let mut texts: Vec<&str> = Vec::new();
    for touch in touches {
        match touch {
            Touch::Text { name } => texts.push(name),
            // A founding change brings its text along without touching it.
            Touch::Create { .. } => texts.extend(["narrative", "notes"]),
            Touch::Event { event, .. } => words.push(serde_json::to_string(&event.body).unwrap_or_default()),
            _ => {}
        }
    }
    // A change too large to be looked into still names the text that it edits.
    if let Some(info) = info {
        texts.extend(info.text.as_deref().filter(|_| touches.is_empty()));
        let written = texts.into_iter().filter_map(|name| document.text_at(name, &[info.hash]));
        words.extend(written.filter(|text| !text.is_empty()));
    }
    words.join("\n")
}

fn keep(
    tx: &Transaction<'_>,
    document: DocumentId,
    hash: ChangeHash,
    (code, detail): (RefusalCode, &str),
    words: String,
    bytes: &[u8],
    refused_ms: i64,
) -> Result<(), PhoneError> {
    let code = code.as_str().to_owned();
    let refused = RefusedChange { hash, document, code, detail: detail.to_owned(), words, refused_ms, decision: None };
    Ok(outbox::refuse(tx, &refused, bytes)?)
}
