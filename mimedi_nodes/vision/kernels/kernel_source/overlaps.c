/* SPDX-License-Identifier: Apache-2.0 */
/* What `overlaps.py` looks for inside overlaps with OpenCV: peaks of depth, and dark remains. */

/* The lines of a box with `margin` more on each side, and `reach` lines more above and below, blurred along
   themselves: line k of `to` (`step` numbers each) is that of row top - margin - reach + k. Beyond the edge the image
   goes on as a mirror. */
static void blur_box_along(const float *image, int w, int h, const int *box, int margin, const float *taps, int reach,
                           float *to, int step)
{
    int first = box[0] - margin, wide = box[2] + 2 * margin, high = box[3] + 2 * margin;
    int from = first < reach ? reach - first : 0, until = first + wide + reach > w ? w - reach - first : wide;
    for (int y = -reach; y < high + reach; ++y) {
        int iy = box[1] - margin + y;
        iy = iy < 0 ? -iy : iy >= h ? 2 * h - 2 - iy : iy;
        const float *r = image + (long)iy * w;
        float *o = to + (long)(y + reach) * step;
        if (until > from) blur_along(r + first + from, o + from, until - from, taps, reach);
        for (int x = 0; x < wide; ++x) {
            if (x == from && until > from) x = until;
            if (x >= wide) break;
            o[x] = 0;
            for (int i = -reach; i <= reach; ++i) {
                int ix = first + x + i;
                ix = ix < 0 ? -ix : ix >= w ? 2 * w - 2 - ix : ix;
                o[x] += taps[i + reach] * r[ix];
            }
        }
    }
}

/* Peaks of the depth of a blob (box: left, top, width, height; numbered `label` in labels, w wide): distance from
   outside, blurred, highest within `reach` px, deeper than `least`, `apart` px from the peak before. out: x, y; at most
   `most` rows. Scratch of `room` each. Returns the number of rows. */
