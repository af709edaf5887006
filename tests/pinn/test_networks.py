"""Networks: the formula written out by hand in numpy, layouts that fit, first guesses with the promised spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from pinn.errors import RecipeError
from pinn.networks import MLP, FourierFeatures, GatedMLP, Layout, swish

NETWORKS = {
    "tanh": MLP(widths=(5, 7)), "unequal": MLP(widths=[3, 11, 2], activation="sin"),
    "swish": MLP(width=6, depth=1, activation=swish), "gated": GatedMLP(width=6, depth=3),
    "fourier": FourierFeatures(MLP(width=4, depth=2), frequencies=(1, 3)),
    "fourier gated": FourierFeatures(GatedMLP(width=4, depth=2)),
}  # fmt: skip


def guess(network, inputs=2, outputs=3, seed=0):
    layout = network.layout(inputs, outputs)
    theta = network.initial(layout, np.random.default_rng(seed))
    return layout, theta, layout.views(theta)


@pytest.mark.parametrize("name", NETWORKS)
def test_layout_fills_the_vector_without_gaps(name):
    layout, theta, views = guess(NETWORKS[name])
    assert theta.shape == (layout.size,) and np.all(np.isfinite(theta))
    counted = np.zeros(layout.size)
    for window in layout.views(counted).values():
        window += 1
    assert np.all(counted == 1)
    assert len({slot.name for slot in layout}) == len(layout.slots)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_point_in_numbers_out(name):
    network = NETWORKS[name]
    _, _, views = guess(network)
    assert network.apply(views, np.array([0.3, -0.4])).shape == (3,)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_generator_decides(name):
    network = NETWORKS[name]
    first, again, other = (guess(network, seed=seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def filled(layout: Layout) -> dict[str, np.ndarray]:
    """Weights without zeros, so that no bias can be forgotten."""
    return layout.views(np.random.default_rng(7).uniform(-1, 1, layout.size))


@pytest.mark.parametrize(("activation", "function"), [
    ("tanh", np.tanh), ("sin", np.sin), ("swish", lambda x: x / (1 + np.exp(-x))), (np.arctan, np.arctan)])
def test_mlp_formula(activation, function):
    network = MLP(widths=(4, 3), activation=activation)
    w = filled(network.layout(2, 2))
    x = np.array([0.3, -0.8])
    expected = np.zeros(2)
    first = [function(sum(w["W0"][i, j] * x[j] for j in range(2)) + w["b0"][i]) for i in range(4)]
    second = [function(sum(w["W1"][i, j] * first[j] for j in range(4)) + w["b1"][i]) for i in range(3)]
    for i in range(2):
        expected[i] = sum(w["W2"][i, j] * second[j] for j in range(3)) + w["b2"][i]
    assert network.apply(w, x) == pytest.approx(expected, rel=1e-14)


def test_gated_formula():
    network = GatedMLP(width=3, depth=2)
    w = filled(network.layout(2, 1))
    x = np.array([0.3, -0.8])
    a, b = np.tanh(w["Wa"] @ x + w["ca"]), np.tanh(w["Wb"] @ x + w["cb"])
    h = x
    for k in range(2):
        z = np.tanh(w[f"W{k}"] @ h + w[f"c{k}"])
        h = np.array([z[i] * a[i] + (1 - z[i]) * b[i] for i in range(3)])
    assert network.apply(w, x) == pytest.approx(w["W2"] @ h + w["c2"], rel=1e-14)


def test_fourier_formula():
    inner = MLP(widths=(5,))
    network = FourierFeatures(inner, frequencies=(1, 3))
    w = filled(network.layout(2, 1))
    assert w["W0"].shape == (5, 10)
    s, t = 0.3, -0.8
    features = [s, t] + [f(math.pi * k * x) for k in (1, 3) for f in (math.sin, math.cos) for x in (s, t)]
    assert network.apply(w, np.array([s, t])) == pytest.approx(inner.apply(w, np.array(features)), rel=1e-14)


def test_glorot_spread():
    _, _, w = guess(MLP(widths=(300, 200)), 2, 1)
    assert w["W1"].std() == pytest.approx(math.sqrt(2 / 500), rel=0.01)
    assert abs(w["W1"].mean()) < 1e-3
    assert all(np.all(w[f"b{k}"] == 0) for k in range(3))


def test_sines_start_spread_out():
    network = MLP(widths=(400, 400), activation="sin", frequency=4.0)
    _, _, w = guess(network, 2, 1)
    assert 1.9 < np.abs(w["W0"]).max() <= 2.0 and w["b0"].std() > 1.0
    assert 0.99 < np.abs(w["W1"]).max() / math.sqrt(6 / 400) <= 1.0
    # Sitzmann et al.: before every further sine the spread is one
    x = np.random.default_rng(3).uniform(-1, 1, (200, 2))
    hidden = np.array([w["W1"] @ np.sin(w["W0"] @ p + w["b0"]) + w["b1"] for p in x])
    assert hidden.std() == pytest.approx(1.0, rel=0.1)


def test_views_are_windows():
    layout = MLP(widths=(2,)).layout(1, 1)
    theta = np.zeros(layout.size)
    layout.views(theta)["W1"][...] = 5
    assert theta.sum() == 10


def test_moved_layouts_keep_shapes():
    layout = MLP(widths=(2,)).layout(3, 1)
    moved = layout.moved(100, "v.")
    assert moved.size == layout.size and [slot.offset - 100 for slot in moved] == [slot.offset for slot in layout]
    assert [slot.name for slot in moved] == ["v.W0", "v.b0", "v.W1", "v.b1"]


def test_swish_is_accurate_in_both_tails():
    x = np.array([-700.0, -1.0, 0.0, 2.0, 700.0])
    assert swish(x) == pytest.approx(x * expit(x))
    assert np.all(np.isfinite(swish(x)))


def test_networks_are_values():
    assert MLP(width=8, depth=2) == MLP(widths=(8, 8)) != MLP(widths=(8, 9))
    assert hash(MLP()) == hash(MLP(width=32, depth=3))


@pytest.mark.parametrize(("make", "code"), [
    (lambda: MLP(widths=()), "widths"), (lambda: MLP(widths=(3, 0)), "widths"), (lambda: MLP(width=-2), "widths"),
    (lambda: MLP(depth=0), "widths"), (lambda: MLP(width=2.5), "widths"), (lambda: MLP(width=True), "widths"),
    (lambda: MLP(widths=(3,), depth=2), "widths"), (lambda: MLP(widths="20"), "widths"),
    (lambda: MLP(activation="relu6"), "activation"), (lambda: GatedMLP(widths=(3, 4)), "widths"),
    (lambda: FourierFeatures(frequencies=()), "frequencies"), (lambda: FourierFeatures(frequencies=(1, 1)), "frequencies"),
    (lambda: FourierFeatures(frequencies=(0, 1)), "frequencies"), (lambda: FourierFeatures(frequencies=3), "frequencies"),
    (lambda: FourierFeatures(frequencies="a"), "frequencies"), (lambda: FourierFeatures(MLP), "frequencies")])
def test_bad_shapes_are_refused(make, code):
    with pytest.raises(RecipeError) as caught:
        make()
    assert caught.value.code == code and caught.value.fix
