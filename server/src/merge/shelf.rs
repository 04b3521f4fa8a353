//! What the documents of a bundle stand on, fetched at once: the documents, what stands in quarantine, where they used to lie. It only
//! reads.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use sync_core::document::{ChangeHash, Document};
use sync_core::error::RefusalCode;
use sync_core::ids::{DocumentId, UserId};
use sync_core::sync::server::{FormerPlace, Standing};
use sync_core::sync::wire::Bundle;

use crate::db::tables::quarantine;
use crate::db::{AnyConnection, DbError};
use crate::projection::Searchable;
use crate::{journal, moves};

/// What people are called, looked up once in a merge.
pub(super) type Names = BTreeMap<UserId, Option<String>>;

/// What the documents of a bundle stand on, fetched at once.
pub(super) struct Shelf {
    standing: BTreeMap<String, Document>,
    asked: BTreeSet<DocumentId>,
    pub(super) quarantined: BTreeMap<DocumentId, BTreeMap<ChangeHash, Standing>>,
    pub(super) former: BTreeMap<DocumentId, Vec<FormerPlace>>,
    pub(super) names: Names,
    /// What the search index takes up when all is merged.
    pub(super) searchable: Vec<Searchable>,
}

impl Shelf {
    pub(super) fn read(conn: &mut AnyConnection, bundle: &Bundle) -> Result<Self, DbError> {
        let asked: BTreeSet<DocumentId> = bundle.entries.iter().map(|e| e.document).collect();
        let ids: Vec<String> = asked.iter().map(ToString::to_string).collect();
        let standing = journal::load_all(conn, &ids)?;
        let (user, device) = (bundle.user.to_string(), bundle.device.to_string());
        type Row = (String, Vec<u8>, String, String, String, String);
        let rows: Vec<Row> = quarantine::table
            .filter(quarantine::document.eq_any(&ids))
            // What was dismissed stays out, whatever its author may do by now.
            .filter(quarantine::state.ne("accepted"))
            .select((
                quarantine::document,
                quarantine::hash,
                quarantine::code,
                quarantine::detail,
                quarantine::author,
                quarantine::device,
            ))
            .load(conn)?;
        let mut quarantined: BTreeMap<DocumentId, BTreeMap<_, _>> = BTreeMap::new();
        for (document, hash, code, detail, author, sender) in rows {
            let hash = <[u8; 32]>::try_from(hash).ok().map(ChangeHash);
            let code = serde_json::from_value(serde_json::Value::String(code)).ok();
            if let (Ok(document), Some(hash), Some(code)) = (document.parse::<DocumentId>(), hash, code) {
                let standing = Standing { code, detail, is_own: author == user && sender == device };
                let known = quarantined.entry(document).or_default().entry(hash).or_insert_with(|| standing.clone());
                // The same bytes may have come from others too: what they were refused for matters less.
                if standing.is_own || known.code == RefusalCode::ForeignActor && !known.is_own {
                    *known = standing;
                }
            }
        }
        let former = moves::former(conn, &ids)?;
        Ok(Self { standing, asked, quarantined, former, names: Names::new(), searchable: Vec::new() })
    }

    /// A document as it is now: what was fetched counts once, because the merge itself goes on changing it.
    pub(super) fn document(&mut self, conn: &mut AnyConnection, id: DocumentId) -> Result<Option<Document>, DbError> {
        if !self.asked.remove(&id) {
            return journal::load(conn, id);
        }
        Ok(self.standing.remove(&id.to_string()))
    }
}
