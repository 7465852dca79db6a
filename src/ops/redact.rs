//! What a log may show of an address or a user, by `privacy.log_addresses`.
//!
//! Addresses travel through the daemon as [`Masked`] values, which print nothing. A [`Redactor`] is the one way from
//! there to a log: it hands out [`Redacted`] values, whose only content is what may be shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ring::hmac;

use crate::masked::Masked;
use crate::relay::UserTag;
use crate::time::Tick;

/// What a log may show of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogAddresses {
    /// Nothing.
    None,
    /// A keyed hash: one address can be followed through a day of one process, and be turned back by nobody.
    Pseudonym,
    /// The network: the first 24 bits of an IPv4 address, 48 of an IPv6 address, no port.
    Truncated,
    /// Address and port.
    Full,
}

/// Decides what is shown of an address.
///
/// A pseudonym is a keyed hash. The key is made anew each day from the one before, in a way that cannot be gone back:
/// whoever reads the memory can link the pseudonyms of that day, never those of the days before. Clones (one a worker)
/// give equal pseudonyms to equal addresses on the same day.
#[derive(Clone)]
pub struct Redactor {
    mode: LogAddresses,
    key: hmac::Key,
    /// The day that `key` is for, counted from the origin of the monotonic clock.
    day: u64,
}

/// What may be shown of an address or a user.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Redacted(Shown);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Shown {
    Nothing,
    Pseudonym(u64),
    Network4(Ipv4Addr),
    Network6(Ipv6Addr),
    Ip(IpAddr),
    Socket(SocketAddr),
}

impl Redactor {
    /// A redactor whose pseudonyms start from `seed`: 32 random bytes, drawn at start and kept nowhere else.
    #[must_use]
    pub fn new(mode: LogAddresses, seed: &[u8; 32]) -> Self {
        Self {
            mode,
            key: hmac::Key::new(hmac::HMAC_SHA256, seed),
            day: 0,
        }
    }

    /// What may be shown of an address with its port; a pseudonym stands for the address alone.
    pub fn socket(&mut self, addr: Masked<SocketAddr>, now: Tick) -> Redacted {
        if self.mode == LogAddresses::Full {
            return Redacted(Shown::Socket(addr.reveal()));
        }
        self.ip(Masked::new(addr.reveal().ip()), now)
    }

    /// What may be shown of an address.
    pub fn ip(&mut self, addr: Masked<IpAddr>, now: Tick) -> Redacted {
        let ip = addr.reveal().to_canonical();
        Redacted(match self.mode {
            LogAddresses::None => Shown::Nothing,
            LogAddresses::Pseudonym => self.pseudonym(Domain::Address, &octets(ip), now),
            LogAddresses::Truncated => network(ip),
            LogAddresses::Full => Shown::Ip(ip),
        })
    }

    /// What may be shown of a user: a pseudonym, unless nothing is shown of addresses either.
    pub fn user(&mut self, user: UserTag, now: Tick) -> Redacted {
        if self.mode == LogAddresses::None {
            return Redacted(Shown::Nothing);
        }
        Redacted(self.pseudonym(Domain::User, &user.0.to_be_bytes(), now))
    }

    fn pseudonym(&mut self, domain: Domain, bytes: &[u8], now: Tick) -> Shown {
        self.rotate(now);
        let mut hash = hmac::Context::with_key(&self.key);
        hash.update(&[domain as u8]);
        hash.update(bytes);
        let hash = hash.sign();
        let bits = hash.as_ref().first_chunk();
        Shown::Pseudonym(bits.map_or(0, |bits| u64::from_be_bytes(*bits)))
    }

    fn rotate(&mut self, now: Tick) {
        const DAY_SECS: u64 = 24 * 3600;
        /// Beyond, the days in between are left out; only a clock that jumps by years gets there.
        const MOST_STEPS: u64 = 1000;
        let today = now.as_secs() / DAY_SECS;
        let steps = today.saturating_sub(self.day).min(MOST_STEPS);
        for _ in 0..steps {
            let next = hmac::sign(&self.key, &[Domain::NextKey as u8]);
            self.key = hmac::Key::new(hmac::HMAC_SHA256, next.as_ref());
        }
        self.day = self.day.max(today);
    }
}

/// What a hash is for: equal bytes of different kinds have unrelated pseudonyms.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Domain {
    Address,
    User,
    NextKey,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({:?})", self.mode)
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Shown::Nothing => f.write_str("-"),
            Shown::Pseudonym(bits) => write!(f, "{bits:016x}"),
            Shown::Network4(ip) => write!(f, "{ip}/24"),
            Shown::Network6(ip) => write!(f, "{ip}/48"),
            Shown::Ip(ip) => write!(f, "{ip}"),
            Shown::Socket(addr) => write!(f, "{addr}"),
        }
    }
}

/// As it may be shown: a derived `Debug` of a log event shows no more.
impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All addresses in one form, so that a family cannot be told by the length.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

