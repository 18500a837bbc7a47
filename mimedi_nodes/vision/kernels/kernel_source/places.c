/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures kept of tracked cells: places in a pool of patches, who owns them, and what they tell; see patch_pool.py. */

/* Slot 0 is the mean cell, 1 scratch; from FIRST on a slot is its owner's (a track's number; -1: free). used: how many
   are owned. seen: for how many frames in which it stood alone a cell's picture counts; learnt: whether from overlaps. */
enum { MEAN = 0, FIRST = 2 };
typedef struct {
    int count, channels, size, stride, mean_count, used;
    float *pool; int64_t *owner; int *seen, *reach; uint8_t *learnt;
    double extent[2];
} places;

static int place_of(const places *p, int64_t id)
{
    int64_t found = MEAN;                              /* an owner has one place only */
    for (int k = FIRST; k < p->count; ++k) found |= p->owner[k] == id ? k : 0;
    return (int)found;
}

/* The place of a track, a new one if it has none; MEAN where all are taken. */
static int place_for(places *p, int64_t id)
{
    int slot = place_of(p, id);
    if (slot) return slot;
    for (slot = FIRST; slot < p->count && p->owner[slot] != -1; ) ++slot;
    if (slot == p->count) return MEAN;
    p->owner[slot] = id; ++p->used;
    return slot;
}

/* Free the places whose owners are not among the n tracks, whose numbers ascend. */
void release_places(places *p, int n, const track *t)
{
    for (int k = FIRST; k < p->count; ++k) {
        if (p->owner[k] < 0) continue;
        int low = 0, high = n;
        while (low < high) { int mid = (low + high) / 2; if (t[mid].id < p->owner[k]) low = mid + 1; else high = mid; }
        if (low < n && t[low].id == p->owner[k]) continue;
        p->owner[k] = -1; p->seen[k] = p->reach[2 * k] = p->reach[2 * k + 1] = 0; p->learnt[k] = 0; --p->used;
    }
}

/* Pixel of an image whose edge goes on for ever. */
static float at_edge(const float *image, int h, int w, int x, int y)
{
    x = x < 0 ? 0 : x >= w ? w - 1 : x;
    y = y < 0 ? 0 : y >= h ? h - 1 : y;
    return image[(long)y * w + x];
}

/* Take a lone cell at (x, y), `longest` x `widest` px, into the running mean of the patch in `slot` and into that of all
   cells. */
static void take_in(places *q, int h, int w, float **images, int slot, double x, double y, double longest, double widest)
{
    enum { WIDEST = 512 };
    int channels = q->channels, size = q->size, stride = q->stride, reach = size / 2;
    long layer = (long)(size + 2) * stride;
    float window[WIDEST], seen_now[WIDEST];
    if (size > WIDEST) return;
    int fx = (int)floor(x), fy = (int)floor(y);
    float u = (float)(x - fx), v = (float)(y - fy);
    float own = 1.0f / (q->seen[slot] + 1), all = 1.0f / q->mean_count;
    double ix = 4 / (longest * longest), iy = 4 / (widest * widest);
    int whole = fx - reach >= 0 && fy - reach >= 0 && fx + reach + 1 < w && fy + reach + 1 < h;
    for (int j = 0; j < size; ++j) {
        double down = (double)(j - reach) * (j - reach) * iy;
        for (int i = 0; i < size; ++i) {
            float rho = sqrtf((float)((double)(i - reach) * (i - reach) * ix + down));
            float t = (1.55f - rho) * (1 / 0.3f);
            window[i] = t < 0 ? 0 : t > 1 ? 1 : t;
        }
        for (int c = 0; c < channels; ++c) {
            float *restrict p = q->pool + (long)slot * channels * layer + c * layer + (long)(j + 1) * stride;
            float *restrict m = q->pool + c * layer + (long)(j + 1) * stride;
            const float *restrict r = images[c] + (long)(fy - reach + j) * w + fx - reach;
            if (whole) for (int i = 0; i < size; ++i)
                seen_now[i] = (1 - v) * ((1 - u) * r[i] + u * r[i + 1]) + v * ((1 - u) * r[i + w] + u * r[i + w + 1]);
            else for (int i = 0; i < size; ++i) {
                int px = fx - reach + i, py = fy - reach + j;
                seen_now[i] = (1 - v) * ((1 - u) * at_edge(images[c], h, w, px, py)
                                         + u * at_edge(images[c], h, w, px + 1, py))
                            + v * ((1 - u) * at_edge(images[c], h, w, px, py + 1)
                                   + u * at_edge(images[c], h, w, px + 1, py + 1));
            }
            for (int i = 0; i < size; ++i) {
                float t = seen_now[i] * window[i];
                p[i] += own * (t - p[i]);
                m[i] += all * (t - m[i]);
            }
        }
    }
}

/* Take the n tracks that stand alone in this frame (their detection d is lone and whole; with `settled`, linked before)
   into their pictures, each `memory` times at most and the mean of all over `most`. `window`: where a patch ends, in
   half lengths. Returns how many were taken in. */
