"""Processes: NetQASM programs as the node reads and runs them (docs/netqasm.md)."""
