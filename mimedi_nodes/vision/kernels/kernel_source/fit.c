/* SPDX-License-Identifier: Apache-2.0 */
/* The overlap fit: what `appearance.py` does with NumPy, cell by cell on vectors of eight pixels. */

static double clamp(double v, double lo, double hi) { return v < lo ? lo : (v > hi ? hi : v); }

/* Where a patch lies in the image. A patch has (size + 2) rows of `stride` numbers, the first and last row and all
   columns from `size` on 0: it can be shifted by a part of a pixel and read LANES at a time. Farther than `reach`
   (along, across) from its middle it is 0. */
typedef struct { int left, top, j0, j1, i0, i1; float u, v; } spot;

static spot locate(double x, double y, int size, const int *reach, int h, int w)
{
    spot s; int fx = (int)floor(x), fy = (int)floor(y);
    s.u = (float)(x - fx); s.v = (float)(y - fy);
    s.left = fx - size / 2; s.top = fy - size / 2;
    int first = size / 2 - reach[1], last = size / 2 + reach[1] + 2;
    s.j0 = s.top < -first ? -s.top : first; s.j1 = s.top + last > h ? h - s.top : last;
    first = size / 2 - reach[0]; last = size / 2 + reach[0] + 2;
    s.i0 = s.left < -first ? -s.left : first; s.i1 = s.left + last > w ? w - s.left : last;
    return s;
}

/* plane -= sum of each patch pixel's neighbours times c: itself, left of it, above it, left of above. */
static void add(float *plane, int w, const float *patch, int stride, spot s, const float c[4])
{
    for (int i = s.i0; i < s.i1; i += LANES) {
        lane_flags keep = among(s.i1 - i);
        float *r = plane + (long)(s.top + s.j0) * w + s.left + i;
        const float *p = patch + (long)s.j0 * stride + i;
        lanes above = load(p), above_left = load(p - 1);
        for (int j = s.j0; j < s.j1; ++j, r += w) {
            p += stride;
            lanes here = load(p), left = load(p - 1);
            *(lanes *)r -= only(c[0] * here + c[1] * left + c[2] * above + c[3] * above_left, keep);
            above = here; above_left = left;
        }
    }
}

static void weights_of(spot s, double amount, float c[4])
{
    float a = (float)amount;
    c[0] = a * (1 - s.u) * (1 - s.v); c[1] = a * s.u * (1 - s.v);
    c[2] = a * (1 - s.u) * s.v; c[3] = a * s.u * s.v;
}

/* Sums over the patch at s of dt/dx, dt/dy and t times the residual; with `full` also of xx, xy, yy, xt, yt, tt. */
static inline __attribute__((always_inline)) void sums_of(const float *plane, int w, const float *patch, int stride,
                                                          spot s, const int full, double *o)
{
    lanes a[9];
    memset(a, 0, sizeof a);
    for (int i = s.i0; i < s.i1; i += LANES) {
        lane_flags keep = among(s.i1 - i);
        const float *r = plane + (long)(s.top + s.j0) * w + s.left + i, *p = patch + (long)s.j0 * stride + i;
        lanes above = only(load(p), keep), above_step = only(load(p - 1), keep) - above;
        above += s.u * above_step;
        for (int j = s.j0; j < s.j1; ++j, r += w) {
            p += stride;
            lanes here = only(load(p), keep), step = only(load(p - 1), keep) - here;
            here += s.u * step;
            lanes gy = above - here, t = here + s.v * gy, gx = step + s.v * (above_step - step), rest = load(r);
            a[0] += gx * rest; a[1] += gy * rest; a[2] += t * rest;
            if (full) {
                a[3] += gx * gx; a[4] += gx * gy; a[5] += gy * gy; a[6] += gx * t; a[7] += gy * t; a[8] += t * t;
            }
            above = here; above_step = step;
        }
    }
    for (int k = 0; k < (full ? 9 : 3); ++k) o[k] = across(a[k]);
}

static void sums(const float *plane, int w, const float *patch, int stride, spot s, int full, double *o)
{
    if (full) sums_of(plane, w, patch, stride, s, 1, o); else sums_of(plane, w, patch, stride, s, 0, o);
}

/* Whether the patches of cells i and k share pixels. */
static int meet(const double *x, const double *y, const int *reach, int i, int k)
{
    return fabs(x[i] - x[k]) < reach[2 * i] + reach[2 * k] && fabs(y[i] - y[k]) < reach[2 * i + 1] + reach[2 * k + 1];
}

