"""Time taggers, one file an instrument."""
