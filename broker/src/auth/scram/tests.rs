use std::{num::NonZeroU32, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use proptest::prelude::*;
use sha2::Sha256;

use super::{credential::keyed_hash, *};

/// The example of RFC 7677, section 3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const OUR_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const ANSWER: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn pencil() -> ScramCredential {
    let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramCredential::derive(b"pencil", &salt, NonZeroU32::new(4096).unwrap())
}

fn begun() -> (Exchange, String) {
    Exchange::begin(ClientFirst::parse(FIRST.as_bytes()).unwrap(), pencil(), OUR_NONCE)
}

#[test]
fn the_example_of_the_standard() {
    let (exchange, answer) = begun();
    assert_eq!(answer, ANSWER);
    assert_eq!(exchange.finish(FINAL.as_bytes()), Ok(Some(SIGNATURE.to_owned())));
}

#[test]
fn an_entry_is_written_as_it_is_read_and_hides_in_debug_output() {
    let text = pencil().to_string();
    assert!(text.starts_with("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"), "{text}");
    assert_eq!(ScramCredential::parse(&text), Ok(pencil()));
    assert!(!format!("{:?}", pencil()).contains("W22"));
}

#[test]
fn entries_that_are_refused() {
    let key = BASE64.encode([7; 32]);
    let long = BASE64.encode([7; 65]);
    for (text, expected) in [
        (format!("SCRAM-SHA-1$4096:c2FsdA==${key}:{key}"), EntryError::Method),
        ("secret".to_owned(), EntryError::Method),
        (format!("SCRAM-SHA-256$4096:c2FsdA=={key}:{key}"), EntryError::Incomplete),
        (format!("SCRAM-SHA-256$4096:c2FsdA==${key}"), EntryError::Incomplete),
        (format!("SCRAM-SHA-256$4096${key}:{key}"), EntryError::Incomplete),
        (format!("SCRAM-SHA-256$4095:c2FsdA==${key}:{key}"), EntryError::Iterations),
        (format!("SCRAM-SHA-256$+4096:c2FsdA==${key}:{key}"), EntryError::Iterations),
        (format!("SCRAM-SHA-256$10000001:c2FsdA==${key}:{key}"), EntryError::Iterations),
        (format!("SCRAM-SHA-256$4096:${key}:{key}"), EntryError::Salt),
        (format!("SCRAM-SHA-256$4096:{long}${key}:{key}"), EntryError::Salt),
        (format!("SCRAM-SHA-256$4096:c2FsdA==${key}:{long}"), EntryError::Key),
        (format!("SCRAM-SHA-256$4096:c2FsdA==$c2FsdA==:{key}"), EntryError::Key),
    ] {
        assert_eq!(ScramCredential::parse(&text), Err(expected), "{text}");
    }
}

#[test]
fn first_messages() {
    let long = format!("n,,n={},r=x", "a".repeat(MESSAGE_BYTES_MAX));
    for (message, expected) in [
        ("n,,n=user,r=x", Ok("user")),
        ("y,,n=user,r=x", Ok("user")),
        ("n,a=user,n=user,r=x", Ok("user")),
        ("n,,n=a=2Cb=3Dc,r=x", Ok("a,b=c")),
        ("n,a=a=2Cb,n=a=2Cb,r=x", Ok("a,b")),
        ("n,,n=user,r=x,e=1", Ok("user")),
        ("p=tls-exporter,,n=user,r=x", Err(ScramError::ChannelBinding)),
        ("n,,m=1,n=user,r=x", Err(ScramError::Extension)),
        ("n,a=admin,n=user,r=x", Err(ScramError::OtherIdentity)),
        ("", Err(ScramError::Malformed)),
        ("n,n=user,r=x", Err(ScramError::Malformed)),
        ("x,,n=user,r=x", Err(ScramError::Malformed)),
        ("n,,n=,r=x", Err(ScramError::Malformed)),
        ("n,,n=a=2c,r=x", Err(ScramError::Malformed)),
        ("n,,n=a=,r=x", Err(ScramError::Malformed)),
        ("n,,r=x,n=user", Err(ScramError::Malformed)),
        ("n,,n=user,r=", Err(ScramError::Malformed)),
        ("n,,n=user,r=\u{e9}", Err(ScramError::Malformed)),
        ("n,,n=user,r=x,", Err(ScramError::Malformed)),
        ("n,,n=us\0er,r=x", Err(ScramError::Malformed)),
        (&long, Err(ScramError::TooLong)),
    ] {
        let found = ClientFirst::parse(message.as_bytes());
        assert_eq!(found.as_ref().map(ClientFirst::user).map_err(|error| *error), expected, "{message}");
    }
    assert_eq!(ClientFirst::parse(b"n,,n=\xff,r=x"), Err(ScramError::Malformed));
}

