//! What the lists of the pages have in common: what the address narrows them to, which survives every page of them, and the areas that
//! somebody can choose from.

use std::collections::BTreeSet;

use actix_web::web;
use diesel::prelude::*;
use sync_core::authority::Subject;
use sync_core::role::AreaKind;

use super::format;
use super::forms::Choice;
use super::page;
use crate::app::App;
use crate::areas::{self, Area};
use crate::db::tables::areas as table;
use crate::db::{AnyConnection, DbError};
use crate::http::problem::Problem;
use crate::queries::Page;

/// Areas that a list offers to choose from.
const AREAS_MAX: i64 = 500;

/// What the address says.
pub(super) type Asked = web::Query<Vec<(String, String)>>;

/// What a list is narrowed to, as it stands in the address. The last of several values counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(Vec<(String, String)>);

impl Wanted {
    pub(super) fn new(asked: Vec<(String, String)>) -> Self {
        Self(asked)
    }

    /// A value; nothing, if it is empty.
    pub(super) fn find(&self, name: &str) -> Option<String> {
        let found = self.0.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.trim().to_owned());
        found.filter(|v| !v.is_empty())
    }

    /// A value for a field of a form.
    pub(super) fn of(&self, name: &str) -> &str {
        self.0.iter().rev().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }

    /// Whether the address names it, be it empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// A truth value.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        let wrong = |v: &str| {
            Problem::invalid("query_invalid", format!("`{name}` is `{v}`")).field(name).remedy("true or false")
        };
        self.find(name).map(|v| v.parse().map_err(|_| wrong(&v))).transpose()
    }

    /// A day or a moment, Beijing time, as ms UTC; of a day, its beginning moved by so much.
    pub(super) fn moment(&self, name: &'static str, day_ms: i64) -> Result<Option<i64>, Problem> {
        let wrong = || {
            Problem::invalid("query_invalid", format!("`{name}` is no moment")).field(name).remedy("milliseconds since")
        };
        let read = |text: String| {
            let ms = format::from_input(&text).ok_or_else(wrong)?;
            Ok(if text.contains('T') { ms } else { ms.saturating_add(day_ms) })
        };
        self.find(name).map(read).transpose()
    }

    /// The area that is asked for, by whichever name.
    pub(super) fn area(&self) -> Option<String> {
        ["area", "building", "grid", "community"].into_iter().find_map(|name| self.find(name))
    }

    /// The address of the next page: all that was asked, and where it begins. What was asked to be empty stays so.
    pub(super) fn next(&self, cursor: &str) -> String {
        let kept = self.0.iter().filter(|(n, _)| n != "cursor" && n != "done");
        let mut pairs: Vec<String> = kept.map(|(n, v)| format!("{}={}", page::escaped(n), page::escaped(v))).collect();
        pairs.push(format!("cursor={}", page::escaped(cursor)));
        pairs.join("&")
    }

    /// The same list from its beginning, without what was left empty.
    pub(super) fn all(&self) -> String {
        let kept = self.0.iter().filter(|(n, v)| !matches!(n.as_str(), "cursor" | "limit" | "done") && !v.is_empty());
        kept.map(|(n, v)| format!("{}={}", page::escaped(n), page::escaped(v))).collect::<Vec<_>>().join("&")
    }
}

/// The names and values of an address, those that there are.
pub(super) fn address(pairs: &[(&str, Option<String>)]) -> String {
    let there = pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", page::escaped(value.as_deref()?))));
    there.collect::<Vec<_>>().join("&")
}

/// A moment as [`Wanted::moment`] reads it.
pub(super) fn input(ms: Option<i64>) -> Option<String> {
    ms.map(format::input)
}

