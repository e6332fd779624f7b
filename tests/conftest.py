"""Property tests draw the same examples in every run, so that a red run can be repeated.

HYPOTHESIS_PROFILE=explore draws new ones, for finding what these do not show. There is no deadline:
how long an example takes says more of what else the machine does.
"""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
