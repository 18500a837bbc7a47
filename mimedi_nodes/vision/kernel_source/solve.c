/* SPDX-License-Identifier: Apache-2.0 */
/* The overlap solver: what `overlaps.py` does step by step, and what cells look like learnt on the way. */

/* What `overlaps.py` and `appearance.py` hand over: images of one frame, patches, what is typical, scratch. */
typedef struct {
    int channels, h, w, size, stride, room, most;
    const float *image[3]; double weight[3], lit[3];
    float *pool; const int *reach; const short *labels;
    float *residual; double *work; float *plane_a, *plane_b; unsigned char *bytes_a, *bytes_b; int *stack;
    double diameter, contrast, level, limit, blur, tolerated, seed_spread, known_spread, unknown_spread;
    double least_remains, unexplained, learnt_spread, learn_rate, twins, twin_mass, twin_slope, max_step, still, hardly_lit;
    int sweeps;
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

/* What cell k looks like, learnt from an overlap: of what the fit leaves it takes the share that it has in what the fit
   explains. A fresh patch begins as the mean cell's, as bright as it was fitted. */
static void learn(const frame *f, cells c, int k, int slot, int fresh)
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
        float unbelieved = i ? 1e30f : most, rate = (float)f->learn_rate / one;
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

/* Cells in overlaps: of n blobs (box, label, area; seeded: somebody is expected in it), the first `owners` cells are
   expected ones (`blob` they are in, x, y, spread, slot, what that slot shows of it: as `put` says, 3: to be learnt
   from now on, hits, ever apart from the others, diameter or 0), the next `seeds` unknown ones at x, y. out: x, y,
   amplitude, a row each, owners first. Returns the number of rows. See overlaps.py. */
int solve_overlaps(const frame *f, int n, const int *box, const int *label, const double *area, const int *seeded,
                   int owners, int seeds, const int *blob, const double *x, const double *y, const double *spread,
                   const int *slot, const uint8_t *known, const int *hits, const uint8_t *been_apart,
                   const double *diameter, double *out)
{
    const double PI = 3.14159265358979324;
    int most = f->most, count;
    owners = owners < most ? owners : most;
    count = owners + seeds < most ? owners + seeds : most;
    unsigned char relearn[1024] = {0};
    cells c = layout(f, most);
    double *found = f->work + 20 * most;               /* 2 most */
    long plane = (long)f->h * f->w;
    for (int i = 0; i < f->channels; ++i) memcpy(f->residual + i * plane, f->image[i], sizeof(float) * plane);
    for (int k = 0; k < count; ++k)
        if (k < owners && known[k] < 3) put(f, c, k, x[k], y[k], known[k] ? slot[k] : 0, known[k], spread[k]);
        else put(f, c, k, x[k], y[k], 0, 0, k < owners ? spread[k] : f->seed_spread);
    int reach = (int)(0.22 * f->diameter);
    for (int b = 0; b < n; ++b) if (!seeded[b]) {      /* nobody is expected: its peaks */
        int peaks = blob_peaks(box + 4 * b, label[b], f->labels, f->w, reach, 0.28 * f->diameter, 0.3 * f->diameter,
                               f->stack, f->plane_a, f->plane_b, f->bytes_b, f->room, found, most);
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
                               f->plane_b, f->bytes_a, f->bytes_b, f->stack, f->room, found, most);
    /* New cells are put behind the fitted ones and fitted together afterwards. */
    for (int k = 0; k < remains && count < most; ++k)
        put(f, c, count++, found[2 * k], found[2 * k + 1], 0, 0, f->seed_spread);
    for (int i = 1; i < f->channels; ++i) {
        if (!(f->lit[i] > 0)) continue;
        int lights = bright_remains(n, box, label, f->labels, f->w, f->h, f->residual + i * plane, 0.15 * f->diameter,
                                    f->unexplained * f->lit[i], (int)ceil(0.1 * PI / 4 * f->diameter * f->diameter),
                                    f->plane_a, f->plane_b, f->bytes_a, f->stack, f->room, found, most);
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
        if (!has_room(box + 4 * b, label[b], f->labels, f->w, count, c.x, c.y, 0.5 * f->diameter,
                      (int)(0.25 * f->diameter), f->bytes_a)) continue;
        int peaks = blob_peaks(box + 4 * b, label[b], f->labels, f->w, reach, 0.28 * f->diameter, 0.3 * f->diameter,
                               f->stack, f->plane_a, f->plane_b, f->bytes_b, f->room, found, most);
        for (int k = 0; k < peaks && count < most; ++k)
            if (far_from_all(c, count, found[2 * k], found[2 * k + 1], 0.5 * f->diameter))
                put(f, c, count++, found[2 * k], found[2 * k + 1], 0, 0, f->seed_spread);
    }
    if (count > first) fit(f, c, count, first, f->sweeps);
    /* Two that together absorb as much as one are one: the one seen more often, in their middle. */
    double *mass = found, one = absorbed(f, 0);
    for (int k = 0; k < count; ++k) mass[k] = c.slot[k] ? absorbed(f, c.slot[k]) / one : 1;
    for (int i = 0; i < count; ++i) for (int j = i + 1; j < count; ++j) {
        double dx = c.x[i] - c.x[j], dy = c.y[i] - c.y[j], mi = c.a[i] * mass[i], mj = c.a[j] * mass[j];
        /* The nearer, the more they may absorb: one large dark cell is likelier than two in nearly one place. */
        double apart = sqrt(dx * dx + dy * dy) / f->diameter;
        int younger = (i < owners ? hits[i] : 0) < (j < owners ? hits[j] : 0) ? i : j, older = i + j - younger;
        double most_mass = younger < owners && been_apart[younger] ? 0 : f->twin_mass - f->twin_slope * apart;
        if (most_mass < 1.25) most_mass = 1.25;
        if (apart >= f->twins || mi + mj >= most_mass || !(c.a[i] > 0 && c.a[j] > 0)) continue;
        if (older < owners && known[older] == 1 && (apart >= 0.35 || mi + mj >= 1.5)) continue;
        c.x[older] = (mi * c.x[i] + mj * c.x[j]) / (mi + mj); c.y[older] = (mi * c.y[i] + mj * c.y[j]) / (mi + mj);
        c.a[younger] = 0; c.a[older] = mi + mj;
        if (older < owners && known[older] == 2) relearn[older] = 1;
    }
    for (int k = 0; k < owners; ++k)
        if (known[k] >= 2 && c.a[k] > 0.4) learn(f, c, k, slot[k], known[k] == 3 || relearn[k]);
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
    for (int i = 0; i < 2; ++i) {
        reach[2 + i] = (int)ceil(reach[i] * (i ? sy : sx));
        if (reach[2 + i] > half) reach[2 + i] = half;
    }
    cells c = layout(f, 4);
    for (int two = 0; two < 2; ++two) {
        for (int i = 0; i < f->channels; ++i) memcpy(f->residual + i * plane, f->image[i], sizeof(float) * plane);
        if (two) {
            put(f, c, 0, x - ax, y - ay, 0, 0, f->seed_spread);
            put(f, c, 1, x + ax, y + ay, 0, 0, f->seed_spread);
        } else put(f, c, 0, x, y, 1, 0, f->seed_spread);
        fit(f, c, 1 + two, 0, f->sweeps);
        double sum = 0;
        for (int i = 0; i < f->channels; ++i) {
            double zero = i ? 0 : f->level, part = 0;
            for (long k = 0; k < plane; ++k) { double r = f->residual[i * plane + k] - zero; part += r * r; }
            sum += f->weight[i] * part;
        }
        out[6 + two] = sum;
    }
    for (int k = 0; k < 2; ++k) { out[3 * k] = c.x[k]; out[3 * k + 1] = c.y[k]; out[3 * k + 2] = c.a[k]; }
}
