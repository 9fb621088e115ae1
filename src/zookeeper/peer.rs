//! stub
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    ToServer(super::wire::ClientFrame),
    ToClient(super::wire::ServerFrame),
}
impl Message {
    pub fn label(&self) -> crate::event::Word {
        "x".into()
    }
}
