//! The working-day calendar of China. Adjusted rest days come only from the State Council's yearly notice, so they are data; a
//! year without data gives provisional dates. All days are Beijing days (UTC+8, no daylight saving).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One day, ms.
pub const DAY_MS: i64 = 86_400_000;
const BEIJING_MS: i64 = 8 * 3_600_000;
const YEAR_MIN: i64 = 1950;
const YEAR_MAX: i64 = 2200;

/// A length of time as rules state it. Hours, calendar days and working days are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Minutes, around the clock.
    Minutes(i64),
    /// Calendar days; the starting day is excluded, and a last day of rest rolls to the next working day (民法典 201, 203).
    Days(i64),
    /// Working days; the starting day is excluded.
    WorkingDays(i64),
    /// The end of the same day.
    EndOfDay(bool),
}

/// When something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// ms UTC.
    pub at_ms: i64,
    /// True when a year without data was crossed: recomputed when its notice arrives.
    pub provisional: bool,
}

/// A calendar that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar file: {0}; expected {{\"year\", \"papers\", \"days\": [{{\"name\", \"date\", \"isOffDay\"}}]}}")]
pub struct CalendarError(String);

#[derive(Deserialize)]
struct File {
    year: i64,
    days: Vec<FileDay>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileDay {
    date: String,
    is_off_day: bool,
}

/// Which days are worked.
#[derive(Debug, Clone, Default)]
pub struct Calendar {
    years: BTreeSet<i64>,
    listed: BTreeMap<i64, bool>,
    version: String,
}

impl Calendar {
    /// The years that are shipped.
    pub fn shipped() -> &'static Calendar {
        static SHIPPED: std::sync::OnceLock<Calendar> = std::sync::OnceLock::new();
        SHIPPED.get_or_init(|| Calendar::from_files(schema::CALENDARS.iter().copied()).unwrap_or_default())
    }

    /// From year files; a later file of a year replaces an earlier one.
    pub fn from_files<'a>(files: impl IntoIterator<Item = &'a str>) -> Result<Self, CalendarError> {
        let mut calendar = Calendar::default();
        let mut notices: BTreeMap<i64, BTreeMap<i64, bool>> = BTreeMap::new();
        let mut digest = Sha256::new();
        for text in files {
            let file: File = serde_json::from_str(text).map_err(|e| CalendarError(e.to_string()))?;
            if !(YEAR_MIN..=YEAR_MAX).contains(&file.year) {
                return Err(CalendarError(format!("the year {} is not from {YEAR_MIN} to {YEAR_MAX}", file.year)));
            }
            // A notice can reach into the last days of the year before, so that New Year's holiday is whole; nowhere else.
            let days = days_from_civil(file.year - 1, 12, 1)..days_from_civil(file.year + 1, 1, 1);
            let mut notice = BTreeMap::new();
            for day in &file.days {
                let number = parse_date(&day.date)
                    .filter(|n| days.contains(n))
                    .ok_or_else(|| CalendarError(format!("`{}` is not a date of {}", day.date, file.year)))?;
                if notice.insert(number, day.is_off_day).is_some_and(|off| off != day.is_off_day) {
                    return Err(CalendarError(format!("{} is listed both as worked and as off", day.date)));
                }
            }
            notices.insert(file.year, notice);
            digest.update(text.as_bytes());
        }
        // In the order of their years, whatever the order of the files: the later notice knows better about the turn of the year.
        for (year, notice) in notices {
            calendar.years.insert(year);
            calendar.listed.extend(notice);
        }
        calendar.version = digest.finalize().iter().take(4).map(|b| format!("{b:02x}")).collect();
        Ok(calendar)
    }

    /// Names the data a due date was computed from.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether a day (days since 1970) is worked: a listed day decides, else Monday to Friday.
    pub fn is_working(&self, day: i64) -> bool {
        match self.listed.get(&day) {
            Some(off) => !off,
            None => !matches!((day + 3).rem_euclid(7), 5 | 6),
        }
    }

    /// When a limit ends that begins at `from_ms`.
    pub fn due(&self, from_ms: i64, limit: Limit) -> Due {
        let start = day_of(from_ms);
        let last = match limit {
            Limit::Minutes(n) => {
                return Due { at_ms: from_ms.saturating_add(n.saturating_mul(60_000)), provisional: false };
            }
            Limit::EndOfDay(_) => start,
            Limit::Days(n) => self.roll(start + n.clamp(0, 36_500)),
            Limit::WorkingDays(n) => {
                let mut day = start;
                for _ in 0..n.clamp(0, 3_650) {
                    day = self.roll(day + 1);
                }
                day
            }
        };
        let counted = !matches!(limit, Limit::EndOfDay(_));
        Due {
            at_ms: (last + 1).saturating_mul(DAY_MS).saturating_sub(BEIJING_MS),
            provisional: counted && !self.knows(start, last),
        }
    }

    fn roll(&self, mut day: i64) -> i64 {
        // No run of rest days is longer than a month; the bound keeps a broken file from looping.
        for _ in 0..31 {
            if self.is_working(day) {
                break;
            }
            day += 1;
        }
        day
    }

    fn knows(&self, first: i64, last: i64) -> bool {
        (year_of(first)..=year_of(last)).all(|y| self.years.contains(&y))
    }
}

/// The Beijing day (days since 1970) of a moment.
pub fn day_of(ms: i64) -> i64 {
    ms.saturating_add(BEIJING_MS).div_euclid(DAY_MS)
}

