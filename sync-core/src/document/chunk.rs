//! Reads the outside of a change chunk by hand, with a bound on every count, before Automerge's own loader sees a byte: that
//! loader sums untrusted run lengths and inflates without a limit.

use sha2::{Digest, Sha256};

use crate::error::{Refusal, RefusalCode};
use crate::limits;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_CHANGE: u8 = 1;
const DEFLATE_BIT: u64 = 0b1000;

fn malformed(what: &str) -> Refusal {
    Refusal::new(RefusalCode::Malformed, format!("not a well-formed change: {what}"))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8], Refusal> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or_else(|| malformed(what))?;
        self.rest = tail;
        Ok(head)
    }

    fn byte(&mut self, what: &str) -> Result<u8, Refusal> {
        self.take(1, what)?.first().copied().ok_or_else(|| malformed(what))
    }

    fn unsigned(&mut self, what: &str) -> Result<u64, Refusal> {
        let mut value = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed(what))
    }

    fn signed(&mut self, what: &str) -> Result<i64, Refusal> {
        let mut value = 0i64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte(what)?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte & 0x40 != 0 && shift + 7 < 64 {
                    value |= -1i64 << (shift + 7);
                }
                return Ok(value);
            }
        }
        // The tenth byte of a 64-bit number: only its lowest bit counts. Real counts never need it.
        Err(malformed(what))
    }

    fn sized(&mut self, max: usize, what: &str) -> Result<&'a [u8], Refusal> {
        let n = usize::try_from(self.unsigned(what)?).map_err(|_| malformed(what))?;
        if n > max {
            return Err(malformed(what));
        }
        self.take(n, what)
    }
}

/// Checks one chunk from its magic bytes to its last column: exactly one uncompressed change, nothing behind it, and no column
/// that unfolds to more rows than [`limits::CHANGE_OPS_MAX`].
pub(super) fn inspect(bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > limits::CHANGE_BYTES_MAX {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("a change of {} bytes; the limit is {}", bytes.len(), limits::CHANGE_BYTES_MAX),
        ));
    }
    let mut chunk = Reader { rest: bytes };
    if chunk.take(4, "magic bytes")? != MAGIC {
        return Err(malformed("magic bytes"));
    }
    chunk.take(4, "checksum")?;
    if chunk.byte("chunk type")? != CHUNK_CHANGE {
        return Err(malformed("only uncompressed change chunks travel"));
    }
    let body = chunk.sized(limits::CHANGE_BYTES_MAX, "chunk length")?;
    if !chunk.rest.is_empty() {
        return Err(malformed("bytes after the chunk"));
    }
    let mut body = Reader { rest: body };
    let deps = usize::try_from(body.unsigned("dependencies")?).map_err(|_| malformed("dependencies"))?;
    if deps > limits::CHANGE_DEPS_MAX {
        return Err(Refusal::new(
            RefusalCode::TooLarge,
            format!("{deps} dependencies; the limit is {}", limits::CHANGE_DEPS_MAX),
        ));
    }
    body.take(deps * 32, "dependencies")?;
    if body.sized(64, "actor")?.len() != 16 {
        return Err(malformed("an actor has 16 bytes"));
    }
    body.unsigned("sequence")?;
    if body.unsigned("first operation")? > limits::OP_COUNTER_MAX {
        return Err(malformed("the operation counter is out of all proportion"));
    }
    body.signed("time")?;
    let message = body.sized(limits::FIELD_CHARS_MAX, "message")?;
    std::str::from_utf8(message).map_err(|_| malformed("message"))?;
    let others = body.unsigned("other actors")?;
    if others > 10_000 {
        return Err(malformed("other actors"));
    }
    for _ in 0..others {
        body.sized(64, "other actors")?;
    }
    columns(&mut body)
}

/// The hash of a chunk and what it depends on; its content is not looked at. `None` when its outside is not that of a change.
pub(super) fn links(bytes: &[u8]) -> Option<([u8; 32], &[[u8; 32]])> {
    let mut chunk = Reader { rest: bytes };
    let is_change = chunk.take(4, "magic bytes").ok()? == MAGIC;
    chunk.take(4, "checksum").ok()?;
    let hashed = chunk.rest;
    if !is_change || chunk.byte("chunk type").ok()? != CHUNK_CHANGE {
        return None;
    }
    let body = chunk.sized(limits::CHANGE_BYTES_MAX, "chunk length").ok()?;
    let mut body = Reader { rest: body };
    let deps = usize::try_from(body.unsigned("dependencies").ok()?).ok()?;
    if deps > limits::CHANGE_DEPS_MAX || !chunk.rest.is_empty() {
        return None;
    }
    let deps = body.take(deps * 32, "dependencies").ok()?;
    Some((Sha256::digest(hashed).into(), deps.as_chunks::<32>().0))
}

fn columns(body: &mut Reader<'_>) -> Result<(), Refusal> {
    let count = body.unsigned("columns")?;
    if count > 64 {
        return Err(malformed("more columns than a change has"));
    }
    let mut specs = Vec::new();
    for _ in 0..count {
        specs.push((body.unsigned("column")?, body.unsigned("column")?));
    }
    for (spec, len) in specs {
        if spec & DEFLATE_BIT != 0 {
            return Err(malformed("a compressed column"));
        }
        let len = usize::try_from(len).map_err(|_| malformed("column length"))?;
        let data = body.take(len, "column data")?;
        rows(spec & 0b111, data)?;
    }
    Ok(())
}

/// Counts the rows of one column by its type; see the Automerge binary format.
fn rows(column_type: u64, data: &[u8]) -> Result<(), Refusal> {
    // An operation may stand in a column twice: as a row and by what it replaces.
    let max = u64::try_from(limits::CHANGE_OPS_MAX).unwrap_or(u64::MAX).saturating_mul(2);
    let too_many = || Refusal::new(RefusalCode::TooLarge, format!("more than {max} operations in one change"));
    let mut reader = Reader { rest: data };
    let mut total = 0u64;
    let mut add = |n: u64| {
        total = total.saturating_add(n);
        if total > max { Err(too_many()) } else { Ok(()) }
    };
    match column_type {
        // boolean: alternating run lengths
        4 => {
            while !reader.rest.is_empty() {
                add(reader.unsigned("boolean column")?)?;
            }
        }
        // raw values: bounded by the chunk itself
        7 => {}
        kind => {
            let value = |reader: &mut Reader<'_>| -> Result<u64, Refusal> {
                match kind {
                    3 => reader.signed("delta column").map(|_| 0),
                    5 => reader.sized(limits::CHANGE_BYTES_MAX, "text column").map(|_| 0),
                    _ => reader.unsigned("column"),
                }
            };
            while !reader.rest.is_empty() {
                let run = reader.signed("run length")?;
                if run > 0 {
                    let n = run.unsigned_abs();
                    add(n)?;
                    let v = value(&mut reader)?;
                    if kind == 0 {
                        // a group column: each row says how many rows its group has
                        add(n.saturating_mul(v))?;
                    }
                } else if run < 0 {
                    for _ in 0..run.unsigned_abs() {
                        add(1)?;
                        let v = value(&mut reader)?;
                        if kind == 0 {
                            add(v)?;
                        }
                    }
                } else {
                    add(reader.unsigned("null run")?)?;
                }
            }
        }
    }
    Ok(())
}
