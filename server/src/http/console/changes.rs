//! Every change of a case, one by one, as the journal has them.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use askama::Template;
use sync_core::authority::Place;
use sync_core::ids::DocumentId;
use sync_core::shape::DocumentKind;

use super::deeds::{Change, Changes, Deed};
use super::format::{self, Moment};
use super::gate::Visitor;
use super::page::{self, Frame};
use crate::app::App;
use crate::http::cases as api;
use crate::http::problem::Problem;
use crate::journal;
use crate::masking::Sight;

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
    events: Vec<String>,
    deeds: Vec<Deed>,
    /// Whether the server wrote down when something arrived.
    is_servers: bool,
}

/// Every change of a case, one by one.
pub(super) async fn page(
    visitor: Visitor,
    id: web::Path<DocumentId>,
    app: web::Data<App>,
) -> Result<HttpResponse, Problem> {
    let (id, w) = (id.into_inner(), visitor.words);
    let history = api::history(visitor.principal.clone(), web::Path::from(id), app.clone()).await?.into_inner();
    let authors: BTreeMap<i64, Option<String>> = history.into_iter().map(|e| (e.position, e.author_name)).collect();
    let subject = visitor.principal.subject.clone();
    let changes = app.run(move |conn| -> Result<Changes, Problem> {
        let document = journal::load(conn, id)?.ok_or_else(|| Problem::not_found("there is no such case"))?;
        Ok(Changes::read(conn, &document, &Sight::of(&subject, &Place::of(&document)), true)?)
    });
    let changes = changes.await?;
    let row = |c: &Change| ChangeRow {
        position: c.line.position,
        by: authors.get(&c.line.position).cloned().flatten().unwrap_or_else(|| w.t("system")),
        at_desk: c.line.device.is_none(),
        written: format::moment(c.line.written_ms),
        arrived: format::moment(c.line.received_ms),
        events: c.events.iter().map(|kind| w.event(kind)).collect(),
        deeds: changes.deeds(DocumentKind::Case, c, w),
        is_servers: c.is_servers,
    };
    let page = ChangesPage {
        frame: Frame::new(&visitor, "cases", w.t("case-changes-title"), app.now_ms()),
        id: id.to_string(),
        rows: changes.all.iter().map(row).collect(),
    };
    page::answer(&page)
}
