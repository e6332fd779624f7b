"""Quantum devices: memories, ions, and the midpoint stations that herald them."""
