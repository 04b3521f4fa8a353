//! The lines that say what a change kept aside would do, in the words of the pages: people by their names and roles, places by theirs, files
//! by what they are. No id is shown; a line that is not understood is shown as it is.

use std::collections::{BTreeMap, BTreeSet};

use sync_core::event::{BodyType, EventKind};
use sync_core::ids::UserId;
use sync_core::role::Role;
use sync_core::shape::{DocumentKind, FieldValue, Holds};

use super::deeds::Deed;
use super::words::Words;
use super::{deeds, format, parts};
use crate::accounts::{grants, users};
use crate::areas;
use crate::db::{AnyConnection, DbError};
use crate::queries::QuarantineRow;

/// What the ids in previews stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// Names and roles, by account.
    people: BTreeMap<String, (String, Vec<Role>)>,
    /// Names of areas, by code.
    areas: BTreeMap<String, String>,
}

impl Named {
    /// Looks up the people and areas that stand in some rows, and who wrote and decided them.
    pub(super) fn of(conn: &mut AnyConnection, rows: &[QuarantineRow], now_ms: i64) -> Result<Self, DbError> {
        let (mut people, mut codes) = (BTreeSet::new(), BTreeSet::new());
        for row in rows {
            people.extend([Some(&row.author), row.decided_by.as_ref()].into_iter().flatten().cloned());
            for line in row.preview.lines() {
                for (what, value) in values(line, kind_of(&row.kind)) {
                    match what {
                        What::Person => people.insert(value),
                        What::Area => codes.insert(value),
                    };
                }
            }
        }
        let mut named = Self { areas: areas::names(conn, &codes.into_iter().collect::<Vec<_>>())?, ..Self::default() };
        for id in people {
            let Ok(user) = id.parse::<UserId>() else { continue };
            let Some(found) = users::by_id(conn, user)? else { continue };
            // Who holds none any more is told by those that he held.
            let all = grants::ever(conn, user)?.grants;
            let holds = all.iter().any(|g| g.held_between(now_ms, now_ms));
            let told = all.into_iter().filter(|g| !holds || g.held_between(now_ms, now_ms));
            let mut roles: Vec<Role> = told.map(|g| g.role).collect();
            roles.sort_unstable();
            roles.dedup();
            named.people.insert(id, (found.name, roles));
        }
        Ok(named)
    }

    /// Somebody by name and roles.
    pub(super) fn person(&self, id: &str, w: Words) -> String {
        let Some((name, roles)) = self.people.get(id) else {
            return w.t(if id == UserId::SYSTEM.to_string() { "system" } else { "unknown" });
        };
        let roles: Vec<String> = roles.iter().map(|r| w.of_code("role", r.as_str())).collect();
        if roles.is_empty() { name.clone() } else { format!("{name}（{}）", roles.join("、")) }
    }

    fn area(&self, code: &str) -> String {
        self.areas.get(code).cloned().unwrap_or_else(|| code.to_owned())
    }
}

/// The kind of record that a row is about.
pub(super) fn kind_of(kind: &str) -> DocumentKind {
    DocumentKind::parse(kind).unwrap_or(DocumentKind::Case)
}

enum What {
    Person,
    Area,
}

/// The people and areas that a line names.
fn values(line: &str, kind: DocumentKind) -> Vec<(What, String)> {
    if let Some(rest) = line.strip_prefix("event ") {
        let (name, body) = rest.split_once(": ").unwrap_or((rest, ""));
        let Some(spec) = EventKind::parse(name).and_then(|k| k.spec()) else { return Vec::new() };
        let is_person = |key: &str| spec.body.iter().any(|f| f.name == key && f.holds == BodyType::User);
        let named = pairs(body).into_iter().filter(|(key, _)| is_person(key));
        return named.filter_map(|(_, v)| Some((What::Person, v.as_str()?.to_owned()))).collect();
    }
    let found = pairs(line).into_iter().filter_map(|(path, v)| {
        let what = match deeds::holds_of(kind, path)? {
            Holds::Area => What::Area,
            Holds::User => What::Person,
            _ => return None,
        };
        Some((what, v.as_str()?.to_owned()))
    });
    found.collect()
}

