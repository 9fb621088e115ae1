//! stub
pub struct Node;
pub struct NodeConfig {
    pub me: crate::name::HostId,
    pub zone: String,
    pub servers: Vec<crate::name::HostId>,
    pub search: crate::scenario::plan::SearchConfig,
    pub defects: crate::defect::Defects,
}
impl Node {
    pub fn boot(_: NodeConfig, _: crate::core::Entropy, _: &crate::core::Files) -> Self {
        Node
    }
}
impl crate::core::Core for Node {
    type Message = super::wire::Message;
    fn step(
        &mut self,
        _: crate::core::Now,
        _: crate::core::Input<Self::Message>,
        _: &mut crate::core::Output<Self::Message>,
    ) {
    }
    fn next_wake(&self) -> Option<crate::core::Instant> {
        None
    }
}
