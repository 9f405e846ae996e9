//! Certificates for a test, and clients that use them.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use gaugeline_broker::config::{ClientCertificate, TlsConfig};
use gaugeline_protocol::{Version, packet::Connect};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Client, Server};

/// A client's certificate and key.
pub(crate) struct ClientIdentity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// Two certificate authorities: ours, below which the server is, and a stranger's.
pub(crate) struct Pki {
    files: TempDir,
    ca: CertificateDer<'static>,
    stranger: CertificateDer<'static>,
    /// Issued by ours.
    pub(crate) client: ClientIdentity,
    /// Issued by the stranger.
    pub(crate) impostor: ClientIdentity,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let (ours, theirs) = (root("ours"), root("theirs"));
        let key = KeyPair::generate().unwrap();
        let server =
            CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &ours).unwrap();
        for (name, text) in
            [("ca.crt", ours.pem()), ("server.crt", server.pem()), ("server.key", key.serialize_pem())]
        {
            fs::write(files.path().join(name), text).unwrap();
        }
        fs::set_permissions(files.path().join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            ca: ours.der().clone(),
            stranger: theirs.der().clone(),
            client: issued(&ours),
            impostor: issued(&theirs),
            files,
        }
    }

    /// What a listener needs.
    pub(crate) fn server(&self, require_certificate: bool) -> TlsConfig {
        TlsConfig {
            ca: Some(self.path("ca.crt")),
            client_certificate: match require_certificate {
                true => ClientCertificate::Required,
                false => ClientCertificate::NotAsked,
            },
            ..TlsConfig::new(self.path("server.crt"), self.path("server.key"))
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The lines of broker.toml for a listener that asks for certificates.
    pub(crate) fn lines(&self) -> String {
        let [certificate, key, ca] = ["server.crt", "server.key", "ca.crt"].map(|name| self.path(name));
        format!("certificate = {certificate:?}\nkey = {key:?}\nca = {ca:?}\nrequire_certificate = true\n")
    }

    /// From now on somebody else is the authority for clients.
    pub(crate) fn replace_authority(&self) {
        fs::write(self.path("ca.crt"), root("another").pem()).unwrap();
    }

    /// A client that trusts our authority.
    pub(crate) fn trusting(
        &self,
        version: &'static SupportedProtocolVersion,
        identity: Option<&ClientIdentity>,
    ) -> Arc<ClientConfig> {
        client(&self.ca, version, identity)
    }

    /// A client that knows only the stranger's authority.
    pub(crate) fn doubting(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        client(&self.stranger, version, None)
    }
}

fn client(
    root: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    identity: Option<&ClientIdentity>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(ClientIdentity { certificate, key }) => {
            let key = PrivateKeyDer::try_from(key.clone()).unwrap();
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    })
}

/// A TLS connection to the server, if the client accepts it; what it says otherwise.
pub(crate) async fn dial(
    server: &Server,
    config: &Arc<ClientConfig>,
    version: Version,
) -> Result<Client, std::io::Error> {
    dial_to(server.address(), config, version).await
}

/// A TLS connection to this address.
pub(crate) async fn dial_to(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    version: Version,
) -> Result<Client, std::io::Error> {
    let socket = TcpStream::connect(address).await?;
    let address = socket.local_addr()?;
    let name = "localhost".try_into().unwrap();
    let stream = super::in_time("TLS", TlsConnector::from(Arc::clone(config)).connect(name, socket)).await?;
    Ok(Client::over(stream, version, address))
}

/// The same, and a session.
pub(crate) async fn dial_and_connect(
    server: &Server,
    config: &Arc<ClientConfig>,
    connect: &Connect,
) -> Client {
    let mut client = dial(server, config, connect.version).await.unwrap();
    client.send(connect.clone()).await;
    assert!(!client.expect_connack().await.reason.is_error());
    client
}

fn root(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(issuer: &CertifiedIssuer<'static, KeyPair>) -> ClientIdentity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".into()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap().der().clone();
    ClientIdentity { certificate, key: key.serialize_der() }
}
