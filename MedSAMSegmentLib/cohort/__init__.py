"""Many cases from one manifest: planned, computed in several processes, resumed and summarised."""
