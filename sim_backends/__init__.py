"""The simulated lab: physics, and simulated instruments that speak the real ones' bytes."""

from timing.timeouts import mend

mend()
