"""Property tests draw the same examples in every run, so that a red run can be repeated.

HYPOTHESIS_PROFILE=explore draws new ones, for finding what these do not show. There is no deadline:
how long an example takes says more of what else the machine does.

A run that was started in the background of a shell ignores Ctrl-C, and so would all that tests
start and interrupt; it is listened to again.
"""

import os
import signal

from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
