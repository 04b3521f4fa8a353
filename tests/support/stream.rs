//! A reader of a live stream: a page of the console, or a phone that a test looks into.

use std::collections::VecDeque;
use std::io::Read;

use serde_json::Value;
use sync_core::sync::events::StreamReader;

/// One open stream.
pub struct TestStream {
    body: ureq::BodyReader<'static>,
    reader: StreamReader,
    told: VecDeque<(String, Value)>,
}

impl TestStream {
    /// Opens one; the status and code of the problem when it is refused.
    pub fn open(url: &str, path: &str, token: &str, last_id: Option<&str>) -> Result<Self, u16> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent.get(format!("{url}{path}")).header("Authorization", format!("Bearer {token}"));
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let response = request.call().unwrap();
        match response.status().as_u16() {
            200 => Ok(Self {
                body: response.into_body().into_reader(),
                reader: StreamReader::default(),
                told: VecDeque::new(),
            }),
            refused => Err(refused),
        }
    }

    /// The next event with its data; waits for it. `None` when the stream has ended.
    pub fn event(&mut self) -> Option<(String, Value)> {
        let mut piece = [0; 4096];
        while self.told.is_empty() {
            match self.body.read(&mut piece) {
                Ok(0) | Err(_) => return None,
                Ok(n) => {
                    let events = self.reader.feed(&piece[..n]).unwrap();
                    self.told.extend(events.into_iter().map(|e| (e.name, serde_json::from_str(&e.data).unwrap())));
                }
            }
        }
        self.told.pop_front()
    }

    /// The events up to the next one of this name, which is the last of them.
    pub fn until(&mut self, name: &str) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        while let Some(event) = self.event() {
            let found = event.0 == name;
            events.push(event);
            if found {
                return events;
            }
        }
        panic!("the stream ended before `{name}`: {events:?}");
    }

    /// The id of what was read last.
    pub fn last_id(&self) -> Option<&str> {
        self.reader.last_id.as_deref()
    }
}
