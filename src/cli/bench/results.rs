//! What was found, as values, as text and as a page.

mod chart;
pub(super) mod page;
pub(super) mod report;
pub(super) mod table;
