//! A listener: its addresses, its encryption, and what its clients may do.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
};

use gaugeline_protocol::QoS;

use super::{
    build::{file, optional_file},
    entry::Place,
    reader::{Draft, Family, Reader, TlsDraft},
};
use crate::config::{
    Application, Ciphers, ClientCertificate, ConfigError, IdentitySource, ListenerConfig, Protocol,
    ReadableKey, TlsConfig, TlsVersions, WebSocketConfig,
};

/// mosquitto's `max_topic_alias`.
const TOPIC_ALIASES_DEFAULT: u16 = 10;

/// Where a listener listens, and whether only for IPv6. A name may have several addresses.
pub(super) fn addresses(draft: &Draft) -> Result<Vec<(SocketAddr, bool)>, ConfigError> {
    let port = draft.port;
    let fits = |address: &SocketAddr| match draft.family {
        None => true,
        Some(Family::V4) => address.is_ipv4(),
        Some(Family::V6) => address.is_ipv6(),
    };
    let Some(host) = &draft.host else {
        return Ok(vec![match draft.family {
            None => ((Ipv6Addr::UNSPECIFIED, port).into(), false),
            Some(Family::V4) => ((Ipv4Addr::UNSPECIFIED, port).into(), false),
            Some(Family::V6) => ((Ipv6Addr::UNSPECIFIED, port).into(), true),
        }]);
    };
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::from((address, port))],
        Err(_) => (host.as_str(), port)
            .to_socket_addrs()
            .map_err(|error| {
                draft.place.error(format_args!("`{host}`"), format_args!("an address ({error})"))
            })?
            .collect(),
    };
    let mut addresses = Vec::new();
    for address in found.into_iter().filter(fits) {
        let entry = (address, address.is_ipv6() && address.ip().is_unspecified());
        if !addresses.contains(&entry) {
            addresses.push(entry);
        }
    }
    if addresses.is_empty() {
        let found = format_args!("`{host}`, which has no address of `socket_domain`");
        return Err(draft.place.error(found, "both of the same family"));
    }
    Ok(addresses)
}

/// Everything about a listener but its address and its rules.
pub(super) fn listener(reader: &mut Reader, draft: &Draft) -> Result<ListenerConfig, ConfigError> {
    let protocol = protocol(reader, draft);
    let tls = tls(reader, draft)?;
    let identity = identity(&draft.tls, tls.is_some());
    Ok(ListenerConfig {
        interface: draft.interface.as_deref().map(Into::into),
        protocol,
        tls,
        identity,
        connections_max: draft.connections,
        mount_point: draft.mount_point.as_deref().map(Into::into),
        maximum_qos: match draft.maximum_qos {
            Some(0) => QoS::AtMostOnce,
            Some(1) => QoS::AtLeastOnce,
            _ => QoS::ExactlyOnce,
        },
        topic_alias_maximum: Some(draft.topic_aliases.unwrap_or(TOPIC_ALIASES_DEFAULT)),
        versions: draft.versions.clone().unwrap_or_else(|| gaugeline_protocol::Version::ALL.to_vec()),
        ..ListenerConfig::new((Ipv4Addr::UNSPECIFIED, draft.port).into())
    })
}

fn protocol(reader: &mut Reader, draft: &Draft) -> Protocol {
    if draft.websockets {
        return Protocol::WebSocket(WebSocketConfig {
            origins: draft.origins.clone(),
            ..WebSocketConfig::default()
        });
    }
    if !draft.origins.is_empty() {
        reader
            .warn(&draft.place, "`websockets_origin` is ignored: this listener has no `protocol websockets`");
    }
    Protocol::Mqtt
}

/// As mosquitto 2.1: certificate and key, or neither; what only makes sense with them is refused without.
fn tls(reader: &mut Reader, draft: &Draft) -> Result<Option<TlsConfig>, ConfigError> {
    let given = &draft.tls;
    let both = "certfile and keyfile, both";
    let (certificate, key) = match (&given.certfile, &given.keyfile) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some((place, _)), None) => return Err(place.error("a `certfile` without a `keyfile`", both)),
        (None, Some((place, _))) => return Err(place.error("a `keyfile` without a `certfile`", both)),
        (None, None) => return no_tls(given),
    };
    let client_certificate = client_certificate(reader, given)?;
    Ok(Some(TlsConfig {
        ca: optional_file(given.cafile.as_ref())?,
        ca_directory: given.capath.as_ref().map(directory).transpose()?,
        crl: optional_file(given.crlfile.as_ref())?,
        client_certificate,
        versions: versions(reader, given.version.as_ref())?,
        ciphers: ciphers(reader, given)?,
        readable_key: ReadableKey::Warned,
        application: if draft.websockets { Application::WebSocket } else { Application::Mqtt },
        ..TlsConfig::new(file(certificate)?, file(key)?)
    }))
}

