use super::*;

/// Written for the password `correct horse` by mosquitto_passwd 2.0.11 and 2.1.2 with `-H sha512`, without options, with
/// `-I 50000` and with `-H argon2id`.
const VECTORS: [&str; 6] = [
    "$6$o1BGIhDqUJTTrofw$t6/fwp+/v71WnyrnMw8ibBpazAdfFrAUL7qn8i+144nIeA1yE9XFEOljQpJ/bKvHWfCSHMjkQu1Jb3l+VLS2Cw==",
    "$7$101$AbYZGA+Ej19dH8Mc$aELzQqgx/9bzT3Yz5muTMSh98B4av5j40hd7iHm63X139n7kbCGhpd/Ro8TUpMFejYJrCKkdBGAvTPxsZpXZCA==",
    "$6$LXwd9LLScC+oevIqBJLbbWr7+MGrCBd8aE0U+y+gl0oyMxJaXbiFyRkevkICzfWn+SDt3nsjsnzBFawqevrAtA==$j1WK0fAlSwQfLi0zeySieR7biMGGumzmc0goOqcONkI0grLq4jERS29GyDcWudCK9evsxS3eRQzlHeavjbLDwg==",
    "$7$1000$AE6SP0lDPdHmRO87cPXlUzQa5HftaZYA1q/Bhmv7cWt/ufPvolMCUqnbchEOcXSKiy7K67zm73J+A/gMn8IH9w==$5iN+Qnd+1+ILLChnsFauqizN05LEDkDa2xGVi/Dr6F88SsQm3FXkmQLWQ8ULYINHozzZ5MtyOfeUXGrdQgnaeA==",
    "$7$50000$fzzhtApA4KcdGghwkVB8J0rVp6AkqxLRcfZNwEiM5v5V6ji5Qb0CtwnhkrO5uY9F0C1UXQxAQ7+kIiQYoj7Xiw==$e7yhTnKvk+cdlq8YV5uqBMPOV2MA43DqOgk4ChAFnD5nSzYtpMWxeCqiZ6SziRZPrbftLk4XA3Ft0jr25aW3CA==",
    "$argon2id$v=19$m=47104,t=1,p=1$n2KuvmoBCmdNUPADs2JzPb0jabCGyyS3IUvpxuCAXYYNND91Pt/9nP4Zi3QiMa3knsg9L64fygjmJE7XHEd+dw$z0oYs/sYi6mKSho6NVS6K9B2ecacMy86iTDSKS+VlUKs+ZitBco4gqtnHOriPDlbXV4DDipNYcwTFFWdbKf8ag",
];

const CHEAP: Hashing = Hashing::Pbkdf2(ITERATIONS_RANDOM_PASSWORD, SaltLength::Twelve);

#[test]
fn hashes_of_real_mosquitto_tools_verify_and_round_trip() {
    for text in VECTORS {
        let hash = PasswordHash::parse(text).unwrap();
        assert!(hash.verify(b"correct horse"), "{text}");
        assert!(hash.verify(b"correct horse\0battery"), "{text}");
        for wrong in [&b"correct hors"[..], b"Correct horse", b"", b"\0correct horse"] {
            assert!(!hash.verify(wrong), "{text} {wrong:?}");
        }
        assert_eq!(hash.to_string(), text);
    }
}

#[test]
fn new_hashes_verify() {
    for (hashing, start, length) in [
        (Hashing::Sha512(SaltLength::Twelve), "$6$", 108),
        (Hashing::Sha512(SaltLength::SixtyFour), "$6$", 180),
        (CHEAP, "$7$1000$", 113),
        (Hashing::Pbkdf2(ITERATIONS_RANDOM_PASSWORD, SaltLength::SixtyFour), "$7$1000$", 185),
        (Hashing::Argon2id, "$argon2id$v=19$m=47104,t=1,p=1$", 204),
    ] {
        let hash = PasswordHash::create(b"secret", hashing).unwrap();
        let text = hash.to_string();
        assert!(text.starts_with(start) && text.len() == length, "{text} has {}", text.len());
        let read = PasswordHash::parse(&text).unwrap();
        assert!(read == hash && read.verify(b"secret") && !read.verify(b"secreT"));
    }
}

#[test]
fn the_empty_password_fails_even_against_its_own_hash() {
    let hash = PasswordHash::create(b"", CHEAP).unwrap();
    assert!(!hash.verify(b"") && !hash.verify(b"\0"));
}

#[test]
fn notation() {
    let salt = |bytes: usize| BASE64.encode(vec![7; bytes]);
    let (s12, h64) = (salt(12), salt(64));
    for (text, expected) in [
        (format!("$6${s12}${h64}"), Ok(())),
        (format!("$6${s12}${h64}$more$x"), Ok(())),
        (format!("6${s12}${h64}"), Err(HashError::PlainText)),
        (format!("$$7$1${s12}${h64}"), Err(HashError::UnknownKind)),
        (format!("$ 7$1${s12}${h64}"), Err(HashError::UnknownKind)),
        (format!("$7$$1$$${s12}$${h64}$$"), Ok(())),
        (format!("$6$ {s12}\t$\r{} {}", &h64[..40], &h64[40..]), Ok(())),
        (format!("$6${s12}${h64}-"), Err(HashError::Hash)),
        (format!("$6${s12}${h64}A"), Err(HashError::Hash)),
        (format!("7$0${s12}${h64}"), Err(HashError::PlainText)),
        ("argon2id$x".into(), Err(HashError::PlainText)),
        (format!("$7$1${s12}${h64}"), Ok(())),
        (format!("$7$101x${s12}${h64}"), Ok(())),
        (format!("$7$ 101${s12}${h64}"), Ok(())),
        (format!("$7$0${s12}${h64}"), Err(HashError::Iterations)),
        (format!("$7$-1${s12}${h64}"), Err(HashError::Iterations)),
        (format!("$7$x${s12}${h64}"), Err(HashError::Iterations)),
        (format!("$7$99999999999999999999${s12}${h64}"), Err(HashError::Iterations)),
        (format!("$7$10000001${s12}${h64}"), Err(HashError::Iterations)),
        (format!("$6${}${h64}", salt(11)), Err(HashError::Salt)),
        (format!("$6${}${h64}", salt(16)), Err(HashError::Salt)),
        (format!("$6${}${h64}", salt(65)), Err(HashError::Salt)),
        (format!("$6${s12}${}", salt(32)), Err(HashError::Hash)),
        (format!("$6${s12}${}", h64.trim_end_matches('=')), Err(HashError::Hash)),
        (format!("$6${s12}"), Err(HashError::Incomplete)),
        ("$7$101".into(), Err(HashError::Incomplete)),
        ("$7$".into(), Err(HashError::Incomplete)),
        ("$5$abc$def".into(), Err(HashError::UnknownKind)),
        ("secret".into(), Err(HashError::PlainText)),
        ("$ecret".into(), Err(HashError::PlainText)),
        (String::new(), Err(HashError::PlainText)),
    ] {
        assert_eq!(PasswordHash::parse(&text).map(|_| ()), expected, "{text}");
    }
}

#[test]
fn debug_output_has_no_hash() {
    let hash = PasswordHash::parse(VECTORS[0]).unwrap();
    assert_eq!(format!("{hash:?}"), "PasswordHash { algorithm: Sha512, .. }");
}
