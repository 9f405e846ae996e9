//! Times in payloads, as nanoseconds since 1970.
//!
//! A number's unit is told by its size unless the rule names it: up to 10^11 it is seconds (until the year 5138),
//! up to 10^14 milliseconds, up to 10^17 microseconds, above nanoseconds. A text is RFC 3339, or a number.

use serde::Deserialize;

use super::{
    rejection::{Reason, Rejection},
    scalar::Scalar,
};

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestampFormat {
    /// RFC 3339, or a number whose unit its size tells.
    #[default]
    Auto,
    /// Seconds, with or without a fraction.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// `2026-11-21T21:26:59.5Z`, any offset.
    Rfc3339,
}

/// The range of InfluxDB 1.x, the narrowest: the two smallest and the largest number are reserved.
const RANGE: std::ops::RangeInclusive<i128> = -9_223_372_036_854_775_806..=9_223_372_036_854_775_806;

/// A time in nanoseconds since 1970.
pub(super) fn parse(found: Scalar<'_>, format: TimestampFormat) -> Result<i64, Rejection> {
    let nanoseconds = match (found, format) {
        (Scalar::Text(text), TimestampFormat::Auto | TimestampFormat::Rfc3339) => match text.parse() {
            Ok(time) => Some(jiff::Timestamp::as_nanosecond(time)),
            Err(_) if format == TimestampFormat::Auto => number_in_text(text).and_then(|n| scale(n, format)),
            Err(_) => None,
        },
        (Scalar::Text(text), _) => number_in_text(text).and_then(|number| scale(number, format)),
        (Scalar::Integer(_) | Scalar::Float(_), TimestampFormat::Rfc3339) | (Scalar::Boolean(_), _) => None,
        (number, _) => scale(number, format),
    };
    nanoseconds.filter(|time| RANGE.contains(time)).and_then(|time| i64::try_from(time).ok()).ok_or_else(
        || {
            Rejection::new(
                Reason::BadTimestamp,
                format!("found the timestamp {found:?}, and {format:?} was expected"),
            )
        },
    )
}

fn number_in_text(text: &str) -> Option<Scalar<'static>> {
    let text = text.trim();
    text.parse().map(Scalar::Integer).or_else(|_| text.parse().map(Scalar::Float)).ok()
}

fn scale(number: Scalar<'_>, format: TimestampFormat) -> Option<i128> {
    let size = match number {
        Scalar::Integer(number) => number.unsigned_abs() as f64,
        Scalar::Float(number) if number.is_finite() => number.abs(),
        _ => return None,
    };
    let unit: i64 = match format {
        TimestampFormat::S => 1_000_000_000,
        TimestampFormat::Ms => 1_000_000,
        TimestampFormat::Us => 1_000,
        TimestampFormat::Ns => 1,
        TimestampFormat::Rfc3339 => return None,
        TimestampFormat::Auto if size < 1e11 => 1_000_000_000,
        TimestampFormat::Auto if size < 1e14 => 1_000_000,
        TimestampFormat::Auto if size < 1e17 => 1_000,
        TimestampFormat::Auto => 1,
    };
    match number {
        Scalar::Integer(number) => Some(i128::from(number) * i128::from(unit)),
        // A float of today's seconds is exact to a quarter of a microsecond, so more digits would be invented.
        Scalar::Float(number) if size < 1e19 => {
            let resolution = if unit == 1_000_000_000 { 1e3 } else { 1.0 };
            let fraction = (number.fract() * unit as f64 / resolution).round() * resolution;
            Some(number.trunc() as i128 * i128::from(unit) + fraction as i128)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        use Scalar::{Boolean, Float, Integer, Text};
        use TimestampFormat::{Auto, Ms, Ns, Rfc3339, S, Us};
        const NOON: i64 = 1_700_000_000_000_000_000;
        for (found, format, expected) in [
            (Integer(1_700_000_000), Auto, Some(NOON)),
            (Float(1_700_000_000.25), Auto, Some(NOON + 250_000_000)),
            (Float(1_700_000_000.123), Auto, Some(NOON + 123_000_000)),
            (Integer(1_700_000_000_000), Auto, Some(NOON)),
            (Integer(1_700_000_000_000_000), Auto, Some(NOON)),
            (Integer(NOON), Auto, Some(NOON)),
            (Integer(0), Auto, Some(0)),
            (Integer(-1), Auto, Some(-1_000_000_000)),
            (Float(-0.5), S, Some(-500_000_000)),
            (Text("2023-11-14T22:13:20Z"), Auto, Some(NOON)),
            (Text("2023-11-14T23:13:20.5+01:00"), Rfc3339, Some(NOON + 500_000_000)),
            (Text("1700000000"), Auto, Some(NOON)),
            (Text("1700000000.5"), S, Some(NOON + 500_000_000)),
            (Text("yesterday"), Auto, None),
            (Text("1700000000"), Rfc3339, None),
            (Integer(1_700_000_000), Rfc3339, None),
            (Integer(5), Ms, Some(5_000_000)),
            (Integer(5), Us, Some(5_000)),
            (Integer(5), Ns, Some(5)),
            (Float(5.0), Ns, Some(5)),
            (Integer(i64::MAX), S, None),
            (Integer(i64::MAX), Ns, None),
            (Integer(i64::MIN), Ns, None),
            (Integer(9_223_372_036_854_775_806), Ns, Some(9_223_372_036_854_775_806)),
            (Float(1e300), Auto, None),
            (Float(f64::NAN), Auto, None),
            (Boolean(true), Auto, None),
        ] {
            assert_eq!(parse(found, format).ok(), expected, "{found:?} {format:?}");
        }
    }
}
