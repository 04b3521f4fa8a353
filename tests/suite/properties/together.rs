//! Changes that are let in together come to what they come to one by one: the same verdict on each, the same document. Among them are
//! such as come too early, twice, damaged, under numbers that are taken, and by people who may not write where the file lies.

use proptest::prelude::*;
use sync_core::authority::Place;
use sync_core::document::{Admission, Decoded, Document, RawChange, Stage, Touch, Trust};
use sync_core::error::{Refusal, RefusalCode};
use sync_core::shape::DocumentKind;

use super::convergence::{fold, run, step};
use super::hostile::mutate;

/// What became of each change, and the document; `None` when what waited could not be applied together.
fn judged(changes: &[Vec<u8>], trust: Trust, together: bool) -> Option<(Vec<String>, Option<Document>)> {
    let mut stage = Stage::new(None, together);
    let mut verdicts = Vec::new();
    for bytes in changes {
        verdicts.push(match Document::decode(bytes).and_then(|decoded| one(&mut stage, &decoded, trust)) {
            Ok(word) => word.to_owned(),
            Err(refusal) => format!("{refusal}"),
        });
    }
    Some((verdicts, stage.finish().ok()?))
}

fn one(stage: &mut Stage, decoded: &Decoded, trust: Trust) -> Result<&'static str, Refusal> {
    if !stage.is_founded() {
        return stage.found(decoded, trust, |_, _| Ok(())).map(|_| "founded");
    }
    // A right that depends on where the file lies, as real ones do: none but registers may be written in one of the grids.
    let admitted = stage.admit(decoded, trust, |before, inspected| {
        let closed = Place::of(before).grid.is_some_and(|grid| grid.as_str().ends_with('1'));
        match inspected.touches.iter().all(|t| matches!(t, Touch::Field { .. } | Touch::Server)) || !closed {
            true => Ok(()),
            false => Err(Refusal::new(RefusalCode::NotAllowed, "not in this grid")),
        }
    })?;
    Ok(match admitted {
        Admission::Applied(_) => "applied",
        Admission::Duplicate(_) => "duplicate",
    })
}

/// All changes, somewhat out of order, some twice, some damaged.
fn shaken(mut changes: Vec<RawChange>, dice: &[(u8, u16, u8)]) -> Vec<Vec<u8>> {
    for (what, at, by) in dice {
        let len = changes.len();
        let at = 1 + usize::from(*at) % (len - 1);
        match what % 4 {
            0 => changes.swap(at, 1 + (at + usize::from(*by) % 3) % (len - 1)),
            1 => changes.insert(at, changes[at].clone()),
            2 => drop(changes.remove(at)),
            _ => changes[at].bytes = mutate(&changes[at].bytes, &[(u16::from(*by) * 7, *by, *what)], true),
        }
        if changes.len() < 3 {
            break;
        }
    }
    changes.into_iter().map(|c| c.bytes).collect()
}

proptest! {
    #![proptest_config(super::tries(64))]

    #[test]
    fn changes_let_in_together_come_to_the_same_as_one_by_one(
        patrol in any::<bool>(),
        trusted in any::<bool>(),
        wrong in prop::array::uniform4(-90_000_000i32..90_000_000),
        steps in prop::collection::vec(step(), 4..30),
        others in prop::collection::vec(step(), 0..12),
        last in prop::collection::vec(any::<u8>(), 40),
        dice in prop::collection::vec(any::<(u8, u16, u8)>(), 0..12),
    ) {
        let kind = if patrol { DocumentKind::Patrol } else { DocumentKind::Case };
        let trust = if trusted { Trust::Server } else { Trust::Stranger };
        // Another life of the same document: its people number their changes as those of the first one do.
        let lives = [&steps, &others].map(|s| run(kind, 3, &wrong, s, &last).swap_remove(0).document.changes());
        let changes: Vec<RawChange> = lives.concat();
        prop_assume!(changes.len() > 3);
        let changes = shaken(changes, &dice);
        let (verdicts, document) = judged(&changes, trust, false).unwrap();
        let together = judged(&changes, trust, true);
        let Some((same, beside)) = together else {
            // What only shows once it is applied is found one by one: whoever lets changes in together does it again that way.
            let shown = |v: &String| v.contains("not where it says") || v.contains("cannot be applied");
            prop_assert!(verdicts.iter().any(shown), "nothing here is too long to be judged together: {verdicts:?}");
            return Ok(());
        };
        prop_assert_eq!(verdicts, same);
        prop_assert_eq!(document.is_some(), beside.is_some());
        if let (Some(document), Some(beside)) = (document, beside) {
            prop_assert_eq!(document.heads(), beside.heads());
            prop_assert!(Document::load(&document.save()).is_ok() || trusted, "one by one it cannot be read again");
            let Ok(loaded) = Document::load(&beside.save()) else {
                prop_assert!(trusted, "together it cannot be read again");
                return Ok(());
            };
            prop_assert!(loaded.heads() == beside.heads() && fold(&loaded) == fold(&beside));
            prop_assert!(fold(&document) == fold(&beside));
        }
    }
}
