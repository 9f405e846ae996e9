use super::*;

#[test]
fn a_change_is_taken_when_it_has_settled_or_after_a_while() {
    for (looks, expected) in [
        (&[false, false, false][..], None),
        (&[true, false], Some(1)),
        (&[false, true, true, true, false], Some(4)),
        // Written all the time.
        (&[true; 20], Some(LOOKS_MAX as usize + 1)),
    ] {
        let mut changes = Changes::of(FileWatch::default());
        assert_eq!(looks.iter().position(|changed| changes.count(*changed)), expected, "{looks:?}");
    }
}

#[test]
fn what_has_failed_is_tried_again_now_and_then() {
    let mut changes = Changes::of(FileWatch::default());
    changes.taken(true);
    let quiet = [false; RETRY_LOOKS as usize];
    assert_eq!(quiet.iter().position(|changed| changes.count(*changed)), Some(quiet.len() - 1));
    changes.taken(false);
    assert!(!quiet.iter().any(|changed| changes.count(*changed)));
}
