# SPDX-License-Identifier: Apache-2.0
"""The inner loops of the overlap fit and of the blob features in C, compiled once per machine that has a compiler.

Without a compiler, or with MIMEDI_NO_KERNEL set, callers use their NumPy or OpenCV version of the same. The library is
kept in the user's cache, named by the hash of its source, so that it is never older than this file.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mimedi_nodes.vision.kernel_blobs import BLOB_SOURCE

FIT_SOURCE = r"""
/* Fit n patches to the residual by Gauss-Seidel sweeps: each cell in turn takes one Gauss-Newton step in
   (x, y, amplitude) with Gaussian priors, and the residual is kept up to date. Patches are sampled bilinearly. */
static double clamp(double v, double lo, double hi) { return v < lo ? lo : (v > hi ? hi : v); }

/* residual -= sign * amplitude * patch at (x, y) */
static void place(float *residual, int channels, int h, int w, const float *patch, int size,
                  double x, double y, float amount)
{
    int reach = size / 2, fx = (int)(x < 0 ? x - 1 : x), fy = (int)(y < 0 ? y - 1 : y);
    float u = (float)(x - fx), v = (float)(y - fy);
    float c11 = amount * (1 - u) * (1 - v), c10 = amount * u * (1 - v);
    float c01 = amount * (1 - u) * v, c00 = amount * u * v;
    int left = fx - reach, top = fy - reach;
    int i0 = left + 1 > 0 ? 1 : -left, i1 = left + size < w ? size : w - left;
    int j0 = top + 1 > 0 ? 1 : -top, j1 = top + size < h ? size : h - top;
    for (int c = 0; c < channels; ++c)
        for (int j = j0; j < j1; ++j) {
            float *r = residual + ((long)c * h + top + j) * w + left;
            const float *p = patch + ((long)c * size + j) * size, *q = p - size;
            for (int i = i0; i < i1; ++i)
                r[i] -= c11 * p[i] + c10 * p[i - 1] + c01 * q[i] + c00 * q[i - 1];
        }
}

