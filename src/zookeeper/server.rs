//! stub
pub struct Server;
impl Server {
    pub fn boot(
        _: super::wire::EnsembleConfig,
        _: crate::name::HostId,
        _: crate::defect::Defects,
        _: crate::core::Entropy,
        _: &crate::core::Files,
        _: crate::core::Now,
    ) -> Self {
        Server
    }
}
impl crate::core::Core for Server {
    type Message = super::peer::Message;
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
