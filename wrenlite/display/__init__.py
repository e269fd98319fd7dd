"""Drawing of jobs from their snapshots and task stats, while they run and after they have ended."""
