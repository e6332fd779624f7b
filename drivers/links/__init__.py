"""Byte pipes to instruments, one file a kind of link."""
