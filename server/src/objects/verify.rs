//! What is referred to and not here, and the reverse. A server that was restored from a backup finds again what its store still
//! holds; what is lost for good is asked of the phones.

use diesel::prelude::*;
use serde::Serialize;
use sync_core::ids::DocumentId;

use super::uploads::{self, Stored};
use super::{ObjectsError, content, proofs, transact};
use crate::app::App;
use crate::db::tables::{attachment_refs, objects};

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Contents that documents refer to.
    pub referred: usize,
    /// Contents that are here and whole.
    pub whole: usize,
    /// Contents that lay in the store and the database knew nothing of; they are entered again.
    pub adopted: Vec<String>,
    /// Contents that are referred to and have not arrived: on some phone, or on their way.
    pub missing: Vec<String>,
    /// Contents that the database believes to be here and that are gone or altered; with `repair` phones are asked for them again.
    pub lost: Vec<String>,
}

impl Report {
    /// True when nothing that once was here is lost.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
    }
}

/// Enters a content again that lies in the store, if its bytes are what its name says.
pub async fn adopt(app: &App, hash: &str) -> Result<Option<Stored>, ObjectsError> {
    for found in app.objects.list(&uploads::content_folder(hash)).await? {
        if found.bytes > app.config.attachment_bytes_max {
            continue;
        }
        let Some(bytes) = app.objects.get(&found.key).await? else { continue };
        let (name, length) = (hash.to_owned(), i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        let checked = tokio::task::spawn_blocking(move || content::check(&name, &bytes)).await;
        let Ok(media_type) = checked.map_err(|e| ObjectsError::Worker(e.to_string()))? else { continue };
        let row = uploads::stored(hash, &found.key, length, media_type, app.now_ms());
        let entered = row.clone();
        transact(&app.db, move |conn| uploads::store(conn, &entered).map_err(ObjectsError::from)).await?;
        tracing::info!(hash, "a content was found in the store and entered again");
        return Ok(Some(row));
    }
    Ok(None)
}

/// A content, if it is here; one of which the database knows nothing any more is looked for in the store.
pub async fn find(app: &App, hash: &str) -> Result<Option<Stored>, ObjectsError> {
    let name = hash.to_owned();
    let known = transact(&app.db, move |conn| {
        let here = uploads::touch(conn, &name)?;
        if here { Ok::<_, ObjectsError>(uploads::is_stored(conn, &name)?) } else { Ok(None) }
    });
    match known.await? {
        Some(row) => Ok(Some(row)),
        None => adopt(app, hash).await,
    }
}

/// Compares documents, database and store. `deep` reads every content and checks its hash; `repair` takes out what is lost, so that
/// phones supply it.
pub async fn verify(app: &App, deep: bool, repair: bool) -> Result<Report, ObjectsError> {
    let referred: Vec<String> = transact(&app.db, |conn| {
        let all = attachment_refs::table.select(attachment_refs::hash).distinct().order(attachment_refs::hash);
        all.load(conn).map_err(ObjectsError::from)
    })
    .await?;
    let mut report = Report { referred: referred.len(), ..Report::default() };
    let known: Vec<Stored> =
        transact(&app.db, |conn| objects::table.order(objects::hash).load(conn).map_err(ObjectsError::from)).await?;
    for row in &known {
        if whole(app, row, deep).await? {
            report.whole += 1;
            continue;
        }
        report.lost.push(row.hash.clone());
        if repair {
            let (hash, object) = (row.hash.clone(), row.object.clone());
            let gone = objects::table.filter(objects::hash.eq(hash)).filter(objects::object.eq(object));
            transact(&app.db, move |conn| diesel::delete(gone).execute(conn).map_err(ObjectsError::from)).await?;
        }
    }
    let known: std::collections::BTreeSet<&String> = known.iter().map(|r| &r.hash).collect();
    for hash in referred.into_iter().filter(|h| !known.contains(h)) {
        match adopt(app, &hash).await? {
            Some(_) => report.adopted.push(hash),
            None => report.missing.push(hash),
        }
    }
    Ok(report)
}

async fn whole(app: &App, row: &Stored, deep: bool) -> Result<bool, ObjectsError> {
    if !deep {
        return Ok(app.objects.size(&row.object).await? == u64::try_from(row.bytes).ok());
    }
    let Some(bytes) = app.objects.get(&row.object).await? else { return Ok(false) };
    let hash = row.hash.clone();
    let checked = tokio::task::spawn_blocking(move || sync_core::attachments::content_hash(&bytes) == hash).await;
    checked.map_err(|e| ObjectsError::Worker(e.to_string()))
}

/// Where a content stands, as far as one who asks may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// The server holds it.
    Here,
    /// It is referred to, and the server does not hold it.
    Missing,
    /// No record that the asker may see refers to it.
    Unknown,
}

/// Where contents of documents stand. What the database has forgotten and the store has not counts as here; what nobody handed in for
/// this very document does not.
pub async fn locate(
    app: &App,
    who: &uploads::Uploader,
    asked: Vec<(DocumentId, String)>,
) -> Result<Vec<Where>, ObjectsError> {
    let (asker, questions) = (who.clone(), asked.clone());
    let mut found = transact(&app.db, move |conn| {
        let one = |(document, hash): &(DocumentId, String)| -> Result<Where, ObjectsError> {
            let standing = super::refs::standing(conn, &asker.subject, asker.user, *document, hash)?;
            if standing == super::refs::Standing::None {
                return Ok(Where::Unknown);
            }
            let here = proofs::is_proven(conn, *document, hash)? && uploads::touch(conn, hash)?;
            Ok(if here { Where::Here } else { Where::Missing })
        };
        questions.iter().map(one).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    for (at, (document, hash)) in found.iter_mut().zip(&asked).filter(|(at, _)| **at == Where::Missing) {
        if proofs::find(app, *document, hash).await? && find(app, hash).await?.is_some() {
            *at = Where::Here;
        }
    }
    Ok(found)
}
