/* SPDX-License-Identifier: Apache-2.0 */
/* The smoother: what `smoothing.py` does with NumPy for all tracks frame by frame, track by track. */

/* Smoothed places of `count` tracks; tables have a line of `count` numbers a frame. `place` NaN: not seen. far: variance
   of the prior place; wandering: of the step's error per frame. work: 10 numbers a frame. */
void smooth_tracks(int count, const double *place, const double *variance, const double *step, const int64_t *length,
                   const double *way, const double *step_error, double far, double wandering, double *work, double *out)
{
    for (int t = 0; t < count; ++t) {
        int n = (int)length[t], first = 0;
        while (first < n - 1 && isnan(place[(long)first * count + t])) ++first;
        double x = place[(long)first * count + t], b = 0, xx = far, xb = 0, bb = step_error[t] * step_error[t];
        for (int k = 1; k <= first; ++k) x -= step[(long)k * count + t];
        for (int k = 0; k < n; ++k) {
            long at = (long)k * count + t;
            double *w = work + 10 * k;
            if (k) { x += b + step[at]; xx += 2 * xb + bb + way[t]; xb += bb; bb += wandering; }
            w[0] = x; w[1] = b; w[2] = xx; w[3] = xb; w[4] = bb;
            if (!isnan(place[at])) {
                double weight = 1 / (variance[at] + xx), off = weight * (place[at] - x);
                x += xx * off; b += xb * off;
                bb -= weight * xb * xb; xb -= weight * xx * xb; xx -= weight * xx * xx;
            }
            w[5] = x; w[6] = b; w[7] = xx; w[8] = xb; w[9] = bb;
        }
        out[(long)(n - 1) * count + t] = x;
        for (int k = n - 2; k >= 0; --k) {
            const double *s = work + 10 * k + 5, *p = work + 10 * (k + 1);
            double one = 1 / (p[2] * p[4] - p[3] * p[3]), a = s[2] + s[3], c = s[3] + s[4];
            double dx = x - p[0], db = b - p[1];
            x = s[0] + one * ((a * p[4] - s[3] * p[3]) * dx + (s[3] * p[2] - a * p[3]) * db);
            b = s[1] + one * ((c * p[4] - s[4] * p[3]) * dx + (s[4] * p[2] - c * p[3]) * db);
            out[(long)k * count + t] = x;
        }
    }
}
