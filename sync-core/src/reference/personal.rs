//! Checks and masks for personal data. Nothing here stores or looks anything up.

/// Whether a resident identity number has the right length, digits and check character (GB 11643).
pub fn resident_id_is_valid(id: &str) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let chars: Vec<char> = id.chars().collect();
    let Some((last, digits)) = chars.split_last().filter(|(_, d)| d.len() == 17) else { return false };
    let sum: Option<u32> = digits.iter().zip(WEIGHTS).map(|(c, w)| c.to_digit(10).map(|d| d * w)).sum();
    let expected = sum.and_then(|s| "10X98765432".chars().nth(usize::try_from(s % 11).ok()?));
    expected == Some(last.to_ascii_uppercase())
}

/// An identity number for lists: the first six and the last four characters.
pub fn mask_id(id: &str) -> String {
    mask(id, 6, 4)
}

/// A phone number for lists: the first three and the last four digits.
pub fn mask_phone(phone: &str) -> String {
    mask(phone, 3, 4)
}

/// Whether something can be a phone number of the mainland: a mobile one, or a landline with area code and extension if there is
/// one. Spaces and hyphens do not matter.
pub fn phone_is_plausible(phone: &str) -> bool {
    let (number, extension) = phone.split_once(['x', 'X', '#', '转']).map_or((phone, None), |(n, e)| (n, Some(e)));
    let digits = |text: &str| text.chars().filter(|c| !matches!(c, ' ' | '-')).collect::<String>();
    let all = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (number, extension) = (digits(number), extension.map(digits));
    let mobile = number.len() == 11 && matches!(number.as_bytes(), [b'1', b'3'..=b'9', ..]);
    // 010 and 02x have three digits, the other area codes four; the number itself seven or eight, never beginning with 0 or 1.
    let landline = match number.as_bytes() {
        [b'0', b'1', b'0', rest @ ..] | [b'0', b'2', _, rest @ ..] => rest.len() == 8 && rest.first() > Some(&b'1'),
        [b'0', b'3'..=b'9', _, _, rest @ ..] => matches!(rest.len(), 7 | 8) && rest.first() > Some(&b'1'),
        _ => false,
    };
    let extended = extension.as_ref().is_none_or(|e| landline && (1..=6).contains(&e.len()) && all(e));
    all(&number) && (mobile || landline) && extended
}

/// A name for lists: the surname.
pub fn mask_name(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) if chars.next().is_some() => format!("{first}*"),
        Some(first) => first.to_string(),
        None => String::new(),
    }
}

fn mask(text: &str, head: usize, tail: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= head + tail {
        return "*".repeat(chars.len());
    }
    let hidden = chars.len() - head - tail;
    let shown = |range: &[char]| range.iter().collect::<String>();
    format!(
        "{}{}{}",
        shown(chars.get(..head).unwrap_or_default()),
        "*".repeat(hidden),
        shown(chars.get(chars.len() - tail..).unwrap_or_default())
    )
}

/// What a number found in a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NumberKind {
    /// Of an identity document, or as long as one: 15 to 19 digits, the last perhaps an X.
    Identity,
    /// Of a telephone.
    Phone,
}

/// A number found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// What it is.
    pub kind: NumberKind,
    /// Its digits alone, an X in capitals: the same for every way of writing it.
    pub digits: String,
    /// Where it begins, in characters.
    start: usize,
    /// Where it ends.
    end: usize,
}

/// One run of digits in a text.
struct Run {
    digits: String,
    start: usize,
    end: usize,
}

/// The digit that a character is, full-width forms included; an X may end an identity number.
fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(c) - 0xff10, 10),
        _ => None,
    }
}

fn runs(chars: &[char]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut here: Option<Run> = None;
    for (n, c) in chars.iter().enumerate() {
        // Behind all 17 digits, or behind the last three of a number that is written in groups.
        let ends_identity =
            |r: &Run| matches!(c, 'X' | 'x' | '\u{ff38}' | '\u{ff58}') && matches!(r.digits.len(), 3 | 17);
        match (digit(*c), &mut here) {
            (Some(d), Some(run)) => {
                run.digits.push(d);
                run.end = n + 1;
            }
            (Some(d), None) => here = Some(Run { digits: d.to_string(), start: n, end: n + 1 }),
            (None, Some(run)) if ends_identity(run) => {
                run.digits.push('X');
                run.end = n + 1;
                runs.extend(here.take());
            }
            (None, _) => runs.extend(here.take()),
        }
    }
    runs.extend(here);
    // Digits within a Latin word are part of a hash or an id, not a number that somebody wrote.
    let latin = |n: Option<usize>| n.and_then(|n| chars.get(n)).is_some_and(|c| c.is_ascii_alphabetic() || *c == '_');
    runs.retain(|r| !latin(r.start.checked_sub(1)) && !latin(Some(r.end)));
    runs
}

fn kind_of(digits: &str, runs: usize) -> Option<NumberKind> {
    let long = (15..=19).contains(&digits.len()) && (runs == 1 || resident_id_is_valid(digits));
    let local = digits.strip_prefix("86").filter(|d| d.len() == 11).unwrap_or(digits);
    if long {
        Some(NumberKind::Identity)
    } else if phone_is_plausible(local) && runs <= 3 {
        Some(NumberKind::Phone)
    } else {
        None
    }
}

