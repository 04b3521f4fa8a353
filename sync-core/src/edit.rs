//! Typed edits: what a person does to a document, whatever the screen. The phone, the hall's desks and the scheduler all write
//! through here, so that all write alike.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attachments::Location;
use crate::authority::{Place, Subject};
use crate::case::Attachment;
use crate::document::{Document, Meta, RawChange, Touch, Writer};
use crate::error::EditError;
use crate::event::{Author, Body, BodyType, Event, EventKind};
use crate::fold::{self, Causality};
use crate::ids::{ActorId, AreaCode, DocumentId, Entropy, EventId, PartyId, UserId};
use crate::role::{Level, Role};
use crate::shape::{DocumentKind, FieldValue};
use crate::text::is_storable;
use crate::time::TimeClaim;

/// The hand that writes: who, under which actor, when.
pub struct Pen<'a> {
    /// Who, with the roles held; `None` for the server itself.
    pub subject: Option<&'a Subject>,
    /// On which phone.
    pub device: Option<crate::ids::DeviceId>,
    /// Under which actor.
    pub actor: ActorId,
    /// When.
    pub at: TimeClaim,
    /// Where new ids come from.
    pub entropy: &'a dyn Entropy,
}

/// One thing that a person does to a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case")]
pub enum Edit {
    /// Writes a register; `null` empties it.
    SetField {
        /// `category`, `place.detail`, `parties.ID.phone`, `checklist.exit_clear`.
        path: String,
        /// The value.
        value: FieldValue,
    },
    /// Gives a text its new wording.
    SetText {
        /// `narrative`, `notes`, `statements.ID`.
        name: String,
        /// All of it.
        wording: String,
    },
    /// Adds a party, statement, hazard or case.
    AddItem {
        /// The collection.
        collection: String,
        /// Its registers.
        fields: BTreeMap<String, FieldValue>,
        /// Its text, where it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Adds an event.
    AddEvent {
        /// Its kind.
        kind: EventKind,
        /// Its body.
        #[serde(default)]
        body: Body,
    },
    /// Enters an attachment by hash.
    Attach {
        /// SHA-256 of the content, hexadecimal.
        hash: String,
        /// File name for people.
        name: String,
        /// Media type.
        media_type: String,
        /// Size in bytes.
        bytes: u64,
        /// When it was taken, ms UTC.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken_ms: Option<i64>,
        /// Where it was taken, as the camera said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<Location>,
    },
}

/// What an edit made.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The change, or `None` if nothing changed.
    pub change: Option<RawChange>,
    /// Ids of the items and events made, in the order of the edits.
    pub made: Vec<String>,
}

/// A document to be created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Its kind.
    pub kind: DocumentKind,
    /// The community whose journal it will belong to.
    pub community: AreaCode,
    /// What it holds from the start.
    pub edits: Vec<Edit>,
}

fn not_allowed(role: &str, action: &str, remedy: &str) -> EditError {
    EditError::NotAllowed { role: role.to_owned(), action: action.to_owned(), remedy: remedy.to_owned() }
}

fn roles_of(pen: &Pen<'_>) -> String {
    pen.subject.map_or("system".into(), |s| s.grants.iter().map(|g| g.role.as_str()).collect::<Vec<_>>().join("/"))
}

fn user_of(pen: &Pen<'_>) -> UserId {
    pen.subject.map_or(UserId::SYSTEM, |s| s.user)
}

fn check(pen: &Pen<'_>, place: &Place, touch: &Touch, action: &str) -> Result<(), EditError> {
    let Some(subject) = pen.subject else { return Ok(()) };
    subject.may(place, touch).map_err(|r| not_allowed(&roles_of(pen), action, &r.detail))
}

