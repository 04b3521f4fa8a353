//! The entries that are written once and whole, each a JSON text: an event, an attachment. What one must hold to be taken.

use automerge::ScalarValue;

use super::firewall::Trust;
use crate::case::Attachment;
use crate::error::{Refusal, RefusalCode};
use crate::event::Event;
use crate::ids::EventId;
use crate::limits;

fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::new(RefusalCode::InvalidValue, detail)
}

fn too_large(detail: String) -> Refusal {
    Refusal::new(RefusalCode::TooLarge, detail)
}

/// The event that an entry holds.
pub(super) fn event(id: EventId, value: &ScalarValue, trust: Trust) -> Result<Event, Refusal> {
    let ScalarValue::Str(text) = value else {
        return Err(invalid("an event is a JSON text"));
    };
    if text.len() > limits::EVENT_BYTES_MAX {
        return Err(too_large(format!("an event of {} bytes; the limit is {}", text.len(), limits::EVENT_BYTES_MAX)));
    }
    let event: Event = serde_json::from_str(text).map_err(|e| invalid(format!("the event {id}: {e}")))?;
    storable(text, trust)?;
    if event.after.len() > limits::EVENT_AFTER_MAX {
        return Err(too_large(format!("the event {id} names more than {} predecessors", limits::EVENT_AFTER_MAX)));
    }
    Ok(event)
}

/// What an entry tells of an attachment.
pub(super) fn attachment(value: &ScalarValue, trust: Trust) -> Result<Attachment, Refusal> {
    let text = match value {
        ScalarValue::Str(text) if text.len() <= limits::EVENT_BYTES_MAX => Some(text),
        _ => None,
    };
    let (text, entry) = text
        .and_then(|text| Some((text, serde_json::from_str::<Attachment>(text).ok()?)))
        .ok_or_else(|| invalid("an attachment's entry holds name, media_type, bytes and by"))?;
    storable(text, trust)?;
    if entry.location.is_some_and(|l| !l.exists()) {
        return Err(invalid("an attachment lies at a place that is not on earth"));
    }
    Ok(entry)
}

/// A NUL in an entry, which no store keeps; JSON writes it escaped, so that most need not be read again.
fn storable(json: &str, trust: Trust) -> Result<(), Refusal> {
    let holds_nul = json.contains("\\u0000")
        && !serde_json::from_str(json).is_ok_and(|value| crate::text::is_storable_json(&value));
    if holds_nul && trust != Trust::Server {
        return Err(invalid("a text of it holds a NUL character"));
    }
    Ok(())
}
