//! `gaugeline passwd` does to a file what `mosquitto_passwd` does to it, but for what destroys files.

use std::{fs, process::Command};

use gaugeline_tests::{
    gaugeline,
    process::{Ended, run},
    reference::{Reference, Version, references},
};

/// Written by mosquitto_passwd 2.0 for the password `correct horse`.
const HASH: &str = "$7$101$AbYZGA+Ej19dH8Mc$aELzQqgx/9bzT3Yz5muTMSh98B4av5j40hd7iHm63X139n7kbCGhpd/Ro8TUpMFejYJrCKkdBGAvTPxsZpXZCA==";

/// Both programs on a file of the same content: how they end, and what is in the file then, of salts and hashes the length.
fn both(reference: &Reference, content: Option<&str>, arguments: &[&str]) -> [(bool, Option<String>); 2] {
    let program = reference.program("mosquitto_passwd");
    let (compatibility, iterations) = match reference.version {
        Version::V2_0 => ("2.0", "101"),
        Version::V2_1 => ("2.1", "1000"),
    };
    let play = |run: &dyn Fn(&[String]) -> Ended| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("passwd");
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let file = file.to_str().unwrap();
        let arguments = arguments.iter().map(|argument| argument.replace("FILE", file)).collect::<Vec<_>>();
        let ended = run(&arguments);
        (ended.code == Some(0), fs::read_to_string(file).ok().map(|text| anonymous(&text)))
    };
    let theirs = play(&|arguments| run("mosquitto_passwd", Command::new(&program).args(arguments)));
    let ours = play(&|arguments| {
        let mut command = gaugeline::command();
        command.args(["passwd", "--compat", compatibility]);
        // As many iterations as mosquitto takes, unless the case says otherwise.
        command.args(["-I", iterations].iter().filter(|_| !arguments.contains(&"-I".to_owned())));
        run("gaugeline passwd", command.args(arguments))
    });
    [ours, theirs]
}

/// The file with the lengths of salts and hashes instead.
fn anonymous(text: &str) -> String {
    text.split('\n')
        .map(|line| {
            let mut fields = line.split('$').map(str::to_owned).collect::<Vec<_>>();
            let count = fields.len();
            if let [.., salt, hash] = fields.as_mut_slice()
                && count > 3
                && line != format!("alice:{HASH}")
                && line != format!("bob:{HASH}")
            {
                (*salt, *hash) = (salt.len().to_string(), hash.len().to_string());
            }
            fields.join("$")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn files_change_as_mosquitto_passwd_changes_them() {
    let (alice, bob) = (format!("alice:{HASH}\n"), format!("bob:{HASH}\n"));
    let two = format!("{alice}{bob}");
    let cases: &[(Option<&str>, &[&str])] = &[
        (None, &["-c", "-b", "FILE", "alice", "pw"]),
        (None, &["-c", "-b", "-H", "sha512", "FILE", "alice", "pw"]),
        (None, &["-c", "-b", "-I", "500", "FILE", "alice", "pw"]),
        (None, &["-b", "FILE", "alice", "pw"]),
        (None, &["-D", "FILE", "alice"]),
        (None, &["-U", "FILE"]),
        (Some(""), &["-b", "FILE", "alice", "pw"]),
        (Some(&two), &["-b", "FILE", "carol", "pw"]),
        (Some(&two), &["-b", "FILE", "alice", "pw"]),
        (Some(&two), &["-b", "FILE", "bob", "pw"]),
        (Some(&two), &["-b", "FILE", "al", "pw"]),
        (Some(&two), &["-b", "FILE", "a b", "p w"]),
        (Some(&two), &["-D", "FILE", "alice"]),
        (Some(&two), &["-D", "FILE", "bob"]),
        (Some(&two), &["-D", "FILE", "carol"]),
        (Some(&two), &["-D", "FILE", "Alice"]),
        (Some("alice:one\nbob:two words\n"), &["-U", "FILE"]),
        (Some("alice:one\nbob:two"), &["-U", "FILE"]),
        (Some("alice:one\nbob:two\n"), &["-U", "-H", "sha512", "FILE"]),
        (Some(&two), &["-b", "FILE", "a:b", "pw"]),
        (Some(&two), &["-b", "FILE", "a\tb", "pw"]),
        (Some(&two), &["-b", "FILE", "alice"]),
        (Some(&two), &["-b", "FILE"]),
        (Some(&two), &["-c", "-D", "FILE", "alice"]),
        (Some(&two), &["-c", "-U", "FILE"]),
        (Some(&two), &["-b", "-D", "FILE", "alice"]),
        (Some(&two), &["-D", "-U", "FILE"]),
        (Some(&two), &["-H", "md5", "-b", "FILE", "alice", "pw"]),
        (Some(&two), &["-I", "0", "-b", "FILE", "alice", "pw"]),
        (Some(&two), &["-x", "FILE", "alice"]),
        (Some(&two), &[]),
    ];
    for reference in references() {
        for (content, arguments) in cases {
            let [ours, theirs] = both(reference, *content, arguments);
            assert_eq!(ours, theirs, "{arguments:?}, here and at {reference:?}, on\n{content:?}");
        }
    }
}

/// The places where it is not to be followed, each of them in config/MOSQUITTO.md.
#[test]
fn what_destroys_a_file_is_not_copied() {
    references().iter().for_each(nothing_is_destroyed);
}

fn nothing_is_destroyed(reference: &Reference) {
    let (alice, bob) = (format!("alice:{HASH}\n"), format!("bob:{HASH}\n"));
    let with_comment = format!("{alice}# a comment\n{bob}");
    let [ours, theirs] = both(reference, Some(&with_comment), &["-b", "FILE", "carol", "pw"]);
    let added = match reference.version {
        Version::V2_0 => "carol:$7$101$16$88\n",
        Version::V2_1 => "carol:$7$1000$88$88\n",
    };
    assert_eq!(ours, (true, Some(format!("{with_comment}{added}"))), "nothing is lost");
    assert_ne!(ours, theirs, "mosquitto_passwd loses bob: the difference is one still");

    let [ours, theirs] = both(reference, Some(alice.trim_end()), &["-b", "FILE", "carol", "pw"]);
    assert_eq!(ours, (true, Some(format!("{alice}{added}"))), "the last line gets its end");
    assert_ne!(ours, theirs);

    let [ours, theirs] = both(reference, Some(&alice), &["-U", "FILE"]);
    assert_eq!(ours, (true, Some(alice.clone())), "a hash is not hashed again");
    assert_ne!(ours, theirs);

    let [ours, theirs] = both(reference, Some(&alice), &["-c", "-b", "FILE", "carol", "pw"]);
    assert_eq!(ours, (false, Some(alice)), "a file that exists is not created");
    assert_eq!(ours == theirs, reference.version == Version::V2_1, "2.1 does not overwrite it either");

    for user in ["", " a", "#a"] {
        let [ours, theirs] = both(reference, Some(&bob), &["-b", "FILE", user, "pw"]);
        assert_eq!((ours.0, theirs.0), (false, true), "`{user}` could never log in");
    }
}
