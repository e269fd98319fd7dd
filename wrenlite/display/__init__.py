"""Drawing of jobs, from their snapshots and stats: while they run, and afterwards."""