fn read(conn: &mut AnyConnection, subject: &Subject, chosen: Option<&str>) -> Result<Vec<Area>, DbError> {
    let codes: BTreeSet<String> = subject.grants.iter().map(|g| g.area.to_string()).collect();
    let own: Vec<Area> = table::table.filter(table::code.eq_any(codes)).order(table::path).load(conn)?;
    let mut found: Vec<Area> = Vec::new();
    let mut take = |conn: &mut AnyConnection, path: &str, buildings: bool| -> Result<(), DbError> {
        let mut inside = table::table.filter(table::path.like(areas::within(path)).escape('\\')).into_boxed();
        if !buildings {
            inside = inside.filter(table::kind.ne(AreaKind::Building.as_str()));
        }
        found.extend(inside.order(table::path).limit(AREAS_MAX).load::<Area>(conn)?);
        Ok(())
    };
    for area in &own {
        take(conn, &area.path, matches!(AreaKind::parse(&area.kind), Some(AreaKind::Grid | AreaKind::Building)))?;
    }
    // The buildings of a grid are offered once the grid is chosen: a community has thousands.
    if let Some(area) = chosen.map(|code| areas::find(conn, code)).transpose()?.flatten() {
        let kind = AreaKind::parse(&area.kind);
        let grid = if kind == Some(AreaKind::Building) { area.parent.clone() } else { Some(area.code.clone()) };
        let grid = grid.map(|code| areas::find(conn, &code)).transpose()?.flatten();
        let inside = |a: &Area| own.iter().any(|o| a.path.starts_with(&o.path));
        if let Some(grid) = grid.filter(|g| g.kind == AreaKind::Grid.as_str() && inside(g)) {
            take(conn, &grid.path, true)?;
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.code == b.code);
    Ok(found)
}

/// The areas that somebody can narrow a list to: his own and what lies in them, each indented below the one that it lies in.
pub(super) async fn choices(
    app: &web::Data<App>,
    subject: &Subject,
    chosen: Option<String>,
) -> Result<Vec<Choice>, Problem> {
    let subject = subject.clone();
    let found = app.run(move |conn| read(conn, &subject, chosen.as_deref())).await?;
    let depth = |a: &Area| a.path.matches('/').count();
    let least = found.iter().map(depth).min().unwrap_or(0);
    let choice = |a: Area| Choice {
        // Ideographic spaces: a browser keeps them in a list.
        label: format!("{}{}", "\u{3000}".repeat(depth(&a) - least), a.name),
        value: a.code,
    };
    Ok(found.into_iter().map(choice).collect())
}

/// What a page of a list shows: its rows and where the next one begins, or no rows and what was wrong with the question.
pub(super) fn found<T>(listed: Result<web::Json<Page<T>>, Problem>) -> (Vec<T>, Option<String>, Option<Problem>) {
    match listed {
        Ok(web::Json(Page { items, next })) => (items, next, None),
        Err(problem) => (Vec::new(), None, Some(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pairs: &[(&str, &str)]) -> Wanted {
        Wanted::new(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn the_next_page_is_asked_for_with_all_that_the_first_was() {
        let asked = wanted(&[("state", ""), ("text", "楼 道"), ("cursor", "old"), ("done", "1")]);
        assert_eq!(asked.next("n=w"), "state=&text=%E6%A5%BC%20%E9%81%93&cursor=n%3Dw");
        assert_eq!(asked.all(), "text=%E6%A5%BC%20%E9%81%93");
    }

    #[test]
    fn a_day_ends_when_the_next_begins_and_a_moment_is_one() {
        let asked = wanted(&[("to", "2019-05-17"), ("from", "2019-05-17T09:30"), ("other", "soon")]);
        let day = sync_core::calendar::beijing_ms(2019, 5, 18, 0, 0);
        assert_eq!(asked.moment("to", sync_core::calendar::DAY_MS).unwrap(), Some(day));
        let moment = sync_core::calendar::beijing_ms(2019, 5, 17, 9, 30);
        assert_eq!(asked.moment("from", 5).unwrap(), Some(moment));
        assert_eq!(input(Some(moment)).as_deref(), Some("2019-05-17T09:30"));
        assert_eq!(asked.moment("other", 0).unwrap_err().body().field.as_deref(), Some("other"));
        assert_eq!(asked.moment("none", 0).unwrap(), None);
    }
}
