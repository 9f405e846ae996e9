//! Says in time that a certificate, an authority or a revocation list will end: once 30, 7 and 1 days before, and when it
//! has. A file with a later end begins anew.

use std::{collections::HashMap, fmt, path::PathBuf};

use foldhash::fast::RandomState;
use rustls::pki_types::UnixTime;

use super::{facts::date, prepare::Validity, renewal};

const DAY_SECONDS: i64 = 86_400;
/// How long before the end something is said: time to order a certificate, to plan, to act.
const THRESHOLDS_DAYS: [i64; 3] = [30, 7, 1];

/// What was said already.
#[derive(Debug, Default)]
pub(crate) struct ExpiryWatch {
    said: HashMap<(PathBuf, &'static str), Said, RandomState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    until: i64,
    /// How many thresholds have passed, the end included.
    passed: usize,
}

/// Something ends soon, or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    validity: Validity,
    left_seconds: i64,
}

impl ExpiryWatch {
    /// What there is to say now about everything that is in use.
    pub(crate) fn look(&mut self, validities: &[Validity], now: UnixTime) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut said = HashMap::default();
        for validity in validities {
            let left_seconds = validity.left_seconds(now);
            let near = THRESHOLDS_DAYS.iter().filter(|days| left_seconds <= **days * DAY_SECONDS).count();
            let passed = near + usize::from(left_seconds < 0);
            let key = (validity.file.clone(), validity.what);
            let before = self.said.get(&key).filter(|said| said.until == validity.until);
            let known = said.contains_key(&key);
            if passed > before.map_or(0, |said| said.passed) && !known {
                warnings.push(Warning { validity: validity.clone(), left_seconds });
            }
            said.insert(key, Said { until: validity.until, passed });
        }
        self.said = said;
        warnings
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { validity: Validity { file, what, until }, left_seconds } = self;
        let remedy = match *what {
            "certificate" => format!("{}, or clients will refuse it", renewal::of_server(file)),
            "authority" => "clients need certificates of another one by then".to_owned(),
            _ => format!("{}, or clients with certificates will be refused", renewal::of_list(file)),
        };
        let at = date(*until);
        match left_seconds {
            ..0 => write!(f, "{}: the {what} has ended at {at}: {remedy}", file.display()),
            // Rounded up: half a day is not nothing.
            left => {
                let days = left / DAY_SECONDS + i64::from(left % DAY_SECONDS > 0);
                let unit = if days == 1 { "day" } else { "days" };
                write!(f, "{}: the {what} ends in {days} {unit}, at {at}: {remedy}", file.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const END: i64 = 1_800_000_000;

    fn validity(what: &'static str, until: i64) -> Validity {
        Validity { file: "pki/file".into(), what, until }
    }

    fn before_end(seconds: i64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(END - seconds).unwrap()))
    }

    #[test]
    fn each_threshold_is_told_once() {
        let mut watch = ExpiryWatch::default();
        let validities = [validity("certificate", END)];
        // An hour at a time, from forty days before the end until two days after it.
        let hours = (-48..40 * 24).rev();
        let told = hours
            .filter(|hour| !watch.look(&validities, before_end(hour * 3600)).is_empty())
            .collect::<Vec<_>>();
        assert_eq!(told, [30 * 24, 7 * 24, 24, -1]);
    }

    #[test]
    fn a_late_start_tells_only_how_it_is() {
        let mut watch = ExpiryWatch::default();
        let validities = [validity("certificate", END), validity("authority", END + 100 * DAY_SECONDS)];
        let said = watch.look(&validities, before_end(3 * DAY_SECONDS - 10));
        let said = said.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            said,
            ["pki/file: the certificate ends in 3 days, at 2027-01-15 08:00:00 UTC: renew it where it \
              was issued, or clients will refuse it"]
        );
        assert_eq!(watch.look(&validities, before_end(3 * DAY_SECONDS - 11)), []);
    }

    #[test]
    fn a_renewed_file_begins_anew() {
        let mut watch = ExpiryWatch::default();
        let old = [validity("revocation list", END)];
        assert_eq!(watch.look(&old, before_end(-5)).len(), 1);
        let new = [validity("revocation list", END + 40 * DAY_SECONDS)];
        assert_eq!(watch.look(&new, before_end(-6)), []);
        assert_eq!(watch.look(&new, before_end(-11 * DAY_SECONDS)).len(), 1);
        assert_eq!(watch.look(&new, before_end(-12 * DAY_SECONDS)), []);
    }

    #[test]
    fn two_listeners_with_the_same_file_make_one_line() {
        let twice = [validity("certificate", END), validity("certificate", END)];
        assert_eq!(ExpiryWatch::default().look(&twice, before_end(10)).len(), 1);
    }
}
