//! Who sees which numbers. Identity and phone numbers are masked wherever a role does not need them, in registers and in free
//! text; nothing of this room ever reaches a document. What a masked text lost is put back when it is written.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::Sha256;
use sync_core::authority::{Place, Subject};
use sync_core::case::CaseState;
use sync_core::document::Document;
use sync_core::edit::Edit;
use sync_core::reference::{NumberKind, mask_id, mask_name, mask_phone, normal_number, numbers, scrub, unscrub};
use sync_core::role::Role;

use crate::accounts::keys::{Keys, Purpose};
use crate::db::{AnyConnection, DbError};
use sync_core::ids::Entropy;

/// Who needs phone numbers in his daily work with a case: he calls on people.
const CALLING: &[Role] =
    &[Role::GridWorker, Role::StationHead, Role::Receptionist, Role::Mediator, Role::MediationDirector];
/// Who may have a number shown in full, one case at a time, with a reason.
const REVEALING: &[Role] =
    &[Role::StationHead, Role::Receptionist, Role::Mediator, Role::MediationDirector, Role::Supervisor];

/// What somebody sees of the numbers in one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    hidden: Vec<NumberKind>,
    /// Whether he may have them shown with a reason.
    pub may_reveal: bool,
}

impl Sight {
    /// What this person sees of a document that lies there. Identity numbers are hidden from everybody.
    pub fn of(subject: &Subject, place: &Place) -> Self {
        let here = |roles: &[Role]| {
            subject.grants.iter().any(|g| {
                let alone = Subject { user: subject.user, grants: vec![g.clone()] };
                roles.contains(&g.role) && alone.may_read(place)
            })
        };
        let mut hidden = vec![NumberKind::Identity];
        if !here(CALLING) {
            hidden.push(NumberKind::Phone);
        }
        Self { hidden, may_reveal: here(REVEALING) }
    }

    /// What lists and stored rows show.
    pub fn list() -> Self {
        Self { hidden: vec![NumberKind::Identity, NumberKind::Phone], may_reveal: false }
    }

    fn hides(&self, kind: NumberKind) -> bool {
        self.hidden.contains(&kind)
    }

    /// A text as this person sees it.
    pub fn text(&self, text: &str) -> String {
        scrub(text, &self.hidden)
    }

    /// A value of a register as this person sees it. A number that does not look like one is masked by its field's name.
    fn field(&self, name: &str, value: &str) -> String {
        match number_field(name) {
            Some(kind) if !self.hides(kind) => self.text(value),
            Some(NumberKind::Identity) => mask_id(value),
            Some(NumberKind::Phone) => mask_phone(value),
            None => self.text(value),
        }
    }

    /// The value of a register, `category` or `parties.ID.phone`, as this person sees it.
    pub fn value(&self, path: &str, value: &Value) -> Value {
        match value {
            Value::String(text) if uuid::Uuid::parse_str(text).is_err() => Value::String(self.field(path, text)),
            other => other.clone(),
        }
    }

    /// A line that says what a change does, such as `parties.ID.phone = "..."`, as this person sees it; in lists names are short too.
    pub fn line(&self, line: &str) -> String {
        let Some((path, value)) = line.split_once(" = ") else { return self.text(line) };
        let plain: String = serde_json::from_str(value).unwrap_or_else(|_| value.to_owned());
        let personal = matches!(path.rsplit('.').next(), Some("name" | "by" | "reporter"));
        let shown = if personal && *self == Self::list() { mask_name(&plain) } else { self.field(path, &plain) };
        if shown == plain { line.to_owned() } else { format!("{path} = {}", Value::String(shown)) }
    }

    /// A folded state, or anything else that can be serialised, as this person sees it.
    pub fn masked<T: Serialize + DeserializeOwned>(&self, state: &T) -> Result<T, DbError> {
        let failed = |e: serde_json::Error| DbError::Row(e.to_string());
        let mut value = serde_json::to_value(state).map_err(failed)?;
        self.walk("", &mut value);
        serde_json::from_value(value).map_err(failed)
    }

