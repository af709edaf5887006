"""Networks: the formula written out by hand in numpy, layouts that fit, first guesses with the promised spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from pinn.errors import RecipeError
from pinn.networks import (
    MLP,
    FourierFeatures,
    GatedMLP,
    Layout,
    PirateNet,
    RandomFeatures,
    RandomFourierFeatures,
    Separable,
    Sum,
    Waves,
    swish,
)

NETWORKS = {
    "tanh": MLP(widths=(5, 7)), "unequal": MLP(widths=[3, 11, 2], activation="sin"),
    "swish": MLP(width=6, depth=1, activation=swish), "gated": GatedMLP(width=6, depth=3),
    "fourier": FourierFeatures(MLP(width=4, depth=2), frequencies=(1, 3)),
    "fourier gated": FourierFeatures(GatedMLP(width=4, depth=2)),
    "fourier by input": FourierFeatures(MLP(width=4, depth=2), frequencies=((1, 2), (3,))),
    "random fourier": RandomFourierFeatures(MLP(width=4, depth=1), count=5, scale=(2.0, 1.0)),
    "pirate": PirateNet(width=5, depth=2), "fourier pirate": FourierFeatures(PirateNet(width=4, depth=1)),
    "separable": Separable(MLP(width=5, depth=1), rank=3),
    "features": RandomFeatures(9, fastest=(3.0, 5.0)), "sum": Sum((MLP(width=4, depth=1), RandomFeatures(6, 4.0))),
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
    if name == "features":
        pytest.skip("they start at zero")
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


def test_fourier_frequencies_by_input():
    inner = MLP(widths=(4,))
    network = FourierFeatures(inner, frequencies=((1, 2), (3,)))
    w = filled(network.layout(2, 1))
    s, t = 0.3, -0.8
    features = [s, t] + [f(math.pi * k * x) for x, k in ((s, 1), (s, 2), (t, 3)) for f in (math.sin, math.cos)]
    assert network.apply(w, np.array([s, t])) == pytest.approx(inner.apply(w, np.array(features)), rel=1e-14)


def test_random_fourier_formula_and_spread():
    network = RandomFourierFeatures(MLP(widths=(4,)), count=20_000, scale=(2.0, 0.5), seed=3)
    x = np.array([0.3, -0.8])
    seen = []
    inner = type("Seen", (), {"layout": MLP(widths=(4,)).layout, "initial": None, "apply": lambda self, w, h: seen.append(h)})()
    RandomFourierFeatures(inner, 20_000, (2.0, 0.5), 3).apply({}, x)
    sines, cosines = seen[0][2:20_002], seen[0][20_002:]
    assert np.array_equal(seen[0][:2], x) and sines**2 + cosines**2 == pytest.approx(np.ones(20_000))
    # E cos(B x) = exp(-|scale x|^2 / 2): the kernel that the features stand for
    assert cosines.mean() == pytest.approx(math.exp(-((2.0 * 0.3) ** 2 + (0.5 * 0.8) ** 2) / 2), abs=0.02)
    assert network.layout(2, 1).slots[0].shape == (4, 40_002)


def test_pirate_formula():
    network = PirateNet(width=3, depth=2)
    w = filled(network.layout(2, 1))
    x = np.array([0.3, -0.8])
    p, q = np.tanh(w["Wp"] @ x + w["bp"]), np.tanh(w["Wq"] @ x + w["bq"])
    h = w["Wh"] @ x + w["bh"]
    for k in range(2):
        f = np.tanh(w[f"Wf{k}"] @ h + w[f"bf{k}"])
        g = np.tanh(w[f"Wg{k}"] @ (f * p + (1 - f) * q) + w[f"bg{k}"])
        z = np.tanh(w[f"Wz{k}"] @ (g * p + (1 - g) * q) + w[f"bz{k}"])
        h = w["a"][k] * z + (1 - w["a"][k]) * h
    assert network.apply(w, x) == pytest.approx(w["W"] @ h + w["b"], rel=1e-14)


def test_pirates_begin_linear():
    network = PirateNet(width=6, depth=3)
    _, _, w = guess(network)
    at = [network.apply(w, np.array(x, float)) for x in ((0, 0), (0.7, -0.2), (1.4, -0.4))]
    assert at[2] - at[1] == pytest.approx(at[1] - at[0], rel=1e-12)


def test_separable_formula():
    inner = MLP(widths=(4,))
    network = Separable(inner, rank=2)
    w = filled(network.layout(3, 2))
    x = np.array([0.3, -0.8, 0.5])
    own = [{name[3:]: one for name, one in w.items() if name.startswith(f"{i}: ")} for i in range(3)]
    factors = [inner.apply(own[i], x[i:i + 1]) for i in range(3)]
    product = factors[0] * factors[1] * factors[2]
    assert network.apply(w, x) == pytest.approx([product[:2].sum(), product[2:].sum()], rel=1e-14)


def test_random_features_formula_and_spread():
    network = RandomFeatures(20_000, fastest=(4.0, 1.0), seed=2)
    w, b, size = network.waves(2)
    assert w.std(axis=0) == pytest.approx([2.0, 0.5], rel=0.02) and np.abs(b).max() <= math.pi
    c, x = np.random.default_rng(0).normal(size=(1, 20_000)), np.array([0.3, -0.8])
    expected = np.sum(c[0] * np.sin(w @ x + b) / (1 + np.sum(w**2, axis=1)))
    assert network.apply({"W": c}, x) == pytest.approx([expected], rel=1e-12) and size.shape == (20_000,)
    assert network.trace((1,)).fastest == (1.0,)


def test_waves_are_all_random_features_at_once():
    features, x = RandomFeatures(7, fastest=5.0), np.array([0.3, -0.8])
    w, b, size = features.waves(2)
    c = np.random.default_rng(0).normal(size=(2, 7))
    assert Waves(7).apply({"w": w, "b": b, "W": c * size}, x) == pytest.approx(features.apply({"W": c}, x), rel=1e-13)


@pytest.mark.parametrize("network", [
    FourierFeatures(MLP(), frequencies=((1, 2), (3,))), RandomFourierFeatures(scale=(1.0, 2.0)), RandomFeatures(4, (1.0, 2.0))])
def test_numbers_of_inputs_must_fit(network):
    with pytest.raises(RecipeError) as caught:
        layout = network.layout(3, 1)
        network.apply(filled(layout), np.zeros(3))
    assert caught.value.code == "frequencies" and caught.value.fix


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
    (lambda: FourierFeatures(frequencies="a"), "frequencies"), (lambda: FourierFeatures(MLP), "frequencies"),
    (lambda: FourierFeatures(frequencies=((), ())), "frequencies"), (lambda: PirateNet(width=0), "widths"),
    (lambda: PirateNet(activation="relu6"), "activation"), (lambda: Separable(MLP), "networks"),
    (lambda: Separable(rank=0), "widths"), (lambda: RandomFourierFeatures(count=0), "widths"),
    (lambda: RandomFourierFeatures(scale=-1), "frequencies"), (lambda: RandomFourierFeatures(MLP), "frequencies"),
    (lambda: RandomFeatures(fastest=0), "frequencies"), (lambda: RandomFeatures(fastest="fast"), "frequencies"),
    (lambda: RandomFeatures(count=2.5), "widths"), (lambda: Sum(()), "networks"), (lambda: Sum((3,)), "networks")])
def test_bad_shapes_are_refused(make, code):
    with pytest.raises(RecipeError) as caught:
        make()
    assert caught.value.code == code and caught.value.fix
