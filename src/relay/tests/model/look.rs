//! What the drawing of operations may know of the state.

use super::driver::Driver;
use super::operation::Peer;

impl Driver {
    /// Whether a client has an allocation.
    pub(super) fn holds(&self, client: usize) -> bool {
        self.shadow.allocations.contains_key(&client)
    }

    /// Whether a client may get a permission for a peer.
    pub(super) fn may_permit(&self, client: usize, peer: Peer) -> bool {
        let peer = self.address(peer);
        let allocation = self.shadow.allocations.get(&client);
        allocation.is_some_and(|allocation| {
            allocation.reaches_family_of(peer, self.shadow.now)
                && self.shadow.may_permit(allocation.scope, peer.ip())
        })
    }

    /// Whether a client has a permission for a peer.
    pub(super) fn permits(&self, client: usize, peer: Peer) -> bool {
        let peer = self.address(peer).ip();
        let allocation = self.shadow.allocations.get(&client);
        allocation.is_some_and(|allocation| allocation.permits(peer, self.shadow.now))
    }

    /// Whether a client has a channel with a number.
    pub(super) fn binds(&self, client: usize, number: u16) -> bool {
        let allocation = self.shadow.allocations.get(&client);
        allocation.is_some_and(|allocation| allocation.peer_of(number, self.shadow.now).is_some())
    }

    /// Whose a socket is, counted from the one opened last, if it is open.
    pub(super) fn behind(&self, nth: usize) -> Option<usize> {
        let socket = self.socket(nth)?;
        self.shadow.behind(socket).map(|(client, _)| client)
    }
}
