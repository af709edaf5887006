"""pinn bench accuracy: runs apart, resumable, a table and pictures."""

from __future__ import annotations

import json

import pytest

from pinn.bench import bench, read_run, told, write_table
from pinn.errors import FileError
from tests.pinn.tiny import write_tiny


def test_runs_once_and_writes_its_table(tmp_path):
    path = str(write_tiny(tmp_path))
    lines: list[str] = []
    out = tmp_path / "out"
    table = bench([path], 2.0, [0, 1], 1, out, lines.append)
    text = table.read_text(encoding="utf-8")
    assert table == out / "README.md" and text.count("| tiny |") == 2 and "trust" in text
    runs = sorted((out / "runs").iterdir())
    assert [run.name for run in runs] == ["tiny-2s-seed0-threads1", "tiny-2s-seed1-threads1"]
    assert {one.name for one in runs[0].iterdir()} == {"summary.json", "history.csv"}
    assert (out / "tiny.png").stat().st_size > 1000 and len(lines) == 2
    together = json.loads((out / "runs.json").read_text(encoding="utf-8"))
    assert together == [json.loads((run / "summary.json").read_text(encoding="utf-8")) for run in runs]
    # what is there is not run again, whatever it says
    summary = json.loads((runs[0] / "summary.json").read_text(encoding="utf-8"))
    summary["errors"]["u"]["relative_l2"] = 0.125
    (runs[0] / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    bench([path], 2.0, [0], 1, out, lines.append)
    assert "1.2e-01" in table.read_text(encoding="utf-8") and "1.2e-01" in lines[-1]


def test_a_run_that_fails_is_a_line(tmp_path):
    path = write_tiny(tmp_path, "broken.py", "raise RuntimeError('no such thing')\n")
    lines: list[str] = []
    text = bench([str(path)], 1.0, [0], 1, tmp_path / "out", lines.append).read_text(encoding="utf-8")
    assert "| broken | 0 |" in text and "broken" in lines[0]
    one, = json.loads((tmp_path / "out" / "runs.json").read_text(encoding="utf-8"))
    assert one["problem"] == "broken" and one["seed"] == 0 and one["failed"]


def test_what_is_no_problem_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(FileError):
        bench(["heat_1d", "no_such_problem"], 1.0, [0], 1, tmp_path, print)
    assert not list(tmp_path.iterdir())


def test_targets_are_met_or_missed(tmp_path):
    summary = {"errors": {"u": {"relative_l2": 1e-14}}, "seconds": 1.0, "seconds_compile": 0.0, "network": {"parameters": 3},
               "points": {"interior": 4}, "steps": 5, "stop_reason": "done",
               "verdict": {"word": "trust", "estimate": {"u": 2e-14}}}
    rows = [{"problem": "heat_1d", "seed": 0, "summary": summary, "history": [(0.5, 1e-3), (0.9, 1e-14)]},
            {"problem": "wave_1d", "seed": 0, "summary": summary | {"errors": {"u": {"relative_l2": 1e-3}}}, "history": []},
            {"problem": "robin", "seed": 0, "summary": {"failed": "why"}, "history": []}]
    write_table(rows, 30.0, 2, tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    heat, wave, robin = (next(line for line in text.splitlines() if line.startswith(f"| {name}")) for name in (
        "heat_1d", "wave_1d", "robin"))
    assert "1e-13 met" in heat and "| 0.5 |" in heat and "**missed**" in wave and "why" in robin
    assert "0.5" in heat.split("|")[8] and told(rows[0]).startswith("heat_1d seed 0: 1.0e-14, trust")


def test_errors_of_single_slabs_are_no_errors_of_the_whole(tmp_path):
    summary = {"errors": {"u": {"relative_l2": 2e-5}}, "seconds": 9.5, "seconds_compile": 0.5}
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (tmp_path / "history.csv").write_text("\n".join([
        "iteration,stage,seconds,loss,error:u", "1,Adam,1.0,1e-1,0.5", '2,"t 0 to 0.125, random features",2.0,1e-12,1e-9',
        "3,SSBroyden,3.0,1e-5,1e-3", ""]), encoding="utf-8")
    assert read_run("wave", 0, tmp_path)["history"] == [(1.0, 0.5), (3.0, 1e-3), (9.0, 2e-5)]
