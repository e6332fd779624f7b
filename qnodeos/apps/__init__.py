"""Applications that ship with the node; each has one file and runs inside the node's process."""
