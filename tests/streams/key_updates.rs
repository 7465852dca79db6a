//! Keys of TLS 1.3 that are renewed in the middle of a call.

use std::io::Write;

use rustls::version::TLS13;
use veilturn::wire::ChannelNumber;

use crate::records::Records;
use crate::support::{Party, Relay, Secured, channel_data};

//
#[test]
fn a_key_update_may_be_cut_anywhere_while_data_flows_both_ways() {
    let mut call = Call::hold();
    for asks in [false, true] {
        // A message may be cut into two records, and these into any segments.
        for cut in 1..=5 {
            let mut at = 1;
            loop {
                let to_bob = call.alices_next();
                let mut bytes = call.alice.carrier.update_keys(asks, cut);
                bytes.extend(call.alice.carrier.seal(23, &to_bob));
                let Some((first, second)) = bytes.split_at_checked(at) else {
                    call.alice.carrier.socket.write_all(&bytes).unwrap();
                    call.bob_hears(1);
                    break;
                };
                call.alice.carrier.socket.write_all(first).unwrap();
                call.bob_says(3);
                call.alice_hears(2);
                call.alice.carrier.socket.write_all(second).unwrap();
                call.bob_says(2);
                call.bob_hears(1);
                call.alice_hears(3);
                at += 1;
            }
        }
    }
}

#[test]
fn both_parties_may_renew_their_keys_at_once_and_often() {
    let mut call = Call::hold();
    for _ in 0..50 {
        let mut bytes = Vec::new();
        for _ in 0..8 {
            bytes.extend(call.alice.carrier.update_keys(true, 5));
        }
        let to_bob = call.alices_next();
        bytes.extend(call.alice.carrier.seal(23, &to_bob));
        call.bob.carrier.conn.refresh_traffic_keys().unwrap();
        call.bob_says(4);
        call.alice.carrier.socket.write_all(&bytes).unwrap();
        call.bob_says(4);
        call.bob_hears(1);
        call.alice_hears(8);
    }
}

/// A call between a party whose records are made here and one who uses the library. What they say is numbered.
struct Call {
    alice: Party<Records>,
    bob: Party<Secured>,
    to_bob: ChannelNumber,
    to_alice: ChannelNumber,
    /// How much alice and bob have said, and have heard.
    said: [u32; 2],
    heard: [u32; 2],
    _relay: Relay,
}

impl Call {
    fn hold() -> Self {
        let relay = Relay::start();
        let mut alice = Party::new(&relay, "a", Records::connect(&relay, &TLS13));
        let mut bob = relay.tls_party("b", &[&TLS13]);
        let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
        Self {
            to_bob: alice.bind(at_bob),
            to_alice: bob.bind(at_alice),
            alice,
            bob,
            said: [0; 2],
            heard: [0; 2],
            _relay: relay,
        }
    }

    /// What alice says next.
    fn alices_next(&mut self) -> Vec<u8> {
        self.said[0] += 1;
        channel_data(self.to_bob, &self.said[0].to_be_bytes())
    }

    fn bob_says(&mut self, count: u32) {
        for _ in 0..count {
            self.said[1] += 1;
            self.bob.send(self.to_alice, &self.said[1].to_be_bytes());
        }
    }

    fn alice_hears(&mut self, count: u32) {
        for _ in 0..count {
            self.heard[0] += 1;
            assert_eq!(self.alice.hear().data, self.heard[0].to_be_bytes());
        }
    }

    fn bob_hears(&mut self, count: u32) {
        for _ in 0..count {
            self.heard[1] += 1;
            assert_eq!(self.bob.hear().data, self.heard[1].to_be_bytes());
        }
    }
}
