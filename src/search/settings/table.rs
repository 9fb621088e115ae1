//! The table of settings — decides their names, values and defaults. It never reads a value.

use super::{Change, Kind, Setting};

const fn dynamic(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { name, kind, default, change: Change::Dynamic }
}

const fn fixed(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    Setting { name, kind, default, change: Change::Final }
}

const ANY: i64 = i32::MAX as i64;

/// Settings of the cluster, as far as the model has what they set.
pub const CLUSTER: &[Setting] = &[
    dynamic("cluster.max_shards_per_node", Kind::Integer(1, ANY), "1000"),
    dynamic("cluster.no_master_block", Kind::Word(&["write", "metadata_write", "all"]), "write"),
    dynamic("cluster.info.update.interval", Kind::Span { off: false }, "30s"),
    dynamic("cluster.routing.use_adaptive_replica_selection", Kind::Bool, "true"),
    dynamic(
        "cluster.routing.allocation.enable",
        Kind::Word(&["all", "primaries", "new_primaries", "none"]),
        "all",
    ),
    dynamic("cluster.routing.rebalance.enable", Kind::Word(&["all", "primaries", "replicas", "none"]), "all"),
    dynamic(
        "cluster.routing.allocation.allow_rebalance",
        Kind::Word(&["always", "indices_primaries_active", "indices_all_active"]),
        "indices_all_active",
    ),
    dynamic("cluster.routing.allocation.cluster_concurrent_rebalance", Kind::Integer(-1, ANY), "2"),
    dynamic("cluster.routing.allocation.node_initial_primaries_recoveries", Kind::Integer(0, ANY), "4"),
    dynamic("cluster.routing.allocation.node_concurrent_incoming_recoveries", Kind::Integer(0, ANY), "2"),
    dynamic("cluster.routing.allocation.node_concurrent_outgoing_recoveries", Kind::Integer(0, ANY), "2"),
    dynamic("cluster.routing.allocation.same_shard.host", Kind::Bool, "false"),
    dynamic("cluster.routing.allocation.total_shards_per_node", Kind::Integer(-1, ANY), "-1"),
    dynamic("cluster.routing.allocation.balance.shard", Kind::Decimal(0.0), "0.45"),
    dynamic("cluster.routing.allocation.balance.index", Kind::Decimal(0.0), "0.55"),
    dynamic("cluster.routing.allocation.balance.write_load", Kind::Decimal(0.0), "10.0"),
    dynamic("cluster.routing.allocation.balance.disk_usage", Kind::Decimal(0.0), "2e-11"),
    dynamic("cluster.routing.allocation.balance.threshold", Kind::Decimal(1.0), "1.0"),
    dynamic("cluster.routing.allocation.awareness.attributes", Kind::List, ""),
    // `cluster.routing.allocation.awareness.force.<attribute>.values`.
    dynamic("cluster.routing.allocation.awareness.force.*", Kind::List, ""),
    dynamic("cluster.routing.allocation.include.*", Kind::List, ""),
    dynamic("cluster.routing.allocation.exclude.*", Kind::List, ""),
    dynamic("cluster.routing.allocation.require.*", Kind::List, ""),
    dynamic("cluster.routing.allocation.disk.threshold_enabled", Kind::Bool, "true"),
    dynamic("cluster.routing.allocation.disk.watermark.low", Kind::Watermark, "85%"),
    dynamic("cluster.routing.allocation.disk.watermark.high", Kind::Watermark, "90%"),
    dynamic("cluster.routing.allocation.disk.watermark.flood_stage", Kind::Watermark, "95%"),
    dynamic("indices.recovery.max_bytes_per_sec", Kind::Bytes, "40mb"),
    dynamic("indices.recovery.max_concurrent_file_chunks", Kind::Integer(1, 8), "2"),
    dynamic("indices.recovery.retry_delay_state_sync", Kind::Span { off: false }, "500ms"),
    dynamic("indices.recovery.retry_delay_network", Kind::Span { off: false }, "5s"),
    dynamic("search.default_search_timeout", Kind::Span { off: true }, "-1"),
    dynamic("search.default_allow_partial_results", Kind::Bool, "true"),
];

/// Settings of an index, as far as the model has what they set.
pub const INDEX: &[Setting] = &[
    fixed("index.number_of_shards", Kind::Integer(1, 1024), "1"),
    fixed("index.number_of_routing_shards", Kind::Integer(1, 1024), "1024"),
    dynamic("index.number_of_replicas", Kind::Integer(0, ANY), "1"),
    dynamic("index.refresh_interval", Kind::Span { off: true }, "1s"),
    dynamic("index.search.idle.after", Kind::Span { off: false }, "30s"),
    dynamic("index.translog.durability", Kind::Word(&["request", "async"]), "request"),
    dynamic("index.translog.sync_interval", Kind::Span { off: false }, "5s"),
    dynamic("index.translog.flush_threshold_size", Kind::Bytes, "512mb"),
    dynamic("index.gc_deletes", Kind::Span { off: true }, "60s"),
    dynamic("index.global_checkpoint_sync.interval", Kind::Span { off: false }, "30s"),
    dynamic("index.soft_deletes.retention_lease.period", Kind::Span { off: false }, "12h"),
    dynamic("index.write.wait_for_active_shards", Kind::ActiveShards, "1"),
    dynamic("index.max_result_window", Kind::Integer(1, ANY), "10000"),
    dynamic("index.allocation.max_retries", Kind::Integer(0, ANY), "5"),
    dynamic("index.unassigned.node_left.delayed_timeout", Kind::Span { off: false }, "1m"),
    dynamic(
        "index.routing.allocation.enable",
        Kind::Word(&["all", "primaries", "new_primaries", "none"]),
        "all",
    ),
    dynamic("index.routing.rebalance.enable", Kind::Word(&["all", "primaries", "replicas", "none"]), "all"),
    dynamic("index.routing.allocation.total_shards_per_node", Kind::Integer(-1, ANY), "-1"),
    dynamic("index.routing.allocation.include.*", Kind::List, ""),
    dynamic("index.routing.allocation.exclude.*", Kind::List, ""),
    dynamic("index.routing.allocation.require.*", Kind::List, ""),
    dynamic("index.routing.allocation.initial_recovery.*", Kind::List, ""),
    dynamic("index.blocks.read_only", Kind::Bool, "false"),
    dynamic("index.blocks.read_only_allow_delete", Kind::Bool, "false"),
    dynamic("index.blocks.read", Kind::Bool, "false"),
    dynamic("index.blocks.write", Kind::Bool, "false"),
    dynamic("index.blocks.metadata", Kind::Bool, "false"),
];
