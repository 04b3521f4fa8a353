//! Reads a stream of server-sent events as it comes in, piece by piece. What is longer than the bound is refused; what is unknown
//! is passed over.

use crate::limits;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamEvent {
    /// Its name; `message` when the stream gives none.
    pub name: String,
    /// Its lines of data, joined.
    pub data: String,
}

/// An event or line exceeds the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event exceeds {} bytes", limits::STREAM_EVENT_BYTES_MAX)]
pub struct EventTooLarge;

/// What a stream has said so far.
#[derive(Debug, Default)]
pub struct StreamReader {
    line: Vec<u8>,
    event: StreamEvent,
    after_return: bool,
    /// The last id that was given: sent as `Last-Event-ID` after a break.
    pub last_id: Option<String>,
    /// How long to wait after a break, ms, if the server said so.
    pub retry_ms: Option<u64>,
}

impl StreamReader {
    /// Takes in what arrived; gives the events that are complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<StreamEvent>, EventTooLarge> {
        let mut events = Vec::new();
        for byte in bytes {
            // A line ends with CR, LF or both.
            let after_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(*byte),
            }
            if self.line.len() + self.event.data.len() > limits::STREAM_EVENT_BYTES_MAX {
                return Err(EventTooLarge);
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<StreamEvent> {
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            if event.name.is_empty() {
                event.name = "message".to_owned();
            }
            return Some(event).filter(|e| !e.data.is_empty());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.event.name = value.to_owned(),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            // A comment, or a field of a later time.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_stream_reads_the_same_however_it_is_cut() {
        let text = "retry: 5000\n\n:\n\nid: a;B=1\nevent: head\ndata: {\"head\":1}\n\nevent: x\r\ndata: one\r\ndata:two\r\n\r\nevent: none\n\n";
        let mut whole = StreamReader::default();
        let events = whole.feed(text.as_bytes()).unwrap();
        let of = |name: &str, data: &str| StreamEvent { name: name.into(), data: data.into() };
        assert_eq!(events, [of("head", "{\"head\":1}"), of("x", "one\ntwo")]);
        assert_eq!((whole.last_id.as_deref(), whole.retry_ms), (Some("a;B=1"), Some(5_000)));
        let mut pieces = StreamReader::default();
        let cut: Vec<_> = text.bytes().flat_map(|b| pieces.feed(&[b]).unwrap()).collect();
        assert_eq!(cut, events);
    }

    #[test]
    fn a_live_stream_without_a_line_end_is_cut_at_the_limit() {
        let mut reader = StreamReader::default();
        assert_eq!(reader.feed(&vec![b'x'; limits::STREAM_EVENT_BYTES_MAX + 1]), Err(EventTooLarge));
        let mut lines = StreamReader::default();
        assert_eq!(lines.feed("data: 四四四四四四四四\n".repeat(4_000).as_bytes()), Err(EventTooLarge));
    }
}
