//! What a server's answer to a write means. Pure: a status, a body and the API in, a [`Verdict`] out.
//!
//! | answer | verdict |
//! |---|---|
//! | 200, 204 | written |
//! | 401, 403, 404, redirects, an unknown retention policy, no room for another database | held: the configuration or the server's has to change, nothing is dropped |
//! | 408, 429, 5xx | transient |
//! | 413, 500 "max request size" (v3.6) | too large |
//! | 400 and 422 that tell of bad lines | refused, with what the text says about which lines |
//! | any other 4xx | refused, by an answer nobody knows |
//!
//! The texts are those of 1.6.7, 2.7 and 3.6 as observed or as their sources have them.

use serde::Deserialize;

/// Which write API answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    V1,
    V2,
    V3,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every line is stored.
    Written,
    /// Nothing can be said about the lines: try again.
    Transient(Transient),
    /// Every write fails until someone changes something: keep the lines, say so, try again slowly.
    Held { kind: Held, detail: String },
    /// The request has too many bytes.
    TooLarge { detail: String },
    /// At least one line is at fault.
    Refused(Refusal),
}

impl Verdict {
    /// For the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Transient(_) => "to be tried again",
            Self::Held { .. } => "all writes are refused",
            Self::TooLarge { .. } => "too large",
            Self::Refused(_) => "lines were refused",
        }
    }
}

/// A failure that passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transient {
    pub(crate) detail: String,
    pub(crate) retry_after: Option<std::time::Duration>,
    /// Whether a line could be the cause: a server that is there and breaks on the request. InfluxDB 3.6.0 has lines
    /// that it answers with a closed connection.
    pub(crate) suspicious: bool,
}

/// What has to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// 401: password or token.
    Credentials,
    /// 403: the user may not write.
    Permission,
    /// 404: the database, bucket, organization or address does not exist.
    Missing,
    /// Anything else about the server's or our configuration.
    Configuration,
}

/// Lines were refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) detail: String,
    pub(crate) named: Named,
    /// Whether the lines that are not at fault are stored. When in doubt, no: points written twice are one point.
    pub(crate) rest_written: bool,
    /// How many lines the server says it dropped.
    pub(crate) dropped: Option<usize>,
    /// Whether the answer is known to be about lines, and not about everything that is sent.
    pub(crate) understood: bool,
}

/// What the answer says about which lines are at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Their numbers, from 1, and why each.
    Numbers(Vec<(usize, String)>),
    /// Their text, and why each.
    Quoted(Vec<(String, String)>),
    /// Those that have this field with this type; of several conflicts the server names the first.
    Conflict { measurement: String, field: String, found: String },
    /// Those that are older than what the server keeps.
    Oldest,
    /// Nothing.
    Nothing,
}

/// What an answer without `Retry-After` means.
pub(crate) fn classify(api: Api, status: u16, body: &[u8]) -> Verdict {
    let text = message(body);
    let detail = format!("{status} {}", if text.is_empty() { "without a text" } else { &text });
    let transient =
        |suspicious| Verdict::Transient(Transient { detail: detail.clone(), retry_after: None, suspicious });
    match status {
        200..=299 => Verdict::Written,
        401 => Verdict::Held { kind: Held::Credentials, detail },
        403 => Verdict::Held { kind: Held::Permission, detail },
        404 => Verdict::Held { kind: Held::Missing, detail },
        300..=399 | 405 | 407 | 421 => Verdict::Held { kind: Held::Configuration, detail },
        413 => Verdict::TooLarge { detail },
        408 | 425 | 429 | 502..=504 => transient(false),
        // v3.6 says with 500 what later versions say with 413 and 400.
        500 if text.contains("max request size") => Verdict::TooLarge { detail },
        500 if text.contains("not valid utf8") => Verdict::Refused(refusal(detail, Named::Nothing)),
        500 if text.contains("retention policy not found") => {
            Verdict::Held { kind: Held::Configuration, detail }
        }
        500 => transient(true),
        501..=599 => transient(false),
        _ if is_configuration(&text) => Verdict::Held { kind: Held::Configuration, detail },
        400 | 422 => refused(api, &text, body, detail),
        _ => Verdict::Refused(Refusal { understood: false, ..refusal(detail, Named::Nothing) }),
    }
}

/// The answer's text: the message inside JSON of either form, or the body itself.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<String>,
        message: Option<String>,
    }
    let from_json =
        serde_json::from_slice::<Answer>(body).ok().and_then(|answer| answer.error.or(answer.message));
    from_json.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())
}