/// Someone who wrote one of these believes that the listener is encrypted, or that clients show certificates.
fn no_tls(given: &TlsDraft) -> Result<Option<TlsConfig>, ConfigError> {
    let files = [("cafile", &given.cafile), ("capath", &given.capath), ("crlfile", &given.crlfile)];
    let set = [
        ("require_certificate", &given.require_certificate),
        ("use_identity_as_username", &given.identity),
        ("use_subject_as_username", &given.subject),
    ];
    let files = files.into_iter().filter_map(|(key, file)| Some((key, &file.as_ref()?.0)));
    let set = set
        .into_iter()
        .filter_map(|(key, flag)| flag.as_ref().filter(|flag| flag.1).map(|flag| (key, &flag.0)));
    match files.chain(set).next() {
        Some((key, place)) => {
            Err(place
                .error(format_args!("`{key}` without TLS"), "certfile and keyfile for the same listener"))
        }
        None => Ok(None),
    }
}

/// For the listener that keys above every `listener` make, and that goes again if no line opens it: mosquitto 2.1 listens
/// without encryption then, on this machine.
pub(super) fn refuse_tls(draft: &Draft) -> Result<(), ConfigError> {
    let files = [("certfile", &draft.tls.certfile), ("keyfile", &draft.tls.keyfile)];
    match files.into_iter().find_map(|(key, file)| Some((key, &file.as_ref()?.0))) {
        Some((key, place)) => {
            Err(place.error(format_args!("`{key}` without a listener"), "it below the line `listener PORT`"))
        }
        None => no_tls(&draft.tls).map(drop),
    }
}

fn is_set(flag: Option<&(Place, bool)>) -> Option<&Place> {
    flag.filter(|(_, set)| *set).map(|(place, _)| place)
}

fn client_certificate(reader: &mut Reader, given: &TlsDraft) -> Result<ClientCertificate, ConfigError> {
    let required = is_set(given.require_certificate.as_ref());
    let named = is_set(given.identity.as_ref()).or_else(|| is_set(given.subject.as_ref()));
    let Some(place) = required.or(named) else { return Ok(ClientCertificate::NotAsked) };
    if given.cafile.is_none() && given.capath.is_none() {
        let expected = "cafile or capath: the authorities that client certificates must lead to";
        return Err(place.error("client certificates without `cafile` or `capath`", expected));
    }
    if required.is_none() {
        let text = "user names come from certificates, so every client must show one, as if `require_certificate true` were \
                    there; mosquitto would ask for none and let nobody in";
        reader.warn(place, text);
    }
    Ok(ClientCertificate::Required)
}

/// The common name comes first if both are asked for.
fn identity(given: &TlsDraft, has_tls: bool) -> IdentitySource {
    match (is_set(given.identity.as_ref()), is_set(given.subject.as_ref())) {
        _ if !has_tls => IdentitySource::Password,
        (Some(_), _) => IdentitySource::CommonName,
        (None, Some(_)) => IdentitySource::Subject,
        (None, None) => IdentitySource::Password,
    }
}

fn versions(reader: &mut Reader, given: Option<&(Place, String)>) -> Result<TlsVersions, ConfigError> {
    let Some((place, text)) = given else { return Ok(TlsVersions::default()) };
    match text.as_str() {
        "tlsv1.3" => Ok(TlsVersions { v1_2: false, v1_3: true }),
        "tlsv1.2" => Ok(TlsVersions::default()),
        "tlsv1.1" => {
            reader.warn(place, "`tls_version tlsv1.1` is ignored: the least version is 1.2");
            Ok(TlsVersions::default())
        }
        other => Err(place.error(format_args!("`tls_version {other}`"), "tlsv1.3 or tlsv1.2")),
    }
}

fn ciphers(reader: &mut Reader, given: &TlsDraft) -> Result<Ciphers, ConfigError> {
    let mut ciphers = Ciphers::default();
    let mut unknown = Vec::new();
    let mut last = None;
    if let Some((place, text)) = &given.ciphers {
        (ciphers, unknown) = Ciphers::from_openssl(text);
        if ciphers.is_empty_for_1_2() {
            let expected = Ciphers::names().collect::<Vec<_>>().join(", ");
            let found = format_args!("`ciphers {text}`, of which gaugeline has none");
            return Err(place.error(found, format_args!("some of {expected}")));
        }
        last = Some(place);
    }
    if let Some((place, text)) = &given.ciphers_1_3 {
        let more;
        (ciphers, more) = ciphers.with_openssl_1_3(text);
        if ciphers.is_empty_for_1_3() {
            let found = format_args!("`ciphers_tls1.3 {text}`, of which gaugeline has none");
            return Err(place.error(found, "names such as TLS_AES_256_GCM_SHA384"));
        }
        unknown.extend(more);
        last = last.or(Some(place));
    }
    if let Some(place) = last.filter(|_| !unknown.is_empty()) {
        reader.warn(
            place,
            format!("these ciphers are left out, gaugeline has not got them: {}", unknown.join(" ")),
        );
    }
    Ok(ciphers)
}

fn directory((place, path): &(Place, PathBuf)) -> Result<PathBuf, ConfigError> {
    if path.is_dir() {
        return Ok(path.clone());
    }
    Err(place.error(format_args!("`{}`", path.display()), "a directory that can be read"))
}
