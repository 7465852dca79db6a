//! `veilturn serve --dev`: what it prints is all that two parties need.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use veilturn::auth::Credential;
use veilturn::wire::ChannelNumber;

use crate::support::{Carrier, Datagrams, PATIENCE, Party, connect};

#[test]
fn parties_talk_over_udp_and_tcp() {
    let dev = Dev::start();
    let [a, b] = &dev.parties;
    let (udp, tcp) = (a.urls[0].1, a.urls[1].1);
    assert_eq!(
        a.urls.each_ref().map(|(transport, _)| &**transport),
        ["udp", "tcp"]
    );
    assert_eq!(a.urls, b.urls);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(udp).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");

    let mut alice = Party::with(a.credential.clone(), "a", Datagrams(socket));
    let mut bob = Party::with(b.credential.clone(), "b", connect(tcp));
    let (at_alice, at_bob) = (alice.allocate(), bob.allocate());
    let (to_bob, to_alice) = (alice.bind(at_bob), bob.bind(at_alice));

    talk(&mut alice, &mut bob, to_bob);
    talk(&mut bob, &mut alice, to_alice);
}

fn talk(from: &mut Party<impl Carrier>, to: &mut Party<impl Carrier>, channel: ChannelNumber) {
    from.send(channel, b"hello");
    assert_eq!(to.hear().data, b"hello");
}

/// `veilturn serve --dev` at any port, and what it has printed for the two parties.
struct Dev {
    child: Child,
    parties: [Printed; 2],
}

struct Printed {
    /// Transports and addresses.
    urls: [(String, SocketAddr); 2],
    credential: Credential,
}

impl Dev {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_veilturn"))
            .env_clear()
            .args(["serve", "--dev", "--port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut next = || lines.next().expect("a line").expect("text");
        assert!(next().starts_with("A relay on loopback"));
        let parties = ["a: ", "b: "].map(|name| {
            let line = next();
            Printed::read(line.strip_prefix(name).expect("the party's name"))
        });
        Self { child, parties }
    }
}

impl Printed {
    fn read(json: &str) -> Self {
        let configuration: Value = serde_json::from_str(json).expect("JSON");
        let server = &configuration["iceServers"][0];
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let urls = server["urls"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|url| {
                let url = text(url);
                let rest = url.strip_prefix("turn:").expect("a TURN URI");
                let (addr, transport) = rest.split_once("?transport=").expect("a transport");
                (transport.to_owned(), addr.parse().expect("an address"))
            });
        let urls: Vec<_> = urls.collect();
        Self {
            urls: urls.try_into().expect("two"),
            credential: Credential {
                username: text(&server["username"]),
                password: text(&server["credential"]).into(),
            },
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
