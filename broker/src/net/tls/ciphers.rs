//! Which ciphers a listener offers: names as OpenSSL writes them, and what they are in rustls.
//!
//! rustls has nine suites, all with forward secrecy and authenticated encryption; OpenSSL has many more names. A list
//! orders and narrows down these nine, nothing else.

use rustls::{CipherSuite, SupportedCipherSuite, crypto::ring::ALL_CIPHER_SUITES};

/// A suite by the names that people write.
struct Named {
    suite: CipherSuite,
    openssl: &'static str,
    /// Words of OpenSSL's cipher strings that this suite is among, beside those in [`EVERY`].
    keywords: &'static [&'static str],
}

/// Words that all our suites of TLS 1.2 are among.
const EVERY: [&str; 10] =
    ["ALL", "DEFAULT", "COMPLEMENTOFALL", "HIGH", "ECDHE", "EECDH", "KECDHE", "KEECDH", "ECDH", "TLSV1.2"];
/// Words for suites that rustls has not: to allow them adds nothing, to forbid them takes nothing away.
const NONE: [&str; 46] = [
    "ANULL",
    "ENULL",
    "NULL",
    "LOW",
    "MEDIUM",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "SSLV2",
    "SSLV3",
    "TLSV1",
    "TLSV1.0",
    "KRSA",
    "RSA",
    "DH",
    "DHE",
    "EDH",
    "KDHE",
    "KEDH",
    "ADH",
    "AECDH",
    "ADSS",
    "DSS",
    "MD5",
    "SHA",
    "SHA1",
    "DES",
    "3DES",
    "RC2",
    "RC4",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "AESCCM",
    "AESCCM8",
    "PSK",
    "KPSK",
    "SRP",
    "GOST",
];

