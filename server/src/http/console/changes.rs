//! Every change of a case, one by one, as the journal has them.

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::ids::DocumentId;

use super::format::{self, Moment};
use super::gate::Visitor;
use super::page::{self, Frame};
use crate::app::App;
use crate::http::cases::{self as api, HistoryEntry};
use crate::http::problem::Problem;

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    frame: Frame,
    id: String,
    rows: Vec<ChangeRow>,
}

struct ChangeRow {
    position: i64,
    by: String,
    at_desk: bool,
    written: Moment,
    arrived: Moment,
    what: Vec<String>,
}

/// Every change of a case, one by one.
pub(super) async fn page(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let (id, w) = (id.into_inner(), visitor.words);
    let history = api::history(visitor.principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let row = |e: HistoryEntry| ChangeRow {
        position: e.position,
        by: e.author_name.unwrap_or_else(|| w.t("system")),
        at_desk: e.device.is_none(),
        written: format::moment(e.written_ms),
        arrived: format::moment(e.received_ms),
        what: e.what,
    };
    let page = ChangesPage {
        frame: Frame::new(&visitor, "cases", w.t("case-changes-title"), app.now_ms()),
        id: id.to_string(),
        rows: history.into_iter().map(row).collect(),
    };
    page::answer(&page)
}