/// A moment from a Beijing date and time of day, ms UTC.
pub fn beijing_ms(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> i64 {
    days_from_civil(year, month, day) * DAY_MS + (hour * 60 + minute) * 60_000 - BEIJING_MS
}

/// Beijing date and time of a moment as `2019-05-17 09:00`.
pub fn beijing_text(ms: i64) -> String {
    let (y, m, d) = civil_from_days(day_of(ms));
    let minute = ms.saturating_add(BEIJING_MS).rem_euclid(DAY_MS) / 60_000;
    format!("{y:04}-{m:02}-{d:02} {:02}:{:02}", minute / 60, minute % 60)
}

/// A Beijing date, or a date and time of day, as people and browsers write it: `2019-05-17`, `2019-05-17T09:30`. ms UTC; nothing for what is none.
pub fn beijing_from_text(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.split(':').map(str::parse::<i64>);
    let (hour, minute) = (time.next()?.ok()?, time.next()?.ok()?);
    let fits = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute);
    fits.then(|| beijing_ms(year, month, day, hour, minute))
}

fn year_of(day: i64) -> i64 {
    civil_from_days(day).0
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (y, m, d) = (parts.next()??, parts.next()??, parts.next()??);
    let day = days_from_civil(y, m, d);
    (civil_from_days(day) == (y, m, d)).then_some(day)
}

/// Days since 1970 of a civil date (proleptic Gregorian).
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(from: (i64, i64, i64, i64), limit: Limit) -> String {
        let due = Calendar::shipped().due(beijing_ms(from.0, from.1, from.2, from.3, 0), limit);
        format!("{}{}", beijing_text(due.at_ms), if due.provisional { " provisional" } else { "" })
    }

    #[test]
    fn working_days_skip_the_national_day_week_and_count_the_adjusted_saturday() {
        // 2019-09-30 was a Monday; 10-01 to 10-07 were off, Saturday 10-12 was worked.
        assert_eq!(due((2019, 9, 30, 10), Limit::WorkingDays(1)), "2019-10-09 00:00");
        assert_eq!(due((2019, 10, 11, 10), Limit::WorkingDays(1)), "2019-10-13 00:00");
    }

    #[test]
    fn calendar_days_roll_over_spring_festival_2026() {
        assert_eq!(due((2026, 2, 5, 10), Limit::Days(15)), "2026-02-25 00:00");
    }

    #[test]
    fn minutes_run_around_the_clock_and_the_day_ends_at_midnight() {
        assert_eq!(due((2019, 5, 17, 23), Limit::Minutes(120)), "2019-05-18 01:00");
        assert_eq!(due((2019, 5, 17, 9), Limit::EndOfDay(true)), "2019-05-18 00:00");
    }

    #[test]
    fn a_year_without_data_gives_a_provisional_date() {
        assert_eq!(due((2031, 3, 3, 9), Limit::WorkingDays(1)), "2031-03-05 00:00 provisional");
    }

    fn year(year: i64, days: &str) -> String {
        format!("{{\"year\": {year}, \"papers\": [], \"days\": [{days}]}}")
    }

    fn day(date: &str, off: bool) -> String {
        format!("{{\"name\": \"元旦\", \"date\": \"{date}\", \"isOffDay\": {off}}}")
    }

    #[test]
    fn a_notice_reaches_into_the_year_before_and_a_later_file_of_a_year_replaces_the_earlier_one() {
        let next = year(2028, &day("2027-12-31", true));
        let own = [year(2027, &day("2027-03-01", true)), year(2027, &day("2027-03-02", true))];
        for files in [[&own[0], &own[1], &next], [&next, &own[0], &own[1]]] {
            let calendar = Calendar::from_files(files.into_iter().map(String::as_str)).unwrap();
            let worked = |m, d| calendar.is_working(days_from_civil(2027, m, d));
            assert_eq!((worked(12, 31), worked(3, 1), worked(3, 2)), (false, true, false));
        }
    }

    #[test]
    fn a_calendar_file_that_cannot_be_meant_is_refused() {
        let both = format!("{}, {}", day("2027-01-01", true), day("2027-01-01", false));
        for (file, says) in [
            (year(2027, &day("2026-05-01", true)), "not a date of 2027"),
            (year(2027, &day("2027-02-29", true)), "not a date of 2027"),
            (year(20270, ""), "the year 20270"),
            (year(2027, &both), "both as worked and as off"),
            ("{".to_owned(), "line 1"),
        ] {
            let error = Calendar::from_files([file.as_str()]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_last_day_of_rest_rolls_to_the_next_working_day() {
        // Fifteen days from 2019-05-17 end on Saturday 06-01: Monday 06-03 ends.
        assert_eq!(due((2019, 5, 17, 9), Limit::Days(15)), "2019-06-04 00:00");
        assert_eq!(due((2019, 5, 16, 9), Limit::Days(15)), "2019-06-01 00:00");
    }

    #[test]
    fn every_shipped_year_can_be_read_and_2026_is_as_announced() {
        let calendar = Calendar::from_files(schema::CALENDARS.iter().copied()).unwrap();
        assert_eq!(calendar.years, (2019..=2026).collect());
        let day = |(m, d): (i64, i64)| days_from_civil(2026, m, d);
        let off = [((1, 1), 3), ((2, 15), 9), ((4, 4), 3), ((5, 1), 5), ((6, 19), 3), ((9, 25), 3), ((10, 1), 7)];
        let off = off.into_iter().flat_map(|(from, days)| (0..days).map(move |n| (day(from) + n, true)));
        let worked = [(1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10)].map(|d| (day(d), false));
        let listed = calendar.listed.iter().filter(|(d, _)| year_of(**d) == 2026).map(|(d, o)| (*d, *o));
        assert_eq!(listed.collect::<BTreeMap<_, _>>(), off.chain(worked).collect());
    }

    #[test]
    fn dates_go_there_and_back() {
        for day in (-800_000..800_000).step_by(97) {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), day);
        }
    }
}
