//! Keys about TLS. All need a listener above them: mosquitto makes another one on port 1883 for some, and leaves the one
//! that was meant without encryption.

use std::path::PathBuf;

use super::{Entry, Key, Reader, Shape};
use crate::config::{
    ConfigError,
    mosquitto::{entry::Place, reader::TlsDraft},
};

const ENGINE: &str = "a keyfile with the key itself: gaugeline does not load OpenSSL's engines";

pub(super) const KEYS: &[Key] = &[
    Key::set("certfile", "PEM, the server's certificate first", |reader, entry| {
        file(reader, entry, |tls| &mut tls.certfile)
    }),
    Key::set("keyfile", "PEM, not encrypted", |reader, entry| file(reader, entry, |tls| &mut tls.keyfile)),
    Key::set(
        "cafile",
        "certificates that are no authority (CA:TRUE, or self-signed of version 1) do not count",
        |reader, entry| file(reader, entry, |tls| &mut tls.cafile),
    ),
    Key::set(
        "capath",
        "names as `openssl rehash` makes them (`1234abcd.0`); certificates that are no authority do not count",
        |reader, entry| file(reader, entry, |tls| &mut tls.capath),
    ),
    Key::set("crlfile", "", |reader, entry| file(reader, entry, |tls| &mut tls.crlfile)),
    Key::set("require_certificate", "", |reader, entry| {
        flag(reader, entry, |tls| &mut tls.require_certificate)
    }),
    Key::set(
        "use_identity_as_username",
        "password_file and use of CONNECT's user name end for this listener, as by mosquitto",
        |reader, entry| flag(reader, entry, |tls| &mut tls.identity),
    ),
    Key::set("use_subject_as_username", "as above, with the subject [RFC 2253]", |reader, entry| {
        flag(reader, entry, |tls| &mut tls.subject)
    }),
    Key::set(
        "tls_version",
        "the least version, `tlsv1.2` or `tlsv1.3`; `tlsv1.1` is taken for 1.2",
        |reader, entry| {
            text(reader, entry, |tls| &mut tls.version)?;
            reader.once(entry, true)
        },
    ),
    Key::set(
        "ciphers",
        "narrows down the suites of TLS 1.2 with forward secrecy and AEAD, in this order",
        |reader, entry| text(reader, entry, |tls| &mut tls.ciphers),
    ),
    Key::set("ciphers_tls1.3", "", |reader, entry| text(reader, entry, |tls| &mut tls.ciphers_1_3)),
    Key::ignore("dhparamfile", Shape::Anything, "key exchange is on elliptic curves, as by mosquitto 2.1"),
    Key::ignore(
        "disable_client_cert_date_checks",
        Shape::OfListener(|reader, entry| {
            reader.listener(entry)?;
            entry.flag().map(drop)
        }),
        "a client certificate is only taken while it is valid; issue new ones with `gaugeline pki`",
    ),
    Key::refuse("tls_engine", ENGINE),
    Key::refuse("tls_engine_kpass_sha1", ENGINE),
    Key::set("tls_keyform", "`pem`; `engine` is refused", |reader, entry| {
        reader.listener(entry)?;
        match entry.text()? {
            "engine" => Err(entry.wrong("engine", ENGINE)),
            _ => Ok(()),
        }
    }),
];

fn file(
    reader: &mut Reader,
    entry: &Entry,
    field: fn(&mut TlsDraft) -> &mut Option<(Place, PathBuf)>,
) -> Result<(), ConfigError> {
    let path = entry.path()?;
    *field(&mut reader.listener(entry)?.tls) = Some((entry.place.clone(), path));
    Ok(())
}

fn text(
    reader: &mut Reader,
    entry: &Entry,
    field: fn(&mut TlsDraft) -> &mut Option<(Place, String)>,
) -> Result<(), ConfigError> {
    let text = entry.text()?.to_owned();
    *field(&mut reader.listener(entry)?.tls) = Some((entry.place.clone(), text));
    Ok(())
}

fn flag(
    reader: &mut Reader,
    entry: &Entry,
    field: fn(&mut TlsDraft) -> &mut Option<(Place, bool)>,
) -> Result<(), ConfigError> {
    let flag = entry.flag()?;
    *field(&mut reader.listener(entry)?.tls) = Some((entry.place.clone(), flag));
    Ok(())
}
