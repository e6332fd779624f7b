"""Simulated instruments as byte machines, one file an instrument. None imports a driver."""
