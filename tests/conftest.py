"""Settings shared by all tests: one profile for hypothesis, so that runs are alike and not timed per example.

Nothing is compiled behind a test's back; tests of compiled loops ask for them.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "einad", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.load_profile("einad")
os.environ.setdefault("EINAD_FUSED", "0")
