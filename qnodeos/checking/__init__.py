"""What a node's file means on this machine, and what stands in its way, before anything starts."""
