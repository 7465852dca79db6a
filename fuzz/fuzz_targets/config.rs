//! Any text as a configuration: reading it never panics, and what it refuses it explains.

#![no_main]

use libfuzzer_sys::fuzz_target;
use veilturn::config::{NoFiles, Source, TextFile, parse};
use veilturn::time::UnixTime;

fuzz_target!(|text: &str| {
    let source = Source {
        name: "f".to_owned(),
        file: TextFile {
            text: text.to_owned().into(),
            open_to_all: true,
        },
        variables: Vec::new(),
        files: &NoFiles,
        now: UnixTime::from_secs(1_800_000_000),
    };
    match parse(source) {
        Ok(loaded) => assert!(!loaded.report.has_errors()),
        Err(report) => {
            assert!(report.has_errors());
            assert!(!report.to_string().is_empty());
        }
    }
});
