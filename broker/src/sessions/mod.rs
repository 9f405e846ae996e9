//! Sessions by client identifier: who is connected, what is kept for those who are not, and when that ends.

mod absentees;
mod expiry;
mod owner;
mod registry;
mod seat;

pub use absentees::{Absence, Absentees};
pub use expiry::Expiry;
pub use owner::Owner;
pub use registry::{AwayClient, Claim, DueWill, Found, OnlineClient, Parked, PendingWill, Registry, Removal};
pub use seat::Seat;
