/* SPDX-License-Identifier: Apache-2.0 */
/* Whole images: what `frame.py`, `background.py` and `detector.py` do with OpenCV and NumPy, in one pass each. */

/* A frame w x h of `bytes` (1 or 2) per pixel, every fourth pixel of every fourth row. out: mean, end of range, share at
   that end; for 1 byte it ends at 255, for 2 at the power of two (from 2^10 on) above the brightest. Returns whether it
   is the frame `last` to the last pixel (0 where that is null). */
int look_at_frame(const void *frame, const void *last, int w, int h, int bytes, double *out)
{
    const uint8_t *narrow = frame;
    const uint16_t *broad = frame;
    double sum = 0; int brightest = 0, highest = 255, full = 0, count = 0;
    for (int pass = 0; pass < 2; ++pass) {
        for (int y = 0; y + 4 <= h; y += 4) for (int x = 0; x + 4 <= w; x += 4) {
            int v = bytes == 1 ? narrow[(long)y * w + x] : broad[(long)y * w + x];
            if (pass) full += v >= highest;
            else { sum += v; ++count; brightest = v > brightest ? v : brightest; }
        }
        if (bytes == 1 && brightest < 255) break;
        if (!pass && bytes == 2) { highest = 1023; while (highest < brightest) highest = 2 * highest + 1; }
    }
    out[0] = sum / count; out[1] = highest; out[2] = (double)full / count;
    return last && !memcmp(frame, last, (size_t)w * h * bytes);
}

/* Row `at` (any real number) of a profile of h numbers, linear between them and level beyond. */
static double between(const double *profile, int h, double at)
{
    if (at <= 0) return profile[0];
    if (at >= h - 1) return profile[h - 1];
    int low = (int)at;
    return profile[low] + (at - low) * (profile[low + 1] - profile[low]);
}

/* Vertical shift of an image (w wide, h high) against the row means `reference`, by least squares over n rows, free of
   what the 4 columns of `nuisance` (n x kinds, orthonormal) describe; one step from `start`. See background.py. */
double measure_shift(const float *image, int w, int h, int n, const int *row, const double *nuisance, int kinds,
                     const double *reference, double start, double least_energy, double most)
{
    double error[64], slope[64];
    if (n > 64) return start;
    for (int k = 0; k < n; ++k) {
        const float *r = image + (long)row[k] * w;
        float sum = 0;
        for (int x = 0; x < w; ++x) sum += r[x];
        double at = row[k] - start;
        error[k] = sum / w - between(reference, h, at);
        slope[k] = 0.5 * (between(reference, h, at - 1) - between(reference, h, at + 1));
    }
    for (int c = 0; c < kinds; ++c) {
        double e = 0, s = 0;
        for (int k = 0; k < n; ++k) { e += error[k] * nuisance[k * kinds + c]; s += slope[k] * nuisance[k * kinds + c]; }
        for (int k = 0; k < n; ++k) { error[k] -= e * nuisance[k * kinds + c]; slope[k] -= s * nuisance[k * kinds + c]; }
    }
    double energy = 0, match = 0;
    for (int k = 0; k < n; ++k) { energy += slope[k] * slope[k]; match += slope[k] * error[k]; }
    if (energy < least_energy) return start;
    double step = match / energy, shift = start + (step < -2 ? -2 : step > 2 ? 2 : step);
    return fabs(shift) <= most ? shift : start;
}

/* out = level moved down by `shift` rows (linear, edge rows repeated) - image. */
void against_shifted(const float *level, const float *image, int w, int h, double shift, float *restrict out)
{
    int whole = (int)floor(shift);
    float part = (float)(shift - whole);
    for (int y = 0; y < h; ++y) {
        int low = y - whole, high = low - 1;
        low = low < 0 ? 0 : low >= h ? h - 1 : low;
        high = high < 0 ? 0 : high >= h ? h - 1 : high;
        const float *a = level + (long)low * w, *b = level + (long)high * w, *f = image + (long)y * w;
        float *o = out + (long)y * w;
        for (int x = 0; x < w; ++x) o[x] = (1 - part) * a[x] + part * b[x] - f[x];
    }
}

/* Image w x h blurred by taps (2 reach + 1, beyond the edge a mirror), and where that exceeds `limit`: 255. work: h + 2
   reach lines of w + 2 reach + LANES. Lines of `smooth` must be followed by LANES numbers of room. */
void smooth_and_mark(const float *image, int w, int h, double sigma, int reach, double limit, float *work,
                     float *smooth, uint8_t *restrict mask)
{
    float taps[31];
    gaussian(sigma, reach, taps);
    int step = w + 2 * reach + LANES;
    for (int y = 0; y < h; ++y) {                      /* line y + reach; its blur stands where it stood */
        const float *r = image + (long)y * w;
        float *line = work + (long)(y + reach) * step + reach, *spare = work + (long)(h + 2 * reach) * step + reach;
        memcpy(spare, r, sizeof *r * w);
        for (int k = 1; k <= reach; ++k) { spare[-k] = r[k]; spare[w - 1 + k] = r[w - 1 - k]; }
        blur_along(spare, line, w, taps, reach);
    }
    for (int k = 1; k <= reach; ++k) {
        memcpy(work + (long)(reach - k) * step, work + (long)(reach + k) * step, sizeof *work * step);
        memcpy(work + (long)(reach + h - 1 + k) * step, work + (long)(reach + h - 1 - k) * step, sizeof *work * step);
    }
    for (int y = 0; y < h; ++y) {
        float *s = smooth + (long)y * w;
        uint8_t *m = mask + (long)y * w;
        blur_across(work + (long)(y + reach) * step + reach, step, s, w, taps, reach);
        for (int x = 0; x < w; ++x) m[x] = s[x] > (float)limit ? 255 : 0;
    }
}