fn network(ip: IpAddr) -> Shown {
    match ip {
        IpAddr::V4(ip) => Shown::Network4(Ipv4Addr::from_bits(ip.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(ip) => Shown::Network6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Tick = Tick::from_millis(12 * 3_600_000);
    const NEXT_NOON: Tick = Tick::from_millis(36 * 3_600_000);

    #[test]
    fn none_shows_nothing() {
        let mut redactor = redactor(LogAddresses::None);
        assert_eq!(
            redactor.socket(socket("192.0.2.7:4000"), NOON).to_string(),
            "-"
        );
        assert_eq!(redactor.ip(ip("2001:db8::7"), NOON).to_string(), "-");
        assert_eq!(redactor.user(UserTag(7), NOON).to_string(), "-");
    }

    #[test]
    fn truncated_shows_the_network_without_port() {
        let mut redactor = redactor(LogAddresses::Truncated);
        let mut shown = |addr| redactor.socket(socket(addr), NOON).to_string();
        assert_eq!(shown("192.0.2.7:4000"), "192.0.2.0/24");
        assert_eq!(shown("[::ffff:192.0.2.7]:4000"), "192.0.2.0/24");
        assert_eq!(shown("[2001:db8:1:2:3:4:5:6]:4000"), "2001:db8:1::/48");
    }

    #[test]
    fn full_shows_address_and_port() {
        let mut redactor = redactor(LogAddresses::Full);
        let shown = redactor.socket(socket("192.0.2.7:4000"), NOON);
        assert_eq!(shown.to_string(), "192.0.2.7:4000");
        assert_eq!(redactor.ip(ip("192.0.2.7"), NOON).to_string(), "192.0.2.7");
    }

    #[test]
    fn pseudonym_follows_an_address_through_one_day() {
        let mut redactor = redactor(LogAddresses::Pseudonym);
        let early = redactor.socket(socket("192.0.2.7:4000"), Tick::ZERO);
        let later = redactor.socket(socket("192.0.2.7:5000"), NOON);
        let mapped = redactor.ip(ip("::ffff:192.0.2.7"), NOON);
        let other = redactor.ip(ip("192.0.2.8"), NOON);
        assert_eq!(early, later);
        assert_eq!(early, mapped);
        assert_ne!(early, other);
        assert_eq!(early.to_string().len(), 16);
    }

    #[test]
    fn pseudonym_changes_from_day_to_day_and_never_back() {
        let mut redactor = redactor(LogAddresses::Pseudonym);
        let today = redactor.ip(ip("192.0.2.7"), NOON);
        let tomorrow = redactor.ip(ip("192.0.2.7"), NEXT_NOON);
        let late = redactor.ip(ip("192.0.2.7"), NOON);
        assert_ne!(today, tomorrow);
        assert_eq!(late, tomorrow, "yesterday's key is gone");
    }

    #[test]
    fn clones_agree_however_often_each_was_asked() {
        let mut busy = redactor(LogAddresses::Pseudonym);
        let mut idle = busy.clone();
        busy.ip(ip("192.0.2.7"), NOON);
        let later = Tick::from_millis(5 * 24 * 3_600_000);
        busy.ip(ip("192.0.2.7"), NEXT_NOON);
        assert_eq!(
            busy.ip(ip("192.0.2.7"), later),
            idle.ip(ip("192.0.2.7"), later)
        );
    }

    #[test]
    fn another_seed_gives_other_pseudonyms() {
        let mut one = Redactor::new(LogAddresses::Pseudonym, &[1; 32]);
        let mut two = Redactor::new(LogAddresses::Pseudonym, &[2; 32]);
        assert_ne!(one.ip(ip("192.0.2.7"), NOON), two.ip(ip("192.0.2.7"), NOON));
    }

    #[test]
    fn user_is_a_pseudonym_even_where_addresses_are_shown() {
        for mode in [
            LogAddresses::Pseudonym,
            LogAddresses::Truncated,
            LogAddresses::Full,
        ] {
            let mut redactor = redactor(mode);
            let shown = redactor.user(UserTag(0x1234), NOON).to_string();
            assert_eq!(shown.len(), 16);
            assert!(!shown.ends_with("1234"), "{shown}");
        }
    }

    #[test]
    fn debug_output_shows_no_more_than_display() {
        let mut redactor = redactor(LogAddresses::Pseudonym);
        let shown = redactor.ip(ip("192.0.2.7"), NOON);
        assert_eq!(format!("{shown:?}"), shown.to_string());
        assert_eq!(format!("{redactor:?}"), "Redactor(Pseudonym)");
    }

    #[test]
    fn clock_that_jumps_to_the_end_of_time_is_survived() {
        let mut redactor = redactor(LogAddresses::Pseudonym);
        redactor.ip(ip("192.0.2.7"), Tick::from_millis(u64::MAX));
    }

    fn redactor(mode: LogAddresses) -> Redactor {
        Redactor::new(mode, &[7; 32])
    }

    fn socket(addr: &str) -> Masked<SocketAddr> {
        Masked::new(addr.parse().expect("an address"))
    }

    fn ip(addr: &str) -> Masked<IpAddr> {
        Masked::new(addr.parse().expect("an address"))
    }
}
