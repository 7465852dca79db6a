//! The files that a configuration names, and how strong the secrets in them are.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::problem::{Cause, FileFault};

/// Where the files live that a configuration names.
pub trait Files {
    /// Reads a small text file.
    ///
    /// # Errors
    ///
    /// Why it cannot be taken in.
    fn read(&self, path: &Path) -> Result<TextFile, FileFault>;

    /// The path by which the process finds the file that the configuration calls `path`.
    fn locate(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }
}

/// A file that was read.
pub struct TextFile {
    /// All of it.
    pub text: Zeroizing<String>,
    /// Whether every user of the machine can read it.
    pub open_to_all: bool,
}

/// The file system; relative paths start at the folder of the configuration file.
#[derive(Debug)]
pub struct Disk {
    /// That folder.
    pub base: PathBuf,
}

impl Disk {
    /// Larger files are no configuration and no secret.
    const MAX_BYTES: u64 = 1 << 20;
}

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<TextFile, FileFault> {
        const OTHERS_READ: u32 = 0o004;
        let file = File::open(self.base.join(path))?;
        let open_to_all = file.metadata()?.mode() & OTHERS_READ != 0;
        let mut bytes = Zeroizing::new(Vec::new());
        let mut limited = file.take(Self::MAX_BYTES + 1);
        limited.read_to_end(&mut bytes)?;
        if limited.limit() == 0 {
            return Err(FileFault::TooLarge(Self::MAX_BYTES));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| FileFault::NotText)?;
        Ok(TextFile {
            text: Zeroizing::new(text.to_owned()),
            open_to_all,
        })
    }

    fn locate(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

/// No files at all: every read fails.
#[derive(Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> Result<TextFile, FileFault> {
        Err(FileFault::Missing)
    }
}

/// The secret in the file at `path`, without the line ends that editors and `echo` put there, and what is to be said
/// about the file.
pub(super) fn read_file(files: &dyn Files, path: &Path) -> (Option<Zeroizing<String>>, Vec<Cause>) {
    let path = || path.to_owned();
    match files.read(&path()) {
        Err(fault) => {
            let path = path();
            (None, vec![Cause::FileUnreadable { path, fault }])
        }
        Ok(file) => {
            let secret = file.text.trim_end_matches(['\r', '\n']).to_owned();
            let path = path();
            let warning = file.open_to_all.then_some(Cause::SecretFileOpen { path });
            (Some(Zeroizing::new(secret)), warning.into_iter().collect())
        }
    }
}

/// The weakness of a shared secret, if any.
pub(super) fn shared_secret_weakness(secret: &str) -> Option<Cause> {
    /// 128 bits, if they are random.
    const LEAST_BYTES: usize = 16;
    let bytes = secret.len();
    if is_placeholder(secret) {
        return Some(Cause::Placeholder);
    }
    (bytes < LEAST_BYTES).then_some(Cause::SecretShort {
        bytes,
        least: LEAST_BYTES,
    })
}

/// The weakness of a static user's password, if any.
pub(super) fn password_weakness(password: &str) -> Option<Cause> {
    const ENOUGH_BYTES: usize = 16;
    let bytes = password.len();
    if bytes == 0 || is_placeholder(password) {
        return Some(Cause::Placeholder);
    }
    (bytes < ENOUGH_BYTES).then_some(Cause::PasswordShort {
        bytes,
        enough: ENOUGH_BYTES,
    })
}

/// Whether it is one of the values that manuals and examples print, this project's example included.
fn is_placeholder(secret: &str) -> bool {
    const PARTS: [&str; 9] = [
        "changeme",
        "replaceme",
        "yoursecret",
        "yourpassword",
        "mysecret",
        "placeholder",
        "example",
        "topsecret",
        "authsecret",
    ];
    const WHOLE: [&str; 8] = [
        "secret", "password", "passwd", "test", "turn", "north", "logen", "admin",
    ];
    let letters: String = secret
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let mut characters = secret.chars();
    let first = characters.next();
    let repeated = first.is_some() && characters.all(|c| Some(c) == first);
    repeated || WHOLE.contains(&letters.as_str()) || PARTS.iter().any(|part| letters.contains(part))
}
