//! What the kernel keeps for connections, from what it tells about its own memory.

use std::collections::BTreeMap;
use std::fs;

/// Caches of which the client's end of a connection takes one object. On the loopback interface both ends are in one
/// kernel, which does not tell them apart. What is left is the daemon's, and a little more: what the kernel notes of
/// the port that it chose for a client lies in a cache with objects of other kinds.
const CLIENTS_END: [&str; 6] = [
    "TCP",
    "sock_inode_cache",
    "dentry",
    "filp",
    "lsm_inode_cache",
    "lsm_file_cache",
];

/// A reading.
pub(crate) struct Kernel {
    /// Objects in use and bytes of one, by cache; `None` where only root may know.
    slabs: Option<BTreeMap<String, Slab>>,
    /// Bytes of data that wait in TCP and UDP sockets.
    queued: f64,
}

#[derive(Clone, Copy)]
struct Slab {
    objects: f64,
    bytes: f64,
}

impl Kernel {
    pub(crate) fn read() -> Self {
        let slabs = fs::read_to_string("/proc/slabinfo").ok();
        let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        Self {
            slabs: slabs.map(|text| text.lines().filter_map(slab).collect()),
            queued: sockets.lines().filter_map(queued).sum(),
        }
    }

    /// Bytes for the daemon's end of each of the `connections` that were opened since `before`, at most, and what they
    /// consist of.
    pub(crate) fn since(&self, before: &Self, connections: f64) -> Option<(f64, String)> {
        let (slabs, earlier) = (self.slabs.as_ref()?, before.slabs.as_ref()?);
        let mut bytes = (self.queued - before.queued).max(0.0) / connections;
        let mut parts = Vec::new();
        for (name, slab) in slabs {
            let earlier = earlier.get(name).map_or(0.0, |slab| slab.objects);
            // Whole objects: other processes come and go as well.
            let each = ((slab.objects - earlier) / connections).round();
            let ours = each - f64::from(CLIENTS_END.contains(&name.as_str()));
            if ours > 0.0 {
                bytes += ours * slab.bytes;
                parts.push(format!("{ours} {name} of {}", slab.bytes));
            }
        }
        Some((bytes, parts.join(", ")))
    }
}

/// A line of `/proc/slabinfo`: name, objects in use, objects, bytes of one.
fn slab(line: &str) -> Option<(String, Slab)> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?.to_owned();
    let objects = words.next()?.parse().ok()?;
    let bytes = words.nth(1)?.parse().ok()?;
    Some((name, Slab { objects, bytes }))
}

/// The pages of a line of `/proc/net/sockstat`, in bytes.
fn queued(line: &str) -> Option<f64> {
    let (_, pages) = line.split_once(" mem ")?;
    let pages: f64 = pages.trim().parse().ok()?;
    Some(pages * 4096.0)
}
