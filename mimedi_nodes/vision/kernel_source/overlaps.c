/* SPDX-License-Identifier: Apache-2.0 */
/* What `overlaps.py` looks for inside overlaps with OpenCV: peaks of depth, and dark remains. */

/* Gaussian of 2 * reach + 1 taps, sum 1. */
static void gaussian(double sigma, int reach, float *taps)
{
    double sum = 0;
    for (int i = -reach; i <= reach; ++i) sum += exp(-0.5 * i * i / (sigma * sigma));
    for (int i = -reach; i <= reach; ++i) taps[i + reach] = (float)(exp(-0.5 * i * i / (sigma * sigma)) / sum);
}

/* Peaks of the depth of a blob (box: left, top, width, height; numbered `label` in labels, w wide): distance from
   outside, blurred, highest within `reach` px, deeper than `least`, `apart` px from the peak before. out: x, y; at most
   `most` rows. Scratch of `room` each. Returns the number of rows. */
static int blob_peaks(const int *box, int label, const short *labels, int w, int reach, double least, double apart,
                      int *restrict grid, float *restrict depth, float *restrict blurred, int room, double *out,
                      int most)
{
    const int M = 4;
    float taps[7];
    int rows = 0, left = box[0], top = box[1], wide = box[2], high = box[3];
    int gw = wide + 2 * M, gh = high + 2 * M, size = gw * gh;
    if (size > room) return 0;
    gaussian(1.0, 3, taps);
    memset(grid, 0, sizeof(int) * size);
    for (int y = 0; y < high; ++y) {
        const short *l = labels + (long)(top + y) * w + left;
        int *g = grid + (y + M) * gw + M;
        for (int x = 0; x < wide; ++x) g[x] = l[x] == label ? 1 << 28 : 0;
    }
    chamfer(grid, gw, gh);
    memset(blurred, 0, sizeof(float) * size);
    for (int y = M; y < gh - M; ++y) {
        const int *g = grid + y * gw;
        float *b = blurred + y * gw;
        for (int x = 3; x < gw - 3; ++x) {
            float sum = 0;
            for (int i = -3; i <= 3; ++i) sum += taps[i + 3] * (float)g[x + i];
            b[x] = 1e-3f * sum;
        }
    }
    for (int y = 3; y < gh - 3; ++y) {
        const float *b = blurred + y * gw;
        float *d = depth + y * gw;
        for (int x = M; x < gw - M; ++x) {
            float sum = 0;
            for (int i = -3; i <= 3; ++i) sum += taps[i + 3] * b[x + i * gw];
            d[x] = sum;
        }
    }
    for (int y = M; y < gh - M; ++y) for (int x = M; x < gw - M; ++x) {
        const float *d = depth + y * gw + x;
        float here = *d;
        if (here <= least) continue;
        if ((x > M && d[-1] > here) || (x < gw - M - 1 && d[1] > here) || (y > M && d[-gw] > here)
            || (y < gh - M - 1 && d[gw] > here)) continue;
        int highest = 1;
        for (int j = y - reach < M ? M : y - reach; highest && j <= y + reach && j < gh - M; ++j)
            for (int i = x - reach < M ? M : x - reach; i <= x + reach && i < gw - M; ++i)
                if (depth[j * gw + i] > here) { highest = 0; break; }
        double px = x - M + left, py = y - M + top;
        for (int k = 0; highest && k < rows; ++k)
            highest = (px - out[2 * k]) * (px - out[2 * k]) + (py - out[2 * k + 1]) * (py - out[2 * k + 1])
                      > apart * apart;
        if (!highest || rows == most) continue;
        out[2 * rows] = px; out[2 * rows + 1] = py; ++rows;
    }
    return rows;
}

/* 5 x 5 ellipse: a cross of 5 with a square of 3 rows of 5. 1 where at least `need` of its 17 are set. */
static void ellipse(const unsigned char *restrict from, unsigned char *restrict to, int w, int h, unsigned char need)
{
    for (int y = 2; y < h - 2; ++y) for (int x = 2; x < w - 2; ++x) {
        const unsigned char *p = from + y * w + x;
        unsigned char sum = p[-2 * w] + p[2 * w];
        for (int j = -1; j <= 1; ++j) for (int i = -2; i <= 2; ++i) sum += p[j * w + i];
        to[y * w + x] = sum >= need;
    }
}

/* Middles of the 8-connected parts of a grid (1 where set) that hold at least `least` px; adds them to out from row
   `count` on, and returns the new count. */
static int middles(unsigned char *grid, int gw, int gh, int left, int top, int least, int *stack, double *out,
                   int count, int most)
{
    for (int k = 0; k < gw * gh; ++k) if (grid[k] == 1) {
        int depth = 0, size = 0; double sx = 0, sy = 0;
        grid[k] = 2; stack[depth++] = k;
        while (depth) {
            int at = stack[--depth], x = at % gw, y = at / gw; ++size; sx += x; sy += y;
            for (int j = -1; j <= 1; ++j) for (int i = -1; i <= 1; ++i) {
                if (x + i < 0 || y + j < 0 || x + i >= gw || y + j >= gh) continue;
                int to = at + j * gw + i;
                if (grid[to] == 1) { grid[to] = 2; stack[depth++] = to; }
            }
        }
        if (size < least || count == most) continue;
        out[2 * count] = sx / size + left; out[2 * count + 1] = sy / size + top; ++count;
    }
    return count;
}