/// `key = value, key = value` with values in JSON.
fn pairs(mut text: &str) -> Vec<(&str, FieldValue)> {
    let mut found = Vec::new();
    while let Some((key, rest)) = text.split_once(" = ") {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<FieldValue>();
        let Some(Ok(value)) = values.next() else { break };
        let behind = rest.get(values.byte_offset()..).unwrap_or_default();
        found.push((key, value));
        text = behind.strip_prefix(", ").unwrap_or_default();
    }
    found
}

fn is_id(text: &str) -> bool {
    uuid::Uuid::parse_str(text).is_ok()
}

fn event(line: &str, named: &Named, w: Words) -> Option<Deed> {
    let (name, body) = line.split_once(": ").unwrap_or((line, ""));
    let kind = EventKind::parse(name).filter(|k| k.spec().is_some())?;
    let holds = |key: &str| kind.spec()?.body.iter().find(|f| f.name == key).map(|f| f.holds);
    let said = pairs(body).into_iter().map(|(key, value)| {
        let text = match (holds(key), value.as_str()) {
            (Some(BodyType::OneOf(_)), Some(code)) => w.of_code("choice", code),
            (Some(BodyType::Fen), _) => {
                format!("{} {}", format::yuan(value.as_i64().unwrap_or_default()), w.t("yuan"))
            }
            (Some(BodyType::Moment), _) => value.as_i64().map_or_else(String::new, |ms| format::moment(ms).text),
            (Some(BodyType::User), Some(id)) => named.person(id, w),
            (_, Some(id)) if is_id(id) => w.t("preview-other"),
            _ => format::value(&value, None, w),
        };
        format!("{} {text}", w.of_code("body", key))
    });
    let said: Vec<String> = said.collect();
    Some(Deed { label: w.event(&kind), before: None, after: Some(said.join(" · ")).filter(|t| !t.is_empty()) })
}

/// The hash of the file that a line attaches, and what is said of it. Where a change does not fit its document, the line is what it wrote:
/// the hash with all that is said of the file as JSON.
fn file(line: &str) -> Option<(&str, Vec<(String, FieldValue)>)> {
    let is_hash = |text: &&str| sync_core::attachments::is_content_hash(text);
    if let Some(rest) = line.strip_prefix("attachment ") {
        let (hash, told) = rest.split_once(": ").unwrap_or((rest, ""));
        let told = pairs(told).into_iter().map(|(key, v)| (key.to_owned(), v)).collect();
        return Some((hash, told)).filter(|(hash, _)| is_hash(hash));
    }
    let (hash, value) = pairs(line).pop().filter(|(hash, _)| is_hash(hash))?;
    let told: BTreeMap<String, FieldValue> = serde_json::from_str(value.as_str()?).ok()?;
    Some((hash, told.into_iter().collect()))
}

/// The hash of the photo that a line attaches.
pub(super) fn photo(line: &str) -> Option<&str> {
    let (hash, told) = file(line)?;
    let media = told.iter().find(|(key, _)| key == "media_type")?.1.as_str()?;
    media.starts_with("image/").then_some(hash)
}

