//! How long the certificates, authorities and revocation lists that are in use are still valid.

use parking_lot::Mutex;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// The labels of one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CertificateLabels {
    file: String,
    what: String,
}

/// A gauge for each file that is in use: there are as many as the configuration names.
#[derive(Debug, Default)]
pub struct CertificateExpiry {
    family: Family<CertificateLabels, Gauge>,
    shown: Mutex<Vec<CertificateLabels>>,
}

impl CertificateExpiry {
    /// None yet, where Prometheus reads them.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let expiry = Self::default();
        let help = "Seconds until a certificate, an authority or a revocation list ends; negative afterwards";
        registry.register("certificate_expiry_seconds", help, expiry.family.clone());
        expiry
    }

    /// These files are in use: the file, what in it ends, and the seconds until then, negative afterwards. Others are not
    /// shown any more.
    pub(crate) fn set(&self, files: impl Iterator<Item = (String, &'static str, i64)>) {
        let mut shown = Vec::new();
        for (file, what, left_seconds) in files {
            let labels = CertificateLabels { file, what: what.to_owned() };
            self.family.get_or_create(&labels).set(left_seconds);
            shown.push(labels);
        }
        let before = std::mem::replace(&mut *self.shown.lock(), shown.clone());
        for labels in before.iter().filter(|labels| !shown.contains(labels)) {
            self.family.remove(labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn only_files_in_use_are_shown() {
        let mut registry = Registry::default();
        let expiry = CertificateExpiry::register(&mut registry);
        let text = || {
            let mut text = String::new();
            encode(&mut text, &registry).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        expiry.set([("a".to_owned(), "certificate", 5), ("b".to_owned(), "authority", -1)].into_iter());
        assert_eq!(text().len(), 2);
        expiry.set([("a".to_owned(), "certificate", 4)].into_iter());
        assert_eq!(text(), ["certificate_expiry_seconds{file=\"a\",what=\"certificate\"} 4"]);
    }
}
