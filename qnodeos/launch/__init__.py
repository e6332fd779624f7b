"""Runs programs of the NetQASM SDK, unmodified, over nodes: one process a role."""