/// Answers with 4xx that no line is to blame for.
fn is_configuration(text: &str) -> bool {
    ["database is required", "bucket is required", "org is required", "databases", "invalid precision"]
        .iter()
        .any(|part| text.contains(part))
}

fn refusal(detail: String, named: Named) -> Refusal {
    Refusal { detail, named, rest_written: false, dropped: None, understood: true }
}

fn refused(api: Api, text: &str, body: &[u8], detail: String) -> Verdict {
    if api == Api::V3
        && let Some(refusal) = refused_by_v3(text, body, &detail)
    {
        return Verdict::Refused(refusal);
    }
    let dropped = dropped_in(text);
    let (is_partial, named) = match text.split_once("partial write: ") {
        Some((_, rest)) => (true, named_in(rest)),
        None => (false, named_in(text)),
    };
    let understood = is_partial || named != Named::Nothing || dropped.is_some();
    Verdict::Refused(Refusal { rest_written: is_partial, dropped, understood, ..refusal(detail, named) })
}

/// v3 numbers the lines that it refuses.
fn refused_by_v3(text: &str, body: &[u8], detail: &str) -> Option<Refusal> {
    #[derive(Deserialize)]
    struct Line {
        error_message: String,
        line_number: usize,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lines {
        /// `accept_partial=true`: the other lines are stored.
        Partial(Vec<Line>),
        /// `accept_partial=false`: nothing is stored.
        First(Line),
    }
    #[derive(Deserialize)]
    struct Answer {
        data: Lines,
    }
    let (lines, rest_written) = match serde_json::from_slice::<Answer>(body).ok()?.data {
        Lines::Partial(lines) => (lines, text.contains("partial write")),
        Lines::First(line) => (vec![line], false),
    };
    let numbers = lines.into_iter().map(|line| (line.line_number, line.error_message)).collect();
    Some(Refusal { rest_written, ..refusal(detail.to_owned(), Named::Numbers(numbers)) })
}

/// The number after `dropped=`.
fn dropped_in(text: &str) -> Option<usize> {
    let (_, after) = text.rsplit_once("dropped=")?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after.get(..digits)?.parse().ok()
}

/// What the texts that v1 and v2 share say about lines.
fn named_in(text: &str) -> Named {
    if let Some(conflict) = conflict_in(text) {
        return conflict;
    }
    if text.contains("beyond retention policy") || text.contains("outside retention policy") {
        return Named::Oldest;
    }
    let quoted = quoted_in(text);
    if quoted.is_empty() { Named::Nothing } else { Named::Quoted(quoted) }
}

/// `field type conflict: input field "v" on measurement "cpu" is type integer, already exists as type float`
pub(super) fn conflict_in(text: &str) -> Option<Named> {
    let (_, rest) = text.split_once("field type conflict: input field ")?;
    let (field, rest) = unquote(rest)?;
    let (measurement, rest) = unquote(rest.strip_prefix(" on measurement ")?)?;
    let (found, _) = rest.strip_prefix(" is type ")?.split_once(',')?;
    Some(Named::Conflict { measurement, field, found: found.to_owned() })
}

/// Takes a Go string (`%q`) off the front. None if it has escapes beyond `\"` and `\\`.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut unquoted = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((unquoted, text.get(at + 2..)?)),
            '\\' => match chars.next()?.1 {
                escaped @ ('"' | '\\') => unquoted.push(escaped),
                _ => return None,
            },
            c => unquoted.push(c),
        }
    }
    None
}

