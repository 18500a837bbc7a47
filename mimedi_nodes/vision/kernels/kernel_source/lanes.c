/* SPDX-License-Identifier: Apache-2.0 */
/* Work on many neighbouring pixels at once. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __AVX512F__
enum { LANES = 16 };
#else
enum { LANES = 8 };
#endif
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t lane_flags __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static float across(lanes v) { float s = 0; for (int i = 0; i < LANES; ++i) s += v[i]; return s; }

/* Which of the next LANES columns are among the first `left`. */
static lane_flags among(int left)
{
    lane_flags at;
    for (int i = 0; i < LANES; ++i) at[i] = i;
    return at < left;
}

static inline lanes load(const float *p) { return *(const lanes *)p; }

static inline lanes only(lanes v, lane_flags keep) { return (lanes)((lane_flags)v & keep); }

static inline lane_flags least_of(lane_flags a, lane_flags b) { lane_flags m = a < b; return (a & m) | (b & ~m); }

/* The places `from` of v, and of `beyond` where that is LANES. */
static inline lane_flags picked(lane_flags v, lane_flags beyond, lane_flags from)
{
#ifdef __clang__
    lane_flags to;
    for (int i = 0; i < LANES; ++i) to[i] = from[i] < LANES ? v[from[i]] : beyond[i];
    return to;
#else
    return __builtin_shuffle(v, beyond, from);
#endif
}

/* Chamfer distance (3 x 3, in thousandths of a pixel) of each set place of a grid from where it is not set; a border of
   one is not set. The least over what lies before in a row is found by doubling: LANES places at a time.
   Source: Borgefors, CVGIP 34 (1986) 344. */
static void chamfer(int *d, int gw, int gh)
{
    const int straight = 955, oblique = 1369, far = 1 << 29;
    lane_flags ramp[2], from[2][4];
    for (int i = 0; i < LANES; ++i) {
        ramp[0][i] = straight * i; ramp[1][i] = straight * (LANES - 1 - i);
        for (int k = 0; k < 4; ++k) {                  /* LANES in a shuffle's second half: far away */
            from[0][k][i] = i >= 1 << k ? i - (1 << k) : LANES;
            from[1][k][i] = i + (1 << k) < LANES ? i + (1 << k) : LANES;
        }
    }
    const lane_flags none = ramp[0] * 0 + far;
    for (int pass = 0; pass < 2; ++pass)
        for (int j = 1; j < gh - 1; ++j) {
            int *here = d + (long)(pass ? gh - 1 - j : j) * gw;
            const int *near = here + (pass ? gw : -gw);
            for (int x = 1; x < gw - 1; ++x) {
                int t = near[x] + straight, left = near[x - 1] + oblique, right = near[x + 1] + oblique;
                t = t < left ? t : left;
                t = t < right ? t : right;
                here[x] = here[x] < t ? here[x] : t;
            }
            int x = pass ? gw - 2 : 1, end = pass ? 0 : gw - 1, last = pass ? here[gw - 1] : here[0];
            for (; pass ? x - LANES + 1 > end : x + LANES - 1 < end; x += pass ? -LANES : LANES) {
                int *at = pass ? here + x - LANES + 1 : here + x;
                lane_flags v = *(lane_flags *)at - ramp[pass];
                for (int k = 0; 1 << k < LANES; ++k) v = least_of(v, picked(v, none, from[pass][k]));
                v = least_of(v, none - far + (last + straight)) + ramp[pass];
                *(lane_flags *)at = v;
                last = pass ? v[0] : v[LANES - 1];
            }
            for (; pass ? x > end : x < end; x += pass ? -1 : 1) {
                last += straight;
                here[x] = last = here[x] < last ? here[x] : last;
            }
        }
}

/* Gaussian of 2 * reach + 1 taps, sum 1. */
static void gaussian(double sigma, int reach, float *taps)
{
    double sum = 0;
    for (int i = -reach; i <= reach; ++i) sum += exp(-0.5 * i * i / (sigma * sigma));
    for (int i = -reach; i <= reach; ++i) taps[i + reach] = (float)(exp(-0.5 * i * i / (sigma * sigma)) / sum);
}

/* One line of n numbers blurred along itself: to[x] = sum of taps[i] r[x - reach + i]. Writes up to LANES - 1 more. */
static void blur_along(const float *r, float *restrict to, int n, const float *taps, int reach)
{
    for (int x = 0; x < n; x += LANES) {
        lanes sum = taps[reach] * load(r + x);
        for (int i = 1; i <= reach; ++i) sum += taps[reach + i] * (load(r + x - i) + load(r + x + i));
        *(lanes *)(to + x) = sum;
    }
}

/* One line of n numbers blurred across lines `step` numbers apart, of which it is the middle one. */
static void blur_across(const float *r, int step, float *restrict to, int n, const float *taps, int reach)
{
    for (int x = 0; x < n; x += LANES) {
        lanes sum = taps[reach] * load(r + x);
        for (int i = 1; i <= reach; ++i) sum += taps[reach + i] * (load(r + x - i * step) + load(r + x + i * step));
        *(lanes *)(to + x) = sum;
    }
}
