"""numpy functions on traced arrays: the values, shapes and dtypes of numpy, and derivatives that hold in every mode."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special

import autodiff as ad

X = np.random.default_rng(1).uniform(0.3, 2.0, (3, 4))


def filled(y, x):
    """y with the first element exchanged, by assignment; numbers that nobody set are zero."""
    y[1:] = 0.0
    y[0] = x[1] * x[0]
    return y


def assigned(x, key, value):
    """x with x[key] exchanged, by assignment, for a value that is made of x."""
    y = x.copy()
    y[key] = value(x)
    return y


FUNCTIONS = {
    # sums, products, moments, norms
    "sum": lambda a: np.sum(a, axis=0),
    "sum of conditions": lambda a: np.sum(a > 1) * a,
    "mean": lambda a: a.mean(axis=(0, 1), keepdims=True),
    "prod": lambda a: np.prod(a),
    "prod, axis": lambda a: np.prod(a, axis=0),
    "prod, keepdims": lambda a: a.prod(axis=1, keepdims=True),
    "var": lambda a: np.var(a, axis=0, ddof=1),
    "std": lambda a: np.std(a),
    "std, axis": lambda a: a.std(axis=1, keepdims=True),
    "average": lambda a: np.average(a, axis=1, weights=np.array([1.0, 2.0, 3.0, 4.0])),
    "average, weights traced": lambda a: np.average(a, weights=a),
    "norm": lambda a: np.linalg.norm(a),
    "norm 1": lambda a: np.linalg.norm(a, 1, axis=1),
    "norm 2": lambda a: np.linalg.norm(a, axis=1, keepdims=True),
    "norm 3": lambda a: np.linalg.norm(a, 3, axis=0),
    "norm inf": lambda a: np.linalg.norm(a, np.inf, axis=0),
    "norm fro": lambda a: np.linalg.norm(a, "fro"),
    "norm 1 of a matrix": lambda a: np.linalg.norm(a, 1),
    "norm -inf of a matrix": lambda a: np.linalg.norm(a, -np.inf),
    "any": lambda a: np.where(np.any(a > 1.5, axis=0), a[0], a[1]),
    "all": lambda a: np.where((a > 0.5).all(axis=1), a[:, 0], a[:, 1]),
    "count_nonzero": lambda a: np.count_nonzero(a > 1, axis=0) * a,
    "add.reduce": lambda a: np.add.reduce(a),
    "multiply.reduce": lambda a: np.multiply.reduce(a),
    "maximum.reduce": lambda a: np.maximum.reduce(a, axis=0),
    "python's sum": lambda a: sum(a),
    # order
    "max": lambda a: np.max(a),
    "max, axis": lambda a: a.max(axis=0),
    "min, keepdims": lambda a: a.min(axis=-1, keepdims=True),
    "ptp": lambda a: np.ptp(a, axis=1),
    "median": lambda a: np.median(a),
    "median, axis": lambda a: np.median(a, axis=1, keepdims=True),
    "sort": lambda a: np.sort(a, axis=0),
    "sort, flat": lambda a: np.sort(a, axis=None),
    "argsort": lambda a: a[np.argsort(a[:, 0])],
    "argmax": lambda a: a[np.argmax(a[:, 1])],
    "take_along_axis": lambda a: np.take_along_axis(a, np.argsort(a, axis=1), 1),
    # scans
    "cumsum": lambda a: np.cumsum(a, axis=1),
    "cumsum, flat": lambda a: a.cumsum(),
    "cumprod": lambda a: np.cumprod(a, axis=1),
    "cumprod, axis 0": lambda a: np.cumprod(a, axis=0),
    "diff": lambda a: np.diff(a),
    "diff, twice": lambda a: np.diff(a, n=2, axis=0, prepend=0.0, append=a[:1]),
    "trapezoid": lambda a: np.trapezoid(a * a, dx=0.1, axis=0),
    "trapezoid, x traced": lambda a: np.trapezoid(a * a, x=a, axis=1),
    "trapezoid, x": lambda a: np.trapezoid(a * a, x=np.arange(4.0), axis=1),
    # assembly
    "pad": lambda a: np.pad(a, 1),
    "pad, values": lambda a: np.pad(a, ((1, 2), (0, 1)), constant_values=3.0),
    "pad, edge": lambda a: np.pad(a, 2, mode="edge"),
    "pad, reflect": lambda a: np.pad(a, 1, mode="reflect"),
    "pad, wrap": lambda a: np.pad(a, 1, mode="wrap"),
    "tril": lambda a: np.tril(a, 1),
    "triu": lambda a: np.triu(a, -1),
    "diag of a vector": lambda a: np.diag(a[0], 1) + np.diag(a[0], -1),
    "diag of a matrix": lambda a: np.diag(a, 1),
    "diagflat": lambda a: np.diagflat(a),
    "meshgrid": lambda a: np.meshgrid(a[0], a[1]),
    "meshgrid, ij": lambda a: np.meshgrid(a[0], a[:, 1], a[1], indexing="ij"),
    "meshgrid, sparse": lambda a: np.meshgrid(a[0], a[:, 1], sparse=True),
    "atleast_2d": lambda a: np.atleast_2d(a[0]),
    "column_stack": lambda a: np.column_stack((a[0], a[1])),
    "dstack": lambda a: np.dstack((a, a * 2)),
    "append": lambda a: np.append(a, a[:1], axis=0),
    "append, flat": lambda a: np.append(a, 3.0),
    "array_split": lambda a: np.array_split(a, 3, axis=1),
    "block": lambda a: np.block([[a, a * 2], [a * 3, a]]),
    "stack": lambda a: np.stack([a, a * a], axis=-1),
    "concatenate": lambda a: np.concatenate([a, np.ones((1, 4)), a * 2]),
    "concatenate, flat": lambda a: np.concatenate([a, a[0]], axis=None),
    "hstack": lambda a: np.hstack((a, a[:, :1])),
    "hstack, vectors": lambda a: np.hstack((a[0], 2.0)),
    "vstack": lambda a: np.vstack((a, a[0])),
    "split": lambda a: np.split(a, 2, axis=1),
    "split at": lambda a: np.split(a, [1], axis=0),
    "select": lambda a: np.select([a > 1.5, a > 1.0], [a * 2, a * a], -a),
    "cross": lambda a: np.cross(a[:, :3], a[:, 1:]),
    "polyval": lambda a: np.polyval(a[0], a[1]),
    "broadcast_arrays": lambda a: np.broadcast_arrays(a[0], a),
    "floor_divide": lambda a: a * np.floor_divide(a, 0.7),
    # layout
    "reshape": lambda a: a.reshape(2, -1),
    "reshape, columns first": lambda a: np.reshape(a, (2, -1), order="F") + a.reshape(2, 6, order="F"),
    "ravel, columns first": lambda a: np.ravel(a, order="F") * a.ravel("F") - a.flatten("F"),
    "ravel": lambda a: np.ravel(a),
    "T": lambda a: a.T,
    "transpose": lambda a: np.transpose(a[None], (1, 2, 0)),
    "swapaxes": lambda a: np.swapaxes(a, 0, 1),
    "moveaxis": lambda a: np.moveaxis(a[None], 0, -1),
    "expand_dims": lambda a: np.expand_dims(a, (0, -1)),
    "squeeze": lambda a: np.squeeze(a[None]),
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 3, 4)),
    "flip": lambda a: np.flip(a, 1),
    "roll": lambda a: np.roll(a, 2, axis=1),
    "repeat": lambda a: np.repeat(a, 3, axis=0),
    "tile": lambda a: np.tile(a, (2, 2)),
    "rot90": lambda a: np.rot90(a),
    "trace": lambda a: np.trace(a),
    "take": lambda a: np.take(a, [1, 1, 0], axis=1),
    "index, pairs": lambda a: a[[0, 0, 2], [1, 1, 3]],
    "index, list": lambda a: a[:, [1, 1, 3]],
    "index, mask": lambda a: a[np.array([True, False, True])],
    "index, traced mask": lambda a: a[a[:, 0] > 0.0],
    "index, backwards": lambda a: a[::-1, -3:],
    "index, backwards in steps": lambda a: a[2:0:-1, ::-2],
    "index, newaxis": lambda a: a[None, :, None, 1],
    "index, ellipsis": lambda a: a[..., 1],
    "assign, element": lambda a: assigned(a, (1, 2), lambda y: y[0, 0] * y[1, 2]),
    "assign, row": lambda a: assigned(a, 1, lambda y: y[0] * y[2]),
    "assign, column": lambda a: assigned(a, (slice(None), 1), lambda y: y[:, 0] ** 3),
    "assign, steps": lambda a: assigned(a, (slice(None, None, -2), slice(1, 3)), lambda y: y[:2, :2]),
    "assign, list": lambda a: assigned(a, [2, 0, 2], lambda y: y * y),
    "assign, mask": lambda a: assigned(a, np.arange(12).reshape(3, 4) % 3 == 0, lambda y: y[0] ** 2),
    "assign, computed mask": lambda a: assigned(a, a > 1.0, lambda y: 3.0),
    "assign, into zeros": lambda a: filled(np.zeros_like(a), a) * filled(np.ones_like(a[:, 0]), a[:, 1])[:, None],
    "assign, into what is filled": lambda a: filled(np.empty_like(a[0]), a[0])[:1] + np.full_like(a, 3.0),
    "assign, all": lambda a: assigned(a, ..., lambda y: y[0]),
    "assign, twice": lambda a: assigned(assigned(a, 0, lambda y: y[1] * y[0]), (0, 0), lambda y: y[0, 0] * y[0, 1]),
    "ufunc.outer": lambda a: np.multiply.outer(a, a[0]) + np.subtract.outer(2.0, a[1]),
    "divmod by python": lambda a: divmod(a, 0.7)[1] * divmod(3.0, a)[1],
    # products
    "matmul": lambda a: a @ a.T,
    "matmul, vector": lambda a: a @ a[0],
    "matmul, batched": lambda a: np.matmul(a[None], a.T[None, :, :] * np.ones((2, 1, 1))),
    "dot": lambda a: np.dot(a[0], a[1]),
    "einsum": lambda a: np.einsum("ij,kj->ik", a, a),
    "einsum, three": lambda a: np.einsum("ij,ik,jk->i", a, a @ a.T @ a, np.ones((4, 4))),
    "einsum, diagonal": lambda a: np.einsum("ii", a[:, :3]),
    "einsum, implicit": lambda a: np.einsum("ij,jk", a, a.T),
    "tensordot": lambda a: np.tensordot(a, a, axes=([0, 1], [0, 1])),
    "kron": lambda a: np.kron(a, a[:2, :2]),
    "kron of vectors": lambda a: np.kron(a[0], a[1]),
    "kron of a matrix and a vector": lambda a: np.kron(a, a[1]),
    "outer": lambda a: np.outer(a, a[0]),
    "inner": lambda a: np.inner(a, a),
    "vdot": lambda a: np.vdot(a, a),
    # elementwise by other names
    "square": lambda a: np.square(a) + np.reciprocal(a) - np.negative(a) + np.positive(a),
    "float_power": lambda a: np.float_power(a, 3) + np.float_power(2.0, a),
    "degrees": lambda a: np.deg2rad(np.degrees(a)) + np.rad2deg(np.radians(a)),
    "clip": lambda a: np.clip(a, 0.5, 1.5),
    "round": lambda a: a * np.round(a, 1),
    "operators": lambda a: (2 - a) / (1 + a) ** 2 - 3 / a + 2**a + a**a - (-a) % 0.7 + abs(a) + a // 0.3 * a,
    "conditions": lambda a: np.where((a > 1) & ~(a > 1.7) | (a < 0.4), a * a, -a),
    "xlogy": lambda a: scipy.special.xlogy(a, a) + scipy.special.xlog1py(a, a) + scipy.special.entr(a),
    "log_expit": lambda a: scipy.special.log_expit(a) + scipy.special.logit(a / 3),
    # curves
    "interp": lambda a: np.interp(a, np.array([0.2, 1.0, 2.1]), np.array([1.0, -1.0, 3.0])),
    "interp, beyond the ends": lambda a: np.interp(a, [0.9, 1.5], [1.0, 2.0], left=5.0),
    "interp, knots and values traced": lambda a: np.interp([0.1, 1.0, 1.2], np.sort(a[0]), a[1]),
    "convolve": lambda a: np.convolve(a[0], a[1, :3]),
    "convolve, same": lambda a: np.convolve(a[0, :2], a[1], "same"),
    "convolve, valid": lambda a: np.convolve(a[0], [1.0, 2.0, -1.0], mode="valid"),
    "correlate": lambda a: np.correlate(a[0], a[1, :2]),
    "correlate, full": lambda a: np.correlate(a[0, :3], a[1], "full"),
    "gradient": lambda a: np.gradient(a),
    "gradient, spacing": lambda a: np.gradient(a, 0.5, axis=1, edge_order=2),
    "gradient, coordinates": lambda a: np.gradient(a, np.array([0.0, 1.0, 3.0]), a[0] + np.arange(4.0) * 9),
    "gradient, coordinates, edges": lambda a: np.gradient(a, np.array([0.0, 1.0, 3.0, 3.5]), axis=1, edge_order=2),
    "quantile": lambda a: np.quantile(a, 0.3),
    "percentile": lambda a: np.percentile(a, [25, 50, 90], axis=1),
    "percentile, keepdims": lambda a: np.percentile(a, 40, axis=(0, 1), keepdims=True),
    "searchsorted": lambda a: a * np.searchsorted(np.sort(a[0]), a[1, 0]),
    "polynomials": lambda a: np.polymul(a[0], a[1]) + np.polyadd(np.polysub(a[0], a[1, :2]), np.ones(7)),
    "polyder, polyint": lambda a: np.polyder(a[0], 2)[0] * np.polyint(a[1], 2),
    "vander": lambda a: np.vander(a[0], 3) + np.vander(a[1], 3, increasing=True),
    "linspace": lambda a: np.linspace(a[0], a[1], 5, axis=1),
    "cov": lambda a: np.cov(a),
    "cov, one variable": lambda a: np.cov(a[0], bias=True),
    "corrcoef": lambda a: np.corrcoef(a),
    "nansum": lambda a: np.nansum(np.where(a > 1.5, np.nan, a), axis=0) + np.nanprod(a),
    "nanmean": lambda a: np.nanmean(np.where(a > 1.5, np.nan, a)),
    "std, correction": lambda a: np.std(a, correction=1) * np.var(a, axis=0, correction=1),
    "nanstd": lambda a: np.nanstd(np.where(a > 1.7, np.nan, a), axis=1, ddof=0, keepdims=True),
    "nanmax": lambda a: np.nanmax(np.where(a > 1.5, np.nan, a)) - np.nanmin(a) + np.nancumsum(a) * np.nancumprod(a),
    "amax": lambda a: np.amax(a, axis=0) - np.amin(a) + np.around(a, 1) * np.fix(a),
    "divmod": lambda a: np.divmod(a, 0.7)[1] * np.modf(a)[0] + np.divmod(a, 0.7)[0] * np.modf(a)[1],
    "matvec": lambda a: np.matvec(a, a[0]),
    "vecmat": lambda a: np.vecmat(a[:, 0], a) + np.vecdot(a[0], a[1]),
    "delete": lambda a: np.delete(a, 1, axis=0) + np.rollaxis(a, 1)[:2].T[:2, :1],
    "splits": lambda a: np.hsplit(a, 2) + np.vsplit(a, 3) + list(np.unstack(a)),
    "partition": lambda a: np.partition(a, 1, axis=0)[1],
    "ediff1d": lambda a: np.ediff1d(a) * np.compress([1, 0, 1], a, axis=0)[0, 0],
    "triu_indices_from": lambda a: a[np.triu_indices_from(a)],
    "fftshift": lambda a: np.fft.fftshift(a) * np.resize(a, (3, 4)),
    # linear algebra
    "solve": lambda a: np.linalg.solve(a[:, :3], a[:, 3]),
    "solve, many": lambda a: np.linalg.solve(np.stack([a[:, :3], a[:, 1:]]), a),
    "inv": lambda a: np.linalg.inv(a[:, :3]),
    "det": lambda a: np.linalg.det(np.stack([a[:, :3], a[:, 1:]])),
    "slogdet": lambda a: list(np.linalg.slogdet(a[:, 1:])),
    "cholesky": lambda a: np.linalg.cholesky(a @ a.T),
    "cholesky, upper": lambda a: np.linalg.cholesky(a @ a.T, upper=True),
    "eigh": lambda a: list(np.linalg.eigh(a @ a.T)),
    "eigvalsh": lambda a: np.linalg.eigvalsh(a @ a.T, UPLO="U"),
    "svd": lambda a: list(np.linalg.svd(a, full_matrices=False)),
    "svd, values": lambda a: np.linalg.svd(a, compute_uv=False) + np.linalg.svdvals(a),
    "qr": lambda a: list(np.linalg.qr(a.T)) + [np.linalg.qr(a.T, mode="r")],
    "pinv": lambda a: np.linalg.pinv(a),
    "lstsq": lambda a: list(np.linalg.lstsq(a.T, a[0] ** 2, rcond=None))[:2],
    "lstsq, many": lambda a: np.linalg.lstsq(a.T, a.T**2, rcond=None)[3],
    "matrix_power": lambda a: np.linalg.matrix_power(a[:, :3], 5) + np.linalg.matrix_power(a[:, :3], 0),
    "matrix_power, inverse": lambda a: np.linalg.matrix_power(a[:, :3], -2),
    "multi_dot": lambda a: np.linalg.multi_dot([a[0], a.T, a, a[1]]),
    "multi_dot, matrices": lambda a: np.linalg.multi_dot([a, a.T, a]),
    "norm nuc": lambda a: np.linalg.norm(a, "nuc"),
    "norm 2 of a matrix": lambda a: np.linalg.norm(a, 2),
    "norm -2 of matrices": lambda a: np.linalg.norm(np.stack([a, a * a]), -2, axis=(1, 2), keepdims=True),
    "vector_norm": lambda a: np.linalg.vector_norm(a, axis=(0, 1), ord=3, keepdims=True),
    "matrix_norm": lambda a: np.linalg.matrix_norm(a),
    "cond": lambda a: np.linalg.cond(a) + np.linalg.cond(a[:, :3], 1),
    "matrix_rank": lambda a: np.linalg.matrix_rank(a) * a,
    "tensorinv": lambda a: np.linalg.tensorinv(np.reshape(a[:, :3] + 2 * np.eye(3), (3, 3, 1)), ind=1),
    "tensorsolve": lambda a: np.linalg.tensorsolve(np.reshape(a[:, :3], (3, 1, 3)), a[:, 3:]),
    "numpy 2 names": lambda a: np.matrix_transpose(a) @ np.linalg.matmul(a, a.T) * np.linalg.trace(a) + np.linalg.diagonal(a),
    "nan_to_num": lambda a: np.nan_to_num(a),
    "astype": lambda a: a.astype(np.float64) * a.astype(int),
}
# by design single precision in, single precision out; numpy answers in double
DOUBLE_IN_NUMPY = {"concatenate", "float_power", "astype", "matmul, batched", "average", "trapezoid, x", "einsum, three",
                   "percentile", "cov", "cov, one variable", "corrcoef"}  # fmt: skip
each = pytest.mark.parametrize("name", FUNCTIONS)


def arrays(tree) -> list[np.ndarray]:
    return [np.asarray(x) for x in (tree if isinstance(tree, (list, tuple)) else [tree])]


@each
def test_values_are_numpys(name):
    f = FUNCTIONS[name]
    got, expected = arrays(ad.jvp(f, (X,), (X,))[0]), arrays(f(X.copy()))
    for a, b in zip(got, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-13)


@each
def test_derivatives_of_second_order(name):
    ad.check_derivatives(FUNCTIONS[name], X, order=2)


@each
def test_jacobian_and_map(name):
    f = FUNCTIONS[name]
    v = np.random.default_rng(2).normal(size=X.shape)
    for j, d in zip(arrays(ad.jacobian(f)(X)), arrays(ad.jvp(f, (X,), (v,))[1]), strict=True):
        np.testing.assert_allclose(np.tensordot(j, v, 2), d, rtol=1e-10, atol=1e-11)
    if name == "index, traced mask":
        return  # the shape depends on the numbers: vmap says so, see test_functional
    both = np.stack([X, X[::-1] * 1.01])
    loops = [arrays(f(x)) for x in both]
    for k, mapped in enumerate(arrays(ad.vmap(f)(both))):
        np.testing.assert_allclose(mapped, np.stack([loop[k] for loop in loops]), rtol=1e-13)


@each
def test_single_precision(name):
    f, single = FUNCTIONS[name], X.astype(np.float32)
    value, tangent = ad.jvp(f, (single,), (single,))
    for a, t, expected in zip(arrays(value), arrays(tangent), arrays(f(single)), strict=True):
        assert a.dtype == t.dtype
        assert name in DOUBLE_IN_NUMPY or a.dtype == expected.dtype


# numpy functions that have no rule, as people call them
NO_RULE = {
    "np": """angle apply_along_axis argpartition array_equiv bincount choose common_type copyto digitize extract
        fill_diagonal frexp histogram histogram2d histogram_bin_edges histogramdd i0 insert intersect1d isin
        ix_ ldexp lexsort logspace nanargmax nanmedian nanpercentile nextafter packbits piecewise place poly polydiv
        polyfit putmask put roots setdiff1d sort_complex spacing trim_zeros union1d unique unique_counts unwrap""",
    "np.linalg": "eig eigvals",
    "np.fft": "fft ifft rfft irfft fft2 fftn rfftn",
}


@pytest.mark.parametrize("name", [f"{room}.{name}" for room, names in NO_RULE.items() for name in names.split()])
def test_there_is_no_silent_detour(name):
    """Whatever the arguments, the answer is an error that names the function and the user's line."""
    function = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft}[name.rpartition(".")[0]]
    function = getattr(function, name.rpartition(".")[2])

    def f(x):
        for given in ((x,), (x, x), (x, 0, x), (np.sum, 0, x)):
            try:
                return np.sum(function(*given))
            except TypeError as error:  # too few arguments, or too many
                if isinstance(error, ad.AutodiffError):
                    raise
        raise AssertionError(name)

    with pytest.raises(ad.NoRuleError) as error:
        ad.grad(f)(np.ones((2, 2)))
    assert f"{name} has no derivative rule" in error.value.what and error.value.fix
    assert "test_numpy_functions.py:" in error.value.where


