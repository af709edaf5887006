"""Events, history, progress, Ctrl-C and checkpoints, each fed by hand."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from rich.console import Console

from pinn.callbacks import CheckpointEvery, Collect, Interrupt, Lines, Panel, progress, report
from pinn.callbacks.pace import Pace
from pinn.callbacks.wording import duration, position, rate
from pinn.errors import FileError
from pinn.events import Checkpoint, Compiled, Finished, Progress, Resample, StageEnded, Started, Stop, emit
from pinn.history import History
from tests.pinn.closed_form import everything, history

SOLUTION = everything()["burgers"]


def step(iteration=0, seconds=0.0, stage="adam", loss=1.0, terms=None, errors=None, total=None, budget=None) -> Progress:
    terms = {"burgers": 0.75 * loss, "Initial(u)": 0.25 * loss} if terms is None else terms
    return Progress(stage, iteration, total, loss, terms, errors or {}, seconds, budget, np.zeros(3))


def started(budget=None) -> Started:
    return Started(SOLUTION.problem, None, 7, 2241, SOLUTION.points, budget)


def test_events_are_values_and_requests_come_back_in_order():
    seen = []
    requests = emit(step(), [seen.append, lambda e: Stop("enough"), lambda e: None, lambda e: Resample()])
    assert requests == (Stop("enough"), Resample()) and seen[0].iteration == 0
    for value, name in ((step(), "loss"), (Stop("x"), "reason"), (Compiled(1.0), "seconds")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 2.0)


@pytest.mark.parametrize("steps", [1, 30])
def test_a_history_reads_back_exactly_as_it_was_written(steps, tmp_path):
    written = history(steps)
    read = History.read_csv(written.write_csv(tmp_path / "history.csv"))
    assert read.stage == written.stage and read.iteration.dtype == np.int64 and len(read) == steps
    np.testing.assert_array_equal(read.iteration, written.iteration)
    for name in ("seconds", "loss"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    for name in ("terms", "errors"):
        assert list(getattr(read, name)) == list(getattr(written, name))
        for key, column in getattr(written, name).items():
            np.testing.assert_array_equal(getattr(read, name)[key], column)


def test_names_with_commas_and_infinite_losses_survive_the_file(tmp_path):
    collect = Collect()
    collect(step(terms={'Dirichlet(u), on "x=0"': np.inf, "b": 1e-300}, loss=np.inf, stage="l,b\"f"))
    read = History.read_csv(collect.history.write_csv(tmp_path / "history.csv"))
    assert read.stage == ["l,b\"f"] and list(read.terms) == ['Dirichlet(u), on "x=0"', "b"]
    assert read.loss[0] == np.inf and read.terms["b"][0] == 1e-300


@pytest.mark.parametrize(("text", "message"), [
    (None, "cannot be read"), ("", "is not a history"), ("a,b\n1,2\n", "is not a history"),
    ("iteration,stage,seconds,loss\n1,adam,2\n", "cut short"), ("iteration,stage,seconds,loss\n1,adam,2,x\n", "not a number"),
    ("\xff\xfe", "cannot be read"),
])
def test_a_file_that_is_no_history_is_a_file_error(text, message, tmp_path):
    path = tmp_path / "history.csv"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match=message):
        History.read_csv(path)


def test_a_history_that_cannot_be_written_is_a_file_error(tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        history(1).write_csv(tmp_path / "missing" / "history.csv")


def test_the_collector_copies_what_the_solver_may_reuse():
    collect, terms = Collect(), {"a": 1.0}
    collect(step(0, terms=terms))
    terms["a"] = 2.0
    collect(step(1, terms=terms, errors={"u": 0.5}))
    collect(StageEnded("adam", "done"))
    np.testing.assert_array_equal(collect.history.terms["a"], [1.0, 2.0])
    np.testing.assert_array_equal(collect.history.errors["u"], [np.nan, 0.5])


@pytest.mark.parametrize("every", [7, 1])
def test_the_collector_stays_small_and_keeps_errors_and_the_last_row(every):
    collect = Collect(capacity=100)
    for i in range(1234):
        collect(step(i, errors={"u": 1.0} if i % every == 0 else {}))
    kept = collect.history.iteration
    assert set(range(0, 1234, every)) <= set(kept) and kept[0] == 0 and kept[-1] == 1233
    assert np.all(np.diff(kept) > 0)
    plain = Collect(capacity=100)
    for i in range(5000):
        plain(step(i))
    assert 25 <= len(plain.history) <= 101 and plain.history.iteration[-1] == 4999


@pytest.mark.parametrize(("seconds", "text"), [
    (0.0, "0.00 s"), (9.994, "9.99 s"), (9.996, "10.0 s"), (61.25, "61.2 s"), (99.96, "1 min 40 s"), (125.0, "2 min 05 s"),
    (3599.7, "1 h 00 min"), (3720, "1 h 02 min"), (float("nan"), "?"), (-1.0, "0.00 s"),
])
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_rates_and_positions():
    assert [rate(value) for value in (812.4, 3.42, 0.1, float("nan"), 0.0)] == ["812 it/s", "3.4 it/s", "10 s/it", "", ""]
    assert position(1200, 5000) == "step 1,200 of 5,000" and position(3, None) == "step 3"


def test_the_pace_is_that_of_the_present_stage():
    pace = Pace()
    assert np.isnan(pace.steps_per_second)
    for i in range(5):
        pace.look(step(10 * i, seconds=0.1 * i))
    assert pace.steps_per_second == pytest.approx(100.0)
    assert pace.remaining(step(40, total=140), 0.4) == pytest.approx(1.0)
    assert pace.remaining(step(40, total=140, budget=10.0), 4.0) == 6.0
    pace.look(step(0, seconds=1.0, stage="lbfgs"))
    pace.look(step(1, seconds=3.0, stage="lbfgs"))
    assert pace.steps_per_second == pytest.approx(0.5)


def test_lines_come_every_two_seconds_growing_to_ten():
    stream = io.StringIO()
    lines = Lines(stream)
    for i in range(20_000):
        lines(step(i, seconds=0.01 * i))
    shown = [0.01 * int(found.replace(",", "")) for found in re.findall(r"step ([\d,]+)", stream.getvalue())]
    gaps = np.diff(shown)
    np.testing.assert_allclose(gaps, np.clip(0.1 * np.array(shown[:-1]), 2.0, 10.0), atol=0.011)
    assert shown[0] == 0.0 and gaps[0] == pytest.approx(2.0) and gaps[-1] == pytest.approx(10.0)


def test_lines_say_what_one_needs_to_know():
    stream = io.StringIO()
    with Lines(stream) as lines:
        lines(started(60.0))
        lines(Compiled(1.5))
        lines(step(0, 0.0, total=5000, budget=60.0, errors={"u": 0.5}))
        lines(step(1000, 3.0, total=5000, budget=60.0, loss=1e-3))
        lines.note("finishing this step")
        lines(step(1001, 3.1, total=5000, budget=60.0))
        lines(StageEnded("adam", "5000 steps done"))
        lines(Finished(SOLUTION))
    assert stream.getvalue().splitlines() == [
        "burgers: 2,241 parameters, seed 7, at most 60.0 s; points: interior 4,096, t=0 256",
        "compiled in 1.50 s",
        "[   0.00 s]  adam step 0 of 5,000  loss 1.00e+00  burgers 7.50e-01  Initial(u) 2.50e-01  error u 5.00e-01  "
        "60.0 s left",
        "[   3.00 s]  adam step 1,000 of 5,000  loss 1.00e-03  burgers 7.50e-04  Initial(u) 2.50e-04  error u 5.00e-01  "
        "333 it/s  57.0 s left",
        "finishing this step",
        "[   3.10 s]  adam step 1,001 of 5,000  loss 1.00e+00  burgers 7.50e-01  Initial(u) 2.50e-01  error u 5.00e-01  "
        "323 it/s  56.9 s left",
        "adam ended: 5000 steps done"]


def test_the_panel_shows_all_of_it_and_leaves_nothing_behind():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    with Panel(console, refresh_per_second=50) as panel:
        panel(started(60.0))
        panel(Compiled(1.5))
        panel(step(0, 0.0, total=5000, budget=60.0, errors={"u[x=0]": 0.5}))
        time.sleep(0.1)
        panel(step(1000, 2.0, total=5000, budget=60.0, loss=1e-3))
        panel.note("finishing this step")
        time.sleep(0.1)
        panel(StageEnded("adam", "5000 steps done"))
        panel(Finished(SOLUTION))
    shown = stream.getvalue()
    for words in ("burgers: 2,241 parameters, seed 7", "compiled in 1.50 s", "step 1,000 of 5,000", "500 it/s", "7.50e-04",
                  "relative L2 error of u[x=0]", "5.00e-01", "left", "finishing this step",
                  "adam ended: 5000 steps done (step 1,000, loss 1.00e-03,"):
        assert words in shown
    assert threading.active_count() == 1 or all("live" not in thread.name.lower() for thread in threading.enumerate())
    last_frame = shown[shown.rindex("╰"):]
    assert "\x1b[2K" in last_frame and "\x1b[?25h" in shown


def test_a_reader_that_goes_away_does_not_end_the_run():
    """`pinn solve burgers | head -1`: what is written afterwards goes nowhere, and nothing is raised."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream, Lines(stream) as lines:
        lines(Compiled(1.0))
        assert os.read(read, 100).startswith(b"compiled")
        os.close(read)
        lines(Compiled(2.0))
        lines(StageEnded("adam", "done"))
        print("the table", file=stream, flush=True)


