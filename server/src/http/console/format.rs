//! Times and numbers as people read them: Beijing time, yuan.

use sync_core::calendar::{beijing_from_text, beijing_text};
use sync_core::shape::{FieldValue, Holds};
use sync_core::time::TimeBasis;

use super::words::Words;

/// A moment for a page: what is read, and what a program reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// `2019-05-17 14:00`.
    pub(super) text: String,
    /// ms UTC.
    pub(super) ms: i64,
}

/// A moment.
pub(super) fn moment(ms: i64) -> Moment {
    Moment { text: beijing_text(ms), ms }
}

/// A size in kilobytes or megabytes.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} KB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// Fen as yuan.
pub(super) fn yuan(fen: i64) -> String {
    let (whole, cents) = (fen / 100, (fen % 100).abs());
    if cents == 0 { whole.to_string() } else { format!("{whole}.{cents:02}") }
}

/// Yuan as fen; `None` for what is no amount.
pub(super) fn fen(text: &str) -> Option<i64> {
    let (whole, cents) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let whole: i64 = whole.replace(',', "").parse().ok()?;
    if cents.len() > 2 || !cents.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let cents: i64 = if cents.is_empty() { 0 } else { format!("{cents:0<2}").parse().ok()? };
    whole.checked_mul(100)?.checked_add(if whole < 0 { -cents } else { cents })
}

/// A stretch of time in its two largest units.
pub(super) fn span(ms: i64, w: Words) -> String {
    let minutes = ms.abs() / 60_000;
    let (days, hours, minutes) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    let part = |n: i64, unit: &str| format!("{n} {}", w.t(unit));
    match (days, hours) {
        (0, 0) => part(minutes, "minute"),
        (0, _) => format!("{} {}", part(hours, "hour"), part(minutes, "minute")),
        _ => format!("{} {}", part(days, "day"), part(hours, "hour")),
    }
}

/// What the browser's field for a moment holds, as ms UTC: `2019-05-17T14:00`, Beijing time.
pub(super) fn from_input(text: &str) -> Option<i64> {
    beijing_from_text(text)
}

/// A moment as the browser's field for one holds it.
pub(super) fn input(ms: i64) -> String {
    beijing_text(ms).replacen(' ', "T", 1)
}

/// The value of a register in words.
pub(super) fn value(value: &FieldValue, holds: Option<Holds>, w: Words) -> String {
    match (holds, value) {
        (_, FieldValue::Null) => w.t("none"),
        (Some(Holds::Code(table)), FieldValue::String(code)) => w.code(table, code),
        (Some(Holds::Moment), v) => v.as_i64().map_or_else(|| v.to_string(), beijing_text),
        (Some(Holds::Fen), v) => v.as_i64().map_or_else(|| v.to_string(), |n| format!("{} {}", yuan(n), w.t("yuan"))),
        (Some(Holds::OneOf(_)), FieldValue::String(code)) => w.of_code("answer", code),
        (_, FieldValue::Bool(b)) => w.t(if *b { "yes" } else { "no" }),
        (_, FieldValue::String(text)) => text.clone(),
        (_, FieldValue::Array(items)) => {
            items.iter().map(|i| i.as_str().map_or_else(|| i.to_string(), str::to_owned)).collect::<Vec<_>>().join("、")
        }
        (_, other) => other.to_string(),
    }
}

/// On what a time rests.
pub(super) fn basis(basis: TimeBasis) -> &'static str {
    match basis {
        TimeBasis::Server => "time-server",
        TimeBasis::Anchored => "time-anchored",
        TimeBasis::Claimed => "time-claimed",
        TimeBasis::Local => "time-local",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yuan_are_read_as_they_are_written() {
        for (text, fen_) in [("12000", 1_200_000), ("0.5", 50), ("3.07", 307), ("1,000", 100_000)] {
            assert_eq!(fen(text), Some(fen_), "{text}");
        }
        assert!(["", "x", "1.234", "1.-2"].iter().all(|t| fen(t).is_none()));
        assert_eq!((yuan(307), yuan(1_200_000)), ("3.07".into(), "12000".into()));
    }

    #[test]
    fn moments_are_read_from_the_browsers_field() {
        let ms = sync_core::calendar::beijing_ms(2019, 5, 17, 14, 5);
        assert_eq!(from_input("2019-05-17T14:05"), Some(ms));
        assert!(["", "2019-05", "2019-13-01T00:00", "2019-05-17T25:00"].iter().all(|t| from_input(t).is_none()));
    }
}
