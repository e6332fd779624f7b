"""Switches, waveplates and polarization controllers, one file an instrument."""