    fn walk(&self, name: &str, value: &mut Value) {
        match value {
            // An id is no number, whatever its digits look like.
            Value::String(text) if uuid::Uuid::parse_str(text).is_ok() => {}
            Value::String(text) => *text = self.field(name, text),
            Value::Array(items) => items.iter_mut().for_each(|v| self.walk(name, v)),
            Value::Object(map) => {
                // A conflict names its register beside the values.
                let path = map.get("path").and_then(Value::as_str).map(str::to_owned);
                for (key, v) in map.iter_mut() {
                    let known = path.as_deref().filter(|_| key == "values").or(Some(name).filter(|_| key == "value"));
                    self.walk(known.unwrap_or(key), v);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn number_field(path: &str) -> Option<NumberKind> {
    match path.rsplit('.').next() {
        Some("id_number") => Some(NumberKind::Identity),
        Some("phone" | "reporter_phone") => Some(NumberKind::Phone),
        _ => None,
    }
}

/// The terms by which the numbers in a case are found, sorted, each once, between spaces; none without a key.
pub fn number_terms(state: &CaseState, key: Option<&NumberKey>) -> Result<String, DbError> {
    let Some(key) = key else { return Ok(String::new()) };
    let mut terms = std::collections::BTreeSet::new();
    let items = state.parties.values().chain(state.statements.values());
    let values = items.clone().flat_map(|i| &i.fields).chain(&state.fields);
    values.chain(state.timeline.iter().flat_map(|e| &e.body)).for_each(|(name, v)| key.collect(name, v, &mut terms));
    // Also what somebody else had set, and is shown beside it.
    let disputed =
        serde_json::to_value((&state.conflicts, &state.passages)).map_err(|e| DbError::Row(e.to_string()))?;
    key.collect("", &disputed, &mut terms);
    let texts = items.filter_map(|i| i.text.as_ref()).chain([&state.narrative]).chain(state.file_number.as_ref());
    texts.for_each(|text| terms.extend(key.in_text(text)));
    Ok(terms.into_iter().collect::<Vec<_>>().join(" "))
}

/// Edits by somebody who saw numbers masked: what he sends back masked stays as it is.
pub fn restore(document: &Document, edits: &[Edit]) -> Vec<Edit> {
    let all = Sight::list();
    let restored = |edit: &Edit| match edit {
        Edit::SetField { path, value: Value::String(sent) } => {
            let before = document.field(path).and_then(|v| v.as_str().map(str::to_owned));
            let Some(before) = before.filter(|b| b != sent) else { return edit.clone() };
            let value = if *sent == all.field(path, &before) { before } else { unscrub(sent, &before) };
            Edit::SetField { path: path.clone(), value: value.into() }
        }
        Edit::SetText { name, wording } => {
            let before = document.text(name).unwrap_or_default();
            Edit::SetText { name: name.clone(), wording: unscrub(wording, &before) }
        }
        other => other.clone(),
    };
    edits.iter().map(restored).collect()
}

/// The key of the hashes by which numbers are found. It lies with the server's other keys.
#[derive(Clone)]
pub struct NumberKey([u8; 32]);

impl NumberKey {
    /// The key of this database; made when it is first asked for.
    pub fn load(conn: &mut AnyConnection, now_ms: i64, entropy: &dyn Entropy) -> Result<Self, DbError> {
        let keys = Keys::load(conn, Purpose::Numbers, now_ms, entropy)?;
        // The oldest: a new one could not find what the old one hashed.
        let key = keys.oldest().ok_or_else(|| DbError::Row("no key for numbers".into()))?;
        Ok(Self(key.seed()))
    }

    /// The key of this database, if it has one.
    pub fn known(conn: &mut AnyConnection) -> Result<Option<Self>, DbError> {
        Ok(Keys::known(conn, Purpose::Numbers)?.oldest().map(|k| Self(k.seed())))
    }

    /// The keyed hash of anything, 32 hexadecimal digits.
    pub fn mac(&self, domain: &str, text: &str) -> String {
        self.mac_bytes(domain, text.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect()
    }

    /// The keyed hash of bytes.
    pub fn mac_bytes(&self, domain: &str, bytes: &[u8]) -> [u8; 32] {
        use hmac::{Hmac, Mac as _};
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        mac.update(domain.as_bytes());
        mac.update(&[0]);
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// The term by which a number is found.
    pub fn number(&self, number: &str) -> String {
        self.mac("number", &normal_number(number))
    }

    fn in_text(&self, text: &str) -> Vec<String> {
        numbers(text).iter().map(|n| self.mac("number", &n.digits)).collect()
    }

    fn collect(&self, name: &str, value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::String(text) if uuid::Uuid::parse_str(text).is_ok() => {}
            Value::String(text) if number_field(name).is_some() && !text.is_empty() => {
                found.insert(self.number(text));
                // It may hold two numbers, or a word beside one.
                found.extend(self.in_text(text));
            }
            Value::String(text) => found.extend(self.in_text(text)),
            Value::Array(items) => items.iter().for_each(|v| self.collect(name, v, found)),
            Value::Object(map) => map.iter().for_each(|(key, v)| self.collect(key, v, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