int remember_alone(places *p, int h, int w, float **images, int n, const track *t, const detection *d, int settled,
                   int memory, int most, double window)
{
    int taken = 0, half = p->size / 2;
    double extent[2] = {0, 0};
    for (int k = 0; k < n; ++k) {
        if (t[k].detection < 0 || (settled && t[k].hits <= 1)) continue;
        const detection *seen = d + t[k].detection;
        if (!seen->lone || seen->edge) continue;
        int slot = place_for(p, t[k].id);
        if (!slot || p->seen[slot] >= memory) continue;
        double root = sqrt(seen->aspect), side[2] = {seen->blob_px * root, seen->blob_px / root};
        if (p->mean_count < most) ++p->mean_count;
        take_in(p, h, w, images, slot, seen->x, seen->y, side[0], side[1]);
        ++p->seen[slot]; ++taken;
        for (int i = 0; i < 2; ++i) {
            double reach = ceil(0.5 * window * side[i]);
            extent[i] += reach;
            reach = reach < half ? reach : half;
            if (reach > p->reach[2 * slot + i]) p->reach[2 * slot + i] = (int)reach;
        }
    }
    if (!taken) return 0;
    for (int i = 0; i < 2; ++i) {                      /* the few largest cells hardly show in the mean */
        double rate = (double)taken / p->mean_count;
        p->extent[i] += (rate < 1 ? rate : 1) * (extent[i] / taken - p->extent[i]);
        double reach = rint(p->extent[i]) + 1;
        p->reach[i] = (int)(reach < half ? reach : half);
    }
    return taken;
}

/* Places of n tracks (rows `row` of ids) to be fitted, and what they show: 0 nothing yet, 1 the cell alone, 2 what was
   learnt from overlaps, 3 a place to learn in from now on, for who was seen `after` times. */
void places_to_learn(places *p, int n, const int *row, const int64_t *ids, const int *hits, int after, int *slots,
                     uint8_t *known)
{
    for (int k = 0; k < n; ++k) {
        int slot = hits[k] >= after ? place_for(p, ids[row[k]]) : place_of(p, ids[row[k]]);
        slots[k] = slot;
        known[k] = !slot ? 0 : p->seen[slot] >= 2 ? 1 : p->seen[slot] || p->learnt[slot] ? 2 : 3;
        if (!slot) continue;
        p->learnt[slot] = 1;
        for (int i = 0; i < 2; ++i) if (p->reach[2 * slot + i] < p->reach[i]) p->reach[2 * slot + i] = p->reach[i];
    }
}

static int kept(const places *p, int slot) { return slot && (p->seen[slot] || p->learnt[slot]); }

/* Middle of channel c of a patch. */
static const float *middle_of(const places *p, int slot, int c)
{
    return p->pool + ((long)slot * p->channels + c) * (p->size + 2) * p->stride
         + (long)(p->size / 2 + 1) * p->stride + p->size / 2;
}

/* Mean over a square of `side` (odd) in the middle of each channel but the first of n tracks' patches: (n, channels - 1),
   NaN for whom none is kept. */
void patch_lights(const places *p, int n, const track *t, int side, double *out)
{
    int half = side / 2;
    for (int k = 0; k < n; ++k) {
        int slot = place_of(p, t[k].id);
        for (int c = 1; c < p->channels; ++c, ++out) {
            const float *m = middle_of(p, slot, c);
            double sum = 0;
            for (int j = -half; j <= half; ++j) for (int i = -half; i <= half; ++i) sum += m[(long)j * p->stride + i];
            *out = kept(p, slot) ? sum / (side * side) : NAN;
        }
    }
}

/* Pixels of a patch's first channel that are darker than half of the mean of its core, `core` px in diameter. */
static int dark_pixels(const places *p, int slot, double core)
{
    const float *m = middle_of(p, slot, 0);
    int reach = p->size / 2, inside = 0, dark = 0;
    double sum = 0;
    for (int j = -reach; j <= reach; ++j) for (int i = -reach; i <= reach; ++i)
        if (i * i + j * j <= 0.25 * core * core) { sum += m[(long)j * p->stride + i]; ++inside; }
    float half = (float)(0.5 * sum / inside);
    for (int j = -reach; j <= reach; ++j) for (int i = -reach; i <= reach; ++i) dark += m[(long)j * p->stride + i] > half;
    return dark;
}

/* Diameters of n tracks' cells over that of the mean cell, by their patches; NaN for whom none is kept. */
void patch_sizes(const places *p, int n, const int64_t *ids, double core, double *out)
{
    double mean = dark_pixels(p, MEAN, core);
    for (int k = 0; k < n; ++k) {
        int slot = place_of(p, ids[k]);
        out[k] = kept(p, slot) ? sqrt(dark_pixels(p, slot, core) / (mean > 1 ? mean : 1)) : NAN;
    }
}
