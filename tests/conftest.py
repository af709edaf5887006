"""What every test shares: no display, and random examples that are the same in every run."""

import hypothesis
import matplotlib

matplotlib.use("Agg")

# A first call may compile a kernel, so no example has a deadline.
hypothesis.settings.register_profile("jetspace", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("jetspace")
