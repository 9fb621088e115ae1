pub fn settle_bound(_: &crate::scenario::plan::Plan) -> std::time::Duration {
    std::time::Duration::from_secs(30)
}
