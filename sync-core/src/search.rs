//! How text is made findable: most Chinese words have two characters, so every pair of neighbouring characters is a term. What the
//! terms find is then checked against the text itself.

/// The form in which text is stored and searched: lower case, full-width forms narrowed, white space collapsed.
pub fn normalise(text: &str) -> String {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        c => c,
    };
    let lowered = text.chars().map(narrow).flat_map(char::to_lowercase);
    let mut out = String::with_capacity(text.len());
    for c in lowered {
        if !c.is_whitespace() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Every pair of neighbouring letters or digits in normalised text, each once, sorted.
pub fn bigrams(normalised: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut before: Option<char> = None;
    for c in normalised.chars() {
        let here = c.is_alphanumeric().then_some(c);
        if let (Some(a), Some(b)) = (before, here) {
            terms.push([a, b].iter().collect());
        }
        before = here;
    }
    terms.sort_unstable();
    terms.dedup();
    terms
}

/// A pattern for `LIKE ... ESCAPE '\'` that finds normalised text literally.
pub fn like_pattern(normalised: &str) -> String {
    let mut out = String::from("%");
    for c in normalised.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('%');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_two_characters_are_terms() {
        assert_eq!(bigrams(&normalise("巡查,欠薪")), ["巡查", "欠薪"]);
        assert!(bigrams(&normalise("邻里纠纷")).contains(&"里纠".to_owned()));
    }

    #[test]
    fn full_width_and_case_do_not_matter() {
        assert_eq!(normalise("  ＡＢｃ　17－5栋 \n"), "abc 17-5栋");
    }

    #[test]
    fn a_pattern_is_literal() {
        assert_eq!(like_pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
