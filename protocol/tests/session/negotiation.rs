//! What CONNECT asks for and what is granted.

use gaugeline_protocol::{
    ClientId, ReasonCode, Version,
    packet::{Connect, ConnectProperties},
    session::{Negotiated, Refusal, ServerSettings, negotiate, session_expires_after},
};

use crate::support::{SETTINGS, connect, terms};

fn try_negotiate(connect: &Connect, settings: &ServerSettings) -> Result<Negotiated, Refusal> {
    negotiate(connect, settings, || ClientId::new("assigned").unwrap())
}

/// [MQTT-3.1.3-6], [MQTT-3.1.3-8]; [MQTT-3.1.3-7] and [MQTT-3.1.3-8] of MQTT 3.1.1
#[test]
fn an_empty_client_id() {
    for (version, clean_start, granted) in [
        (Version::V31, true, false),
        (Version::V31, false, false),
        (Version::V311, true, true),
        (Version::V311, false, false),
        (Version::V5, true, true),
        (Version::V5, false, true),
    ] {
        let asked = Connect { client_id: String::new(), clean_start, ..connect(version) };
        match try_negotiate(&asked, &SETTINGS) {
            Ok(terms) => {
                assert!(granted);
                assert_eq!((terms.client_id.as_str(), terms.client_id_assigned), ("assigned", true));
            }
            Err(refusal) => {
                assert!(!granted);
                assert_eq!(refusal.reason, ReasonCode::ClientIdentifierNotValid);
            }
        }
    }
}

/// [MQTT-3.1.2-23]; [MQTT-3.1.2-4] of MQTT 3.1.1
#[test]
fn how_long_the_session_lives() {
    let asked = |version, clean_start, session_expiry_seconds| {
        let properties = ConnectProperties { session_expiry_seconds, ..ConnectProperties::default() };
        Connect { clean_start, properties, ..connect(version) }
    };
    for (connect, most, expected) in [
        (asked(Version::V31, true, 0), u32::MAX, 0),
        (asked(Version::V311, true, 0), u32::MAX, 0),
        (asked(Version::V311, false, 0), u32::MAX, u32::MAX),
        (asked(Version::V311, false, 0), 100, 100),
        (asked(Version::V5, false, 0), u32::MAX, 0),
        (asked(Version::V5, true, 50), 100, 50),
        (asked(Version::V5, false, u32::MAX), 100, 100),
    ] {
        let settings = ServerSettings { session_expiry_max_seconds: most, ..SETTINGS };
        let terms = try_negotiate(&connect, &settings).unwrap();
        assert_eq!(terms.session_expiry_seconds, expected);
        let connack = terms.connack(&settings, connect.properties.session_expiry_seconds, false);
        let told = (connect.version.is_v5() && connect.properties.session_expiry_seconds != expected)
            .then_some(expected);
        assert_eq!(connack.properties.session_expiry_seconds, told);
    }
    assert_eq!(session_expires_after(u32::MAX), None);
    assert_eq!(session_expires_after(3).map(|time| time.as_secs()), Some(3));
}

/// [MQTT-3.2.2-21]; older clients cannot be told.
#[test]
fn a_keep_alive_over_the_limit() {
    let settings = ServerSettings { keep_alive_max_seconds: 60, ..SETTINGS };
    for (version, asked, expected, told) in [
        (Version::V311, 100, 100, None),
        (Version::V311, 0, 0, None),
        (Version::V5, 60, 60, None),
        (Version::V5, 61, 60, Some(60)),
        (Version::V5, 0, 60, Some(60)),
    ] {
        let asked = Connect { keep_alive_seconds: asked, ..connect(version) };
        let terms = try_negotiate(&asked, &settings).unwrap();
        assert_eq!(terms.keep_alive_seconds, expected);
        assert_eq!(terms.connack(&settings, 100, false).properties.server_keep_alive_seconds, told);
    }
}

/// [MQTT-3.2.2-2], [MQTT-3.2.2-3]: the byte is reserved in MQTT 3.1.
#[test]
fn session_present() {
    for (version, expected) in [(Version::V31, false), (Version::V311, true), (Version::V5, true)] {
        let terms = terms(&connect(version));
        assert_eq!(terms.connack(&SETTINGS, 100, true).session_present, expected);
        assert!(!terms.connack(&SETTINGS, 100, false).session_present);
    }
}

/// [MQTT-4.12.0-1]
#[test]
fn an_authentication_method_is_refused() {
    let mut asked = connect(Version::V5);
    asked.properties.authentication_method = Some("x".to_owned());
    let refusal = try_negotiate(&asked, &SETTINGS).unwrap_err();
    assert_eq!(refusal.reason, ReasonCode::BadAuthenticationMethod);
}

/// [MQTT 5.0, section 3.1.2.11.3]: absent means 65535; clients that know no such thing get the server's window.
#[test]
fn the_window() {
    for (version, stated, expected) in
        [(Version::V311, None, 5), (Version::V5, None, 65_535), (Version::V5, Some(3), 3)]
    {
        let mut asked = connect(version);
        asked.properties.receive_maximum = stated.and_then(|maximum: u16| maximum.try_into().ok());
        assert_eq!(terms(&asked).window.get(), expected);
    }
}
