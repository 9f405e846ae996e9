//! `include_dir`: which files of a directory are read, and in which order.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The files whose names end in `.conf` and are longer than that, in mosquitto's order: letter by letter with lower case
/// behind the same letter in upper case.
pub(super) fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.len() > ".conf".len() && bytes.ends_with(b".conf") {
            names.push(name);
        }
    }
    names.sort_by_cached_key(|name| {
        let letters = name.as_encoded_bytes().iter();
        letters.map(|letter| (letter.to_ascii_uppercase(), *letter)).collect::<Vec<_>>()
    });
    Ok(names.into_iter().map(|name| directory.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_mosquittos() {
        let directory = tempfile::tempdir().unwrap();
        // As a real mosquitto has read them.
        let expected = "-x .h 10 9 A AB Ab a aB ab B b _u ~z".split(' ').map(|name| format!("{name}.conf"));
        let expected = expected.collect::<Vec<_>>();
        for name in expected.iter().map(String::as_str).chain(["a.CONF", ".conf", "a.conf~", "conf"]) {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let found = files(directory.path()).unwrap();
        let found = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert!(files(&directory.path().join("none")).is_err());
    }
}
