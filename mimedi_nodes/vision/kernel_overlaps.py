# SPDX-License-Identifier: Apache-2.0
"""C source of what `overlaps.py` looks for inside overlaps with OpenCV: peaks of depth, and dark remains."""

OVERLAP_SOURCE = r"""
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

/* What `overlaps.py` and `appearance.py` hand over: images of one frame, patches, what is typical, scratch. */
typedef struct {
    int channels, h, w, size, stride, room, most;
    const float *image[3]; double weight[3], lit[3];
    float *pool; const int *reach; const short *labels;
    float *residual; double *work; float *plane_a, *plane_b; unsigned char *bytes_a, *bytes_b; int *stack;
    double diameter, contrast, level, limit, blur, tolerated, seed_spread, known_spread, unknown_spread;
    double least_remains, unexplained, max_step, still; int sweeps;
} frame;

/* How much brighter than the mean cell's (slot 0) the light of each channel is at (x, y): an unknown cell's class. */
static void light_factor(const frame *f, double x, double y, float *factor)
{
    long layer = (long)(f->size + 2) * f->stride;
    int column = (int)rint(x), row = (int)rint(y), middle = f->size / 2;
    column = column < 0 ? 0 : column >= f->w ? f->w - 1 : column;
    row = row < 0 ? 0 : row >= f->h ? f->h - 1 : row;
    factor[0] = 1;
    for (int c = 1; c < f->channels; ++c) {
        double here = 0, usual = 0; int count = 0;
        for (int j = -2; j <= 2; ++j) for (int i = -2; i <= 2; ++i) {
            usual += f->pool[c * layer + (long)(middle + j + 1) * f->stride + middle + i] / 25;
            if (row + j < 0 || column + i < 0 || row + j >= f->h || column + i >= f->w) continue;
            here += f->image[c][(long)(row + j) * f->w + column + i]; ++count;
        }
        here /= count;
        factor[c] = (float)((here > 0 ? here : 0) / (usual > 1e-6 ? usual : 1e-6));
    }
}

typedef struct { double *x, *y, *a, *x0, *y0, *spread, *a_spread, *work; int *slot, *reach; float *factor; } cells;

/* Tables of up to n cells in f->work: 16 n + 2 n ints + 3 n floats, 20 n numbers at most. */
static cells layout(const frame *f, int n)
{
    double *d = f->work;
    cells c = {d, d + n, d + 2 * n, d + 3 * n, d + 4 * n, d + 5 * n, d + 6 * n, d + 7 * n,
               (int *)(d + 14 * n), (int *)(d + 15 * n), (float *)(d + 16 * n)};
    return c;
}

static void put(const frame *f, cells c, int k, double x, double y, int slot, int known, double spread)
{
    c.x[k] = c.x0[k] = x; c.y[k] = c.y0[k] = y; c.a[k] = 1;
    c.spread[k] = spread; c.a_spread[k] = known ? f->known_spread : f->unknown_spread;
    c.slot[k] = slot; c.reach[k] = f->reach[slot];
    if (known) for (int i = 0; i < f->channels; ++i) c.factor[k * f->channels + i] = 1;
    else light_factor(f, x, y, c.factor + k * f->channels);
}

static void fit(const frame *f, cells c, int n, int before, int sweeps)
{
    fit_cells(n, before, f->channels, f->size, f->stride, f->h, f->w, f->residual, f->pool, c.slot, c.reach, c.factor,
              f->weight, c.x, c.y, c.a, c.x0, c.y0, c.spread, c.a_spread, c.work, sweeps, f->max_step, f->still);
}

static int far_from_all(cells c, int n, double x, double y, double apart)
{
    for (int k = 0; k < n; ++k)
        if ((c.x[k] - x) * (c.x[k] - x) + (c.y[k] - y) * (c.y[k] - y) <= apart * apart) return 0;
    return 1;
}

/* Cells in overlaps: of n blobs (box, label, area), the first `owners` cells are expected ones (`blob` they are in, x,
   y, spread, slot, whether that slot shows this cell, hits, diameter or 0), the next `seeds` unknown ones at x, y. See
   overlaps.py. out: x, y, amplitude, a row each, owners first. Returns the number of rows. */
int solve_overlaps(const frame *f, int n, const int *box, const int *label, const double *area, const int *seeded,
                   int owners, int seeds, const int *blob, const double *x, const double *y, const double *spread,
                   const int *slot, const uint8_t *known, const int *hits, const double *diameter, double *out)
{
    const double PI = 3.14159265358979324;
    int most = f->most, count = owners + seeds;
    cells c = layout(f, most);
    double *found = f->work + 20 * most;               /* 2 most */
    long plane = (long)f->h * f->w;
    for (int i = 0; i < f->channels; ++i) memcpy(f->residual + i * plane, f->image[i], sizeof(float) * plane);
    for (int k = 0; k < count; ++k)
        put(f, c, k, x[k], y[k], k < owners && known[k] ? slot[k] : 0, k < owners && known[k],
            k < owners ? spread[k] : f->seed_spread);
    int reach = (int)(0.22 * f->diameter);
    for (int b = 0; b < n; ++b) if (!seeded[b]) {      /* nobody is expected: its peaks */
        int peaks = blob_peaks(box + 4 * b, label[b], f->labels, f->w, reach, 0.28 * f->diameter, 0.3 * f->diameter,
                               f->stack, f->plane_a, f->plane_b, f->room, found, most);
        for (int k = 0; k < peaks && count < most; ++k)
            put(f, c, count++, found[2 * k], found[2 * k + 1], 0, 0, f->seed_spread);
    }
    if (!count) for (int b = 0; b < n && count < most; ++b)   /* too flat for a peak: the middle is as good a guess */
        put(f, c, count++, box[4 * b] + 0.5 * box[4 * b + 2], box[4 * b + 1] + 0.5 * box[4 * b + 3], 0, 0,
            f->seed_spread);
    fit(f, c, count, 0, f->sweeps);
    int first = count;
    int remains = dark_remains(n, box, label, f->labels, f->w, f->h, f->image[0], f->residual, f->blur, f->tolerated,
                               f->limit, (int)ceil(f->least_remains * PI / 4 * f->diameter * f->diameter), f->plane_a,
                               f->bytes_a, f->bytes_b, f->stack, f->room, found, most);
    /* New cells are put behind the fitted ones and fitted together afterwards. */
    for (int k = 0; k < remains && count < most; ++k)
        put(f, c, count++, found[2 * k], found[2 * k + 1], 0, 0, f->seed_spread);
    for (int i = 1; i < f->channels; ++i) {
        if (!(f->lit[i] > 0)) continue;
        int lights = bright_remains(n, box, label, f->labels, f->w, f->h, f->residual + i * plane, 0.15 * f->diameter,
                                    f->unexplained * f->lit[i], (int)ceil(0.1 * PI / 4 * f->diameter * f->diameter),
                                    f->plane_a, f->bytes_a, f->stack, f->room, found, most);
        for (int k = 0; k < lights && count < most; ++k)
            if (far_from_all(c, count, found[2 * k], found[2 * k + 1], 0.35 * f->diameter))
                put(f, c, count++, found[2 * k], found[2 * k + 1], 0, 0, f->seed_spread);
    }
    for (int b = 0; b < n; ++b) {                      /* larger than their known cells, or cells never seen alone */
        double known_area = 0; int members = 0, all = 1;
        for (int k = 0; k < owners; ++k) if (blob[k] == b) {
            double d = diameter[k] > 0 ? diameter[k] : f->diameter;
            known_area += PI / 4 * d * d; ++members; all &= diameter[k] > 0;
        }
        if (!members || (all && known_area > area[b])) continue;
        int peaks = blob_peaks(box + 4 * b, label[b], f->labels, f->w, reach, 0.28 * f->diameter, 0.3 * f->diameter,
                               f->stack, f->plane_a, f->plane_b, f->room, found, most);
        for (int k = 0; k < peaks && count < most; ++k)
            if (far_from_all(c, count, found[2 * k], found[2 * k + 1], 0.5 * f->diameter))
                put(f, c, count++, found[2 * k], found[2 * k + 1], 0, 0, f->seed_spread);
    }
    if (count > first) fit(f, c, count, first, f->sweeps);
    /* Two that together explain but one are one: the one seen more often. */
    for (int i = 0; i < count; ++i) for (int j = i + 1; j < count; ++j) {
        double dx = c.x[i] - c.x[j], dy = c.y[i] - c.y[j], both = c.a[i] + c.a[j];
        if (dx * dx + dy * dy >= 0.35 * 0.35 * f->diameter * f->diameter || both >= 1.5 || !(c.a[i] > 0 && c.a[j] > 0))
            continue;
        int younger = (i < owners ? hits[i] : 0) < (j < owners ? hits[j] : 0) ? i : j;
        c.a[younger] = 0; c.a[i + j - younger] = both;
    }
    for (int k = 0; k < count; ++k) { out[3 * k] = c.x[k]; out[3 * k + 1] = c.y[k]; out[3 * k + 2] = c.a[k]; }
    return count;
}

/* Is a blob at (x, y), `wide` x `high` px, one cell or two at (x, y) -+ (ax, ay)? Fits the mean cell stretched by
   (sx, sy) (slot 1 is scratch for it), and two mean cells, to the images, which are the blob's surroundings only.
   out: x, y, amplitude of the two; squares left by the one and by the two. */
void one_or_two(const frame *f, int *reach, double x, double y, double ax, double ay, double sx, double sy, double *out)
{
    long layer = (long)(f->size + 2) * f->stride, plane = (long)f->h * f->w;
    int half = f->size / 2;
    double longer = sx > sy ? sx : sy;
    for (int c = 0; c < f->channels; ++c) {
        const float *mean = f->pool + c * layer;
        float *to = f->pool + (f->channels + c) * layer;
        for (int j = 0; j < f->size; ++j) for (int i = 0; i < f->size; ++i) {
            double u = half + (i - half) / sx, v = half + (j - half) / sy;
            int fu = (int)floor(u), fv = (int)floor(v);
            float du = (float)(u - fu), dv = (float)(v - fv), t = 0;
            if (fu >= 0 && fv >= 0 && fu + 1 < f->size && fv + 1 < f->size) {
                const float *p = mean + (long)(fv + 1) * f->stride + fu;
                t = (1 - dv) * ((1 - du) * p[0] + du * p[1]) + dv * ((1 - du) * p[f->stride] + du * p[f->stride + 1]);
            }
            to[(long)(j + 1) * f->stride + i] = t;
        }
    }
    reach[1] = (int)ceil(reach[0] * longer);
    if (reach[1] > half) reach[1] = half;
    cells c = layout(f, 4);
    for (int two = 0; two < 2; ++two) {
        for (int i = 0; i < f->channels; ++i) memcpy(f->residual + i * plane, f->image[i], sizeof(float) * plane);
        if (two) {
            put(f, c, 0, x - ax, y - ay, 0, 0, f->seed_spread);
            put(f, c, 1, x + ax, y + ay, 0, 0, f->seed_spread);
        } else put(f, c, 0, x, y, 1, 0, f->seed_spread);
        fit(f, c, 1 + two, 0, f->sweeps);
        double sum = 0;
        for (long k = 0; k < plane; ++k) { double r = f->residual[k] - f->level; sum += r * r; }
        out[6 + two] = sum;
    }
    for (int k = 0; k < 2; ++k) { out[3 * k] = c.x[k]; out[3 * k + 1] = c.y[k]; out[3 * k + 2] = c.a[k]; }
}
"""
