//! `gaugeline init`: what a new directory has, and that nothing in an old one is touched.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use gaugeline_tests::{gaugeline::gaugeline, home::Home};

const FILES: [(&str, u32); 13] = [
    ("broker.toml", 0o644),
    ("bridge.toml", 0o644),
    ("passwd", 0o600),
    ("acl", 0o644),
    ("pki/ca.crt", 0o644),
    ("pki/ca.key", 0o600),
    ("pki/crl.pem", 0o644),
    ("pki/server.crt", 0o644),
    ("pki/server.key", 0o600),
    ("secrets/admin", 0o600),
    ("secrets/bridge", 0o600),
    ("secrets/sensor", 0o600),
    ("secrets/viewer", 0o600),
];

/// Everything below a directory: permissions, the file's identity, and content.
fn inventory(directory: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(inventory(&path));
        } else {
            let metadata = fs::metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            found.insert(path.clone(), (mode, metadata.ino(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[test]
fn a_new_directory_has_everything_and_secrets_are_private() {
    let home = Home::empty();
    gaugeline(&["init", &home.argument("")]).successful();
    let found = inventory(&home.path(""));
    assert_eq!(found.len(), FILES.len(), "{:?}", found.keys());
    for (name, mode) in FILES {
        let (found, _, content) = &found[&home.path(name)];
        // Public files may be more private than that.
        assert_eq!(found & !mode, 0, "{name} has mode {found:o}");
        assert!(found & 0o600 == 0o600 && !content.is_empty(), "{name} has mode {found:o}");
    }
    let secrets = ["bridge", "sensor", "viewer"].map(|user| home.secret(user));
    for secret in &secrets {
        assert!(secret.len() >= 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
        assert!(!home.read("passwd").contains(secret.as_str()), "passwd has hashes only");
    }
    assert!(secrets[0] != secrets[1] && secrets[1] != secrets[2] && secrets[0] != secrets[2]);
    for file in ["broker.toml", "bridge.toml"] {
        gaugeline(&["check", "-c", &home.argument(file)]).successful();
    }
}

#[test]
fn again_changes_nothing() {
    let home = Home::empty();
    gaugeline(&["init", &home.argument("")]).successful();
    home.append("acl", "user somebody\ntopic read a/b\n");
    let before = inventory(&home.path(""));
    gaugeline(&["init", &home.argument("")]).successful();
    gaugeline(&["init", &home.argument(""), "--name", "mqtt.example.org"]).successful();
    assert_eq!(inventory(&home.path("")), before);
    // What is missing is made again, and works with what is there.
    fs::remove_file(home.path("acl")).unwrap();
    gaugeline(&["init", &home.argument("")]).successful();
    let after = inventory(&home.path(""));
    let changed = after.iter().filter(|(path, content)| before[*path] != **content);
    assert_eq!(changed.map(|(path, _)| path.clone()).collect::<Vec<_>>(), [home.path("acl")]);
}

#[test]
fn two_directories_share_no_secret() {
    let (one, other) = (Home::new(), Home::new());
    for name in ["pki/ca.crt", "pki/server.key", "secrets/sensor", "passwd"] {
        assert_ne!(one.read(name), other.read(name), "{name}");
    }
}
