//! Identity and phone numbers in running text: where they stand, and the text without them. What people write otherwise than as a
//! number of digits (in words, in pictures) is not found; hashes and ids are never taken for numbers.

use std::ops::Range;

use super::personal::{mask_id, mask_phone, phone_is_plausible, resident_id_is_valid};

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

/// A word of this many hexadecimal digits is a hash or an id, and holds no number that somebody wrote.
const HASH_DIGITS_MIN: usize = 32;
/// The words of a UUID.
const UUID_DIGITS: [usize; 5] = [8, 4, 4, 4, 12];
/// An identity number in pairs has nine groups.
const GROUPS_MAX: usize = 9;
/// More than this between two groups, and they are two numbers.
const GAP_CHARS_MAX: usize = 4;

/// The digit that a character is, full-width forms included; an X may end an identity number.
fn digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '\u{ff10}'..='\u{ff19}' => char::from_digit(u32::from(c) - 0xff10, 10),
        _ => None,
    }
}

/// Whether groups of one number may stand apart by it: blanks and line breaks of every kind, hyphens, dots, slashes, brackets, and
/// what is not seen at all. A comma or a colon parts amounts, lists and times.
fn parts_groups(c: char) -> bool {
    let hyphen = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}');
    let dot = matches!(c, '.' | '·' | '．' | '•' | '‧' | '・');
    let other = matches!(c, '/' | '／' | '_' | '＿' | '(' | ')' | '（' | '）');
    let unseen = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}');
    c.is_whitespace() || hyphen || dot || other || unseen
}

fn breaks_line(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Where hashes and UUIDs stand: their digits are no numbers, whatever they look like.
fn ids(chars: &[char]) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for (n, _) in chars.iter().enumerate().filter(|(_, c)| c.is_ascii_alphanumeric()) {
        match words.last_mut().filter(|word| word.end == n) {
            Some(word) => word.end = n + 1,
            None => words.push(n..n + 1),
        }
    }
    let hex = |w: &Range<usize>| chars.get(w.clone()).is_some_and(|w| w.iter().all(char::is_ascii_hexdigit));
    let mut ids: Vec<_> = words.iter().filter(|w| w.len() >= HASH_DIGITS_MIN && hex(w)).cloned().collect();
    for five in words.windows(UUID_DIGITS.len()) {
        let hyphened =
            five.iter().zip(five.iter().skip(1)).all(|(a, b)| b.start == a.end + 1 && chars.get(a.end) == Some(&'-'));
        if let ([first, .., last], true) = (five, hyphened)
            && five.iter().map(Range::len).eq(UUID_DIGITS)
            && five.iter().all(hex)
        {
            ids.push(first.start..last.end);
        }
    }
    ids
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
    let ids = ids(chars);
    runs.retain(|r| !ids.iter().any(|id| id.contains(&r.start)));
    runs
}

/// Groups of digits of a text, as one number.
struct Groups<'a> {
    chars: &'a [char],
    runs: &'a [Run],
}

impl<'a> Groups<'a> {
    fn digits(&self) -> String {
        self.runs.iter().map(|r| r.digits.as_str()).collect()
    }

