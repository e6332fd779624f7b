"""Entanglement between two neighbours: requests, heralds, matching and fidelity."""
