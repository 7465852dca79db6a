//! What can happen to a relay.
//!
//! An operation names things by small numbers that find their meaning when it is carried out ("the relayed address of
//! client 2"), so that a sequence keeps making sense when shrinking takes operations out of it.

use crate::wire::Family;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Request {
        client: usize,
        login: Login,
        request: Request,
    },
    /// The client's last Allocate once more: byte for byte, or in the same transaction with another signature.
    Retransmit {
        client: usize,
        login: Login,
    },
    Data(Data),
    /// A request that seems to come out of a relay socket.
    Loop {
        from: Peer,
    },
    /// A valid packet in which bytes were changed, cut to a length.
    Garble {
        client: usize,
        packet: Garbled,
        /// Which byte, and what it is combined with.
        edits: Vec<(u16, u8)>,
        cut: Option<u16>,
    },
    /// The shell serves the timers while time passes.
    Pass(Moment),
    /// Time passes, and the shell has not come round to its timers yet.
    Late(Moment),
    /// The client's stream closes.
    Disconnect {
        client: usize,
    },
    /// The client gets another credential, valid for so many seconds.
    Renew {
        client: usize,
        ttl: u64,
    },
    /// From here on, opening a relay socket goes like this.
    Host(Machine),
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Allocate(Wanted, Option<u32>),
    Refresh(Option<u32>, Option<Family>),
    Permit(Vec<Peer>),
    Bind(u16, Peer),
}

/// Something that is to be passed on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data {
    /// A Send indication.
    Send {
        client: usize,
        peer: Peer,
        len: usize,
        dont_fragment: bool,
    },
    /// ChannelData.
    Frame {
        client: usize,
        number: u16,
        len: usize,
    },
    /// A datagram on a relay socket, open or long closed, counted from the one opened last.
    Arrive {
        socket: usize,
        from: Peer,
        len: usize,
    },
    /// An ICMP error on a relay socket.
    Icmp {
        socket: usize,
        peer: Peer,
        kind: u8,
        code: u8,
    },
}

impl Data {
    /// Whether a client sends it.
    pub(super) const fn is_sent(self) -> bool {
        matches!(self, Self::Send { .. } | Self::Frame { .. })
    }
}

/// With what a request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// The client's own credential.
    Own,
    /// Another client's.
    Of(usize),
    /// The client's name with a password that is not its.
    WrongPassword,
    /// Not at all.
    Unsigned,
}

/// Which relayed addresses an Allocate asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    One(Option<Family>, Port),
    /// One of each family.
    Both(Port),
    /// What a token that was handed out earlier stands for, counted from the last; a made-up one where there is none.
    Reserved(usize),
    /// None of these: the request has a fault.
    Nothing(Fault),
}

/// What is wrong with an Allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    UnknownAttribute,
    NoTransport,
    Tcp,
    /// Two attributes that exclude each other.
    Contradiction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Any,
    Even,
    EvenWithNext,
}

/// A peer address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A host of the public internet.
    Public { family: Family, host: u8, port: u16 },
    /// Another relay of the fleet.
    Fleet { port: u16 },
    /// An address that no policy admits.
    Forbidden(usize),
    /// The relayed address that a client has, or the last one that it had.
    Relayed { client: usize, family: Family },
    /// Some port of the relay address.
    OfRelay { family: Family, offset: u16 },
}

/// How far time moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Milliseconds.
    In(u64),
    /// To the moment at which something ends, give or take milliseconds.
    End { of: Ending, nudge: i64 },
}

/// What can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Relayed,
    Permission,
    Channel,
    /// One of the next things of any kind.
    Any(usize),
}

/// What a garbled packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Garbled {
    Allocate,
    Delete,
    Permit(Peer),
    Bind(u16, Peer),
    Send(Peer),
    Frame(u16),
}

/// Whether relay sockets can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    Sound,
    /// Another program holds the ports that leave `rest` when divided by `by`.
    Holds {
        by: u16,
        rest: u16,
    },
    /// No descriptors are left.
    Exhausted,
}