void fit_overlaps(int n, int channels, int size, int h, int w, float *residual, const float *patches,
                  double *x, double *y, double *a, const double *x0, const double *y0, const double *spread,
                  const double *a_spread, int sweeps, double max_step)
{
    int reach = size / 2;
    long one = (long)channels * size * size;
    for (int k = 0; k < n; ++k) place(residual, channels, h, w, patches + k * one, size, x[k], y[k], (float)a[k]);
    for (int sweep = 0; sweep < sweeps; ++sweep)
        for (int k = 0; k < n; ++k) {
            const float *patch = patches + k * one;
            int fx = (int)(x[k] < 0 ? x[k] - 1 : x[k]), fy = (int)(y[k] < 0 ? y[k] - 1 : y[k]);
            float u = (float)(x[k] - fx), v = (float)(y[k] - fy), amp = (float)a[k];
            int left = fx - reach, top = fy - reach;
            int i0 = left + 1 > 0 ? 1 : -left, i1 = left + size < w ? size : w - left;
            int j0 = top + 1 > 0 ? 1 : -top, j1 = top + size < h ? size : h - top;
            double xx = 0, xy = 0, yy = 0, xa = 0, ya = 0, aa = 0, xr = 0, yr = 0, ar = 0;
            for (int c = 0; c < channels; ++c)
                for (int j = j0; j < j1; ++j) {
                    const float *r = residual + ((long)c * h + top + j) * w + left;
                    const float *p = patch + ((long)c * size + j) * size, *q = p - size;
                    float sxx = 0, sxy = 0, syy = 0, sxa = 0, sya = 0, saa = 0, sxr = 0, syr = 0, sar = 0;
                    for (int i = i0; i < i1; ++i) {
                        float t = (1 - v) * ((1 - u) * p[i] + u * p[i - 1]) + v * ((1 - u) * q[i] + u * q[i - 1]);
                        float gx = amp * ((1 - v) * (p[i - 1] - p[i]) + v * (q[i - 1] - q[i]));
                        float gy = amp * ((1 - u) * (q[i] - p[i]) + u * (q[i - 1] - p[i - 1]));
                        sxx += gx * gx; sxy += gx * gy; syy += gy * gy; sxa += gx * t; sya += gy * t; saa += t * t;
                        sxr += gx * r[i]; syr += gy * r[i]; sar += t * r[i];
                    }
                    xx += sxx; xy += sxy; yy += syy; xa += sxa; ya += sya; aa += saa; xr += sxr; yr += syr; ar += sar;
                }
            double wp = 1.0 / (spread[k] * spread[k]), wa = 1.0 / (a_spread[k] * a_spread[k]);
            xx += wp; yy += wp; aa += wa;
            xr -= wp * (x[k] - x0[k]); yr -= wp * (y[k] - y0[k]); ar -= wa * (a[k] - 1.0);
            double m1 = yy * aa - ya * ya, m2 = xy * aa - ya * xa, m3 = xy * ya - yy * xa;
            double det = xx * m1 - xy * m2 + xa * m3;
            if (det <= 0) continue;
            double dx = (xr * m1 - xy * (yr * aa - ya * ar) + xa * (yr * ya - yy * ar)) / det;
            double dy = (xx * (yr * aa - ya * ar) - xr * m2 + xa * (xy * ar - yr * xa)) / det;
            double da = (xx * (yy * ar - yr * ya) - xy * (xy * ar - yr * xa) + xr * m3) / det;
            place(residual, channels, h, w, patch, size, x[k], y[k], -(float)a[k]);
            x[k] += clamp(dx, -max_step, max_step);
            y[k] += clamp(dy, -max_step, max_step);
            a[k] = clamp(a[k] + da, 0.0, 2.5);
            place(residual, channels, h, w, patch, size, x[k], y[k], (float)a[k]);
        }
}
"""

SOURCE = BLOB_SOURCE + FIT_SOURCE

_FLAGS = ["-O3", "-march=native", "-fno-math-errno", "-fassociative-math", "-fno-signed-zeros",
          "-fno-trapping-math", "-shared", "-fPIC", "-std=c99", "-x", "c"]


@functools.lru_cache(maxsize=1)
def _loaded() -> ctypes.CDLL | None:
    if os.environ.get("MIMEDI_NO_KERNEL"):
        return None
    try:
        return ctypes.CDLL(str(_library()))
    except (OSError, subprocess.SubprocessError):
        return None


def prepare() -> bool:
    """Compile and load the kernel now rather than at the first image; False where it cannot be had."""
    return _loaded() is not None


@functools.lru_cache(maxsize=1)
def fit_overlaps() -> Any | None:
    """The compiled `fit_overlaps`, or None where it cannot be had."""
    return _function("fit_overlaps", "iiiii" + "p" * 9 + "id", None)


@functools.lru_cache(maxsize=1)
def blob_features() -> Any | None:
    """The compiled `blob_features`, or None where it cannot be had."""
    return _function("blob_features", "ippp" + "ii" + "dddd" + "ppppp" + "ip", ctypes.c_int)


@functools.lru_cache(maxsize=1)
def size_blob() -> Any | None:
    """The compiled `size_blob`, or None where it cannot be had."""
    return _function("size_blob", "piip" + "iiiii" + "ddddd" + "ppppp", None)


def _function(name: str, arguments: str, result: Any) -> Any | None:
    library = _loaded()
    if library is None:
        return None
    function = getattr(library, name)
    kinds = {"i": ctypes.c_int, "p": ctypes.c_void_p, "d": ctypes.c_double}
    function.argtypes = [kinds[letter] for letter in arguments]
    function.restype = result
    return function


def _library() -> Path:
    """Path of the compiled library; compiles it the first time.

    Raises:
        OSError: no compiler, or no writable cache.
        subprocess.SubprocessError: the compiler failed.
    """
    # The processor's name is part of the key: a cache on a shared home may serve different machines.
    key = hashlib.sha256("\n".join([SOURCE, *_FLAGS, platform.machine(), _processor()]).encode()).hexdigest()[:16]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mimedi"
    target = base / f"vision-{key}.so"
    if target.exists():
        return target
    compiler = next((path for name in ("cc", "gcc", "clang", "g++") if (path := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        source, built = Path(scratch) / "vision.c", Path(scratch) / "vision.so"
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run([compiler, *_FLAGS, str(source), "-o", str(built)], check=True, capture_output=True, timeout=60)
        built.replace(target)
    return target


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.processor())


if __name__ == "__main__":
    print("vision kernel ready" if prepare() else "no C compiler: the vision runs without its kernel, slower")
