/* SPDX-License-Identifier: Apache-2.0 */
/* Gas bubbles among blobs: what `bubbles.py` does blob by blob. */

/* Whether the middle of a blob's box is bright and the ring around it dark all the way; see bubbles.py. `bright` is how
   dark the middle may be at most, `even` how pale the ring's pale parts may be beside its dark ones. */
static int is_ring(const float *smooth, int w, int h, double left, double top, double along, double across, double wide,
                   int cut_left, double level, double bright, double middle_share, double even, int least_steps)
{
    enum { STEPS = 48, WAYS = 12 };
    const double PI = 3.14159265358979324, share[10] = {0, .45, .45, .45, .8, .8, .8, .8, .8, .8};
    const double turn[10] = {0, 0, 2.1, 4.2, 0, 1, 2, 3, 4, 5};
    double x = cut_left ? left + wide - along : left + along, y = top + across, seen[STEPS];
    int count = 0;
    for (int k = 0; k < 10; ++k) {
        double u = x + share[k] * middle_share * cos(turn[k]) * along, v = y + share[k] * middle_share * sin(turn[k]) * across;
        if (u >= left && u < left + wide) seen[count++] = smooth[(long)(int)v * w + (int)u];
    }
    qsort(seen, count, sizeof *seen, ascending);
    if (count && seen[(count - 1) / 2] >= bright) return 0;
    count = 0;
    for (int k = 0; k < STEPS; ++k) {                  /* the darkest place on each way outwards */
        double c = cos(2 * PI * k / (STEPS - 1)), s = sin(2 * PI * k / (STEPS - 1)), darkest = -1e30;
        int i = 0;
        for (; i < WAYS; ++i) {
            double out = middle_share + (1 - middle_share) * i / (WAYS - 1);
            int column = (int)floor(x + along * out * c), row = (int)floor(y + across * out * s);
            if (column < 0 || column >= w || row < 0 || row >= h) break;
            double here = smooth[(long)row * w + column];
            darkest = here > darkest ? here : darkest;
        }
        if (i == WAYS) seen[count++] = darkest - level;
    }
    if (count < least_steps) return 0;
    qsort(seen, count, sizeof *seen, ascending);
    int tenth = (int)rint(0.1 * (count - 1));
    return seen[tenth] > even * seen[count - 1 - tenth];
}

/* Rows of the bubbles among n blobs of `find_blobs`, to `out`; limits as bubbles.py names them: least, least_at_edge,
   round, middle, longest, bright, bright_of_blob, even, least_steps. Returns how many there are. */
int find_bubbles(int n, const double *blobs, const float *smooth, int w, int h, double level, double threshold,
                 double diameter, const double *limits, int *out)
{
    const double PI = 3.14159265358979324;
    int count = 0;
    for (int k = 0; k < n; ++k) {
        const double *b = blobs + 12 * k;
        double left = b[2], wide = b[4], high = b[5], longest = wide > high ? wide : high, least = wide + high - longest;
        int edge = left == 0 || left + wide >= w;
        if (!(high > limits[0] * diameter)) continue;
        if (edge ? !(high > limits[1] * diameter && wide < limits[4] * high)
                 : !(least > limits[0] * diameter && longest < limits[4] * least && b[7] > limits[2] * PI / 4 * wide * high))
            continue;
        double dark = limits[5] * threshold, of_blob = limits[6] * b[6];
        if (is_ring(smooth, w, h, left, b[3], edge ? 0.5 * high : 0.5 * wide, 0.5 * high, wide, edge && left == 0, level,
                    level + (dark > of_blob ? dark : of_blob), limits[3], limits[7], (int)limits[8])) out[count++] = k;
    }
    return count;
}
