//! Jute — decides how the client protocol looks in bytes. It never reads a socket, and never decides what a
//! request means.
//!
//! A frame is four bytes of length and a record in jute: integers in network order, strings and buffers with
//! their length before them, −1 for null (`BinaryInputArchive.java`, `zookeeper.jute`). [`ServerCodec`] is
//! the server's end of a connection, [`ClientCodec`] the client's. Both remember what was asked, because a
//! reply does not say what it answers. Where a record cannot be read, they do as a real 3.8.0 server was
//! seen to do.

mod client;
mod codes;
mod create;
mod frames;
mod input;
mod output;
mod reply;
mod request;
mod server;
mod utter;

#[cfg(test)]
mod tests;

pub use self::{
    client::ClientCodec,
    frames::{LENGTH_BYTES, Violation},
    request::read_request,
    server::ServerCodec,
};
