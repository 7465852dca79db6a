//! Binding (RFC 8489 section 12): tells a client its own server-reflexive address. Leaves no state.

use super::request::is_understood;
use super::response::{Asked, Refusal, Response, Success};
use super::{DropReason, FiveTuple, Relay};
use crate::time::Tick;
use crate::wire::Message;

impl Relay {
    /// Answers a Binding request, within the budget of its source's prefix.
    pub(super) fn on_binding(
        &mut self,
        now: Tick,
        from: &FiveTuple,
        message: &Message<'_>,
        asked: Asked,
    ) -> Result<Response, DropReason> {
        if !self.shared.options.binding {
            return Err(DropReason::UnexpectedMessage);
        }
        if !self.bindings.admit_answer(now, from) {
            return Err(DropReason::RateLimitedSource);
        }
        let unknown = message.unknown_required(is_understood);
        let outcome = if unknown.is_empty() {
            Ok(Success::Binding)
        } else {
            Err(Refusal::UnknownAttributes(unknown))
        };
        Ok(Response {
            asked,
            outcome,
            key: None,
        })
    }
}