/* Middles of the places in n blobs where `residual`, blurred by sigma (at most 5 px), exceeds `limit`. */
static int bright_remains(int n, const int *box, const int *label, const short *labels, int w, int h,
                          const float *residual, double sigma, double limit, int least, float *rows_blurred,
                          unsigned char *bright, int *stack, int room, double *out, int most)
{
    enum { MOST = 15 };
    float taps[2 * MOST + 1];
    int R = (int)ceil(3 * sigma), count = 0;
    if (R > MOST) R = MOST;
    gaussian(sigma, R, taps);
    for (int b = 0; b < n; ++b) {
        int left = box[4 * b], top = box[4 * b + 1], wide = box[4 * b + 2], high = box[4 * b + 3];
        if (wide * (high + 2 * R) > room) continue;
        for (int y = -R; y < high + R; ++y) {
            int iy = top + y; iy = iy < 0 ? 0 : iy >= h ? h - 1 : iy;
            const float *r = residual + (long)iy * w;
            float *o = rows_blurred + (y + R) * wide;
            int inner = left >= R && left + wide + R <= w;
            for (int x = 0; x < wide; ++x) {
                float sum = 0;
                if (inner) for (int i = -R; i <= R; ++i) sum += taps[i + R] * r[left + x + i];
                else for (int i = -R; i <= R; ++i) {
                    int ix = left + x + i; ix = ix < 0 ? 0 : ix >= w ? w - 1 : ix;
                    sum += taps[i + R] * r[ix];
                }
                o[x] = sum;
            }
        }
        int any = 0;
        for (int y = 0; y < high; ++y) for (int x = 0; x < wide; ++x) {
            float sum = 0;
            for (int i = 0; i <= 2 * R; ++i) sum += taps[i] * rows_blurred[(y + i) * wide + x];
            int set = sum > limit && labels[(long)(top + y) * w + left + x] == label[b];
            bright[y * wide + x] = (unsigned char)set; any |= set;
        }
        if (any) count = middles(bright, wide, high, left, top, least, stack, out, count, most);
    }
    return count;
}

/* Dark remains of n blobs: where `residual`, blurred by sigma, less `tolerated` of what the fit explains
   (image - residual, where dark), exceeds `limit`; opened; at least `least` px. out: x, y of their middles.
   Scratch: two float planes and two byte planes and one int plane of `room`. Returns the number of rows. */
static int dark_remains(int n, const int *box, const int *label, const short *labels, int w, int h, const float *image,
                 const float *residual, double sigma, double tolerated, double limit, int least,
                 float *restrict rows_blurred, unsigned char *restrict dark, unsigned char *restrict opened,
                 int *restrict stack, int room, double *out, int most)
{
    enum { R = 5, M = 4 };                             /* blur and margin, px */
    float taps[2 * R + 1];
    int count = 0;
    gaussian(sigma, R, taps);
    for (int b = 0; b < n; ++b) {
        int left = box[4 * b], top = box[4 * b + 1], wide = box[4 * b + 2], high = box[4 * b + 3];
        int gw = wide + 2 * M, gh = high + 2 * M;
        if (gw * (gh + 2 * R) > room) continue;
        for (int y = -R; y < gh + R; ++y) {           /* rows first, with R more above and below */
            int iy = top - M + y;
            iy = iy < 0 ? -iy : iy >= h ? 2 * h - 2 - iy : iy;
            const float *r = residual + (long)iy * w;
            float *o = rows_blurred + (y + R) * gw;
            int first = left - M, from = first < R ? R - first : 0, to = first + gw + R > w ? w - R - first : gw;
            for (int x = 0; x < gw; ++x) if (x < from || x >= to) {
                o[x] = 0;
                for (int i = -R; i <= R; ++i) {
                    int ix = first + x + i;
                    ix = ix < 0 ? -ix : ix >= w ? 2 * w - 2 - ix : ix;
                    o[x] += taps[i + R] * r[ix];
                }
            }
            r += first;
            for (int x = from; x < to; ++x) {
                float sum = taps[R] * r[x];
                for (int i = 1; i <= R; ++i) sum += taps[R + i] * (r[x - i] + r[x + i]);
                o[x] = sum;
            }
        }
        memset(dark, 0, gw * gh);
        for (int y = 0; y < gh; ++y) {
            int iy = top - M + y;
            if (iy < 0 || iy >= h) continue;
            int x0 = left < M ? M - left : 0, x1 = left - M + gw > w ? w - left + M : gw;
            const float *r = residual + (long)iy * w + left - M, *p = image + (long)iy * w + left - M;
            const float *c = rows_blurred + (y + R) * gw;
            unsigned char *d = dark + y * gw;
            for (int x = x0; x < x1; ++x) {
                float sum = taps[R] * c[x], explained = p[x] - r[x];
                for (int i = 1; i <= R; ++i) sum += taps[R + i] * (c[x - i * gw] + c[x + i * gw]);
                if (explained > 0) sum -= (float)tolerated * explained;
                d[x] = sum > (float)limit;
            }
        }
        memset(opened, 0, gw * gh);
        ellipse(dark, opened, gw, gh, 17);
        memset(dark, 0, gw * gh);
        ellipse(opened, dark, gw, gh, 1);
        for (int y = 0; y < gh; ++y) for (int x = 0; x < gw; ++x)
            if (dark[y * gw + x] && (y < M || x < M || y >= gh - M || x >= gw - M
                                     || labels[(long)(top - M + y) * w + left - M + x] != label[b]))
                dark[y * gw + x] = 0;
        count = middles(dark, gw, gh, left - M, top - M, least, stack, out, count, most);
    }
    return count;
}