static int blob_peaks(const int *box, int label, const short *labels, int w, int reach, double least, double apart,
                      int *restrict grid, float *restrict depth, float *restrict blurred,
                      unsigned char *restrict highest, int room, double *out, int most)
{
    const int M = 4, R = 3;
    float taps[7];
    int rows = 0, left = box[0], top = box[1], wide = box[2], high = box[3];
    int gw = wide + 2 * M, gh = high + 2 * M, size = gw * gh;
    if (size + LANES > room) return 0;
    gaussian(1.0, R, taps);
    memset(grid, 0, sizeof(int) * size);
    for (int y = 0; y < high; ++y) {
        const short *l = labels + (long)(top + y) * w + left;
        int *g = grid + (y + M) * gw + M;
        for (int x = 0; x < wide; ++x) g[x] = l[x] == label ? 1 << 28 : 0;
    }
    chamfer(grid, gw, gh);
    for (int k = 0; k < size; ++k) depth[k] = 1e-3f * (float)grid[k];
    memset(blurred, 0, sizeof(float) * size);
    for (int y = M; y < gh - M; ++y) blur_along(depth + y * gw + R, blurred + y * gw + R, gw - 2 * R, taps, R);
    memset(depth, 0, sizeof(float) * size);
    for (int y = M; y < gh - M; ++y) blur_across(blurred + y * gw + M, gw, depth + y * gw + M, wide, taps, R);
    for (int y = M; y < gh - M; ++y) {
        const float *line = depth + y * gw;
        for (int x = M; x < gw - M; ++x)
            highest[x] = (line[x] > (float)least) & (line[x] >= line[x - 1]) & (line[x] >= line[x + 1])
                       & (line[x] >= line[x - gw]) & (line[x] >= line[x + gw]);
        const unsigned char *next = highest + M, *end = highest + gw - M;
        for (; (next = memchr(next, 1, end - next)); ++next) {
            int x = (int)(next - highest), is = 1;
            float here = line[x];
            for (int j = y - reach < M ? M : y - reach; is && j <= y + reach && j < gh - M; ++j)
                for (int i = x - reach < M ? M : x - reach; i <= x + reach && i < gw - M; ++i)
                    if (depth[j * gw + i] > here) { is = 0; break; }
            double px = x - M + left, py = y - M + top;
            for (int k = 0; is && k < rows; ++k)
                is = (px - out[2 * k]) * (px - out[2 * k]) + (py - out[2 * k + 1]) * (py - out[2 * k + 1])
                     > apart * apart;
            if (!is || rows == most) continue;
            out[2 * rows] = px; out[2 * rows + 1] = py; ++rows;
        }
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

/* Whether any pixel of a box with `margin` more on each side is above the limit: only then may a blurred one be. */
static int exceeds(const float *image, int w, int h, const int *box, int margin, float limit)
{
    int x0 = box[0] - margin, y0 = box[1] - margin, x1 = box[0] + box[2] + margin, y1 = box[1] + box[3] + margin;
    x0 = x0 < 0 ? 0 : x0; y0 = y0 < 0 ? 0 : y0; x1 = x1 > w ? w : x1; y1 = y1 > h ? h : y1;
    for (int y = y0; y < y1; ++y) {
        int any = 0;
        for (int x = x0; x < x1; ++x) any |= image[(long)y * w + x] > limit;
        if (any) return 1;
    }
    return 0;
}

/* Middles of the places in n blobs where `residual`, blurred by sigma (at most 5 px), exceeds `limit`. */
static int bright_remains(int n, const int *box, const int *label, const short *labels, int w, int h,
                          const float *residual, double sigma, double limit, int least, float *rows_blurred,
                          float *line, unsigned char *bright, int *stack, int room, double *out, int most)
{
    enum { MOST = 15 };
    float taps[2 * MOST + 1];
    int R = (int)ceil(3 * sigma), count = 0;
    if (R > MOST) R = MOST;
    gaussian(sigma, R, taps);
    for (int b = 0; b < n; ++b) {
        int left = box[4 * b], top = box[4 * b + 1], wide = box[4 * b + 2], high = box[4 * b + 3];
        int step = wide + LANES, any = 0;
        if (step * (high + 2 * R + 1) > room || !exceeds(residual, w, h, box + 4 * b, R, (float)limit)) continue;
        blur_box_along(residual, w, h, box + 4 * b, 0, taps, R, rows_blurred, step);
        for (int y = 0; y < high; ++y) {
            const short *l = labels + (long)(top + y) * w + left;
            blur_across(rows_blurred + (long)(y + R) * step, step, line, wide, taps, R);
            for (int x = 0; x < wide; ++x) {
                unsigned char set = (line[x] > (float)limit) & (l[x] == label[b]);
                bright[y * wide + x] = set; any += set;
            }
        }
        if (any >= least) count = middles(bright, wide, high, left, top, least, stack, out, count, most);
    }
    return count;
}

/* Dark remains of n blobs: where `residual`, blurred by sigma, less `tolerated` of what the fit explains
   (image - residual, where dark), exceeds `limit`; opened; at least `least` px. out: x, y of their middles.
   Scratch: two float planes and two byte planes and one int plane of `room`. Returns the number of rows. */
static int dark_remains(int n, const int *box, const int *label, const short *labels, int w, int h, const float *image,
                 const float *residual, double sigma, double tolerated, double limit, int least,
                 float *restrict rows_blurred, float *restrict line, unsigned char *restrict dark,
                 unsigned char *restrict opened, int *restrict stack, int room, double *out, int most)
{
    enum { R = 5, M = 4 };                             /* blur and margin, px */
    float taps[2 * R + 1];
    int count = 0;
    gaussian(sigma, R, taps);
    for (int b = 0; b < n; ++b) {
        int left = box[4 * b], top = box[4 * b + 1], wide = box[4 * b + 2], high = box[4 * b + 3];
        int gw = wide + 2 * M, gh = high + 2 * M, step = gw + LANES, any = 0;
        if (step * (gh + 2 * R + 1) > room) continue;
        blur_box_along(residual, w, h, box + 4 * b, M, taps, R, rows_blurred, step);
        for (int y = 0; y < gh; ++y) {
            int iy = top - M + y, x0 = left < M ? M - left : 0, x1 = left - M + gw > w ? w - left + M : gw;
            unsigned char *restrict d = dark + y * gw;
            memset(d, 0, gw);
            if (iy < 0 || iy >= h) continue;
            const float *restrict r = residual + (long)iy * w + left - M;
            const float *restrict p = image + (long)iy * w + left - M;
            blur_across(rows_blurred + (long)(y + R) * step, step, line, gw, taps, R);
            for (int x = x0; x < x1; ++x) {
                float explained = p[x] - r[x];
                d[x] = line[x] - (float)tolerated * (explained > 0 ? explained : 0) > (float)limit;
                any += d[x];
            }
        }
        if (any < least) continue;                     /* opened it is smaller yet */
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

/* 1 where a blob (box, label) has room for the centre of a cell that is not there yet: farther than `apart` px from
   each of n cells, and `inner` px all around still inside. `taken` holds a byte for each of its pixels. */
static int has_room(const int *box, int label, const short *labels, int w, int n, const double *x, const double *y,
                    double apart, int inner, unsigned char *restrict taken)
{
    int left = box[0], top = box[1], wide = box[2], high = box[3];
    memset(taken, 0, (long)wide * high);
    for (int k = 0; k < n; ++k) {
        double cx = x[k] - left, cy = y[k] - top;
        if (cx < -apart || cy < -apart || cx > wide + apart || cy > high + apart) continue;
        for (int j = (int)ceil(cy - apart) > 0 ? (int)ceil(cy - apart) : 0; j <= cy + apart && j < high; ++j) {
            double half = sqrt(apart * apart - (j - cy) * (j - cy));
            int from = (int)ceil(cx - half), until = (int)floor(cx + half) + 1;
            from = from < 0 ? 0 : from; until = until > wide ? wide : until;
            if (until > from) memset(taken + j * wide + from, 1, until - from);
        }
    }
    int oblique = (int)(0.7 * inner);
    for (int j = inner; j < high - inner; ++j) {
        const short *l = labels + (long)(top + j) * w + left, *up = l - (long)inner * w, *down = l + (long)inner * w;
        const short *above = l - (long)oblique * w, *below = l + (long)oblique * w;
        const unsigned char *t = taken + j * wide;
        short any = 0, own = (short)label;
        for (int i = inner; i < wide - inner; ++i)
            any |= (short)((t[i] == 0) & (l[i] == own) & (up[i] == own) & (down[i] == own) & (l[i - inner] == own)
                           & (l[i + inner] == own) & (above[i - oblique] == own) & (above[i + oblique] == own)
                           & (below[i - oblique] == own) & (below[i + oblique] == own));
        if (any) return 1;
    }
    return 0;
}
