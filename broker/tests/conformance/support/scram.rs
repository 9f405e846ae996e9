//! A client's side of SCRAM-SHA-256, written from RFC 5802 and without the broker's code, and connections that use it.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use gaugeline_protocol::{
    ReasonCode, Version,
    packet::{Auth, ConnAck, Connect, ConnectProperties, Packet},
};
use pbkdf2::hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{Client, clean};

pub(crate) const METHOD: &str = "SCRAM-SHA-256";

/// What the client keeps of an exchange.
pub(crate) struct Scram {
    bare: String,
    password: String,
    /// What the broker has to answer at the end.
    expected: Option<String>,
}

impl Scram {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self {
            bare: format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL"),
            password: password.to_owned(),
            expected: None,
        }
    }

    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The final message, for the broker's answer.
    pub(crate) fn last(&mut self, answer: &str) -> String {
        let (nonce, rest) = answer.split_once(",s=").unwrap();
        let (salt, iterations) = rest.split_once(",i=").unwrap();
        assert!(nonce.len() > "r=fyko+d2lbbFgONRv9qkxdawL".len() + 16, "{nonce}");
        let mut salted = [0; 32];
        let salt = BASE64.decode(salt).unwrap();
        pbkdf2::pbkdf2_hmac::<Sha256>(
            self.password.as_bytes(),
            &salt,
            iterations.parse().unwrap(),
            &mut salted,
        );
        let client_key = hmac(&salted, "Client Key");
        let without_proof = format!("c=biws,{nonce}");
        let message = format!("{},{answer},{without_proof}", self.bare);
        let signature = hmac(&Sha256::digest(client_key).into(), &message);
        let proof = client_key.iter().zip(signature).map(|(key, signed)| key ^ signed).collect::<Vec<_>>();
        let server_key = hmac(&salted, "Server Key");
        self.expected = Some(format!("v={}", BASE64.encode(hmac(&server_key, &message))));
        format!("{without_proof},p={}", BASE64.encode(proof))
    }

    /// Whether the broker has shown that it knows the user.
    pub(crate) fn trusts(&self, data: Option<&Bytes>) -> bool {
        let data = data.map(|data| std::str::from_utf8(data).unwrap().to_owned());
        self.expected.is_some() && data == self.expected
    }
}

fn hmac(key: &[u8; 32], message: &str) -> [u8; 32] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mut keyed = Hmac::<Sha256>::new(&block.into());
    keyed.update(message.as_bytes());
    keyed.finalize().into_bytes().into()
}

/// A CONNECT that names the method.
pub(crate) fn with_method(method: &str, data: Option<&str>) -> Connect {
    let properties = ConnectProperties {
        authentication_method: Some(method.to_owned()),
        authentication_data: data.map(|data| Bytes::copy_from_slice(data.as_bytes())),
        ..ConnectProperties::default()
    };
    Connect { properties, ..clean(Version::V5, "c") }
}

pub(crate) fn auth(reason: ReasonCode, data: &str) -> Auth {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    Auth { reason, method: Some(METHOD.to_owned()), data, reason_string: None, user_properties: vec![] }
}

/// The next step of the client.
pub(crate) fn step(data: &str) -> Auth {
    auth(ReasonCode::ContinueAuthentication, data)
}

impl Client {
    /// The next packet, an AUTH of this reason. Returns its data.
    pub(crate) async fn expect_auth(&mut self, reason: ReasonCode) -> String {
        match self.receive().await {
            Packet::Auth(auth) => {
                assert_eq!((auth.reason, auth.method.as_deref()), (reason, Some(METHOD)));
                String::from_utf8(auth.data.unwrap_or_default().to_vec()).unwrap()
            }
            other => panic!("expected AUTH: {other:?}"),
        }
    }

    /// The broker's answer to the first message.
    pub(crate) async fn expect_step(&mut self) -> String {
        self.expect_auth(ReasonCode::ContinueAuthentication).await
    }

    /// Goes on after CONNECT with the first message, up to CONNACK.
    pub(crate) async fn finish_scram(&mut self, scram: &mut Scram) -> ConnAck {
        let answer = self.expect_step().await;
        self.send(step(&scram.last(&answer))).await;
        let answer = self.expect_connack().await;
        if answer.reason == ReasonCode::Success {
            assert!(scram.trusts(answer.properties.authentication_data.as_ref()));
            assert_eq!(answer.properties.authentication_method.as_deref(), Some(METHOD));
        } else {
            assert_eq!(answer, ConnAck::new(answer.reason, false), "nothing that tells who exists");
        }
        answer
    }
}
