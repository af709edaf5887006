"""Five ways to get None instead of a gradient, and what the tape says about each.

    $ python examples/five_ways_to_get_none.py

A None is silent in other libraries.  Here `tape.explain(target, source)` names the first cause, the line, and the fix; the same
sentence comes as an `ad.UnconnectedWarning` when something that is watched gets None.
"""

import inspect
import textwrap
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import autodiff as ad

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "examples"


def the_pixels_were_never_watched():
    w, pixels = ad.Variable([1.0, -2.0]), ad.constant([0.5, 0.25])
    with ad.GradientTape() as tape:
        score = np.sum(w * pixels)
    return tape.gradient(score, pixels), tape.explain(score, pixels)


def the_loss_went_through_numpy():
    w = ad.Variable([1.0, 2.0])
    with ad.GradientTape() as tape:
        errors = (w - 3.0).numpy()
        loss = ad.constant(np.mean(errors**2))
    return tape.gradient(loss, w), tape.explain(loss, w)


def the_loss_is_an_accuracy():
    scores, labels = ad.Variable([[2.0, 1.0], [0.0, 1.0]]), np.array([0, 0])
    with ad.GradientTape() as tape:
        hits = np.argmax(scores, axis=1) == labels
        loss = 1.0 - np.mean(hits.astype(float))
    return tape.gradient(loss, scores), tape.explain(loss, scores)


def the_variable_was_rebound():
    w = ad.Variable(2.0, name="w")
    w = w - 0.1 * w
    with ad.GradientTape() as tape:
        loss = (w - 1.0) ** 2
    return tape.gradient(loss, w), tape.explain(loss, w)


def the_inner_gradient_was_taken_outside():
    x = ad.Variable(3.0, name="x")
    with ad.GradientTape() as outer:
        with ad.GradientTape() as inner:
            y = x**3
    slope = inner.gradient(y, x)
    return outer.gradient(slope, x), outer.explain(slope, x)


WAYS = (the_pixels_were_never_watched, the_loss_went_through_numpy, the_loss_is_an_accuracy, the_variable_was_rebound,
        the_inner_gradient_was_taken_outside)  # fmt: skip


def main(folder: Path = RESULTS) -> dict[str, str]:
    said, codes = {}, {}
    for way in WAYS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ad.UnconnectedWarning)  # it says what `explain` says
            gradient, sentence = way()
        assert gradient is None
        name = way.__name__.replace("_", " ").capitalize()
        said[name], codes[name] = sentence.replace(f"{HERE}/", ""), sentence.code
        print(f"{name}.\n{textwrap.indent(said[name], '    ')}\n")

    plt.style.use(HERE / "jetspace.mplstyle")
    figure, panels = plt.subplots(len(WAYS), 1, figsize=(11, 6.6))
    for panel, way, (name, sentence) in zip(panels, WAYS, said.items(), strict=True):
        lines, first = inspect.getsourcelines(way)
        code = "\n".join(f"{first + k:3d} {line[4:].rstrip()}" for k, line in enumerate(lines[:-1]) if k)
        words = "\n".join(textwrap.fill(line, 58, subsequent_indent="  ") for line in sentence.splitlines())
        panel.axis("off")
        panel.set_title(name, loc="left", fontweight="bold")
        panel.text(0.0, 0.95, code, family="DejaVu Sans Mono", fontsize=8.5, va="top", parse_math=False)
        panel.text(0.58, 0.95, words, family="DejaVu Sans Mono", fontsize=8.5, va="top", color="C5", parse_math=False)
    figure.savefig(folder / "five_ways_to_get_none.png")
    plt.close(figure)
    return codes


if __name__ == "__main__":
    main()
