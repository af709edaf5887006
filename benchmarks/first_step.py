"""`pinn solve PROBLEM --out FOLDER` with one more callback, which tells the time of the first step and ends the process."""

from __future__ import annotations

import os
import sys
import time
from unittest import mock

from pinn import cli, run
from pinn.events import Progress


def look(event: object) -> None:
    """At the first step: the time of day, and the CPU seconds used so far."""
    if isinstance(event, Progress) and event.iteration >= 1:
        print(time.time(), time.process_time(), flush=True)
        os._exit(0)  # at once: what a solver does at its end is not waited for


def main(problem: str, out: str) -> int:
    solve = run.solve_and_report

    def watched(*args, callbacks=(), **options):
        return solve(*args, callbacks=(*callbacks, look), **options)

    with mock.patch.object(run, "solve_and_report", watched):
        return cli.main(["solve", problem, "--out", out])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