    /// What stands between one group and the next.
    fn gaps(&self) -> impl Iterator<Item = &'a [char]> {
        let chars = self.chars;
        let pairs = self.runs.iter().zip(self.runs.iter().skip(1));
        pairs.map(move |(a, b)| chars.get(a.end..b.start).unwrap_or_default())
    }

    fn are_joined(&self) -> bool {
        self.gaps().all(|gap| (1..=GAP_CHARS_MAX).contains(&gap.len()) && gap.iter().all(|c| parts_groups(*c)))
    }

    fn kind(&self) -> Option<NumberKind> {
        if self.is_identity() {
            Some(NumberKind::Identity)
        } else if self.is_phone() {
            Some(NumberKind::Phone)
        } else {
            None
        }
    }

    fn is_identity(&self) -> bool {
        let digits = self.digits();
        match self.runs {
            // A letter before it makes a serial or file number of many long runs, so that one must look like an identity number.
            [run] if self.is_beside_latin(run) => tells_birthday(&digits),
            [_] => (15..=19).contains(&digits.len()),
            _ => tells_birthday(&digits) && resident_id_is_valid(&digits),
        }
    }

    fn is_beside_latin(&self, run: &Run) -> bool {
        let latin = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_alphabetic() || *c == '_');
        latin(run.start.checked_sub(1).and_then(|n| self.chars.get(n))) || latin(self.chars.get(run.end))
    }

    /// Amounts, dates and numbers of houses stand side by side and have eleven digits together, so that groups must also be such as
    /// people make of a telephone number.
    fn is_phone(&self) -> bool {
        let local = match self.runs {
            [country, rest @ ..] if country.digits == "86" && !rest.is_empty() => rest,
            all => all,
        };
        let digits: String = local.iter().map(|r| r.digits.as_str()).collect();
        let digits = digits.strip_prefix("86").filter(|d| d.len() == 11).unwrap_or(&digits);
        let lengths: Vec<usize> = local.iter().map(|r| r.digits.len()).collect();
        let broken = self.gaps().filter(|gap| gap.iter().any(|c| breaks_line(*c))).count();
        let pairs = lengths.iter().all(|n| *n >= 2);
        let shaped = match (digits.as_bytes(), &lengths[..]) {
            ([b'4' | b'8', ..], [10]) => !digits.ends_with("00000"),
            ([b'4' | b'8', ..], [3, 7] | [4, 6] | [3, 3, 4] | [3, 4, 3] | [4, 3, 3]) => {
                self.gaps().all(|gap| gap.len() == 1) && broken == 0
            }
            ([b'4' | b'8', ..], _) => false,
            (_, [_]) => true,
            // The area code is never torn.
            ([b'0', b'1' | b'2', ..], [first, more @ ..]) => *first >= 3 && more.len() <= 4 && pairs,
            ([b'0', ..], [first, more @ ..]) => *first >= 4 && more.len() <= 4 && pairs,
            (_, [3..=7, _] | [3..=7, _, _] | [3, _, _, _] | [3, _, _, _, _]) => pairs,
            _ => false,
        };
        shaped && broken <= 1 && !self.holds_date() && phone_is_plausible(digits)
    }

    /// Whether the groups begin with year and month, or end with a day that is written otherwise than what stands before it.
    fn holds_date(&self) -> bool {
        let within =
            |run: &Run, most: u32| run.digits.len() <= 2 && run.digits.parse().is_ok_and(|n| (1..=most).contains(&n));
        let year = |run: &Run| run.digits.len() == 4 && (run.digits.starts_with("19") || run.digits.starts_with("20"));
        let begins = matches!(self.runs, [y, m, _, ..] if year(y) && within(m, 12));
        let gaps: Vec<_> = self.gaps().collect();
        let ends = matches!(self.runs, [.., y, m, d] if year(y) && within(m, 12) && within(d, 31))
            && matches!(&gaps[..], [.., before, first, second] if first == second && before != first);
        begins || ends
    }

    /// Where the number stands, with the bracket around its area code.
    fn place(&self) -> Option<Range<usize>> {
        let (first, last) = (self.runs.first()?, self.runs.last()?);
        let closes = self.gaps().next().is_some_and(|gap| gap.iter().any(|c| matches!(c, ')' | '）')));
        let before = first.start.checked_sub(1).filter(|n| closes && matches!(self.chars.get(*n), Some('(' | '（')));
        Some(before.unwrap_or(first.start)..last.end)
    }
}

/// Whether a day stands where an identity number has the birthday.
fn tells_birthday(digits: &str) -> bool {
    let number = |range: Range<usize>| digits.get(range).and_then(|d| d.parse::<u32>().ok());
    let (year, from) = match digits.len() {
        15 => (Some(1900), 8),
        17 | 18 => (number(6..10), 10),
        _ => return false,
    };
    year.is_some_and(|y| (1800..2100).contains(&y))
        && number(from..from + 2).is_some_and(|m| (1..=12).contains(&m))
        && number(from + 2..from + 4).is_some_and(|d| (1..=31).contains(&d))
}