/// Creates a document from a draft. A case begins with the event `reported`, a patrol with `patrol_started`.
pub fn create(draft: &Draft, pen: &Pen<'_>) -> Result<(Document, RawChange), EditError> {
    let id = DocumentId::from_parts(pen.at.hlc.wall_ms, pen.entropy.ten());
    let meta = Meta {
        id,
        kind: draft.kind,
        community: draft.community.clone(),
        version: draft.kind.shape().version,
        created_by: user_of(pen),
        created_ms: pen.at.hlc.wall_ms,
    };
    let area = |path: &str| {
        draft.edits.iter().rev().find_map(|e| match e {
            Edit::SetField { path: p, value } if p == path => value.as_str().and_then(|s| AreaCode::new(s).ok()),
            _ => None,
        })
    };
    let place = Place {
        document: id,
        kind: draft.kind,
        community: draft.community.clone(),
        grid: area("place.grid"),
        building: area("place.building"),
        created_by: meta.created_by,
    };
    check(pen, &place, &Touch::Create { created_by: meta.created_by }, &format!("create a {}", draft.kind.as_str()))?;
    let begin = match draft.kind {
        DocumentKind::Case => EventKind::Reported,
        DocumentKind::Patrol => EventKind::PatrolStarted,
    };
    let mut edits = draft.edits.clone();
    let begun = edits.iter().any(|e| matches!(e, Edit::AddEvent { kind, .. } if *kind == begin));
    if !begun {
        edits.insert(0, Edit::AddEvent { kind: begin, body: Body::new() });
    }
    Document::create(meta, pen.actor, |writer| {
        let mut frontier = Vec::new();
        for edit in &edits {
            step(writer, edit, pen, &place, &mut frontier)?;
        }
        Ok(())
    })
}

/// Makes edits as one change. All or nothing.
pub fn apply(document: &mut Document, edits: &[Edit], pen: &Pen<'_>) -> Result<Edited, EditError> {
    let place = Place::of(document);
    let events = document.events();
    let mut frontier = Causality::new(events.iter().map(|(id, e)| (*id, e.after.as_slice()))).frontier();
    frontier.truncate(crate::limits::EVENT_AFTER_MAX);
    let told = |e: &Edit| matches!(e, Edit::AddEvent { .. });
    if document.meta().kind == DocumentKind::Case && edits.iter().any(told) {
        let state = fold::folded_case(document);
        // Only the first can be judged against the state as it is; the others follow from it.
        if let Some(Edit::AddEvent { kind, body }) = edits.iter().find(|e| told(e)) {
            check_body(*kind, body)?;
            if kind.spec().is_some() {
                fold::allowed_now(&state, *kind, body)
                    .map_err(|reason| EditError::Moot { kind: kind.to_string(), reason: reason.as_str().to_owned() })?;
            }
        }
    }
    let (made, change) = document.edit(pen.actor, pen.at.hlc.wall_ms, |writer| {
        let mut made = Vec::new();
        for edit in edits {
            made.extend(step(writer, edit, pen, &place, &mut frontier)?);
        }
        Ok(made)
    })?;
    Ok(Edited { change, made })
}

fn step(
    writer: &mut Writer<'_>,
    edit: &Edit,
    pen: &Pen<'_>,
    place: &Place,
    frontier: &mut Vec<EventId>,
) -> Result<Option<String>, EditError> {
    match edit {
        Edit::SetField { path, value } => {
            let touch = Touch::Field { path: path.clone(), value: value.clone() };
            check(pen, place, &touch, &format!("edit `{path}`"))?;
            writer.set(path, value)?;
            Ok(None)
        }
        Edit::SetText { name, wording } => {
            check(pen, place, &Touch::Text { name: name.clone() }, &format!("edit `{name}`"))?;
            writer.set_text(name, wording)?;
            Ok(None)
        }
        Edit::AddItem { collection, fields, text } => {
            let spec = place.kind.shape().collection(collection).ok_or_else(|| EditError::UnknownField {
                field: collection.chars().take(80).collect(),
                document: place.kind.as_str().to_owned(),
            })?;
            let id = PartyId::from_parts(pen.at.hlc.wall_ms, pen.entropy.ten()).to_string();
            check(
                pen,
                place,
                &Touch::Item { collection: spec.name, id: id.clone() },
                &format!("add to `{collection}`"),
            )?;
            writer.add_item(collection, &id, fields.iter().map(|(k, v)| (k.as_str(), v)), text.as_deref())?;
            Ok(Some(id))
        }
        Edit::AddEvent { kind, body } => {
            let id = add_event(writer, *kind, body.clone(), pen, place, std::mem::take(frontier))?;
            frontier.push(id);
            Ok(Some(id.to_string()))
        }
        Edit::Attach { hash, name, media_type, bytes, taken_ms, location } => {
            let by = user_of(pen);
            check(pen, place, &Touch::Attachment { hash: hash.clone(), by: Some(by), name: name.clone() }, "attach")?;
            if let Some(field) = [("name", name), ("media_type", media_type)].iter().find(|(_, v)| !is_storable(v)) {
                return Err(EditError::InvalidValue {
                    field: field.0.to_owned(),
                    problem: "it holds a NUL character".to_owned(),
                    remedy: "leave it out".to_owned(),
                });
            }
            if location.is_some_and(|l| !l.exists()) {
                return Err(EditError::InvalidValue {
                    field: "location".to_owned(),
                    problem: "there is no such place on earth".to_owned(),
                    remedy: "degrees times a million as whole numbers, or leave it out".to_owned(),
                });
            }
            let entry = Attachment {
                name: name.clone(),
                media_type: media_type.clone(),
                bytes: *bytes,
                taken_ms: *taken_ms,
                location: *location,
                by,
                other: BTreeMap::new(),
            };
            writer.attach(hash, &entry)?;
            Ok(None)
        }
    }
}

