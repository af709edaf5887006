"""What every test shares: no display, and random examples that are the same in every run."""

import hypothesis
import matplotlib
import pytest

matplotlib.use("Agg")

# A first call may compile a kernel, so no example has a deadline.
hypothesis.settings.register_profile("jetspace", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("jetspace")


def pytest_collection_modifyitems(items):
    """Names of tests are the same in every process: workers that run them side by side compare their lists."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} is named after an address: give its parameters ids")
