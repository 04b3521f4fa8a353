//! The typed edits as methods. Each commits to the store before it returns; whether it is allowed is decided in `sync-core`.

use sync_core::shape::DocumentKind;

use crate::edits::{AttachmentInput, DraftInput, EditInput, EditedView, draft_in, edits_in};
use crate::error::{PhoneLibError, Result};
use crate::library::{PhoneLibrary, document_id};
use crate::value::{FieldMap, FieldValue};

#[uniffi::export]
impl PhoneLibrary {
    /// Creates a case file and returns its id. It begins with the event `reported`.
    pub fn create_case(&self, draft: DraftInput) -> Result<String> {
        self.create(DocumentKind::Case, draft)
    }

    /// Creates a patrol record and returns its id. It begins with the event `patrol_started`.
    pub fn create_patrol(&self, draft: DraftInput) -> Result<String> {
        self.create(DocumentKind::Patrol, draft)
    }

    /// Makes several edits as one change: all or none.
    pub fn apply(&self, id: String, edits: Vec<EditInput>) -> Result<EditedView> {
        let mut all = Vec::new();
        for edit in edits {
            all.extend(edits_in(edit)?);
        }
        let edited = self.phone.edit(document_id("record", &id)?, &all).map_err(PhoneLibError::about("record", &id))?;
        Ok(EditedView { changed: edited.change.is_some(), made: edited.made })
    }

    /// Writes a register.
    pub fn set_field(&self, id: String, path: String, value: FieldValue) -> Result<()> {
        self.one(id, EditInput::SetField { path, value })
    }

    /// Gives a text its new wording; what others wrote elsewhere in it stays.
    pub fn edit_text(&self, id: String, name: String, wording: String) -> Result<()> {
        self.one(id, EditInput::EditText { name, wording })
    }

    /// Adds a party to a case and returns its id.
    pub fn add_party(&self, id: String, fields: FieldMap) -> Result<String> {
        self.one_made(id, EditInput::AddParty { fields })
    }

    /// Adds a statement to a case and returns its id.
    pub fn add_statement(&self, id: String, fields: FieldMap, wording: String) -> Result<String> {
        self.one_made(id, EditInput::AddStatement { fields, wording })
    }

    /// Adds a hazard to a patrol and returns its id.
    pub fn add_hazard(&self, id: String, fields: FieldMap) -> Result<String> {
        self.one_made(id, EditInput::AddHazard { fields })
    }

    /// Answers an item of a patrol's checklist.
    #[uniffi::method(default(note = None))]
    pub fn answer_checklist(&self, id: String, item: String, answer: String, note: Option<String>) -> Result<()> {
        self.one(id, EditInput::AnswerChecklist { item, answer, note })
    }

    /// Adds an event and returns its id.
    pub fn add_event(&self, id: String, kind: String, body: FieldMap) -> Result<String> {
        self.one_made(id, EditInput::AddEvent { kind, body })
    }

    /// Enters an attachment by the hash of its content.
    pub fn attach(&self, id: String, attachment: AttachmentInput) -> Result<()> {
        self.one(id, EditInput::Attach { attachment })
    }

    /// Settles a conflict: the value holds from now on.
    pub fn settle_conflict(&self, id: String, path: String, value: FieldValue) -> Result<()> {
        self.one(id, EditInput::SettleConflict { path, value })
    }

    /// Confirms a passage of a case that two people wrote at once, as it reads now. Returns the id of the event that says so.
    pub fn confirm_passage(&self, id: String, flag: String) -> Result<String> {
        let case = self.read_case(id.clone())?;
        let passage = case.passages.into_iter().find(|p| p.flag == flag);
        let text = passage.ok_or_else(|| PhoneLibError::not_found("flag", flag.clone()))?.text;
        self.one_made(id, EditInput::ConfirmPassage { text, flag })
    }
}

impl PhoneLibrary {
    fn create(&self, kind: DocumentKind, draft: DraftInput) -> Result<String> {
        Ok(self.phone.create(&draft_in(kind, draft)?)?.to_string())
    }

    fn one(&self, id: String, edit: EditInput) -> Result<()> {
        self.apply(id, vec![edit]).map(drop)
    }

    fn one_made(&self, id: String, edit: EditInput) -> Result<String> {
        let made = self.apply(id, vec![edit])?.made;
        made.into_iter().next().ok_or_else(|| PhoneLibError::internal("the edit made nothing"))
    }
}
