//! What the pages say: the message files of `schema/messages`, and the labels of the code tables.

use std::sync::OnceLock;

use fluent_bundle::FluentResource;
use fluent_bundle::concurrent::FluentBundle;
use sync_core::event::EventKind;
use sync_core::reference::{Lang, codes};
use sync_core::rules::RuleSet;

/// A language to speak in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    /// Which.
    pub(super) lang: Lang,
}

/// The name of the cookie that keeps the choice.
pub(super) const COOKIE: &str = "fengqiao_language";

fn bundle(lang: Lang) -> &'static FluentBundle<FluentResource> {
    static ZH: OnceLock<FluentBundle<FluentResource>> = OnceLock::new();
    static EN: OnceLock<FluentBundle<FluentResource>> = OnceLock::new();
    let (once, name, text) = match lang {
        Lang::Zh => (&ZH, "zh-CN", schema::CONSOLE_ZH),
        Lang::En => (&EN, "en", schema::CONSOLE_EN),
    };
    once.get_or_init(|| {
        let mut bundle = FluentBundle::new_concurrent(name.parse().into_iter().collect());
        // The shipped files are read by a test; a line that cannot be read is shown by its key.
        let resource = FluentResource::try_new(text.to_owned()).unwrap_or_else(|(resource, _)| resource);
        bundle.add_resource_overriding(resource);
        bundle
    })
}

impl Words {
    /// The language of a request: Chinese, unless English was chosen.
    pub(super) fn of(request: &actix_web::HttpRequest) -> Self {
        let english = request.cookie(COOKIE).is_some_and(|c| c.value() == "en");
        Self { lang: if english { Lang::En } else { Lang::Zh } }
    }

    /// The BCP 47 name.
    pub(super) fn tag(self) -> &'static str {
        match self.lang {
            Lang::Zh => "zh-CN",
            Lang::En => "en",
        }
    }

    /// A message; its key, if there is none.
    pub(super) fn t(self, key: &str) -> String {
        self.find(key).unwrap_or_else(|| key.to_owned())
    }

    /// A message, if there is one.
    pub(super) fn find(self, key: &str) -> Option<String> {
        let bundle = bundle(self.lang);
        let pattern = bundle.get_message(key)?.value()?;
        Some(bundle.format_pattern(pattern, None, &mut Vec::new()).into_owned())
    }

    /// The word for a code of a kind; the code, if it has none.
    pub(super) fn of_code(self, kind: &str, code: &str) -> String {
        self.find(&format!("{kind}-{code}")).unwrap_or_else(|| code.to_owned())
    }

    /// The label of a code table.
    pub(super) fn code(self, table: &str, code: &str) -> String {
        codes().label(table, code, self.lang).unwrap_or(code).to_owned()
    }

    /// What a kind of event is called.
    pub(super) fn event(self, kind: &EventKind) -> String {
        self.of_code("event", kind.as_str())
    }

    /// What a field of an event's body is called, which is not the same for every kind.
    pub(super) fn body(self, kind: &EventKind, name: &str) -> String {
        self.find(&format!("body-{kind}-{name}")).unwrap_or_else(|| self.of_code("body", name))
    }

    /// What a collection is called: `parties`.
    pub(super) fn group(self, collection: &str) -> String {
        let found = self.find(&format!("case-{collection}")).or_else(|| self.find(&format!("patrol-{collection}")));
        found.unwrap_or_else(|| collection.to_owned())
    }

    /// What a register is called: `place.grid`, `parties.ID.phone`.
    pub(super) fn field(self, path: &str) -> String {
        match path.split('.').collect::<Vec<_>>().as_slice() {
            [collection, id, name] if uuid::Uuid::parse_str(id).is_ok() => {
                format!("{} · {}", self.group(collection), self.of_code("item", name))
            }
            ["checklist", item] => self.code("checklist", item),
            ["checklist", item, "note"] => format!("{} · {}", self.code("checklist", item), self.t("item-note")),
            _ => self.find(&format!("field-{}", path.replace('.', "-"))).unwrap_or_else(|| path.to_owned()),
        }
    }

    /// What a rule says.
    pub(super) fn rule(self, rules: &RuleSet, id: &str) -> String {
        let rule = rules.rules.iter().find(|r| r.id == id);
        rule.map_or_else(|| id.to_owned(), |r| if self.lang == Lang::Zh { r.zh.clone() } else { r.en.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::case::Status;
    use sync_core::error::RefusalCode;
    use sync_core::event::{BodyType, VOCABULARY};
    use sync_core::shape::DocumentKind;

    const BOTH: [Words; 2] = [Words { lang: Lang::Zh }, Words { lang: Lang::En }];

    fn keys(text: &str) -> Vec<&str> {
        text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split_once(" = ").map(|(k, _)| k)).collect()
    }

    #[test]
    fn both_languages_say_the_same_things_and_every_line_can_be_read() {
        assert_eq!(keys(schema::CONSOLE_ZH), keys(schema::CONSOLE_EN));
        for words in BOTH {
            for key in keys(schema::CONSOLE_ZH) {
                assert!(words.find(key).is_some_and(|t| !t.trim().is_empty()), "{key}");
            }
        }
    }

    #[test]
    fn every_event_field_status_and_moot_reason_has_a_word_in_both_languages() {
        for words in BOTH {
            let has = |key: String| assert!(words.find(&key).is_some(), "{key}");
            RefusalCode::ALL.iter().for_each(|c| has(format!("refusal-{}", c.as_str())));
            Status::ALL.iter().for_each(|s| has(format!("status-{}", s.as_str())));
            for spec in VOCABULARY {
                has(format!("event-{}", spec.name));
                for field in spec.body {
                    has(format!("body-{}", field.name));
                    if let BodyType::OneOf(choices) = field.holds {
                        choices.iter().for_each(|c| has(format!("choice-{c}")));
                    }
                }
            }
            for kind in [DocumentKind::Case, DocumentKind::Patrol] {
                let shape = kind.shape();
                shape.fields.iter().for_each(|f| has(format!("field-{}", f.path.replace('.', "-"))));
                let items = shape.collections.iter().flat_map(|c| c.fields);
                items.for_each(|f| has(format!("item-{}", f.path)));
            }
        }
    }

    #[test]
    fn every_word_that_a_template_asks_for_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/templates");
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for rest in text.split("w.t(\"").skip(1) {
                let key = rest.split('"').next().unwrap();
                assert!(BOTH[0].find(key).is_some(), "{key}");
            }
        }
    }
}