/// `unable to parse 'LINE': REASON`, one after the other. A line may have line breaks, so the next one begins at the
/// next `unable to parse '`.
fn quoted_in(text: &str) -> Vec<(String, String)> {
    const BEGIN: &str = "unable to parse '";
    let Some((_, rest)) = text.split_once(BEGIN) else { return Vec::new() };
    let one = |part: &str| {
        let (line, reason) = part.rsplit_once("': ")?;
        let reason = reason.split(" dropped=").next().unwrap_or(reason);
        Some((line.to_owned(), reason.trim_end().to_owned()))
    };
    rest.split("\nunable to parse '").filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal_of(api: Api, status: u16, body: &str) -> Refusal {
        match classify(api, status, body.as_bytes()) {
            Verdict::Refused(refusal) => refusal,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[derive(Debug, PartialEq)]
    enum Kind {
        Written,
        Transient,
        Suspicious,
        Held(Held),
        TooLarge,
        Refused { understood: bool },
    }

    /// Answers of 1.6.7 as observed, of 2.7 and 3 as in their sources.
    const ANSWERS: &[(Api, u16, &str, Kind)] = &[
        (Api::V1, 204, "", Kind::Written),
        (Api::V3, 200, "", Kind::Written),
        (Api::V1, 404, r#"{"error":"database not found: \"nope\""}"#, Kind::Held(Held::Missing)),
        (Api::V1, 404, "404 page not found\n", Kind::Held(Held::Missing)),
        (Api::V1, 400, r#"{"error":"database is required"}"#, Kind::Held(Held::Configuration)),
        (Api::V1, 500, r#"{"error":"retention policy not found: nope"}"#, Kind::Held(Held::Configuration)),
        (Api::V1, 413, r#"{"error":"Request Entity Too Large"}"#, Kind::TooLarge),
        (Api::V1, 401, r#"{"error":"authorization failed"}"#, Kind::Held(Held::Credentials)),
        (
            Api::V1,
            403,
            r#"{"error":"\"grafana\" user is not authorized to write to database \"iot\""}"#,
            Kind::Held(Held::Permission),
        ),
        (Api::V1, 503, "request throttled, queue full\n", Kind::Transient),
        (Api::V1, 400, r#"{"error":"unexpected EOF"}"#, Kind::Refused { understood: false }),
        (Api::V1, 500, r#"{"error":"engine: no space left on device"}"#, Kind::Suspicious),
        (
            Api::V2,
            401,
            r#"{"code":"unauthorized","message":"unauthorized access"}"#,
            Kind::Held(Held::Credentials),
        ),
        (
            Api::V2,
            403,
            r#"{"code":"forbidden","message":"insufficient permissions for write"}"#,
            Kind::Held(Held::Permission),
        ),
        (
            Api::V2,
            404,
            r#"{"code":"not found","message":"bucket \"x\" not found"}"#,
            Kind::Held(Held::Missing),
        ),
        (
            Api::V2,
            413,
            r#"{"code":"request too large","message":"unable to read data: points batch is too large"}"#,
            Kind::TooLarge,
        ),
        (Api::V2, 429, "", Kind::Transient),
        (Api::V2, 503, "", Kind::Transient),
        (Api::V2, 408, "", Kind::Transient),
        (Api::V3, 401, "", Kind::Held(Held::Credentials)),
        (
            Api::V3,
            422,
            r#"{"error":"Adding a new database would exceed limit of 5 databases"}"#,
            Kind::Held(Held::Configuration),
        ),
        (Api::V3, 413, "max request size (10485760 bytes) exceeded", Kind::TooLarge),
        (Api::V3, 500, "max request size (10485760 bytes) exceeded", Kind::TooLarge),
        (
            Api::V3,
            500,
            "body content is not valid utf8: invalid utf-8 sequence from index 42",
            Kind::Refused { understood: true },
        ),
        (Api::V3, 302, "", Kind::Held(Held::Configuration)),
        (Api::V3, 418, "teapot", Kind::Refused { understood: false }),
    ];

    #[test]
    fn answers_about_everything() {
        for (api, status, body, expected) in ANSWERS {
            let found = match classify(*api, *status, body.as_bytes()) {
                Verdict::Written => Kind::Written,
                Verdict::Transient(transient) if transient.suspicious => Kind::Suspicious,
                Verdict::Transient(_) => Kind::Transient,
                Verdict::Held { kind, .. } => Kind::Held(kind),
                Verdict::TooLarge { .. } => Kind::TooLarge,
                Verdict::Refused(refusal) => Kind::Refused { understood: refusal.understood },
            };
            assert_eq!(found, *expected, "{api:?} {status} {body}");
        }
    }

    #[test]
    fn conflicts() {
        let named = Named::Conflict { measurement: "cpu".into(), field: "v".into(), found: "integer".into() };
        let v1 = refusal_of(
            Api::V1,
            400,
            r#"{"error":"partial write: field type conflict: input field \"v\" on measurement \"cpu\" is type integer, already exists as type float dropped=1"}"#,
        );
        assert_eq!((&v1.named, v1.rest_written, v1.dropped), (&named, true, Some(1)));
        assert!(v1.detail.starts_with("400 partial write: field type conflict"));
        let v2 = refusal_of(
            Api::V2,
            422,
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"v\" on measurement \"cpu\" is type integer, already exists as type float dropped=3"}"#,
        );
        assert_eq!((&v2.named, v2.rest_written, v2.dropped), (&named, true, Some(3)));
        let odd = refusal_of(
            Api::V1,
            400,
            r#"{"error":"partial write: field type conflict: input field \"a\\\"b\\\\c\" on measurement \"x, y\" is type string, already exists as type float dropped=1"}"#,
        );
        let named =
            Named::Conflict { measurement: "x, y".into(), field: "a\"b\\c".into(), found: "string".into() };
        assert_eq!(odd.named, named);
    }

    #[test]
    fn lines_that_are_quoted() {
        let quoted = |pairs: &[(&str, &str)]| {
            Named::Quoted(pairs.iter().map(|(line, why)| ((*line).into(), (*why).into())).collect())
        };
        let partial = refusal_of(
            Api::V1,
            400,
            r#"{"error":"partial write: unable to parse 'garbage line here': invalid field format\nunable to parse 'cpu,host=a v= 1700000005000000001': missing field value dropped=0"}"#,
        );
        let expected = quoted(&[
            ("garbage line here", "invalid field format"),
            ("cpu,host=a v= 1700000005000000001", "missing field value"),
        ]);
        assert_eq!((&partial.named, partial.rest_written, partial.dropped), (&expected, true, Some(0)));
        let all = refusal_of(Api::V1, 400, r#"{"error":"unable to parse 'garbage': missing fields"}"#);
        assert_eq!((&all.named, all.rest_written), (&quoted(&[("garbage", "missing fields")]), false));
        let v2 = refusal_of(
            Api::V2,
            400,
            r#"{"code":"invalid","message":"unable to parse 'm s=\"it''s': 1': missing fields"}"#,
        );
        assert_eq!((&v2.named, v2.rest_written), (&quoted(&[("m s=\"it''s': 1", "missing fields")]), false));
    }

    #[test]
    fn other_partial_writes() {
        for (api, status, body, named, dropped) in [
            (
                Api::V1,
                400,
                r#"{"error":"partial write: points beyond retention policy dropped=2"}"#,
                Named::Oldest,
                2,
            ),
            (
                Api::V2,
                422,
                r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 4 points outside retention policy of duration 24h0m0s - oldest point home,room=a dropped because it violates a Retention Policy Lower Bound at 2026 dropped=4 for database: 1f for retention policy: autogen"}"#,
                Named::Oldest,
                4,
            ),
            (
                Api::V1,
                400,
                r#"{"error":"partial write: max-values-per-tag limit exceeded (30/20): measurement=\"tagc\" tag=\"id\" value=\"t99\" dropped=1"}"#,
                Named::Nothing,
                1,
            ),
            (
                Api::V1,
                400,
                r#"{"error":"partial write: max-series-per-database limit exceeded: (50) dropped=60"}"#,
                Named::Nothing,
                60,
            ),
            (
                Api::V1,
                400,
                r#"{"error":"partial write: invalid field name: input field \"time\" on measurement \"e\" is invalid dropped=1"}"#,
                Named::Nothing,
                1,
            ),
        ] {
            let found = refusal_of(api, status, body);
            assert_eq!((&found.named, found.dropped), (&named, Some(dropped)), "{body}");
            assert!(found.understood && found.rest_written, "{body}");
        }
    }

    #[test]
    fn lines_that_are_numbered() {
        let partial = refusal_of(
            Api::V3,
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"No fields were provided","line_number":2,"original_line":"cpu,host=a val= 123"}]}"#,
        );
        let expected = Named::Numbers(vec![(2, "No fields were provided".into())]);
        assert_eq!((&partial.named, partial.rest_written), (&expected, true));
        let columns = refusal_of(
            Api::V3,
            422,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"Update to schema would exceed number of columns per table limit of 500 columns","line_number":1,"original_line":"wide"}]}"#,
        );
        assert!(matches!(columns.named, Named::Numbers(numbers) if numbers[0].0 == 1));
        let nothing_stored = refusal_of(
            Api::V3,
            400,
            r#"{"error":"line protocol parsing error","data":{"error_message":"bad","line_number":3,"original_line":"x"}}"#,
        );
        assert_eq!(nothing_stored.named, Named::Numbers(vec![(3, "bad".into())]));
        assert!(!nothing_stored.rest_written);
    }
}
