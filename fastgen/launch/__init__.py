"""Who calls `shard.generate` for every shard: this machine's cores, or a cluster's."""