@pytest.mark.parametrize(("call", "name"), [
    (lambda x: np.linalg.eig(x), "np.linalg.eig"),
    (lambda x: np.nextafter(x, 1.0), "np.nextafter"),
    (lambda x: np.add.accumulate(x), "np.add.accumulate"),
    (lambda x: scipy.special.zetac(x), "scipy.special.zetac"),
    (lambda x: np.sum(x, dtype=np.float32), "np.sum with dtype="),
    (lambda x: np.max(x, initial=3.0), "np.max with initial="),
    (lambda x: np.sin(x, where=x > 0), "np.sin with where="),
])  # fmt: skip
def test_a_function_without_a_rule_is_named_where_it_is_called(call, name):
    with pytest.raises(ad.NoRuleError) as error:
        ad.grad(lambda x: np.sum(call(x)))(np.ones(3))
    assert name in error.value.what and error.value.fix
    assert "test_numpy_functions.py:" in error.value.where


def test_leaving_the_graph_is_told_at_once():
    def by_array(x):
        return np.sum(np.array([x[0], x[1]]))

    def by_item(x):
        y = np.zeros(2)
        y[0] = x[0]
        return np.sum(y)

    def by_float(x):
        return float(x[0])

    def by_increment(x):
        y = np.zeros(2)
        y += x
        return np.sum(y)

    for f in (by_array, by_item, by_float, by_increment):
        with pytest.raises(ad.TraceError) as error:
            ad.grad(f)(np.ones(2))
        assert error.value.fix and "test_numpy_functions.py:" in error.value.where


def test_assignment_reaches_one_name_only():
    def copied(x):
        y, z = x.copy(), +x
        x[0] = 5.0
        y[1] = x[0] * z[1]
        return np.sum(x) + 10 * np.sum(y) + 100 * np.sum(z.astype(float))

    x = np.array([2.0, 3.0])
    np.testing.assert_array_equal(ad.grad(copied)(x), [110.0, 151.0])
    np.testing.assert_array_equal(x, [2.0, 3.0])  # what is differentiated belongs to the caller

    def into_a_constant(x):
        y = ad.constant(np.zeros(3))
        y[1] = x[0] * x[1]
        return np.sum(y * y)

    np.testing.assert_array_equal(ad.grad(into_a_constant)(x), [36.0, 24.0])

    def row_of_a_row(x):
        x[0][1] = 3.0
        return np.sum(x)

    with pytest.raises(ad.TraceError, match="taken from another") as error:
        ad.grad(row_of_a_row)(np.ones((2, 2)))
    assert error.value.code == "assign-part" and "test_numpy_functions.py:" in error.value.where
