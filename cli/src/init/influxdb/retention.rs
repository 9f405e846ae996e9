//! How long a server keeps points, in the words of each version.

use std::{fmt, str::FromStr};

const HOUR_SECONDS: u64 = 3600;
/// 250 years: the servers count nanoseconds in 64 bits.
const HOURS_MAX: u64 = 250 * 365 * 24;

/// A number of hours, or for ever. No version keeps points for less than an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    hours: Option<u64>,
}

/// What cannot be a retention.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected hours, days or weeks, such as 12h, 30d or 52w, or `forever`")]
pub(crate) struct NoRetention;

impl FromStr for Retention {
    type Err = NoRetention;

    fn from_str(text: &str) -> Result<Self, NoRetention> {
        if text == "forever" {
            return Ok(Self { hours: None });
        }
        let unit = text.bytes().last().ok_or(NoRetention)?;
        let factor = match unit {
            b'h' => 1,
            b'd' => 24,
            b'w' => 7 * 24,
            _ => return Err(NoRetention),
        };
        let digits = text.get(..text.len() - 1).ok_or(NoRetention)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NoRetention);
        }
        let count: u64 = digits.parse().map_err(|_| NoRetention)?;
        match count.checked_mul(factor) {
            Some(hours @ 1..=HOURS_MAX) => Ok(Self { hours: Some(hours) }),
            _ => Err(NoRetention),
        }
    }
}

impl Retention {
    /// Seconds; 0 is for ever, as InfluxDB 2 has it.
    pub(super) fn seconds(self) -> u64 {
        self.hours.unwrap_or(0) * HOUR_SECONDS
    }

    /// The same from what a server says.
    pub(super) fn from_seconds(seconds: u64) -> Self {
        Self { hours: (seconds > 0).then(|| seconds.div_ceil(HOUR_SECONDS)) }
    }

    /// As `DURATION` of InfluxDB 1 and `retention_period` of InfluxDB 3 have it; none is for ever.
    pub(super) fn duration(self) -> Option<String> {
        self.hours.map(|hours| format!("{hours}h"))
    }

    /// What InfluxDB 1 shows: `720h0m0s`, and `0s` for ever. `None` if it shows something else.
    pub(super) fn from_shown(text: &str) -> Option<Self> {
        let mut seconds = 0_u64;
        let mut rest = text;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (digits, tail) = rest.split_at_checked(end)?;
            let factor = match tail.as_bytes().first()? {
                b'h' => HOUR_SECONDS,
                b'm' => 60,
                b's' => 1,
                _ => return None,
            };
            seconds = seconds.checked_add(digits.parse::<u64>().ok()?.checked_mul(factor)?)?;
            rest = tail.get(1..)?;
        }
        Some(Self::from_seconds(seconds))
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hours {
            None => f.write_str("for ever"),
            Some(hours) if hours % 24 == 0 => write!(f, "for {} days", hours / 24),
            Some(hours) => write!(f, "for {hours} hours"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_retention() {
        for (text, seconds, duration, words) in [
            ("30d", 2_592_000, Some("720h"), "for 30 days"),
            ("12h", 43_200, Some("12h"), "for 12 hours"),
            ("2w", 1_209_600, Some("336h"), "for 14 days"),
            ("forever", 0, None, "for ever"),
        ] {
            let retention: Retention = text.parse().unwrap();
            assert_eq!(retention.seconds(), seconds, "{text}");
            assert_eq!(retention.duration().as_deref(), duration, "{text}");
            assert_eq!(retention.to_string(), words, "{text}");
            assert_eq!(Retention::from_seconds(seconds), retention);
        }
        for text in ["", "d", "30", "0d", "0", "-1d", "+1d", "30m", "1.5d", "30 d", "99999999999w", "día"] {
            assert_eq!(text.parse::<Retention>(), Err(NoRetention), "{text}");
        }
    }

    #[test]
    fn what_influxdb_1_shows() {
        for (text, expected) in [
            ("0s", Some(0)),
            ("720h0m0s", Some(2_592_000)),
            ("1h0m0s", Some(3600)),
            ("1h30m0s", Some(7200)),
            ("INF", None),
            ("7d", None),
            ("h", None),
            ("5", None),
        ] {
            assert_eq!(Retention::from_shown(text).map(Retention::seconds), expected, "{text}");
        }
    }
}
