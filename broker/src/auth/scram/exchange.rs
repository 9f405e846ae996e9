//! The server's side of one exchange [RFC 5802, section 5]: four messages, no clock, no socket, no random numbers.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::credential::{Key, ScramCredential};

/// The longest message of a client, in bytes: room for an escaped name, an authorization identity and a long nonce.
pub const MESSAGE_BYTES_MAX: usize = 2048;

/// What is wrong with a message of a client; for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("a SCRAM message of more than 2048 bytes")]
    TooLong,
    /// Not in the form of RFC 5802, section 7.
    #[error("a malformed SCRAM message")]
    Malformed,
    /// The client insists on channel binding.
    #[error("the client wants SCRAM with channel binding, which is not supported")]
    ChannelBinding,
    /// The client insists on an extension.
    #[error("the client wants an extension of SCRAM (`m=`), and none is supported")]
    Extension,
    /// The client wants to act for another user.
    #[error("the client wants to be another user (`a=`) than the one who logs in")]
    OtherIdentity,
    /// The final message says another channel binding flag than the first one.
    #[error("the final SCRAM message does not repeat the header of the first one")]
    OtherHeader,
    /// The final message belongs to another exchange.
    #[error("the final SCRAM message has the nonce of another exchange")]
    OtherNonce,
}

/// A client's first message.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientFirst {
    user: String,
    nonce: String,
    /// Channel binding flag and authorization identity, with both commas.
    header: String,
    /// What follows it.
    bare: String,
}

impl ClientFirst {
    /// Reads the message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(message: &[u8]) -> Result<Self, ScramError> {
        let text = text(message)?;
        let (flag, rest) = text.split_once(',').ok_or(ScramError::Malformed)?;
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(ScramError::Malformed),
        }
        let (identity, bare) = rest.split_once(',').ok_or(ScramError::Malformed)?;
        if bare.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|field| field.strip_prefix("n=")).and_then(unescape);
        let user = user.ok_or(ScramError::Malformed)?;
        let nonce = attributes.next().and_then(|field| field.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or(ScramError::Malformed)?;
        if !attributes.all(is_attribute) {
            return Err(ScramError::Malformed);
        }
        if !identity.is_empty() {
            let identity = identity.strip_prefix("a=").and_then(unescape).ok_or(ScramError::Malformed)?;
            if identity != user {
                return Err(ScramError::OtherIdentity);
            }
        }
        let header = text.strip_suffix(bare).unwrap_or_default().to_owned();
        Ok(Self { user, nonce: nonce.to_owned(), header, bare: bare.to_owned() })
    }

    /// Who wants to log in.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl fmt::Debug for ClientFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFirst").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An exchange that waits for the client's final message. It takes one only: a second try is another exchange.
#[derive(Debug)]
pub struct Exchange {
    credential: ScramCredential,
    header: String,
    /// The client's nonce with that of the server behind it.
    nonce: String,
    /// The client's first message without its header, a comma, and the answer to it.
    spoken: String,
}

impl Exchange {
    /// Answers the first message; `nonce` is fresh, printable and without commas.
    pub fn begin(first: ClientFirst, credential: ScramCredential, nonce: &str) -> (Self, String) {
        let ClientFirst { nonce: of_client, header, bare, .. } = first;
        let nonce = format!("{of_client}{nonce}");
        let salt = BASE64.encode(&credential.salt);
        let answer = format!("r={nonce},s={salt},i={}", credential.iterations);
        let spoken = format!("{bare},{answer}");
        (Self { credential, header, nonce, spoken }, answer)
    }

    /// Whether the client knows the password: then the answer to its final message.
    ///
    /// # Errors
    /// The message does not belong to this exchange.
    pub fn finish(self, message: &[u8]) -> Result<Option<String>, ScramError> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let proof: Key = decode(proof)?.try_into().map_err(|_| ScramError::Malformed)?;
        let mut attributes = without_proof.split(',');
        let header = attributes.next().and_then(|field| field.strip_prefix("c="));
        let nonce = attributes.next().and_then(|field| field.strip_prefix("r="));
        let (Some(header), Some(nonce)) = (header, nonce) else { return Err(ScramError::Malformed) };
        if !attributes.all(is_attribute) {
            return Err(ScramError::Malformed);
        }
        if decode(header)? != self.header.as_bytes() {
            return Err(ScramError::OtherHeader);
        }
        if nonce != self.nonce {
            return Err(ScramError::OtherNonce);
        }
        let auth_message = format!("{},{without_proof}", self.spoken);
        // Both are computed in any case, so that the time tells nothing.
        let proven = self.credential.is_proven(&auth_message, &proof);
        let signature = BASE64.encode(self.credential.server_signature(&auth_message));
        Ok(proven.then(|| format!("v={signature}")))
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(ScramError::TooLong);
    }
    str::from_utf8(message).ok().filter(|text| !text.contains('\0')).ok_or(ScramError::Malformed)
}

fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    BASE64.decode(text).map_err(|_| ScramError::Malformed)
}

/// Printable ASCII; a comma cannot be in it here.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A letter, `=`, and something.
fn is_attribute(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b'=', _, ..] if letter.is_ascii_alphabetic())
}

/// A name, in which `=2C` is a comma and `=3D` an equals sign; no other `=` is allowed.
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return None,
        };
        name.push(sign);
        name.push_str(rest);
    }
    (!name.is_empty()).then_some(name)
}