/* Fit n cells to `residual` (channels planes h x w, then 64 finite numbers of slack) by Gauss-Seidel sweeps: each cell
   in turn takes one Gauss-Newton step in (x, y, amplitude) with Gaussian priors, and the residual is kept up to date.
   Cell k looks like patch slot[k] of the pool, its channel c as bright as factor[k * channels + c] says. A cell is
   left alone once neither it nor a neighbour moves; the first `before` cells are already out of the residual and sleep
   until then. `weight` is 1 / noise² of each channel; work holds 7 n. */
void fit_cells(int n, int before, int channels, int size, int stride, int h, int w, float *residual, const float *pool,
               const int *slot, const int *reach, const float *factor, const double *weight, double *x, double *y,
               double *a, const double *x0, const double *y0, const double *spread, const double *a_spread,
               double *work, int sweeps, double max_step, double still)
{
    long plane = (long)h * w, layer = (long)(size + 2) * stride;
    double *curve = work, *awake = work + 6 * n;
    for (int k = 0; k < n; ++k) {
        const float *patch = pool + slot[k] * channels * layer;
        spot s = locate(x[k], y[k], size, reach + 2 * k, h, w);
        awake[k] = 0;
        if (k < before) continue;
        for (int c = 0; c < channels; ++c) {
            float at[4]; weights_of(s, a[k] * factor[k * channels + c], at);
            add(residual + c * plane, w, patch + c * layer, stride, s, at);
        }
        for (int i = 0; i <= k; ++i) if (meet(x, y, reach, i, k)) awake[i] = 2;
    }
    for (int sweep = 0; sweep < sweeps; ++sweep) {
        int moved = 0;
        for (int k = 0; k < n; ++k) {
            if (!awake[k]) continue;
            const float *patch = pool + slot[k] * channels * layer;
            double *m = curve + 6 * k, g[3] = {0, 0, 0};
            int full = awake[k] == 2;                 /* the curvature hardly changes from step to step */
            if (full) memset(m, 0, 6 * sizeof *m);
            spot s = locate(x[k], y[k], size, reach + 2 * k, h, w);
            for (int c = 0; c < channels; ++c) {
                double o[9], f = factor[k * channels + c], q = weight[c] * f;
                if (f == 0) continue;
                sums(residual + c * plane, w, patch + c * layer, stride, s, full, o);
                for (int i = 0; i < 3; ++i) g[i] += q * o[i];
                if (full) for (int i = 0; i < 6; ++i) m[i] += q * f * o[3 + i];
            }
            double e = a[k], wp = 1 / (spread[k] * spread[k]), wa = 1 / (a_spread[k] * a_spread[k]);
            double xx = e * e * m[0] + wp, xy = e * e * m[1], yy = e * e * m[2] + wp, xa = e * m[3], ya = e * m[4];
            double aa = m[5] + wa;
            double xr = e * g[0] - wp * (x[k] - x0[k]), yr = e * g[1] - wp * (y[k] - y0[k]);
            double ar = g[2] - wa * (e - 1);
            double m1 = yy * aa - ya * ya, m2 = xy * aa - ya * xa, m3 = xy * ya - yy * xa;
            double det = xx * m1 - xy * m2 + xa * m3;
            awake[k] = 0;
            if (!(det > 0)) continue;
            double dx = (xr * m1 - xy * (yr * aa - ya * ar) + xa * (yr * ya - yy * ar)) / det;
            double dy = (xx * (yr * aa - ya * ar) - xr * m2 + xa * (xy * ar - yr * xa)) / det;
            double da = (xx * (yy * ar - yr * ya) - xy * (xy * ar - yr * xa) + xr * m3) / det;
            double b = clamp(e + da, 0, 2.5);
            dx = clamp(dx, -max_step, max_step); dy = clamp(dy, -max_step, max_step);
            spot t = locate(x[k] + dx, y[k] + dy, size, reach + 2 * k, h, w);
            for (int c = 0; c < channels; ++c) {
                float was[4], is[4], f = factor[k * channels + c];
                if (f == 0) continue;
                weights_of(s, e * f, was); weights_of(t, b * f, is);
                if (s.left == t.left && s.top == t.top) {
                    for (int i = 0; i < 4; ++i) is[i] -= was[i];
                } else {
                    for (int i = 0; i < 4; ++i) was[i] = -was[i];
                    add(residual + c * plane, w, patch + c * layer, stride, s, was);
                }
                add(residual + c * plane, w, patch + c * layer, stride, t, is);
            }
            x[k] += dx; y[k] += dy; a[k] = b;
            if (fabs(dx) + fabs(dy) + 4 * fabs(b - e) < still) continue;
            moved = 1;
            awake[k] = fabs(dx) + fabs(dy) > 0.5 ? 2 : 1;
            for (int i = 0; i < n; ++i)
                if (!awake[i] && meet(x, y, reach, i, k)) awake[i] = i < before ? 2 : 1;
        }
        if (!moved) break;
    }
}
