//! The keys of a listener about TLS and about who its clients are.

use toml::Spanned;

use super::{RawListener, Source, listener::RawProtocol};
use crate::config::{
    Application, Ciphers, ClientCertificate, ClientIdRule, ConfigError, IdentitySource, ListenerConfig,
    ReadableKey, TlsConfig, TlsVersions,
};

/// How the listener encrypts; `None`: not at all.
pub(super) fn build_tls(source: &Source<'_>, raw: &RawListener) -> Result<Option<TlsConfig>, ConfigError> {
    let (certificate, key) = match (&raw.certificate, &raw.key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(certificate), None) => {
            return Err(source.error(certificate, "a `certificate` without a `key`", "both"));
        }
        (None, Some(key)) => return Err(source.error(key, "a `key` without a `certificate`", "both")),
        (None, None) => return no_tls(source, raw),
    };
    let tls = TlsConfig {
        ca: source.optional_file(raw.ca.as_ref())?,
        ca_directory: raw.ca_directory.as_ref().map(|path| source.directory(path)).transpose()?,
        crl: source.optional_file(raw.crl.as_ref())?,
        client_certificate: client_certificate(source, raw)?,
        versions: raw
            .tls_versions
            .as_ref()
            .map_or_else(|| Ok(TlsVersions::default()), |list| parse_versions(source, list))?,
        ciphers: parse_ciphers(source, raw.ciphers.as_deref().unwrap_or_default())?,
        readable_key: if is_set(&raw.allow_readable_key) {
            ReadableKey::Warned
        } else {
            ReadableKey::Refused
        },
        application: match raw.protocol {
            RawProtocol::Mqtt => Application::Mqtt,
            RawProtocol::WebSocket => Application::WebSocket,
        },
        ..TlsConfig::new(source.file(certificate)?, source.file(key)?)
    };
    Ok(Some(tls))
}

/// Who the listener's clients are.
pub(super) fn build_identity(
    source: &Source<'_>,
    raw: &RawListener,
    listener: &mut ListenerConfig,
) -> Result<(), ConfigError> {
    if let Some(word) = &raw.identity {
        listener.identity = match word.get_ref().as_str() {
            "password" => IdentitySource::Password,
            "common-name" => IdentitySource::CommonName,
            "subject" => IdentitySource::Subject,
            other => {
                let expected = "\"password\", \"common-name\" or \"subject\"";
                return Err(source.error(word, format_args!("\"{other}\""), expected));
            }
        };
        let asks = listener.tls.as_ref().map(|tls| tls.client_certificate != ClientCertificate::NotAsked);
        if listener.identity != IdentitySource::Password && asks != Some(true) {
            let found = format_args!("`identity = \"{}\"` without client certificates", word.get_ref());
            return Err(source.error(
                word,
                found,
                "`require_certificate = true` or `request_certificate = true`",
            ));
        }
    }
    if let Some(rule) = &raw.client_id_must_be {
        listener.client_id_rule = ClientIdRule::parse(rule.get_ref()).ok_or_else(|| {
            let expected =
                "\"%u\" for the user name, \"%u:*\" for what begins with it and a separator, or \"*\"";
            source.error(rule, format_args!("\"{}\"", rule.get_ref()), expected)
        })?;
    }
    Ok(())
}

fn is_set(flag: &Option<Spanned<bool>>) -> bool {
    flag.as_ref().is_some_and(|flag| *flag.get_ref())
}

fn client_certificate(source: &Source<'_>, raw: &RawListener) -> Result<ClientCertificate, ConfigError> {
    let (answer, key, name) = match (&raw.require_certificate, &raw.request_certificate) {
        (Some(key), _) if *key.get_ref() => (ClientCertificate::Required, key, "require_certificate"),
        (_, Some(key)) if *key.get_ref() => (ClientCertificate::Optional, key, "request_certificate"),
        _ => return Ok(ClientCertificate::NotAsked),
    };
    if raw.ca.is_none() && raw.ca_directory.is_none() {
        let expected = "`ca` or `ca_directory`, the roots that client certificates must lead to";
        return Err(source.error(key, format_args!("`{name} = true` without `ca`"), expected));
    }
    Ok(answer)
}

/// Refuses what only makes sense with TLS: someone who wrote it believes that the listener is encrypted.
fn no_tls(source: &Source<'_>, raw: &RawListener) -> Result<Option<TlsConfig>, ConfigError> {
    let expected = "`certificate` and `key` beside it";
    for (name, path) in [("ca", &raw.ca), ("ca_directory", &raw.ca_directory), ("crl", &raw.crl)] {
        if let Some(path) = path {
            return Err(source.error(path, format_args!("`{name}` without TLS"), expected));
        }
    }
    for (name, flag) in
        [("require_certificate", &raw.require_certificate), ("request_certificate", &raw.request_certificate)]
    {
        if let Some(flag) = flag.as_ref().filter(|flag| *flag.get_ref()) {
            return Err(source.error(flag, format_args!("`{name}` without TLS"), expected));
        }
    }
    if let Some(versions) = &raw.tls_versions {
        return Err(source.error(versions, "`tls_versions` without TLS", expected));
    }
    if let Some(cipher) = raw.ciphers.as_ref().and_then(|ciphers| ciphers.first()) {
        return Err(source.error(cipher, "`ciphers` without TLS", expected));
    }
    Ok(None)
}

fn parse_versions(
    source: &Source<'_>,
    list: &Spanned<Vec<Spanned<String>>>,
) -> Result<TlsVersions, ConfigError> {
    let expected = "\"1.2\" or \"1.3\"";
    let mut versions = TlsVersions { v1_2: false, v1_3: false };
    for version in list.get_ref() {
        match version.get_ref().as_str() {
            "1.2" => versions.v1_2 = true,
            "1.3" => versions.v1_3 = true,
            other => return Err(source.error(version, format_args!("\"{other}\""), expected)),
        }
    }
    if list.get_ref().is_empty() {
        return Err(source.error(list, "no TLS version", expected));
    }
    Ok(versions)
}

fn parse_ciphers(source: &Source<'_>, names: &[Spanned<String>]) -> Result<Ciphers, ConfigError> {
    for name in names {
        if !Ciphers::names().any(|known| known.eq_ignore_ascii_case(name.get_ref())) {
            let expected = Ciphers::names().collect::<Vec<_>>().join(", ");
            return Err(source.error(name, format_args!("\"{}\"", name.get_ref()), expected));
        }
    }
    let known = Ciphers::from_names(names.iter().map(|name| name.get_ref().as_str()));
    // Every name was looked at before.
    Ok(known.unwrap_or_default())
}