/* Mean of an image over a square of `side` (odd) around each of n places; beyond the edge a mirror. */
void means_around(const float *image, int w, int h, int n, const double *x, const double *y, int side, double *out)
{
    int half = side / 2;
    for (int k = 0; k < n; ++k) {
        double column = rint(x[k]), row = rint(y[k]), sum = 0;
        int cx = column < 0 ? 0 : column > w - 1 ? w - 1 : (int)column, cy = row < 0 ? 0 : row > h - 1 ? h - 1 : (int)row;
        for (int j = cy - half; j <= cy + half; ++j) {
            const float *r = image + (long)(j < 0 ? -j : j >= h ? 2 * h - 2 - j : j) * w;
            for (int i = cx - half; i <= cx + half; ++i) sum += r[i < 0 ? -i : i >= w ? 2 * w - 2 - i : i];
        }
        out[k] = sum / (side * side);
    }
}

/* Spread what is set in a mask w x h (bytes) over its surroundings, `half` pixels to both sides in each of the 2 reach + 1
   rows around; into `to`, which is only added to. work: (reach + 1) lines of w + 2 SIDE bytes. */
enum { SIDE = 16 };
static void spread_set(const uint8_t *mask, int w, int h, int reach, const int *half, uint8_t *work, uint8_t *to)
{
    long step = w + 2 * SIDE;
    int widest = 0;
    for (int j = 0; j <= 2 * reach; ++j) widest = half[j] > widest ? half[j] : widest;
    memset(work, 0, step * (widest + 1));
    for (int y = 0; y < h; ++y) {
        memcpy(work + SIDE, mask + (long)y * w, w);
        for (int k = 1; k <= widest; ++k) {            /* one pixel more on each side than the line before */
            uint8_t *restrict o = work + k * step + SIDE;
            const uint8_t *restrict p = o - step;
            for (int x = 0; x < w; ++x) o[x] = p[x - 1] | p[x] | p[x + 1];
        }
        for (int j = -reach; j <= reach; ++j) {
            if (y + j < 0 || y + j >= h) continue;
            uint8_t *restrict o = to + (long)(y + j) * w;
            const uint8_t *restrict p = work + half[j + reach] * step + SIDE;
            for (int x = 0; x < w; ++x) o[x] |= p[x];
        }
    }
}

/* Close the gaps of a mask w x h in place, by a 5 x 5 ellipse (a cross of 5 with a square of 3 rows of 5); beyond the
   edge nothing is set nor missing. work: w h + 3 (w + 2 SIDE) bytes. */
void close_gaps(uint8_t *restrict mask, int w, int h, uint8_t *restrict work)
{
    const int half[5] = {0, 2, 2, 2, 0};
    long size = (long)w * h;
    memset(work, 0, size);
    spread_set(mask, w, h, 2, half, work + size, work);
    for (long k = 0; k < size; ++k) { work[k] = ~work[k]; mask[k] = 0; }
    spread_set(work, w, h, 2, half, work + size, mask);
    for (long k = 0; k < size; ++k) mask[k] = ~mask[k];
}

/* Where a mask w x h is empty all around (as `spread_set` says): 255 in `free`, else 0. work: (reach + 1) lines of
   w + 2 SIDE bytes. Returns how many are empty; `mean`: of `smooth` over them. */
int empty_around(const uint8_t *mask, const float *smooth, int w, int h, int reach, const int *half, uint8_t *work,
                 uint8_t *restrict free, double *mean)
{
    long count = 0;
    double sum = 0;
    memset(free, 0, (long)w * h);
    spread_set(mask, w, h, reach, half, work, free);
    for (int y = 0; y < h; ++y) {
        const float *s = smooth + (long)y * w;
        uint8_t *restrict o = free + (long)y * w;
        float line = 0; int empty = 0;
        for (int x = 0; x < w; ++x) { o[x] = ~o[x]; empty += o[x] & 1; line += o[x] ? s[x] : 0; }
        sum += line; count += empty;
    }
    *mean = count ? sum / count : 0;
    return (int)count;
}

/* Let `level` follow the image (h rows of w), moved up by `shift` rows, at `rate` where `free` is set; elsewhere it
   creeps down. */
void follow_level(float *restrict level, const float *image, const uint8_t *free, int w, int h, double shift, double rate,
                  double creep)
{
    int whole = (int)floor(-shift);
    float part = (float)(-shift - whole), gain = (float)rate, less = (float)creep;
    for (int y = 0; y < h; ++y) {
        int low = y - whole, high = low - 1;
        low = low < 0 ? 0 : low >= h ? h - 1 : low;
        high = high < 0 ? 0 : high >= h ? h - 1 : high;
        const float *a = image + (long)low * w, *b = image + (long)high * w;
        const uint8_t *f = free + (long)y * w;
        float *l = level + (long)y * w;
        for (int x = 0; x < w; ++x) {
            float now = (1 - part) * a[x] + part * b[x];
            l[x] += f[x] ? gain * (now - l[x]) : -less;
        }
    }
}
