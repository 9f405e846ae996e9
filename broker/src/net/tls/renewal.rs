//! What to do about a certificate or a list that ends. Only what `gaugeline init` and `pki` have made can be renewed with
//! `gaugeline pki`; for all other files another authority has to be asked.

use std::path::Path;

/// Where `gaugeline init` puts certificates, and what is always there beside them.
const DIRECTORY: &str = "pki";
const AUTHORITY: &str = "ca.crt";

/// How the server's certificate in this file is renewed.
pub(super) fn of_server(file: &Path) -> &'static str {
    if is_ours(file) { "renew it (`gaugeline pki renew server`)" } else { "renew it where it was issued" }
}

/// How a new key is made together with the server's certificate in this file, in brackets.
pub(super) fn of_both(file: &Path) -> &'static str {
    if is_ours(file) { " (`gaugeline pki renew server` makes both anew)" } else { "" }
}

/// How the revocation list in this file is renewed.
pub(super) fn of_list(file: &Path) -> &'static str {
    if is_ours(file) { "renew it (`gaugeline pki renew crl`)" } else { "get a new one where it was issued" }
}

/// Whether the file is one of those that `gaugeline pki` looks after.
fn is_ours(file: &Path) -> bool {
    file.parent().is_some_and(|directory| {
        directory.file_name().is_some_and(|name| name == DIRECTORY) && directory.join(AUTHORITY).exists()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_init_has_made_is_renewed_with_pki() {
        let directory = tempfile::tempdir().unwrap();
        let (pki, other) = (directory.path().join("pki"), directory.path().join("letsencrypt"));
        std::fs::create_dir(&pki).unwrap();
        assert_eq!(of_server(&pki.join("server.crt")), "renew it where it was issued");
        std::fs::write(pki.join(AUTHORITY), "").unwrap();
        assert_eq!(of_server(&pki.join("server.crt")), "renew it (`gaugeline pki renew server`)");
        assert_eq!(of_list(&pki.join("crl.pem")), "renew it (`gaugeline pki renew crl`)");
        assert_eq!(of_server(&other.join("fullchain.pem")), "renew it where it was issued");
        assert_eq!(of_list(&other.join("crl.pem")), "get a new one where it was issued");
        assert_eq!(of_server(Path::new("server.crt")), "renew it where it was issued");
    }
}
