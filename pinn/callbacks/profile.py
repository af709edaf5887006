"""Where the time of a run went, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinn.callbacks.wording import count, duration

NAMES = {
    "build": "stating the graphs", "compile": "compiling", "optimizer": "arithmetic of the optimizer",
    "sampling": "drawing and packing points", "errors": "measuring errors", "callbacks": "callbacks",
    "results": "results and pictures", "peak": "measuring the machine", "python": "Python and all else",
}  # fmt: skip
KERNEL = "kernel: "


def profile_rows(profile: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows (label, text) by falling time: seconds, share, and for kernels their rate beside the measured peak."""
    whole, kernels, rows = profile["seconds"], profile["kernels"], []
    for part, seconds in sorted(profile["parts"].items(), key=lambda item: -item[1]):
        text, kind = f"{duration(seconds):>10}  {seconds / whole:6.1%}", part.removeprefix(KERNEL)
        if kind in kernels:
            kernel = kernels[kind]
            text += (f"  {count(kernel['calls'])} calls, {kernel['flops'] / max(seconds, 1e-9) / 1e9:.1f} GF/s in products, "
                     f"{kernel['share_of_peak']:.2f} of the peak")
        rows.append((NAMES.get(part) or f"kernel, {kind.replace('_', ' ')}", text))
    rows.append(("whole", f"{duration(whole):>10}  {1:6.1%}"))
    threads = f"{profile['threads']} thread{'s' * (profile['threads'] > 1)}"
    for dtype, peak in profile["peaks"].items():
        rows.append((f"peak, {dtype}", f"{peak / 1e9:.1f} GF/s, measured: a product of square matrices with {threads}"))
    rows.append(("kernels", f"{profile['share_of_peak']:.2f} of the peak, all together"))
    return rows
