//! Which InfluxDB answers.

use super::server::Answer;

/// The generations of InfluxDB, each with an API of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Version {
    /// 1.x: databases, users with passwords
    #[value(name = "1")]
    One,
    /// 2.x: organizations, buckets, tokens
    #[value(name = "2")]
    Two,
    /// 3 Core: databases, tokens with all rights
    #[value(name = "3")]
    Three,
}

impl Version {
    /// What an answer to `/ping` gives away, if anything.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        // Only InfluxDB 3 wants a token for this.
        if answer.status == 401 {
            return Some(Self::Three);
        }
        let in_body = || {
            let body: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
            Some(body.get("version")?.as_str()?.to_owned())
        };
        let version = answer.version.clone().or_else(in_body)?;
        match version.trim_start_matches('v').split('.').next()? {
            "1" => Some(Self::One),
            "2" => Some(Self::Two),
            "3" => Some(Self::Three),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_ping() {
        let answer = |status, version: Option<&str>, body: &str| Answer {
            status,
            version: version.map(str::to_owned),
            body: body.to_owned(),
        };
        for (answer, expected) in [
            (answer(204, Some("1.6.7~rc0"), ""), Some(Version::One)),
            (answer(204, Some("1.8.10"), ""), Some(Version::One)),
            (answer(204, Some("v2.7.12"), ""), Some(Version::Two)),
            (answer(204, Some("2.0.4"), ""), Some(Version::Two)),
            (answer(200, Some("3.6.0"), ""), Some(Version::Three)),
            (answer(200, None, r#"{"version":"3.0.1","revision":"x"}"#), Some(Version::Three)),
            (answer(401, None, ""), Some(Version::Three)),
            (answer(200, None, "<html>"), None),
            (answer(204, Some("unknown"), ""), None),
            (answer(204, None, ""), None),
        ] {
            assert_eq!(Version::of(&answer), expected, "{answer:?}");
        }
    }
}
