//! What a person can do to a record, as the host says it. The border to [`sync_core::edit`]; whether it is allowed is decided there.

use sync_core::attachments::Location;
use sync_core::edit::{Draft, Edit};
use sync_core::event::EventKind;
use sync_core::ids::AreaCode;
use sync_core::shape::DocumentKind;

use crate::error::{PhoneLibError, Result};
use crate::value::{FieldMap, FieldValue, body_in, fields_in};

/// One thing that a person does to a record.
#[derive(Debug, Clone, PartialEq, uniffi::Enum)]
pub enum EditInput {
    /// Writes a register: `category`, `place.detail`, `parties.ID.phone`.
    SetField {
        /// Which.
        path: String,
        /// What.
        value: FieldValue,
    },
    /// Gives a text its new wording: `narrative`, `notes`, `statements.ID`.
    EditText {
        /// Which.
        name: String,
        /// All of it.
        wording: String,
    },
    /// Adds a party to a case.
    AddParty {
        /// Its registers: `name`, `role`, `phone` ...
        fields: FieldMap,
    },
    /// Adds a statement to a case.
    AddStatement {
        /// Its registers: `by`, `party`, `taken`, `place`.
        fields: FieldMap,
        /// What was said.
        wording: String,
    },
    /// Adds a hazard to a patrol.
    AddHazard {
        /// Its registers: `kind`, `grade`, `note`, `place`, `rectify_by`.
        fields: FieldMap,
    },
    /// Notes on a patrol a case file that it gave rise to.
    LinkCase {
        /// The case file.
        case_id: String,
        /// A remark.
        note: Option<String>,
    },
    /// Answers an item of the patrol's checklist.
    AnswerChecklist {
        /// The item's code.
        item: String,
        /// `ok`, `problem` or `not_applicable`.
        answer: String,
        /// A remark.
        note: Option<String>,
    },
    /// Adds an event.
    AddEvent {
        /// A kind of the vocabulary.
        kind: String,
        /// What the kind asks for.
        body: FieldMap,
    },
    /// Enters an attachment by the hash of its content.
    Attach {
        /// Which.
        attachment: AttachmentInput,
    },
    /// Settles a conflict by writing a value.
    SettleConflict {
        /// Which register.
        path: String,
        /// What holds from now on.
        value: FieldValue,
    },
    /// Confirms a passage that two people wrote at once, as it reads now.
    ConfirmPassage {
        /// Which text.
        text: String,
        /// Which passage.
        flag: String,
    },
}

/// Something to be attached.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct AttachmentInput {
    /// SHA-256 of the content, hexadecimal.
    pub hash: String,
    /// File name for people.
    pub name: String,
    /// Media type.
    pub media_type: String,
    /// Size in bytes.
    pub bytes: u64,
    /// When it was taken.
    #[uniffi(default = None)]
    pub taken_ms: Option<i64>,
    /// Where it was taken.
    #[uniffi(default = None)]
    pub location: Option<LocationView>,
}

/// Where something was, in degrees times a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct LocationView {
    /// North of the equator.
    pub latitude: i64,
    /// East of Greenwich.
    pub longitude: i64,
}

impl LocationView {
    fn into_core(self) -> Location {
        Location { latitude: self.latitude, longitude: self.longitude }
    }
}

impl From<Location> for LocationView {
    fn from(l: Location) -> Self {
        Self { latitude: l.latitude, longitude: l.longitude }
    }
}

/// A record to be created.
#[derive(Debug, Clone, PartialEq, uniffi::Record)]
pub struct DraftInput {
    /// The code of the community whose journal it will belong to.
    pub community: String,
    /// Its registers from the start.
    pub fields: FieldMap,
    /// The narrative of a case, the notes of a patrol.
    #[uniffi(default = None)]
    pub wording: Option<String>,
    /// What else it holds from the start: parties, hazards, events.
    #[uniffi(default = [])]
    pub edits: Vec<EditInput>,
}

/// What edits made.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct EditedView {
    /// False when everything stood there already.
    pub changed: bool,
    /// Ids of the items and events made, in the order of the edits.
    pub made: Vec<String>,
}

fn kind_in(kind: &str) -> Result<EventKind> {
    EventKind::parse(kind).filter(|k| k.spec().is_some()).ok_or_else(|| {
        PhoneLibError::invalid(
            "kind",
            format!("`{}` is not a kind of event", kind.chars().take(60).collect::<String>()),
            "use one of allowed_events",
        )
    })
}

fn text_value(text: Option<String>) -> FieldValue {
    text.map_or(FieldValue::Empty, |value| FieldValue::Text { value })
}

fn item(collection: &str, fields: FieldMap, text: Option<String>) -> Edit {
    Edit::AddItem { collection: collection.to_owned(), fields: fields_in(fields), text }
}

/// The core's edits for one of the host's.
pub(crate) fn edits_in(edit: EditInput) -> Result<Vec<Edit>> {
    let set = |path: String, value: FieldValue| Edit::SetField { path, value: value.into() };
    let text = |value: &str| FieldValue::Text { value: value.to_owned() };
    Ok(vec![match edit {
        EditInput::SetField { path, value } | EditInput::SettleConflict { path, value } => set(path, value),
        EditInput::EditText { name, wording } => Edit::SetText { name, wording },
        EditInput::AddParty { fields } => item("parties", fields, None),
        EditInput::AddStatement { fields, wording } => item("statements", fields, Some(wording)),
        EditInput::AddHazard { fields } => item("hazards", fields, None),
        EditInput::LinkCase { case_id, note } => {
            let mut fields = FieldMap::from([("case".to_owned(), text(&case_id))]);
            if note.is_some() {
                fields.insert("note".to_owned(), text_value(note));
            }
            item("cases", fields, None)
        }
        EditInput::AnswerChecklist { item, answer, note } => {
            let mut edits = vec![set(format!("checklist.{item}"), text(&answer))];
            if note.is_some() {
                edits.push(set(format!("checklist.{item}.note"), text_value(note)));
            }
            return Ok(edits);
        }
        EditInput::AddEvent { kind, body } => Edit::AddEvent { kind: kind_in(&kind)?, body: body_in(body) },
        EditInput::Attach { attachment: a } => {
            let location = a.location.map(LocationView::into_core);
            let AttachmentInput { hash, name, media_type, bytes, taken_ms, .. } = a;
            Edit::Attach { hash, name, media_type, bytes, taken_ms, location }
        }
        EditInput::ConfirmPassage { text: name, flag } => Edit::AddEvent {
            kind: EventKind::PassageConfirmed,
            body: body_in(FieldMap::from([("text".to_owned(), text(&name)), ("flag".to_owned(), text(&flag))])),
        },
    }])
}

/// The core's draft for the host's.
pub(crate) fn draft_in(kind: DocumentKind, draft: DraftInput) -> Result<Draft> {
    let community = AreaCode::new(draft.community)
        .map_err(|e| PhoneLibError::invalid("community", format!("`{}` is no area code", e.value), e.remedy))?;
    let mut edits: Vec<Edit> =
        fields_in(draft.fields).into_iter().map(|(path, value)| Edit::SetField { path, value }).collect();
    if let Some(wording) = draft.wording {
        let name = kind.shape().texts.first().copied().unwrap_or_default().to_owned();
        edits.push(Edit::SetText { name, wording });
    }
    for edit in draft.edits {
        edits.extend(edits_in(edit)?);
    }
    Ok(Draft { kind, community, edits })
}
