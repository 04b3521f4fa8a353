//! The lines that say what a change kept aside would do, in the words of the pages. A line that is not understood is shown as it is.

use sync_core::event::{BodyType, EventKind};
use sync_core::shape::{DocumentKind, FieldValue};

use super::deeds::Deed;
use super::words::Words;
use super::{deeds, format, parts};

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

fn event(line: &str, w: Words) -> Option<Deed> {
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
            _ => format::value(&value, None, w),
        };
        format!("{} {text}", w.of_code("body", key))
    });
    let said: Vec<String> = said.collect();
    Some(Deed { label: w.event(&kind), before: None, after: Some(said.join(" · ")).filter(|t| !t.is_empty()) })
}

/// A line of a preview in words.
pub(super) fn words(line: &str, kind: DocumentKind, w: Words) -> Deed {
    let plain = || Deed { label: line.to_owned(), before: None, after: None };
    if let Some(rest) = line.strip_prefix("event ") {
        return event(rest, w).unwrap_or_else(plain);
    }
    if let Some((name, wording)) = line.strip_prefix("text ").and_then(|rest| rest.split_once(" = ")) {
        // What was masked was written anew, as JSON.
        let wording = serde_json::from_str(wording).unwrap_or_else(|_| wording.to_owned());
        return Deed { label: parts::text_label(name, w), before: None, after: Some(wording) };
    }
    if let Some((collection, _)) = line.split_once(" + ") {
        return Deed { label: format!("+ {}", w.group(collection)), before: None, after: None };
    }
    if line == "create" {
        return Deed { label: w.t("row-create"), before: None, after: None };
    }
    match pairs(line).as_slice() {
        [(path, value)] => Deed {
            label: w.field(path),
            before: None,
            after: Some(format::value(value, deeds::holds_of(kind, path), w)),
        },
        _ => plain(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::reference::Lang;

    const ZH: Words = Words { lang: Lang::Zh };

    fn said(line: &str) -> (String, Option<String>) {
        let deed = words(line, DocumentKind::Case, ZH);
        (deed.label, deed.after)
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
        for line in ["", "12 bytes for a case that cannot be shown in words", "a = b", "event !"] {
            assert_eq!(said(line), (line.to_owned(), None));
        }
    }
}