fn add_event(
    writer: &mut Writer<'_>,
    kind: EventKind,
    body: Body,
    pen: &Pen<'_>,
    place: &Place,
    after: Vec<EventId>,
) -> Result<EventId, EditError> {
    check_body(kind, &body)?;
    let by = author(pen, kind, place)?;
    let event = Event { kind, by, at: pen.at, after, body, other: BTreeMap::new() };
    let id = EventId::from_parts(pen.at.hlc.wall_ms, pen.entropy.ten());
    check(pen, place, &Touch::Event { id, event: Box::new(event.clone()) }, &format!("write `{kind}`"))?;
    writer.add_event(id, &event)?;
    Ok(id)
}

fn author(pen: &Pen<'_>, kind: EventKind, place: &Place) -> Result<Author, EditError> {
    let Some(subject) = pen.subject else { return Ok(Author::system()) };
    let (role, level): (Role, Level) = subject.role_for(kind, place).ok_or_else(|| {
        let roles: Vec<_> = crate::authority::roles_for(kind).into_iter().map(Role::as_str).collect();
        not_allowed(
            &roles_of(pen),
            &format!("write `{kind}`"),
            &format!("reserved to {} of this area", roles.join(", ")),
        )
    })?;
    Ok(Author { user: subject.user, role, level: Some(level), device: pen.device })
}

/// Checks a body against what its kind asks for, naming the field and the remedy.
pub fn check_body(kind: EventKind, body: &Body) -> Result<(), EditError> {
    let Some(spec) = kind.spec() else {
        return Err(EditError::InvalidValue {
            field: "kind".to_owned(),
            problem: format!("`{kind}` is not a kind of event that this version can write"),
            remedy: "use a kind of the vocabulary".to_owned(),
        });
    };
    let wrong = |field: &str, problem: &str, remedy: String| {
        Err(EditError::InvalidValue { field: format!("body.{field}"), problem: problem.to_owned(), remedy })
    };
    for name in body.keys() {
        if !spec.body.iter().any(|f| f.name == name) {
            let known: Vec<_> = spec.body.iter().map(|f| f.name).collect();
            return wrong(
                &name.chars().take(60).collect::<String>(),
                &format!("`{kind}` has no such field"),
                format!("it has {}", known.join(", ")),
            );
        }
    }
    for field in spec.body {
        let value = body.get(field.name);
        let Some(value) = value.filter(|v| !v.is_null()) else {
            if field.required {
                return wrong(field.name, "it is missing", format!("`{kind}` asks for it"));
            }
            continue;
        };
        let (fits, remedy) = match field.holds {
            BodyType::Text => {
                (value.as_str().is_some_and(|s| !s.trim().is_empty()), "a text that is not empty".to_owned())
            }
            BodyType::Count => (value.as_i64().is_some_and(|n| n >= 0), "a whole number from 0".to_owned()),
            BodyType::Fen => (value.as_i64().is_some_and(|n| n >= 0), "whole fen from 0".to_owned()),
            BodyType::Moment => (value.as_i64().is_some_and(|n| n >= 0), "milliseconds since 1970 UTC".to_owned()),
            BodyType::Flag => (value.is_boolean(), "true or false".to_owned()),
            BodyType::OneOf(names) => {
                (value.as_str().is_some_and(|s| names.contains(&s)), format!("one of {}", names.join(", ")))
            }
            BodyType::Event | BodyType::User | BodyType::Document => {
                (value.as_str().is_some_and(|s| uuid::Uuid::parse_str(s).is_ok()), "an id (UUID)".to_owned())
            }
            BodyType::Texts => (
                value
                    .as_array()
                    .is_some_and(|a| !a.is_empty() && a.iter().all(|t| t.as_str().is_some_and(|s| !s.is_empty()))),
                "a list of texts that is not empty".to_owned(),
            ),
        };
        if !fits {
            return wrong(field.name, "it does not fit", remedy);
        }
        if !crate::text::is_storable_json(value) {
            return wrong(field.name, "it holds a NUL character", "leave it out".to_owned());
        }
    }
    Ok(())
}
