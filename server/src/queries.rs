//! Lists over the projections: filters, order and pages. Only rows that the asker may see leave this room.

mod cases;
mod halls;
mod hazards;
mod history;
mod numbers;
mod patrols;
mod quarantine;

use base64::Engine as _;
use serde::Serialize;
use sync_core::authority::{Place, Subject};
use sync_core::ids::AreaCode;
use sync_core::role::AreaKind;
use sync_core::shape::DocumentKind;
use utoipa::ToSchema;

use crate::db::DbError;

pub use cases::{
    CaseFilter, CaseSummary, case_count, case_ids, case_page, case_titles, cases_of, cases_with_number,
    possible_duplicates,
};
pub use halls::{Notification, notification_list};
pub use hazards::{HazardFilter, HazardSummary, hazard_count, hazard_page};
pub use history::closed_before;
pub use numbers::{Numbers, numbers, whole_communities};
pub use patrols::{PatrolFilter, PatrolSummary, patrol_count, patrol_page};
pub use quarantine::{
    QuarantineFilter, QuarantineRow, quarantine_bytes, quarantine_entries, quarantine_entry, quarantine_page,
};

/// The most rows in one page.
pub const PAGE_MAX: i64 = 200;
/// Batches fetched for one page, while most rows of a community are hidden from the asker.
const BATCHES_MAX: usize = 100;

/// A question that cannot be answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueryError {
    /// A parameter is at fault.
    #[error("`{field}`: {problem}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What would do.
        problem: String,
    },
}

/// One page.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Where a page begins: behind this value of the sort column and this document.
type After = (i64, String);

/// A row that only some may see.
trait Placed {
    /// The document, its community, grid, building and creator.
    fn place(&self) -> (&str, &str, Option<&String>, Option<&String>, &str);

    fn visible_to(&self, subject: &Subject, kind: DocumentKind) -> bool {
        let (document, community, grid, building, created_by) = self.place();
        let area = |code: Option<&String>| code.and_then(|c| AreaCode::new(c.clone()).ok());
        let place = || {
            Some(Place {
                document: document.parse().ok()?,
                kind,
                community: AreaCode::new(community).ok()?,
                grid: area(grid),
                building: area(building),
                created_by: created_by.parse().ok()?,
            })
        };
        place().is_some_and(|p| subject.may_read(&p))
    }
}

/// The grids and buildings of somebody who looks after no whole community; none for anybody else, whose rows are judged one by one.
fn parts(subject: &Subject) -> Option<(Vec<String>, Vec<String>)> {
    let of = |kind: AreaKind| {
        let grants = subject.grants.iter().filter(|g| g.kind == kind);
        grants.map(|g| g.area.to_string()).collect::<Vec<_>>()
    };
    whole_communities(subject).is_empty().then(|| (of(AreaKind::Grid), of(AreaKind::Building)))
}

fn encode_cursor(value: i64, id: &str) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("{value}|{id}"))
}

fn decode_cursor(cursor: &str) -> Result<(i64, String), QueryError> {
    let bad = || QueryError::Invalid { field: "cursor", problem: "not a cursor of a page before".into() };
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
    let text = String::from_utf8(bytes).map_err(|_| bad())?;
    let (value, id) = text.split_once('|').ok_or_else(bad)?;
    Ok((value.parse().map_err(|_| bad())?, id.to_owned()))
}

/// Checks the length of a page.
fn page_limit(asked: Option<i64>) -> Result<i64, QueryError> {
    let limit = asked.unwrap_or(50);
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(limit)
    } else {
        Err(QueryError::Invalid { field: "limit", problem: format!("use 1 to {PAGE_MAX}") })
    }
}

/// Fills a page with rows that the asker may see. `fetch` gives rows behind a place, one more than a page if there are so many;
/// `key` is the value of the sort column and the document.
fn fill<T: Placed>(
    subject: &Subject,
    kind: DocumentKind,
    limit: i64,
    mut after: Option<After>,
    key: impl Fn(&T) -> After,
    mut fetch: impl FnMut(Option<&After>, i64) -> Result<Vec<T>, DbError>,
) -> Result<Page<T>, DbError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items: Vec<T> = Vec::new();
    for _ in 0..BATCHES_MAX {
        let rows = fetch(after.as_ref(), limit + 1)?;
        let exhausted = rows.len() <= wanted;
        after = rows.last().map(&key);
        items.extend(rows.into_iter().filter(|r| r.visible_to(subject, kind)));
        if exhausted || items.len() > wanted {
            break;
        }
    }
    let more = items.len() > wanted;
    items.truncate(wanted);
    let next = items.last().filter(|_| more).map(|r| {
        let (value, id) = key(r);
        encode_cursor(value, &id)
    });
    Ok(Page { items, next })
}
