//! What needs somebody now, in words. What it is and how many there are is asked of the API; each heading leads to the list that shows
//! exactly these.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::cases::{self, Row};
use super::gate::Visitor;
use super::hazards;
use super::lists;
use super::page::{self, Frame};
use super::patrols;
use super::words::Words;
use crate::app::App;
use crate::http::problem::Problem;
use crate::http::today::{self as api, Counted, List};

/// A part of the page: what it is about, where all of it stands, and the first of it.
struct Section {
    id: String,
    title: String,
    link: String,
    count: String,
    rows: Vec<Row>,
    by_arrival: bool,
}

/// Something that was counted, and where it stands.
struct Number {
    label: String,
    value: String,
    link: String,
}

#[derive(Template)]
#[template(path = "today.html")]
struct Today {
    frame: Frame,
    sections: Vec<Section>,
    waiting: Vec<Number>,
    numbers: Vec<Number>,
}

/// Where a list stands.
fn link(list: &List) -> String {
    match list {
        List::Cases(filter) => format!("/cases?{}", cases::address(filter)),
        List::Patrols(filter) => format!("/patrols?{}", patrols::address(filter)),
        List::Hazards(filter) => format!("/hazards?{}", hazards::address(filter)),
        List::Quarantine(filter) => format!("/quarantine?{}", lists::address(&[("state", filter.state.clone())])),
        List::Phones(state) => format!("/phones?{}", lists::address(&[("state", Some(state.clone()))])),
    }
}

fn counted(count: i64, more: bool) -> String {
    if more { format!("{count}+") } else { count.to_string() }
}

fn number(kind: &str, c: &Counted, w: Words) -> Number {
    Number { label: w.of_code(kind, c.key), value: counted(c.count, c.more), link: link(&c.list) }
}

/// The page.
pub(super) async fn page(visitor: Visitor, app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let w = visitor.words;
    let found = api::today(visitor.principal.clone(), app.clone()).await?.into_inner();
    let mut sections = Vec::new();
    for (n, s) in found.sections.into_iter().enumerate() {
        let level = match &s.list {
            List::Cases(filter) if s.key == "raised" => filter.level.clone(),
            _ => None,
        };
        let title = w.of_code("today", s.key);
        sections.push(Section {
            id: format!("needs-{n}"),
            title: level.map_or_else(|| title.clone(), |level| format!("{title} · {}", w.of_code("level", &level))),
            link: link(&s.list),
            count: counted(s.count, s.more),
            rows: cases::rows(&app, s.items, w).await?,
            by_arrival: matches!(&s.list, List::Cases(f) if f.sort.as_deref() == Some("received")),
        });
    }
    let page = Today {
        frame: Frame::new(&visitor, "today", w.t("today-title"), app.now_ms()),
        sections,
        waiting: found.waiting.iter().map(|c| number("waiting", c, w)).collect(),
        numbers: found.numbers.iter().map(|c| number("number", c, w)).collect(),
    };
    page::answer(&page)
}
