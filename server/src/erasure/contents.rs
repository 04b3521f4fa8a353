//! The contents of attachments that go with an erased document: those that nothing else names, at once and with what was made of them;
//! what was on its way; and every mark that named the document. What the store would not let go is tried again with each collection.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::document::Document;
use sync_core::ids::DocumentId;

use super::ErasureError;
use super::verify::{Found, Looked, Proof};
use crate::app::App;
use crate::db::tables::{erased_contents, erased_documents, objects, upload_parts, uploads as upload_rows};
use crate::db::{AnyConnection, DbError};
use crate::masking::NumberKey;
use crate::merge::Context;
use crate::objects::uploads::{self, State};
use crate::objects::{ObjectsError, proofs, refs, transact};

fn trace(key: &NumberKey, hash: &str) -> Vec<u8> {
    key.mac_bytes("erased-content", hash.as_bytes()).to_vec()
}

/// What a document names, and what was handed in for it or is on its way: read before it is destroyed.
pub(super) fn named(conn: &mut AnyConnection, document: &Document) -> Result<BTreeSet<String>, DbError> {
    let id = document.meta().id;
    let mut named: BTreeSet<String> = document.attachments().into_keys().collect();
    named.extend(proofs::of_document(conn, id)?);
    named.extend(refs::of_document(conn, id)?);
    let sent = upload_rows::table.filter(upload_rows::document.eq(id.to_string()));
    named.extend(sent.select(upload_rows::hash).distinct().load::<String>(conn)?);
    Ok(named)
}

/// Takes out what nothing else names, after the document was destroyed, and ends what was on its way for it. Until [`clear`] the bytes
/// lie in the store, and nobody can read them.
pub(super) fn forget(
    conn: &mut AnyConnection,
    context: &Context<'_>,
    id: DocumentId,
    named: &BTreeSet<String>,
) -> Result<(), DbError> {
    let key = NumberKey::load(conn, context.now_ms, context.entropy)?;
    let waiting = refs::in_quarantine(conn)?;
    for hash in named {
        if !refs::is_referred_to(conn, hash, &waiting)? {
            diesel::delete(objects::table.find(hash)).execute(conn)?;
            proofs::forget(conn, hash)?;
        }
        diesel::insert_into(erased_contents::table)
            .values((
                erased_contents::document.eq(id.to_string()),
                erased_contents::trace.eq(trace(&key, hash)),
                erased_contents::hash.eq(Some(hash)),
            ))
            .execute(conn)?;
    }
    let own = upload_rows::table.filter(upload_rows::document.eq(id.to_string()));
    for upload in own.select(upload_rows::id).load::<String>(conn)? {
        uploads::end(conn, &upload, State::GONE)?;
    }
    Ok(())
}

/// Deletes from the store what erasures took out. Gives how many contents are gone now; what fails is left to the next time.
pub async fn clear(app: &App) -> Result<usize, ObjectsError> {
    let (left, sent) = transact(&app.db, |conn| {
        let left: Vec<(String, Option<String>)> = erased_contents::table
            .filter(erased_contents::hash.is_not_null())
            .select((erased_contents::document, erased_contents::hash))
            .load(conn)?;
        let erased = erased_documents::table.select(erased_documents::document);
        let sent: Vec<String> = upload_rows::table
            .filter(upload_rows::document.eq_any(erased))
            .filter(upload_rows::state.ne(State::OPEN))
            .select(upload_rows::id)
            .load(conn)?;
        Ok::<_, ObjectsError>((left, sent))
    })
    .await?;
    for upload in sent {
        app.objects.clear(&format!("uploads/{upload}")).await?;
        transact(&app.db, move |conn| {
            diesel::delete(upload_parts::table.filter(upload_parts::upload.eq(&upload))).execute(conn)?;
            diesel::delete(upload_rows::table.find(&upload)).execute(conn).map_err(ObjectsError::from)
        })
        .await?;
    }
    let mut gone = 0;
    for (document, hash) in left.into_iter().filter_map(|(d, h)| Some((d, h?))) {
        gone += usize::from(clear_one(app, document, hash).await?);
    }
    Ok(gone)
}

/// What is to be known of a content before anything of it is deleted.
struct Standing {
    wanted: bool,
    under_way: bool,
    successor: Option<DocumentId>,
}

