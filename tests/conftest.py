"""Property tests draw the same examples in every run, so that a red run can be repeated.

HYPOTHESIS_PROFILE=explore draws new ones, for finding what these do not show.
"""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
