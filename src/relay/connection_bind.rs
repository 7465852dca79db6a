//! ConnectionBind (RFC 6062 section 5.4): joins a new connection of the client's with an open peer connection.

use super::allocation::Allocation;
use super::connection::Stage;
use super::connection_ids::Place;
use super::request::{Request, connection_id};
use super::response::{Refusal, Success};
use super::table::AllocationId;
use super::{FiveTuple, Relay};
use crate::wire::Message;

impl Relay {
    /// Makes the client's connection the data connection of the peer connection that the request names.
    ///
    /// An id of another user is refused as one that does not exist: nobody learns which ids are in use.
    pub(super) fn on_connection_bind(
        &mut self,
        request: &Request<'_, '_>,
    ) -> Result<Success, Refusal> {
        let Request {
            from, message, who, ..
        } = *request;
        // A control connection stays what it is.
        if !from.transport().is_stream() || self.table.id_of(from).is_some() {
            return Err(Refusal::BadRequest);
        }
        let id = connection_id(message)?;
        let place = self.place_of(message).ok_or(Refusal::BadRequest)?;
        let connection = self
            .table
            .get_mut(AllocationId::of(place.relay))
            .filter(|allocation| allocation.owner.credential.username() == who.username)
            .and_then(|allocation| allocation.connections.get_mut(id))
            .filter(|connection| connection.stage.is_pending())
            .ok_or(Refusal::BadRequest)?;
        connection.stage = Stage::Bound;
        Ok(Success::ConnectionBind(connection.token))
    }

    /// The other worker that a ConnectionBind request has to be given to: the kernel spreads a client's connections over
    /// all workers, and its allocation is on one of them.
    pub(super) fn elsewhere(&self, from: &FiveTuple, message: &Message<'_>) -> Option<usize> {
        if !from.transport().is_stream() || self.table.id_of(from).is_some() {
            return None;
        }
        let id = connection_id(message).ok()?;
        let place = self.shared.connection_ids.find(id)?;
        (place.worker != self.worker).then_some(place.worker)
    }

    /// The allocation of the peer connection that a ConnectionBind request names, by whose credential the request is
    /// authenticated like any other of that client (RFC 6062 section 5.4).
    pub(super) fn bound_for(&self, message: &Message<'_>) -> Option<&Allocation> {
        let place = self.place_of(message)?;
        self.table.get(AllocationId::of(place.relay))
    }

    /// Where the connection that a request names is, on this worker.
    fn place_of(&self, message: &Message<'_>) -> Option<Place> {
        let id = connection_id(message).ok()?;
        let place = self.shared.connection_ids.find(id)?;
        (place.worker == self.worker).then_some(place)
    }
}