fn standing(conn: &mut AnyConnection, document: &str, hash: &str) -> Result<Standing, DbError> {
    let waiting = refs::in_quarantine(conn)?;
    let wanted = uploads::is_stored(conn, hash)?.is_some() || refs::is_referred_to(conn, hash, &waiting)?;
    let open = upload_rows::table.filter(upload_rows::hash.eq(hash)).filter(upload_rows::state.eq(State::OPEN));
    let open: i64 = open.count().get_result(conn)?;
    let successor: Option<Option<String>> =
        erased_documents::table.find(document).select(erased_documents::successor).first(conn).optional()?;
    let successor: Option<DocumentId> = successor.flatten().and_then(|s| s.parse().ok());
    let handed_in = match successor {
        Some(successor) => proofs::is_proven(conn, successor, hash)?,
        None => false,
    };
    Ok(Standing { wanted, under_way: open > 0, successor: successor.filter(|_| handed_in) })
}

async fn clear_one(app: &App, document: String, hash: String) -> Result<bool, ObjectsError> {
    let id: DocumentId = document.parse().map_err(|_| DbError::Row(format!("erased content of `{document}`")))?;
    // Listed before it is asked who wants it: what is stored meanwhile, for another record, is not among them.
    let keys = app.objects.keys_of_content(&hash).await?;
    let (row, name) = (document.clone(), hash.clone());
    let stands = transact(&app.db, move |conn| standing(conn, &row, &name).map_err(ObjectsError::from)).await?;
    proofs::unmark(app, id, &hash).await?;
    if let Some(successor) = stands.successor {
        proofs::mark(app, successor, &hash).await?;
    }
    if !stands.wanted {
        if stands.under_way {
            // Somebody hands it in at this moment, for a record of his own.
            return Ok(false);
        }
        for key in keys {
            app.objects.delete(&key).await?;
        }
    }
    transact(&app.db, move |conn| {
        let row = erased_contents::table
            .filter(erased_contents::document.eq(&document))
            .filter(erased_contents::hash.eq(Some(&hash)));
        if stands.wanted {
            diesel::delete(row).execute(conn).map_err(ObjectsError::from)
        } else {
            let nothing = None::<String>;
            diesel::update(row).set(erased_contents::hash.eq(nothing)).execute(conn).map_err(ObjectsError::from)
        }
    })
    .await?;
    Ok(!stands.wanted)
}

/// What is looked for in the store.
struct Wanted {
    key: NumberKey,
    traces: BTreeSet<Vec<u8>>,
    sent: Vec<String>,
}

/// Looks through the store of contents for what an erased document left, and adds what was found to its proof.
pub(super) async fn look(app: &App, document: DocumentId, proof: &mut Proof) -> Result<(), ErasureError> {
    let id = document.to_string();
    let (row, now_ms, entropy) = (id.clone(), app.now_ms(), app.entropy.clone());
    let wanted = transact(&app.db, move |conn| {
        let key = NumberKey::load(conn, now_ms, &*entropy)?;
        let own = erased_contents::table.filter(erased_contents::document.eq(&row));
        let traces: Vec<Vec<u8>> = own.select(erased_contents::trace).load(conn)?;
        let erased_ms: i64 = erased_documents::table.find(&row).select(erased_documents::erased_ms).first(conn)?;
        let sent = upload_rows::table
            .filter(upload_rows::document.eq(&row))
            .filter(upload_rows::created_ms.le(erased_ms))
            .select(upload_rows::id)
            .load(conn)?;
        Ok::<_, ObjectsError>(Wanted { key, traces: traces.into_iter().collect(), sent })
    })
    .await?;
    for folder in ["objects", "thumbnails", "proofs", "uploads"] {
        let (mut rows, mut suspects) = (0, BTreeMap::<String, i64>::new());
        for listed in app.objects.list(folder).await? {
            let part = |n: usize| listed.key.split('/').nth(n).unwrap_or_default();
            let name = if folder == "objects" { part(2) } else { part(1) };
            match folder {
                "uploads" => rows += i64::from(wanted.sent.iter().any(|s| s == name)),
                "proofs" if part(2) == id => rows += 1,
                _ if wanted.traces.contains(&trace(&wanted.key, name)) => {
                    *suspects.entry(name.to_owned()).or_default() += 1;
                }
                _ => {}
            }
        }
        // What another record names is that record's.
        rows += transact(&app.db, move |conn| {
            let waiting = refs::in_quarantine(conn)?;
            let mut left = 0;
            for (hash, n) in suspects {
                left += if refs::is_referred_to(conn, &hash, &waiting)? { 0 } else { n };
            }
            Ok::<i64, ObjectsError>(left)
        })
        .await?;
        let place = format!("{}/{folder}", app.objects.place());
        proof.looked.push(Looked { place: place.clone(), what: vec!["content".into()], rows });
        if rows > 0 {
            proof.found.push(Found { place, what: "content".into(), rows });
        }
    }
    Ok(())
}
