"""Processes: programs written with the NetQASM SDK, decoded and run by the node itself."""
