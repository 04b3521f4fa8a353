//! The words by which somebody answers for an act. They are kept for years, so that they say something and no number of a person
//! stands in them, whichever way they came.

use sync_core::reference::numbers;

/// A reason shorter than this says nothing.
const REASON_CHARS_MIN: usize = 8;
const REASON_CHARS_MAX: usize = 500;

/// Why words are no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// Too few words, or too many.
    #[error("`reason` has {REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters; this has {0}")]
    Length(usize),
    /// They would keep a number beyond the document.
    #[error("`reason` holds an identity or phone number")]
    Number,
}

impl ReasonError {
    /// What the asker can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Length(_) => "say for what it is needed",
            Self::Number => "leave it out; the case is named anyway",
        }
    }
}

/// The words as they are kept.
pub fn checked(text: &str) -> Result<&str, ReasonError> {
    let text = text.trim();
    let chars = text.chars().count();
    if !(REASON_CHARS_MIN..=REASON_CHARS_MAX).contains(&chars) {
        return Err(ReasonError::Length(chars));
    }
    if numbers(text).is_empty() { Ok(text) } else { Err(ReasonError::Number) }
}
