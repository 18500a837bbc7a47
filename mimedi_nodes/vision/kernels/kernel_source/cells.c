/* SPDX-License-Identifier: Apache-2.0 */
/* Cells in overlaps: what they look like, their fit, and what they look like learnt on the way. */

/* What `overlaps.py` and `appearance.py` hand over: images of one frame, patches, what is typical, scratch. */
typedef struct {
    int channels, h, w, size, stride, room, most;
    const float *image[3]; double weight[3], lit[3];
    float *pool; const int *reach; const short *labels;
    float *residual, *crop; double *work; float *plane_a, *plane_b; unsigned char *bytes_a, *bytes_b; int *stack;
    double diameter, contrast, level, limit, blur, tolerated, seed_spread, known_spread, unknown_spread;
    double aspect, merge_reach, one_is_better, least_remains, unexplained, learnt_spread, learn_rate, twins, twin_mass, twin_slope, max_step, still, hardly_lit;
    int sweeps, turn, most_asked;
} frame;

/* Mean over 5 x 5 px in the middle of a patch's channel. */
static double core(const frame *f, int slot, int c)
{
    const float *p = f->pool + ((long)slot * f->channels + c) * (f->size + 2) * f->stride;
    double sum = 0;
    for (int j = -2; j <= 2; ++j) for (int i = -2; i <= 2; ++i)
        sum += p[(long)(f->size / 2 + j + 1) * f->stride + f->size / 2 + i];
    return sum / 25;
}

/* How bright a cell's channels are beside its patch's: 1 for a cell that is known; for one that looks like the mean
   cell (slot 0), the light at (x, y) over the mean cell's. Hardly lit channels are left out of the fit: 0. */