/// What a file is: its name, its kind, its size.
fn attached(told: &[(String, FieldValue)], w: Words) -> String {
    let of = |name: &str| told.iter().find(|(key, _)| key == name).map(|(_, v)| v);
    let media = of("media_type").and_then(|v| v.as_str());
    let parts = [
        of("name").and_then(|v| v.as_str()).map(str::to_owned),
        media.map(|m| w.t(if m.starts_with("image/") { "preview-photo" } else { "preview-file" })),
        of("bytes").and_then(FieldValue::as_u64).map(format::bytes),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() { w.t("preview-file") } else { said.join(" · ") }
}

/// A line of a preview in words.
pub(super) fn words(line: &str, kind: DocumentKind, named: &Named, w: Words) -> Deed {
    let plain = || Deed { label: line.to_owned(), before: None, after: None };
    let only = |key: &str| Deed { label: w.t(key), before: None, after: None };
    if let Some(rest) = line.strip_prefix("event ") {
        return event(rest, named, w).unwrap_or_else(plain);
    }
    if let Some((_, told)) = file(line) {
        return Deed { label: format!("+ {}", w.t("case-attachments")), before: None, after: Some(attached(&told, w)) };
    }
    if let Some(rest) = line.strip_prefix("text ") {
        let (name, wording) = rest.split_once(" = ").map_or((rest, None), |(name, wording)| (name, Some(wording)));
        // What was masked was written anew, as JSON.
        let wording = wording.map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()));
        return Deed { label: parts::text_label(name, w), before: None, after: wording };
    }
    if let Some((collection, id)) = line.split_once(" + ")
        && is_id(id)
    {
        return Deed { label: format!("+ {}", w.group(collection)), before: None, after: None };
    }
    match line {
        "create" => return only("row-create"),
        "witness" => return only("row-witness"),
        "unknown" => return only("preview-unknown"),
        _ if line.ends_with(" that cannot be shown in words") => return only("preview-raw"),
        _ => {}
    }
    match pairs(line).as_slice() {
        [(path, value)] => {
            let holds = deeds::holds_of(kind, path);
            let shown = match (holds, value.as_str()) {
                (Some(Holds::Area), Some(code)) => named.area(code),
                (Some(Holds::User), Some(id)) => named.person(id, w),
                (_, Some(id)) if is_id(id) => w.t("preview-other"),
                _ => format::value(value, holds, w),
            };
            Deed { label: w.field(path), before: None, after: Some(shown) }
        }
        _ => plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::reference::Lang;

    const ZH: Words = Words { lang: Lang::Zh };

    const HE: &str = "016ac34d-8a80-7e45-b133-dacf4988d5a5";

    fn said(line: &str) -> (String, Option<String>) {
        let named = Named {
            people: [(HE.to_owned(), ("小何".to_owned(), vec![Role::GridWorker]))].into(),
            areas: [("GM-BIYAN-01".to_owned(), "碧眼第一网格".to_owned())].into(),
        };
        let deed = words(line, DocumentKind::Case, &named, ZH);
        (deed.label, deed.after)
    }

    #[test]
    fn people_places_and_files_are_told_by_name_and_no_id_is() {
        assert_eq!(
            said(&format!("event assigned: to = \"{HE}\"")),
            ("分派".into(), Some("给／到 小何（网格员）".into()))
        );
        assert_eq!(said("place.grid = \"GM-BIYAN-01\""), ("网格".into(), Some("碧眼第一网格".into())));
        let hash = "a".repeat(64);
        let photo = format!("attachment {hash}: name = \"楼梯口.jpg\", media_type = \"image/jpeg\", bytes = 2048");
        assert_eq!(said(&photo), ("+ 附件".into(), Some("楼梯口.jpg · 照片 · 3 KB".into())));
        assert_eq!(said(&format!("attachment {hash}")), ("+ 附件".into(), Some("文件".into())));
        // As it was written, where the change does not fit its document.
        let raw = r#"{\"name\":\"楼梯口.jpg\",\"media_type\":\"image/jpeg\",\"bytes\":2048}"#;
        assert_eq!(said(&format!("{hash} = \"{raw}\"")), said(&photo));
        assert_eq!(
            said(&format!("event report_in: whistle = \"{HE}\", department = \"城管\"")).1.as_deref(),
            Some("所应的吹哨 案卷中的另一项 · 部门 城管")
        );
        assert_eq!(said("witness").0, "服务器记下了到达的时间和作者");
        assert_eq!(said("12 bytes for a case that cannot be shown in words").0, "内容读不出来，原样保存");
        assert_eq!(said(&format!("report.patrol = \"{HE}\"")).1.as_deref(), Some("案卷中的另一项"));
    }

    #[test]
    fn a_preview_is_told_in_words() {
        assert_eq!(
            said("event fact_added: bears_on = \"objection\", fact = \"三楼, 说 = 不同意\""),
            ("新情况".into(), Some("涉及 异议 · 情况 三楼, 说 = 不同意".into()))
        );
        assert_eq!(said("event accepted"), ("受理".into(), None));
        assert_eq!(said("category = \"0701\""), ("类别".into(), Some("劳动人事·劳动合同/派遣".into())));
        assert_eq!(said("text narrative = 经过如下 = 一"), ("经过".into(), Some("经过如下 = 一".into())));
        assert_eq!(said("parties + 016ac34d-8a80-7e45-b133-dacf4988d5a5"), ("+ 当事人".into(), None));
    }

    #[test]
    fn a_line_that_is_not_understood_is_shown_as_it_is() {
        for line in ["", "a = b", "event !", "attachment no-hash"] {
            assert_eq!(said(line), (line.to_owned(), None));
        }
    }
}
