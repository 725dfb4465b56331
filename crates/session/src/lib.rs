//! What a manager and an agent say to each other on one connection, and how it is framed.
//!
//! A session is one HTTP/2 stream on port 2377 (`POST /session`): the request body is the agent's frames, the response body
//! the manager's. Both are sequences of length-prefixed MessagePack values (see [`frame`]).
//!
//! What always holds: everything an agent is told carries a [`Generation`], the Raft log index of the state it was derived
//! from. Generations of different managers compare, so an agent that moves to another manager can refuse older orders,
//! and a manager that has applied less than the agent knows waits before it speaks.
//!
//! Deliberately absent: sockets, clocks and tasks; daemons move the frames.

pub mod assignment;
pub mod attach;
pub mod frame;
pub mod message;
pub mod network;
pub mod payloads;

pub use assignment::{AgentView, Applied, AssignmentError};
pub use attach::{AttachAnswer, AttachRequest, DetachRequest};
pub use frame::{FRAME_BYTES_MAX, FrameDecoder, FrameError, encode};
pub use message::*;
pub use network::{
    DataPathNode, NetworkEndpoint, NetworkOrders, NetworkService, NetworkTable, NetworkView, NetworksApplied, NodeNetwork, TaskAttachment,
};
pub use payloads::HeldPayloads;
