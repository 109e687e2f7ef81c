//! Addresses and connections: moves the bytes of the native protocol.
//!
//! * [`Address`] names an agent; [`Listener`] and [`Stream`] are its two ends.
//! * [`FrameReader`] takes frames off a stream, [`FrameWriter`] puts them on it.
//!   Both serve either side.
//! * [`handshake`] opens a stream: HELLO, WELCOME.
//! * [`tls`] encrypts what goes to other machines.
//! * [`Connection`] is the client: calls from many threads over one stream,
//!   without a thread of its own.
//!
//! `docs/protocol.md` describes what travels; `vaccel-wire` is the codec.

mod address;
mod buffer;
mod connect;
mod connection;
mod error;
pub mod fork;
pub mod handshake;
mod listener;
mod message;
mod outputs;
mod pieces;
mod reader;
pub mod second;
pub mod shm;
mod stream;
mod sys;
mod table;
mod timed;
pub mod tls;
mod writer;

pub use address::{Address, AddressError};
pub use buffer::{Buffer, Pool};
pub use connection::{Connection, Options, Pending, Sink};
pub use error::{CallError, ConnectError, ListenError, ReadError, SendError};
pub use listener::{Listener, ListenerOptions};
pub use message::Message;
pub use outputs::{Collect, Destination, Outputs, PlaceError};
pub use reader::FrameReader;
pub use stream::{Family, Peer, Stream};
pub use writer::FrameWriter;