static void light_factor(const frame *f, int slot, int known, double x, double y, float *factor)
{
    int column = (int)rint(x), row = (int)rint(y);
    column = column < 0 ? 0 : column >= f->w ? f->w - 1 : column;
    row = row < 0 ? 0 : row >= f->h ? f->h - 1 : row;
    factor[0] = 1;
    for (int c = 1; c < f->channels; ++c) {
        double here = 0, usual = core(f, slot, c); int count = 0;
        if (known) { factor[c] = usual > f->hardly_lit * f->lit[c]; continue; }
        for (int j = -2; j <= 2; ++j) for (int i = -2; i <= 2; ++i) {
            if (row + j < 0 || column + i < 0 || row + j >= f->h || column + i >= f->w) continue;
            here += f->image[c][(long)(row + j) * f->w + column + i]; ++count;
        }
        here /= count;
        factor[c] = here > f->hardly_lit * f->lit[c] ? (float)(here / (usual > 1e-6 ? usual : 1e-6)) : 0;
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

/* known: 0 not at all (looks like the mean cell), 1 seen alone, 2 learnt from overlaps. */
static void put(const frame *f, cells c, int k, double x, double y, int slot, int known, double spread)
{
    c.x[k] = c.x0[k] = x; c.y[k] = c.y0[k] = y; c.a[k] = 1;
    c.spread[k] = spread;
    c.a_spread[k] = known == 1 ? f->known_spread : known == 2 ? f->learnt_spread : f->unknown_spread;
    c.slot[k] = slot; c.reach[2 * k] = f->reach[2 * slot]; c.reach[2 * k + 1] = f->reach[2 * slot + 1];
    light_factor(f, known ? slot : 0, known, x, y, c.factor + k * f->channels);
}

static void fit(const frame *f, cells c, int n, int before, int sweeps)
{
    fit_cells(n, before, f->channels, f->size, f->stride, f->h, f->w, f->residual, f->pool, c.slot, c.reach, c.factor,
              f->weight, c.x, c.y, c.a, c.x0, c.y0, c.spread, c.a_spread, c.work, sweeps, f->max_step, f->still);
}

/* Make one channel of a patch the mean of itself and its mirror image through its middle: a cell looks much the same on
   both sides, and what was taken from a neighbour, or from a place beside its own, does not. */
static void even_out(const frame *f, float *own)
{
    int half = f->size / 2;
    for (int dy = 0; dy <= half; ++dy) {
        float *below = own + (long)(half + dy + 1) * f->stride + half;
        float *above = own + (long)(half - dy + 1) * f->stride + half;
        for (int dx = dy ? -half : 1; dx <= half; ++dx) below[dx] = above[-dx] = 0.5f * (below[dx] + above[-dx]);
    }
}

/* What cell k looks like, learnt from an overlap: of what the fit leaves it takes the share that it has in what the fit
   explains. A fresh patch begins as the mean cell's, as bright as it was fitted. `frames`: for how many this one counts. */
static void learn(const frame *f, cells c, int k, int slot, int fresh, int frames)
{
    long layer = (long)(f->size + 2) * f->stride, plane = (long)f->h * f->w;
    int half = f->size / 2, along = f->reach[0], across = f->reach[1];
    double e = c.a[k];
    if (fresh)
        for (int i = 0; i < f->channels; ++i) {
            float scale = (float)(e * c.factor[k * f->channels + i]);
            const float *mean = f->pool + i * layer;
            float *own = f->pool + (slot * f->channels + i) * layer;
            for (long p = 0; p < layer; ++p) own[p] = scale * mean[p];
        }
    int fx = (int)floor(c.x[k]), fy = (int)floor(c.y[k]);
    float u = (float)(c.x[k] - fx), v = (float)(c.y[k] - fy), one = fresh ? 1.0f : (float)e;
    float most = 1.7f * (float)(f->limit - f->level);
    if (!(one > 0.2f)) return;
    for (int i = 0; i < f->channels; ++i) {
        float *own = f->pool + (slot * f->channels + i) * layer;
        /* What is darker than a cell's own doubt belongs to somebody not found yet. */
        float unbelieved = i ? 1e30f : most, rate = frames * (float)f->learn_rate / one;
        for (int dy = -across; dy <= across; ++dy) {
            int y = fy + dy, wide = (int)(along * sqrt(1 - (double)dy * dy / ((double)across * across)));
            if (y < 0 || y + 1 >= f->h) continue;
            int from = -wide > -fx ? -wide : -fx, to = fx + wide + 1 < f->w ? wide : f->w - 2 - fx;
            float *restrict p = own + (long)(half + dy + 1) * f->stride + half;
            const float *restrict l = f->residual + i * plane + (long)y * f->w + fx;
            const float *restrict m = f->image[i] + (long)y * f->w + fx;
            for (int dx = from; dx <= to; ++dx) {
                float r = (1 - v) * ((1 - u) * l[dx] + u * l[dx + 1])
                        + v * ((1 - u) * l[dx + f->w] + u * l[dx + f->w + 1]);
                float whole = (1 - v) * ((1 - u) * m[dx] + u * m[dx + 1])
                            + v * ((1 - u) * m[dx + f->w] + u * m[dx + f->w + 1]) - r;
                float mine = one * p[dx], most_of = whole > mine ? whole : mine;
                float share = mine > 0 && whole > 0 ? mine / most_of : 0;
                p[dx] += r > unbelieved ? 0 : rate * share * r;
            }
        }
        even_out(f, own);
    }
}

/* What the patch absorbs altogether. */
static double absorbed(const frame *f, int slot)
{
    const float *p = f->pool + (long)slot * f->channels * (f->size + 2) * f->stride;
    float sum = 0;
    for (long k = 0; k < (long)(f->size + 2) * f->stride; ++k) sum += p[k];
    return sum;
}

static int far_from_all(cells c, int n, double x, double y, double apart)
{
    for (int k = 0; k < n; ++k)
        if ((c.x[k] - x) * (c.x[k] - x) + (c.y[k] - y) * (c.y[k] - y) <= apart * apart) return 0;
    return 1;
}
