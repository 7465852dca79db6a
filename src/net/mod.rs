//! Sockets and batches. The only `unsafe`. Knows no STUN.