const SUITES_1_2: [Named; 6] = [
    Named {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        openssl: "ECDHE-ECDSA-AES256-GCM-SHA384",
        keywords: &["ECDSA", "AECDSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Named {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        openssl: "ECDHE-ECDSA-AES128-GCM-SHA256",
        keywords: &["ECDSA", "AECDSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Named {
        suite: CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        openssl: "ECDHE-ECDSA-CHACHA20-POLY1305",
        keywords: &["ECDSA", "AECDSA", "CHACHA20"],
    },
    Named {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        openssl: "ECDHE-RSA-AES256-GCM-SHA384",
        keywords: &["ARSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Named {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        openssl: "ECDHE-RSA-AES128-GCM-SHA256",
        keywords: &["ARSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Named {
        suite: CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        openssl: "ECDHE-RSA-CHACHA20-POLY1305",
        keywords: &["ARSA", "CHACHA20"],
    },
];

const SUITES_1_3: [(CipherSuite, &str); 3] = [
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// The suites of a listener. By default all, in rustls' order, and the client's preference counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ciphers {
    /// Those of TLS 1.2, the preferred first; `None`: all.
    v1_2: Option<Vec<CipherSuite>>,
    /// Those of TLS 1.3, the preferred first; `None`: all.
    v1_3: Option<Vec<CipherSuite>>,
}

impl Ciphers {
    /// From single names of suites of either version, the preferred first. A version without a name in the list keeps all
    /// of its suites.
    ///
    /// # Errors
    /// The first name that is not one of [`Self::names`].
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut ciphers = Self::default();
        for name in names {
            let of_1_2 = SUITES_1_2.iter().find(|named| named.openssl.eq_ignore_ascii_case(name));
            if let Some(named) = of_1_2 {
                push_new(ciphers.v1_2.get_or_insert_default(), named.suite);
            } else if let Some(suite) = suite_1_3(name) {
                push_new(ciphers.v1_3.get_or_insert_default(), suite);
            } else {
                return Err(name.to_owned());
            }
        }
        Ok(ciphers)
    }

    /// From a cipher string of OpenSSL, which speaks of TLS 1.2 alone: names and words with `!`, `-` and `+`, between
    /// colons, commas or spaces. Gives back also what it did not understand, or what names a suite that rustls has not.
    pub fn from_openssl(text: &str) -> (Self, Vec<String>) {
        let mut chosen: Vec<CipherSuite> = Vec::new();
        let mut killed: Vec<CipherSuite> = Vec::new();
        let mut unknown = Vec::new();
        for token in text.split([':', ',', ' ']).filter(|token| !token.is_empty() && !token.starts_with('@'))
        {
            let (sign, word) = match token.chars().next() {
                Some(sign @ ('!' | '-' | '+')) => (sign, token.get(1..).unwrap_or_default()),
                _ => (' ', token),
            };
            let Some(found) = suites_1_2(word) else {
                unknown.push(token.to_owned());
                continue;
            };
            match sign {
                '!' | '-' => {
                    chosen.retain(|suite| !found.contains(suite));
                    if sign == '!' {
                        killed.extend(found);
                    }
                }
                '+' => {
                    // Moves those that are there to the end.
                    let (moved, kept) = chosen.into_iter().partition(|suite| found.contains(suite));
                    chosen = kept;
                    chosen.extend::<Vec<_>>(moved);
                }
                _ => {
                    found
                        .into_iter()
                        .filter(|suite| !killed.contains(suite))
                        .for_each(|suite| push_new(&mut chosen, suite));
                }
            }
        }
        (Self { v1_2: Some(chosen), v1_3: None }, unknown)
    }

    /// With the suites of TLS 1.3 of a list such as OpenSSL's `ciphersuites`. Gives back also the names that are unknown.
    #[must_use]
    pub fn with_openssl_1_3(mut self, text: &str) -> (Self, Vec<String>) {
        let (mut chosen, mut unknown) = (Vec::new(), Vec::new());
        for name in text.split([':', ',', ' ']).filter(|name| !name.is_empty()) {
            match suite_1_3(name) {
                Some(suite) => push_new(&mut chosen, suite),
                None => unknown.push(name.to_owned()),
            }
        }
        self.v1_3 = Some(chosen);
        (self, unknown)
    }

    /// Every name that there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SUITES_1_3.iter().map(|(_, name)| *name).chain(SUITES_1_2.iter().map(|named| named.openssl))
    }

    /// The names of those that were chosen, the preferred first, for [`Self::from_names`].
    pub fn chosen(&self) -> impl Iterator<Item = &'static str> {
        let of_1_2 = self.v1_2.iter().flatten().filter_map(|suite| {
            SUITES_1_2.iter().find(|named| named.suite == *suite).map(|named| named.openssl)
        });
        let of_1_3 =
            self.v1_3.iter().flatten().filter_map(|suite| {
                SUITES_1_3.iter().find(|(known, _)| known == suite).map(|(_, name)| *name)
            });
        of_1_2.chain(of_1_3)
    }

    /// Whether a list leaves TLS 1.3 nothing.
    pub fn is_empty_for_1_3(&self) -> bool {
        self.v1_3.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether a list leaves TLS 1.2 nothing.
    pub fn is_empty_for_1_2(&self) -> bool {
        self.v1_2.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether there is a list, so that its order counts and not the client's.
    pub(super) fn are_ordered(&self) -> bool {
        self.v1_2.is_some() || self.v1_3.is_some()
    }

    /// What rustls is to offer.
    pub(super) fn supported(&self) -> Vec<SupportedCipherSuite> {
        let is_1_3 = |suite: &SupportedCipherSuite| suite.tls13().is_some();
        let listed = |list: &Option<Vec<CipherSuite>>, of_1_3: bool| match list {
            None => ALL_CIPHER_SUITES.iter().filter(|suite| is_1_3(suite) == of_1_3).copied().collect(),
            Some(list) => list
                .iter()
                .filter_map(|wanted| ALL_CIPHER_SUITES.iter().find(|suite| suite.suite() == *wanted))
                .copied()
                .collect::<Vec<_>>(),
        };
        let mut supported = listed(&self.v1_3, true);
        supported.extend(listed(&self.v1_2, false));
        supported
    }
}

fn push_new(list: &mut Vec<CipherSuite>, suite: CipherSuite) {
    if !list.contains(&suite) {
        list.push(suite);
    }
}

fn suite_1_3(name: &str) -> Option<CipherSuite> {
    SUITES_1_3.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(suite, _)| *suite)
}

/// The suites that a word of a cipher string stands for; `A+B` are those of both. `None`: nobody knows the word.
fn suites_1_2(word: &str) -> Option<Vec<CipherSuite>> {
    if let Some(named) = SUITES_1_2.iter().find(|named| named.openssl.eq_ignore_ascii_case(word)) {
        return Some(vec![named.suite]);
    }
    let parts = word.split('+').map(str::to_ascii_uppercase).collect::<Vec<_>>();
    let known = |part: &String| {
        let part = part.as_str();
        EVERY.contains(&part)
            || NONE.contains(&part)
            || SUITES_1_2.iter().any(|named| named.keywords.contains(&part))
    };
    if !parts.iter().all(known) {
        return None;
    }
    let has = |named: &&Named| {
        parts.iter().all(|part| EVERY.contains(&part.as_str()) || named.keywords.contains(&part.as_str()))
    };
    Some(SUITES_1_2.iter().filter(has).map(|named| named.suite).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ciphers: &Ciphers) -> Vec<&'static str> {
        let name = |suite: SupportedCipherSuite| {
            let suite = suite.suite();
            let of_1_2 = SUITES_1_2.iter().find(|named| named.suite == suite).map(|named| named.openssl);
            of_1_2.or_else(|| SUITES_1_3.iter().find(|(known, _)| *known == suite).map(|(_, name)| *name))
        };
        ciphers.supported().into_iter().map(|suite| name(suite).unwrap()).collect()
    }

    #[test]
    fn every_suite_of_rustls_has_its_name() {
        assert_eq!(names(&Ciphers::default()).len(), ALL_CIPHER_SUITES.len());
        assert_eq!(Ciphers::names().count(), ALL_CIPHER_SUITES.len());
    }

    #[test]
    fn lists_of_names() {
        let listed =
            Ciphers::from_names(["ecdhe-rsa-aes128-gcm-sha256", "ECDHE-RSA-AES256-GCM-SHA384"]).unwrap();
        assert_eq!(names(&listed)[3..], ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]);
        let listed = Ciphers::from_names(["TLS_AES_128_GCM_SHA256"]).unwrap();
        assert_eq!(names(&listed).len(), 1 + 6);
        assert_eq!(Ciphers::from_names(["AES128-SHA"]), Err("AES128-SHA".to_owned()));
    }

    /// The expected lists are the suites that rustls has of what `openssl ciphers -tls1_2` prints for the text.
    #[test]
    fn cipher_strings_of_openssl() {
        const ECDSA_256: &str = "ECDHE-ECDSA-AES256-GCM-SHA384";
        const ECDSA_128: &str = "ECDHE-ECDSA-AES128-GCM-SHA256";
        const RSA_256: &str = "ECDHE-RSA-AES256-GCM-SHA384";
        const RSA_128: &str = "ECDHE-RSA-AES128-GCM-SHA256";
        for (text, expected, unknown) in [
            ("ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA", &[RSA_256][..], &["AES256-SHA"][..]),
            ("AESGCM+AES256:!aRSA", &[ECDSA_256], &[]),
            ("ECDHE+AESGCM:!AES128:-ECDSA:ECDSA+AES256", &[RSA_256, ECDSA_256], &[]),
            ("AES128:!aECDSA:@STRENGTH", &[RSA_128], &[]),
            ("AESGCM:+AES256", &[ECDSA_128, RSA_128, ECDSA_256, RSA_256], &[]),
            ("!AESGCM:AESGCM", &[], &[]),
            ("PSK:RC4:nonsense", &[], &["nonsense"]),
        ] {
            let (ciphers, strange) = Ciphers::from_openssl(text);
            assert_eq!(
                (&names(&ciphers)[3..], strange.as_slice()),
                (expected, &unknown.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
            assert_eq!(ciphers.is_empty_for_1_2(), expected.is_empty());
        }
        let everything = "DEFAULT:!aNULL:!eNULL:!LOW:!EXPORT:!SSLv2:@STRENGTH";
        let (ciphers, unknown) = Ciphers::from_openssl(everything);
        assert_eq!((names(&ciphers).len(), unknown), (9, vec![]));
        let (ciphers, unknown) =
            ciphers.with_openssl_1_3("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256");
        assert_eq!(names(&ciphers)[0], "TLS_CHACHA20_POLY1305_SHA256");
        assert_eq!((names(&ciphers).len(), unknown), (7, vec!["TLS_AES_128_CCM_SHA256".to_owned()]));
    }
}