def test_progress_is_a_panel_on_a_terminal_and_lines_elsewhere(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    assert isinstance(progress(Console(file=terminal)), Panel)
    assert isinstance(progress(Console(file=io.StringIO())), Lines)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(progress(Console(file=io.StringIO())), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress(Console(file=terminal)), Lines)


@pytest.mark.parametrize("callback", [Lines(io.StringIO()), Panel(Console(file=io.StringIO())), Collect(), Interrupt(),
                                      CheckpointEvery()], ids=lambda callback: type(callback).__name__)
def test_a_step_costs_microseconds(callback):
    event, best = step(1, 1.0), np.inf
    callback(event)
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(200):
            callback(event)
        best = min(best, (time.perf_counter() - start) / 200)
    # measured: at most 3 microseconds; the room is for slower machines
    assert best < 20e-6


def test_the_first_ctrl_c_stops_and_the_second_aborts():
    previous, noted = signal.getsignal(signal.SIGINT), []
    with Interrupt(lambda: noted.append("once")) as interrupt:
        assert interrupt(step()) is None
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt(step()) == Stop("interrupted by Ctrl-C") and noted == ["once"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        assert noted == ["once"]
    assert signal.getsignal(signal.SIGINT) is previous


def test_ctrl_c_is_left_alone_outside_the_main_thread():
    previous, answers = signal.getsignal(signal.SIGINT), []

    def elsewhere() -> None:
        with Interrupt() as interrupt:
            answers.append((interrupt(step()), signal.getsignal(signal.SIGINT) is previous))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert answers == [(None, True)]


def test_checkpoints_are_asked_for_by_the_clock_of_the_run_and_at_the_end_of_a_stage():
    callback = CheckpointEvery(10.0)
    asked = [seconds for seconds in range(0, 100) if callback(step(seconds, float(seconds))) == Checkpoint()]
    assert asked == list(range(10, 100, 10))
    assert callback(StageEnded("adam", "done")) == Checkpoint() and callback(Compiled(1.0)) is None
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive"):
            CheckpointEvery(bad)


def test_the_report_says_everything_once():
    rows = dict(report(SOLUTION, "results/burgers/run"))
    assert rows == {
        "relative L2 error of u": "3.10e-04", "maximum error of u": "2.00e-03", "residual on fresh points (rms)": "2.50e-03",
        "time": "61.2 s, of which 1.50 s to compile", "parameters": "2,241", "steps": "12,345",
        "points": "interior 4,096, t=0 256", "stopped because": "time budget of 60 s used up",
        "results": "results/burgers/run"}
    assert not any("L2" in label for label, _ in report(everything()["unknown"]))
