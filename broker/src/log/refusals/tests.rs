//! See `refusals.rs`.

use super::*;

const WRITE: What = What::Wish(Refused::Publish);
const LOGIN: What = What::Admission(RefusalReason::NotAuthorized);

/// As [`Refusals::is_told`], with a number for the name.
fn told(sums: &mut Sums, what: What, last: u8, client: &str, now: Instant) -> bool {
    let address = Some(SocketAddr::from(([192, 0, 2, last], 7)));
    let whom = Whom { client: Some(client), user: None, address };
    let name = client.bytes().fold(1, |name: u64, byte| name.wrapping_mul(257) + u64::from(byte));
    sums.note(what, whom, name, format_args!("no {client}"), now)
}

#[test]
fn the_first_is_told_and_the_others_are_summed_up() {
    let (mut sums, start) = (Sums::default(), clock::now());
    assert!(told(&mut sums, WRITE, 1, "a", start));
    assert!((0..4211).all(|_| !told(&mut sums, WRITE, 1, "a", start)));
    assert!(told(&mut sums, LOGIN, 1, "a", start), "another reason");
    assert!(told(&mut sums, WRITE, 1, "b", start), "another client");
    assert!(told(&mut sums, WRITE, 2, "a", start), "another address");
    assert!(sums.due(start + WINDOW_FIRST / 2).is_empty());
    let due = sums.due(start + WINDOW_FIRST);
    let [sum] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!((sum.more, sum.what, sum.last.as_str()), (4211, WRITE, "no a"));
    assert_eq!((sum.who.client.as_deref(), sum.elapsed), (Some("a"), WINDOW_FIRST));
    // The others were not refused again, and so are told at once the next time.
    assert!(told(&mut sums, WRITE, 1, "b", start + WINDOW_FIRST));
    assert!(!told(&mut sums, WRITE, 1, "a", start + WINDOW_FIRST));
}

#[test]
fn what_goes_on_is_told_less_and_less_often() {
    let (mut sums, mut now) = (Sums::default(), clock::now());
    let start = now;
    let mut told_after = vec![];
    told(&mut sums, WRITE, 1, "a", now);
    for _ in 0..3600 {
        now += Duration::from_secs(1);
        told(&mut sums, WRITE, 1, "a", now);
        let due = sums.due(now);
        told_after.extend(due.iter().map(|sum| ((now - start).as_secs(), sum.more)));
    }
    let expected = [(10, 10), (30, 20), (70, 40), (150, 80), (310, 160), (630, 320), (1230, 600)];
    assert_eq!(told_after[..7], expected);
    assert_eq!(told_after.len(), 7 + 3);
    // Once it has stopped, it is news again.
    now += 2 * WINDOW_MAX;
    assert_eq!(sums.due(now).len(), 1);
    assert_eq!(sums.due(now + WINDOW_MAX).len(), 0);
    assert!(told(&mut sums, WRITE, 1, "a", now + WINDOW_MAX));
}

#[test]
fn ever_new_names_are_told_a_few_times() {
    let (mut sums, now) = (Sums::default(), clock::now());
    let lines = (0..1000).filter(|n| told(&mut sums, LOGIN, 1, &n.to_string(), now)).count();
    // And one for all others.
    assert_eq!(lines, CLIENTS_PER_ADDRESS_MAX as usize + 1);
    let due = sums.due(now + WINDOW_FIRST);
    let [sum] = due.as_slice() else { panic!("{due:?}") };
    assert_eq!(sum.more, 1000 - lines as u64);
    assert!(sum.who.client.is_none() && sum.who.address.is_some());
    assert!(sums.clients.is_empty(), "they have not come again");
}

#[test]
fn memory_is_bounded_however_many_addresses_there_are() {
    let (mut sums, now) = (Sums::default(), clock::now());
    let mut lines = 0;
    for last in 0..=255 {
        for client in 0..20 {
            lines += usize::from(told(&mut sums, LOGIN, last, &client.to_string(), now));
        }
    }
    assert_eq!((lines, sums.entries.len()), (ENTRIES_MAX + 1, ENTRIES_MAX + 1));
    let due = sums.due(now + WINDOW_FIRST);
    let everybody = due.iter().find(|sum| sum.who.address.is_none()).unwrap();
    assert!(everybody.more > 4000, "{everybody:?}");
    let more = due.iter().map(|sum| sum.more).sum::<u64>();
    assert_eq!(more + lines as u64, 256 * 20);
}

#[test]
fn what_strangers_chose_is_cut_and_numbers_are_readable() {
    let cut = |text: fmt::Arguments<'_>| {
        let mut kept = String::new();
        fmt::write(&mut Beginning(&mut kept), text).ok();
        kept.len()
    };
    let long = "\u{fc}".repeat(200);
    assert_eq!(cut(format_args!("{long}")), TEXT_BYTES_MAX);
    assert_eq!(cut(format_args!("a{long}")), TEXT_BYTES_MAX - 1);
    assert_eq!(cut(format_args!("{}{long}", "a".repeat(TEXT_BYTES_MAX - 1))), TEXT_BYTES_MAX - 1);
    for (number, text) in [(1, "1"), (999, "999"), (4211, "4,211"), (1_234_567, "1,234,567")] {
        assert_eq!(Grouped(number).to_string(), text);
    }
}

#[test]
fn a_sum_names_the_last_and_the_time_that_it_is_about() {
    let (mut sums, start) = (Sums::default(), clock::now());
    let whom = Whom { client: Some("a"), user: None, address: Some(SocketAddr::from(([192, 0, 2, 1], 7))) };
    for number in 0..1000 {
        sums.note(WRITE, whom, 1, format_args!("no {number}"), start);
    }
    let due = sums.due(start + WINDOW_FIRST);
    assert_eq!((due[0].more, due[0].last.as_str()), (999, "no 999"));
    sums.note(WRITE, whom, 1, format_args!("no more"), start + WINDOW_FIRST);
    let rest = sums.rest(start + WINDOW_FIRST + Duration::from_millis(1600));
    assert_eq!((rest[0].more, rest[0].last.as_str(), rest[0].seconds()), (1, "no more", 2));
}

#[test]
fn the_sum_of_a_client_that_leaves_is_told_soon_and_not_more_often_than_others() {
    let (mut sums, start) = (Sums::default(), clock::now());
    let key = |last: u8| {
        let address = SocketAddr::from(([192, 0, 2, last], 7));
        sums_key(address)
    };
    told(&mut sums, WRITE, 1, "a", start);
    told(&mut sums, WRITE, 1, "a", start);
    // The window is twenty seconds from now on.
    assert_eq!(sums.due(start + WINDOW_FIRST).len(), 1);
    let later = start + WINDOW_FIRST + Duration::from_secs(2);
    told(&mut sums, WRITE, 1, "a", later);
    sums.hasten(&[key(1), key(2)], later);
    assert!(sums.due(later).is_empty(), "ten seconds have not passed");
    let due = sums.due(start + 2 * WINDOW_FIRST);
    assert_eq!((due.len(), due[0].more, due[0].seconds()), (1, 1, 10));
    // Who comes and goes makes no more lines than who stays.
    let late = start + 3 * WINDOW_FIRST + Duration::from_secs(5);
    told(&mut sums, WRITE, 1, "a", late);
    sums.hasten(&[key(1)], late);
    assert_eq!(sums.due(late).len(), 1);
}

fn sums_key(address: SocketAddr) -> Key {
    Key::Client(AddressKey::from(address.ip()), 257 + u64::from(b'a'), WRITE)
}
