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

/// Whether something can be a phone number of the mainland: a mobile one, one of a service (400 or 800), or a landline with area code
/// and extension if there is one. Spaces and hyphens do not matter.
pub fn phone_is_plausible(phone: &str) -> bool {
    let (number, extension) = phone.split_once(['x', 'X', '#', '转']).map_or((phone, None), |(n, e)| (n, Some(e)));
    let digits = |text: &str| text.chars().filter(|c| !matches!(c, ' ' | '-')).collect::<String>();
    let all = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (number, extension) = (digits(number), extension.map(digits));
    let mobile = number.len() == 11 && matches!(number.as_bytes(), [b'1', b'3'..=b'9', ..]);
    let service = number.len() == 10 && matches!(number.as_bytes(), [b'4' | b'8', b'0', b'0', ..]);
    // 010 and 02x have three digits, the other area codes four; the number itself seven or eight, never beginning with 0 or 1.
    let landline = match number.as_bytes() {
        [b'0', b'1', b'0', rest @ ..] | [b'0', b'2', _, rest @ ..] => rest.len() == 8 && rest.first() > Some(&b'1'),
        [b'0', b'3'..=b'9', _, _, rest @ ..] => matches!(rest.len(), 7 | 8) && rest.first() > Some(&b'1'),
        _ => false,
    };
    let extended = extension.as_ref().is_none_or(|e| landline && (1..=6).contains(&e.len()) && all(e));
    all(&number) && (mobile || service || landline) && extended
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
        for right in [
            "13800138000",
            "138 0013 8000",
            "0755-88211234",
            "400-820-8820",
            "010-65123456转801",
            "02087654321",
            "0755 8821123x12",
        ] {
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
}
