//! Files of line protocol: what the bridge does without a server.
//!
//! Every line is a point or a comment, so that any reader of line protocol takes the files as they are. `influx -import`
//! does too: it finds the database in a comment. Creating that database is left to whoever imports, because the
//! statement for it would not be line protocol; the first comment says how.

use std::{io, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::verdict::{Transient, Verdict};
use crate::{
    clock,
    config::FileSinkConfig,
    rotating_file::{RotatingFile, Settings},
};

/// Appends batches; one is written only when it is on the disk.
#[derive(Debug)]
pub(crate) struct FileSink {
    /// Held while appending, by a blocking thread.
    file: Arc<Mutex<RotatingFile>>,
}

impl FileSink {
    /// Opens the file, after a crash too.
    pub(crate) fn open(config: &FileSinkConfig) -> io::Result<Self> {
        let settings = Settings {
            directory: config.directory.clone(),
            prefix: "telemetry",
            extension: "lp",
            header: header(&config.database).into_bytes(),
            file_bytes: config.file_bytes,
            total_bytes: None,
        };
        Ok(Self { file: Arc::new(Mutex::new(RotatingFile::open(settings, clock::unix_nanoseconds())?)) })
    }

    /// A full disk passes like any other failure here: someone makes room.
    pub(crate) async fn write(&self, lines: Bytes) -> Verdict {
        let file = Arc::clone(&self.file);
        let now = clock::unix_nanoseconds();
        let appended = tokio::task::spawn_blocking(move || file.lock().append(&lines, now)).await;
        match appended.map_err(io::Error::other).and_then(|appended| appended) {
            Ok(_) => Verdict::Written,
            Err(error) => Verdict::Transient(Transient {
                detail: format!("cannot be written: {error}"),
                retry_after: None,
                suspicious: false,
            }),
        }
    }
}

fn header(database: &str) -> String {
    format!(
        "# influx -execute 'CREATE DATABASE \"{database}\"'; influx -import -precision ns -path THIS_FILE\n\
         # DML\n\
         # CONTEXT-DATABASE: {database}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn batches_follow_the_header() {
        let directory = tempfile::tempdir().unwrap();
        let config = FileSinkConfig {
            directory: directory.path().to_owned(),
            database: "telemetry".into(),
            file_bytes: 1 << 20,
        };
        let sink = FileSink::open(&config).unwrap();
        assert_eq!(sink.write(Bytes::from_static(b"m v=1 1\n")).await, Verdict::Written);
        assert_eq!(sink.write(Bytes::from_static(b"m v=2 2\n")).await, Verdict::Written);
        let text = std::fs::read_to_string(directory.path().join("telemetry.lp")).unwrap();
        assert!(text.contains("\n# CONTEXT-DATABASE: telemetry\n"), "{text}");
        assert_eq!(text, header("telemetry") + "m v=1 1\nm v=2 2\n");
        let lines = influxdb_line_protocol::parse_lines(&text).collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(lines.len(), 2, "all else is comments");
    }

    #[tokio::test]
    async fn a_write_that_fails_can_be_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let config =
            FileSinkConfig { directory: data.clone(), database: "telemetry".into(), file_bytes: 65_536 };
        let sink = FileSink::open(&config).unwrap();
        assert_eq!(sink.write(Bytes::from(vec![b'\n'; 65_536])).await, Verdict::Written);
        // The next batch needs a new file, and the directory is gone.
        let away = directory.path().join("away");
        std::fs::rename(&data, &away).unwrap();
        let failed = sink.write(Bytes::from_static(b"m v=1 1\n")).await;
        assert!(matches!(failed, Verdict::Transient(_)), "{failed:?}");
        std::fs::rename(&away, &data).unwrap();
        assert_eq!(sink.write(Bytes::from_static(b"m v=1 1\n")).await, Verdict::Written);
        let text = std::fs::read_to_string(data.join("telemetry.lp")).unwrap();
        assert!(text.ends_with("telemetry\nm v=1 1\n"), "{text:.200}");
    }
}
