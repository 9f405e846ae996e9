//! The TLS side of a listener: from PEM files to a rustls configuration that can be replaced while it is in use.
//!
//! [`prepare`] reads and checks everything; [`LiveTls::install`] makes it what the next handshake uses. Connections that
//! are there stay. Nothing here watches files or decides when to reload.
//!
//! Session tickets are stateless and on for both versions: a reconnecting client skips the expensive half of the
//! handshake, and the broker keeps nothing for it. Their keys live in the configuration: installing other files ends
//! the resumption of sessions from before, so that nobody comes back past a new list of revoked certificates.

mod authorities;
mod certificate_file;
mod chains;
mod ciphers;
mod client_trust;
mod config;
mod expiry;
mod facts;
mod hint;
mod live;
mod pem_file;
mod prepare;
mod renewal;
mod revocation;

pub use self::{
    ciphers::Ciphers,
    config::{Application, ClientCertificate, ReadableKey, TlsConfig, TlsVersions},
    live::{Handshake, LiveTls, PeerCertificate},
    prepare::{Prepared, Validity, prepare},
};
pub(crate) use self::{expiry::ExpiryWatch, hint::hint};

#[cfg(test)]
mod tests;
