"""What happened at a node, as one page to keep and as data to compute with."""
