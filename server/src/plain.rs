//! Characters that act on a screen in place of standing on it: controls, which steer a terminal, and bidi controls, which turn the order
//! of what stands beside them. No name is taken in with them, and none that is stored already is printed with them.

use std::borrow::Cow;

/// What is shown where one stood.
const STANDS_FOR: &str = "\u{fffd}";

/// What whoever gives a name is told.
pub const REMEDY: &str = "leave out line breaks, control characters and characters that turn the direction of writing";

/// Whether a character acts: C0, DEL and C1, line and paragraph separators, marks, embeddings, overrides and isolates of direction.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}

/// Whether a name can be shown as it is.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(acts)
}

/// A text that stays within its line and its column: each character that acts is replaced. For every cell of a table.
pub fn cell(text: &str) -> Cow<'_, str> {
    if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(text.replace(acts, STANDS_FOR)) }
}

/// Lines for a terminal: everything but the ends of lines and tabs is written as `\u....`, which within JSON says the same.
pub fn lines(text: &str) -> Cow<'_, str> {
    let steers = |c: char| acts(c) && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { shown.push_str(&format!("\\u{:04x}", u32::from(c))) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_screen_is_replaced_and_what_is_written_stays() {
        assert_eq!(cell("小何的手机 – naïve 📱"), "小何的手机 – naïve 📱");
        assert_eq!(
            cell("a\u{1b}[2Jb\u{202e}c\nd\u{9b}e\u{2066}f"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f"
        );
        assert!(is_plain("某某") && !is_plain("某\u{200f}某") && !is_plain("某\t某"));
        assert_eq!(cell("\u{0}"), STANDS_FOR);
    }

    #[test]
    fn json_says_the_same_after_it_was_made_fit_for_a_terminal() {
        let told = serde_json::json!({ "name": "a\u{1b}\u{202e}\u{9b}\n某" }).to_string();
        let shown = lines(&told);
        assert!(is_plain(&shown), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["name"], "a\u{1b}\u{202e}\u{9b}\n某");
        assert_eq!(lines("one\ttwo\nthree"), "one\ttwo\nthree");
    }
}