/// The identity and phone numbers that stand in a text, however they are grouped.
pub fn numbers(text: &str) -> Vec<Number> {
    let chars: Vec<char> = text.chars().collect();
    let runs = runs(&chars);
    // Groups of one number stand apart by one space, hyphen or dot.
    let joined = |a: &Run, b: &Run| {
        b.start == a.end + 1 && chars.get(a.end).is_some_and(|c| matches!(c, ' ' | '-' | '\u{3000}' | '.' | '·' | '－'))
    };
    let mut found = Vec::new();
    let mut n = 0;
    while let Some(first) = runs.get(n) {
        let (mut digits, mut last, mut taken) = (first.digits.clone(), first, 1);
        let mut best = kind_of(&digits, 1).map(|kind| (kind, digits.clone(), first.end, 1));
        while best.is_none()
            && taken < 5
            && let Some(next) = runs.get(n + taken).filter(|next| joined(last, next))
        {
            digits.push_str(&next.digits);
            (last, taken) = (next, taken + 1);
            best = kind_of(&digits, taken).map(|kind| (kind, digits.clone(), next.end, taken));
        }
        match best {
            Some((kind, digits, end, taken)) => {
                found.push(Number { kind, digits: normal_number(&digits), start: first.start, end });
                n += taken;
            }
            None => n += 1,
        }
    }
    found
}

/// A number in the one form in which it is compared: digits only, an X in capitals, without the country's code.
pub fn normal_number(number: &str) -> String {
    let plain =
        number.chars().filter_map(|c| digit(c).or_else(|| c.is_ascii_alphabetic().then(|| c.to_ascii_uppercase())));
    let plain: String = plain.collect();
    match plain.strip_prefix("86").filter(|rest| rest.len() == 11 && rest.starts_with('1')) {
        Some(local) => local.to_owned(),
        None => plain,
    }
}

/// A text with its identity numbers, phone numbers, or both shown by their ends only.
pub fn scrub(text: &str, hidden: &[NumberKind]) -> String {
    let found: Vec<Number> = numbers(text).into_iter().filter(|n| hidden.contains(&n.kind)).collect();
    if found.is_empty() {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for number in found {
        out.extend(chars.get(at..number.start).unwrap_or_default());
        out.push_str(&number.masked());
        at = number.end;
    }
    out.extend(chars.get(at..).unwrap_or_default());
    out
}

/// Puts numbers back where a text shows only their ends: `before` is the text as it stands, whose numbers were masked for the
/// writer. What the writer did not have must not be lost by his writing.
pub fn unscrub(wording: &str, before: &str) -> String {
    let chars: Vec<char> = before.chars().collect();
    numbers(before).iter().fold(wording.to_owned(), |text, number| {
        let written: String = chars.get(number.start..number.end).unwrap_or_default().iter().collect();
        text.replacen(&number.masked(), &written, 1)
    })
}

impl Number {
    /// Its ends only.
    pub fn masked(&self) -> String {
        match self.kind {
            NumberKind::Identity => mask_id(&self.digits),
            NumberKind::Phone => mask_phone(&self.digits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_numbers_are_checked_by_their_last_character() {
        assert!(resident_id_is_valid("11010519491231002X"));
        assert!(resident_id_is_valid("11010519491231002x"));
        for wrong in ["110101199001010011", "11010519491231002", "11010519491231002XX", "1101051949123100一X", ""] {
            assert!(!resident_id_is_valid(wrong), "{wrong}");
        }
    }

    #[test]
    fn mobiles_and_landlines_are_phone_numbers() {
        for right in
            ["13800138000", "138 0013 8000", "0755-88211234", "010-65123456转801", "02087654321", "0755 8821123x12"]
        {
            assert!(phone_is_plausible(right), "{right}");
        }
        for wrong in [
            "",
            "12800138000",
            "1380013800",
            "138001380001",
            "0755-1234567",
            "13800138000转1",
            "八八八",
            "0755-88211234转",
        ] {
            assert!(!phone_is_plausible(wrong), "{wrong}");
        }
    }

    #[test]
    fn lists_show_only_the_ends() {
        assert_eq!(mask_id("11010519491231002X"), "110105********002X");
        assert_eq!(mask_phone("13800138000"), "138****8000");
        assert_eq!(mask_name("熊某"), "熊*");
        assert_eq!(mask_phone("123"), "***");
        assert_eq!(mask_name(""), "");
    }

    #[test]
    fn masking_finds_numbers_in_running_text_however_they_are_grouped() {
        let both = [NumberKind::Identity, NumberKind::Phone];
        for (text, shown) in [
            ("熊某,电话13800138000,在场。", "熊某,电话138****8000,在场。"),
            ("电话１３８００１３８０００", "电话138****8000"),
            ("138 0013 8000", "138****8000"),
            ("138-0013-8000。", "138****8000。"),
            ("+8613800138000", "+138****8000"),
            ("身份证11010519491231002x号", "身份证110105********002X号"),
            ("110105 19491231 002X", "110105********002X"),
            ("座机0755-88211234", "座机075*****1234"),
            ("2019-05-17 13800138000", "2019-05-17 138****8000"),
            ("23人,欠薪1380000元,17-5栋", "23人,欠薪1380000元,17-5栋"),
            ("019ab3c1-1380-7001-8000-138001380001", "019ab3c1-1380-7001-8000-138001380001"),
            ("a13800138000b", "a13800138000b"),
        ] {
            assert_eq!(scrub(text, &both), shown, "{text}");
        }
        assert_eq!(scrub("13800138000", &[NumberKind::Identity]), "13800138000");
        assert_eq!(numbers("+86 138 0013 8000")[0].digits, "13800138000");
    }

    #[test]
    fn masking_loses_nothing_when_a_masked_text_is_written_back() {
        let before = "电话13800138000和13800138001。";
        let shown = scrub(before, &[NumberKind::Phone]);
        assert_eq!(unscrub(&format!("{shown}已联系。"), before), format!("{before}已联系。"));
        assert_eq!(unscrub("另写。", before), "另写。");
    }
}