/// The identity and phone numbers that stand in a text, however they are grouped.
pub fn numbers(text: &str) -> Vec<Number> {
    let chars: Vec<char> = text.chars().collect();
    let runs = runs(&chars);
    let mut found = Vec::new();
    let mut n = 0;
    while n < runs.len() {
        let some = |taken: usize| runs.get(n..n + taken).map(|runs| Groups { chars: &chars, runs });
        let mut joined = (1..=GROUPS_MAX).map_while(some).take_while(Groups::are_joined);
        let number = joined.find_map(|groups| Some((groups.kind()?, groups.place()?, groups)));
        n += match number {
            Some((kind, place, groups)) => {
                found.push(Number {
                    kind,
                    digits: normal_number(&groups.digits()),
                    start: place.start,
                    end: place.end,
                });
                groups.runs.len()
            }
            None => 1,
        };
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

    const BOTH: [NumberKind; 2] = [NumberKind::Identity, NumberKind::Phone];

    #[test]
    fn masking_finds_numbers_in_running_text_however_they_are_grouped() {
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
        ] {
            assert_eq!(scrub(text, &BOTH), shown, "{text}");
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

    #[test]
    fn masking_finds_numbers_that_stand_beside_letters() {
        for (text, shown) in [
            ("ID440306199001011236", "ID440306********1236"),
            ("_440306199001011236_", "_440306********1236_"),
            ("440306199001011236a", "440306********1236a"),
            ("abc11010519491231002Xabc", "abc110105********002Xabc"),
            ("id440306900101123", "id440306*****1123"),
            ("wx13812345678", "wx138****5678"),
            ("tel13812345678", "tel138****5678"),
            ("T13812345678，", "T138****5678，"),
            ("13812345678a", "138****5678a"),
            ("a13800138000b", "a138****8000b"),
            ("tel075527401234", "tel075*****1234"),
        ] {
            assert_eq!(scrub(text, &BOTH), shown, "{text}");
        }
        assert_eq!(numbers("wx13812345678")[0].digits, "13812345678");
    }

    #[test]
    fn masking_finds_landlines_with_brackets_and_service_numbers() {
        for (text, shown) in [
            ("(0755)27401234", "075*****1234"),
            ("座机（0755）27401234。", "座机075*****1234。"),
            ("(0755) 2740 1234", "075*****1234"),
            ("0755-2740-1234", "075*****1234"),
            ("010 6512 3456", "010****3456"),
            ("热线400-820-8820", "热线400***8820"),
            ("4008208820", "400***8820"),
            ("800 820 8820", "800***8820"),
        ] {
            assert_eq!(scrub(text, &BOTH), shown, "{text}");
        }
        assert_eq!(numbers("（0755）27401234")[0].digits, "075527401234");
    }

    #[test]
    fn masking_finds_a_mobile_number_whatever_parts_its_groups() {
        for text in [
            "138 12 34 56 78",
            "138/1234/5678",
            "138_1234_5678",
            "138\u{2011}1234\u{2011}5678",
            "138\u{2013}1234\u{2014}5678",
            "138\u{a0}1234\u{a0}5678",
            "138\u{202f}1234\u{202f}5678",
            "138  1234  5678",
            "138 - 1234 - 5678",
            "138\t1234\t5678",
            "138\u{200b}1234\u{200b}5678",
            "1381234\n5678",
            "138 1234\r\n5678",
            "138 1234 \n 5678",
            "(138)12345678",
            "86 138 1234 5678",
        ] {
            assert_eq!(scrub(text, &BOTH), "138****5678", "{text:?}");
            assert_eq!(numbers(text)[0].digits, "13812345678", "{text:?}");
        }
        assert_eq!(scrub("44 03 06\n1990 0101\u{a0}1236", &BOTH), "440306********1236");
    }

    #[test]
    fn masking_leaves_amounts_dates_times_codes_and_ids_readable() {
        let hash = "13812345678a".repeat(6).chars().take(64).collect::<String>();
        let (actor, short) = (hash.chars().take(32).collect::<String>(), "440306199001011236".repeat(4));
        for text in [
            "欠薪1380000元，150000000.00元，13,812,345,678元",
            "1381234567800分",
            "4000000000分",
            "20261130",
            "2026-11-30 14:30",
            "20261130123456",
            "1990-05-17 138人",
            "1985-03-12 102室",
            "150 2026-11-30",
            "0900 2026/11/30",
            "08-05 20261130",
            "17-5 20261130",
            "150\n2000\n3000",
            "27401234",
            "GM-BIYAN-SL17-5",
            "GM-BIYAN-01",
            "440311009001",
            "(2026)粤0311民初1234号",
            "深光调〔2026〕第0138号",
            "FQ2026113000000001",
            "SZ202611300000123456",
            "IMG_20261130_123456.jpg",
            "mmexport1638264000000.jpg",
            "019ab3c1-1380-7001-8000-138001380001",
            "case:13812345-1381-7381-8123-138123456781，",
            hash.as_str(),
            actor.as_str(),
            short.get(..64).unwrap(),
        ] {
            assert_eq!(scrub(text, &BOTH), text);
        }
    }
}
