"""Instruments: driver classes, their links, supervision and safety, and the drivers."""

from timing.timeouts import mend

mend()