#[test]
fn final_messages_of_another_exchange_or_form() {
    let long = format!("{FINAL}{}", "A".repeat(MESSAGE_BYTES_MAX));
    for (message, expected) in [
        (FINAL.replace("c=biws", "c=eSws"), Err(ScramError::OtherHeader)),
        (FINAL.replace("hNlF", "hNlf"), Err(ScramError::OtherNonce)),
        (FINAL.replace("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""), Err(ScramError::OtherNonce)),
        (FINAL.replace("p=dH", "p=dI"), Ok(None)),
        (FINAL.replace(",p=", ",x=1,p="), Ok(None)),
        (FINAL.replace(",p=", ",q="), Err(ScramError::Malformed)),
        (FINAL.replace("c=biws", "c=?"), Err(ScramError::Malformed)),
        (FINAL.replace("c=biws,", ""), Err(ScramError::Malformed)),
        (FINAL.replace("7AndVQ=", ""), Err(ScramError::Malformed)),
        (FIRST.to_owned(), Err(ScramError::Malformed)),
        (String::new(), Err(ScramError::Malformed)),
        (long, Err(ScramError::TooLong)),
    ] {
        assert_eq!(begun().0.finish(message.as_bytes()), expected, "{message}");
    }
}

#[test]
fn a_file() {
    let entry = pencil();
    let text = format!("# users\n\nalice:{entry}\r\n  bob : {entry} \n#carol:{entry}\n");
    let file = ScramFile::parse(Path::new("scram"), text).unwrap();
    assert_eq!(file.users().collect::<Vec<_>>(), ["alice", "bob"]);
    assert_eq!((file.len(), file.is_empty()), (2, false));
    assert_eq!(file.find("bob").unwrap().1, &entry);
    assert!(file.find("carol").is_none() && file.find("Alice").is_none());
}

#[test]
fn files_that_are_refused() {
    let entry = pencil();
    let long = "u".repeat(256);
    for (text, expected) in [
        (format!("a:{entry}\na:{entry}"), "scram:2: found a second record of user `a`"),
        (format!(":{entry}"), "scram:1: found an empty user name"),
        (format!("{long}:{entry}"), "scram:1: found a user name of more than 255 bytes"),
        ("\nalice".to_owned(), "scram:2: found a line without `:`"),
        ("alice:$7$10$x".to_owned(), "scram:1: found no `SCRAM-SHA-256$` at the beginning"),
        (format!("a\0b:{entry}"), "scram:1: found a NUL byte"),
    ] {
        let error = ScramFile::parse(Path::new("scram"), &text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn unknown_users_look_like_known_ones_after_a_restart_too() {
    let text = format!("alice:{}", pencil());
    let load = || ScramFile::parse(Path::new("scram"), &text).unwrap();
    let decoy = load().decoy("nobody");
    assert_eq!((decoy.iterations, decoy.salt.len()), (pencil().iterations, 16));
    assert_eq!(decoy, load().decoy("nobody"));
    assert_ne!(decoy.salt, load().decoy("somebody").salt);
    assert_ne!(decoy.stored_key, decoy.server_key);
    let other = format!("{text}\nbob:{}", ScramCredential::derive(b"x", b"salt", pencil().iterations));
    let longer = ScramFile::parse(Path::new("scram"), other).unwrap();
    assert_eq!(longer.decoy("nobody").salt, decoy.salt, "a new user changes nothing");
}

/// A client of its own, from the text of RFC 5802, section 3.
fn client_final(first_bare: &str, answer: &str, password: &str) -> String {
    let nonce = answer.split(',').next().unwrap();
    let mut parts = answer.split(",s=").nth(1).unwrap().split(",i=");
    let salt = BASE64.decode(parts.next().unwrap()).unwrap();
    let iterations = parts.next().unwrap().parse().unwrap();
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, iterations, &mut salted);
    let client_key = keyed_hash(&salted, &[b"Client Key"]);
    let stored_key: [u8; 32] = <Sha256 as sha2::Digest>::digest(client_key).into();
    let without_proof = format!("c=biws,{nonce}");
    let message = format!("{first_bare},{answer},{without_proof}");
    let signature = keyed_hash(&stored_key, &[message.as_bytes()]);
    let proof = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect::<Vec<_>>();
    format!("{without_proof},p={}", BASE64.encode(proof))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_right_password_and_no_other(
        right in "[ -~]{1,20}", guess in "[ -~]{1,20}", nonce in "[!-+.-~-]{1,30}",
    ) {
        let iterations = NonZeroU32::new(ITERATIONS_MIN).unwrap();
        let credential = ScramCredential::derive(right.as_bytes(), b"salt", iterations);
        let bare = format!("n=u,r={nonce}");
        for password in [&right, &guess] {
            let first = ClientFirst::parse(format!("n,,{bare}").as_bytes()).unwrap();
            let (exchange, answer) = Exchange::begin(first, credential.clone(), "ours");
            let proven = exchange.finish(client_final(&bare, &answer, password).as_bytes()).unwrap();
            prop_assert_eq!(proven.is_some(), *password == right);
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[nyacrpm=,2CDbiws]{0,40}") {
        for message in [&bytes[..], text.as_bytes()] {
            if let Ok(first) = ClientFirst::parse(message) {
                prop_assert!(!first.user().is_empty());
            }
            let passed = matches!(begun().0.finish(message), Ok(Some(_)));
            prop_assert!(!passed);
        }
    }

    #[test]
    fn names_survive_their_escapes(name in "\\PC{1,40}") {
        let escaped = name.replace('=', "=3D").replace(',', "=2C");
        let first = ClientFirst::parse(format!("n,a={escaped},n={escaped},r=x").as_bytes()).unwrap();
        prop_assert_eq!(first.user(), name);
    }
}
