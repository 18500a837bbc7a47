/* SPDX-License-Identifier: Apache-2.0 */
/* Which blobs show one cell and which an overlap: what `detector.py` and `overlaps.py` do blob by blob. */

/* What is expected, a number a cell (see `Expected` in blobs.py), and limits: the largest cell, a typical cell's length /
   width (0: unknown), and the constants of detector.py and blobs.py. */
typedef struct {
    int count, sizes;
    const double *x, *y, *blob_px, *contrast, *spread; const int *hits, *sized; const uint8_t *apart;
    double largest, aspect, largest_overlap, solid, unusual, pair_is_better, two_are_worse;
} expectation;

/* What `sort_by_expectation` finds. For each blob: cells expected in it, one of them. Blobs that show one cell, those of them to
   be measured. Overlaps: box, label, area, whether anybody is known in it; their expected cells: row, overlap, hits,
   apart, spread, diameter; places of these, then of the seeds. room: px that the largest overlap needs. */
typedef struct {
    int lone_count, wanted_count, overlaps, owners, seeds, room;
    int *count, *member, *lone, *wanted, *box, *label, *seeded, *owner, *blob, *hits;
    uint8_t *apart; double *area, *spread, *diameter, *x, *y;
} sorted_blobs;

/* Stands for the count of a blob whose two tracks are one cell, the older one's. */
enum { CUT_IN_TWO = -1 };

/* Whether a blob (row t of the table) is two cells rather than a stretched one; sets the places of the two. `crop` holds
   the blob's surroundings in every channel. `worse`: what two leave over what one leaves. See `OverlapSolver.is_pair`. */
static int is_pair(const frame *f, int *reach, const expectation *e, const double *t, float *crop, double *place,
                   double *worse)
{
    int left = (int)t[2], top = (int)t[3], wide = (int)t[4], high = (int)t[5];
    int x0 = left < 4 ? 0 : left - 4, y0 = top < 4 ? 0 : top - 4;
    int x1 = left + wide + 4 > f->w ? f->w : left + wide + 4, y1 = top + high + 4 > f->h ? f->h : top + high + 4;
    frame part = *f;
    part.w = x1 - x0; part.h = y1 - y0;
    for (int c = 0; c < f->channels; ++c) {
        float *to = crop + (long)c * part.w * part.h;
        part.image[c] = to;
        for (int y = y0; y < y1; ++y, to += part.w)
            memcpy(to, f->image[c] + (long)y * f->w + x0, sizeof *to * part.w);
    }
    double root = sqrt(e->aspect), usual_wide = f->diameter * root, usual_high = f->diameter / root;
    double ax = cos(t[11]), ay = sin(t[11]), extent = fabs(ax) * wide + fabs(ay) * high;
    double usual = sqrt(ax * usual_wide * ax * usual_wide + ay * usual_high * ay * usual_high);
    double half = 0.5 * (extent - usual), o[11];
    if (half < 0.18 * usual) half = 0.18 * usual;
    one_or_two(&part, reach, t[9] - x0, t[10] - y0, half * ax, half * ay, usual_wide, usual_high, wide, high, o);
    *worse = o[7] / o[6];
    double less = o[2] < o[5] ? o[2] : o[5], more = o[2] < o[5] ? o[5] : o[2];
    if (!(less > 0.5 && more < 1.8) || o[7] > e->pair_is_better * o[6]) return 0;
    if ((o[0] - o[3]) * (o[0] - o[3]) + (o[1] - o[4]) * (o[1] - o[4]) < 0.09 * f->diameter * f->diameter) return 0;
    place[0] = o[0] + x0; place[1] = o[1] + y0; place[2] = o[3] + x0; place[3] = o[4] + y0;
    return 1;
}

/* Sort the n blobs of a table of `find_blobs`; see `CellDetector._sort`. `blob_of` holds a number for each expected
   cell, `crop` the channels of an image. */
void sort_by_expectation(const frame *f, int *reach, const expectation *e, int n, const double *table, int *blob_of, float *crop,
                sorted_blobs *s)
{
    s->lone_count = s->wanted_count = s->overlaps = s->owners = s->seeds = s->room = 0;
    for (int b = 0; b < n; ++b) s->count[b] = s->member[b] = 0;
    for (int k = 0; k < e->count; ++k) {
        int x = (int)rint(e->x[k]), y = (int)rint(e->y[k]);
        int at = x >= 0 && y >= 0 && x < f->w && y < f->h ? f->labels[(long)y * f->w + x] - 1 : -1;
        blob_of[k] = at;
        if (at >= 0) { ++s->count[at]; s->member[at] = k; }
    }
    double *seed = s->x + e->count, *seed_y = s->y + e->count;
    for (int b = 0; b < n; ++b) {
        const double *t = table + 12 * b;
        double diameter = t[1], wide = t[4], high = t[5];
        int count = s->count[b], member = s->member[b], edge = t[2] == 0 || t[2] + wide >= f->w, unusual = 0;
        int single = diameter < 0.8 * f->diameter
            || (t[0] > e->solid * t[7] && (wide > high ? wide : high) < 2.1 * (wide < high ? wide : high)
                && diameter < 1.6 * f->diameter);
        if (e->aspect != 0) {
            double proportion = wide / high / e->aspect;
            unusual = edge ? high > e->unusual * f->diameter / sqrt(e->aspect)
                : diameter > 1.12 * f->diameter || proportion <= 1 / e->unusual || proportion >= e->unusual;
        }
        double own = e->blob_px[member];
        int larger = own > 0 && diameter > 1.18 * own + 0.5, pair = 0, one = 0;
        int doubtful = single && unusual && (!count || (count == 1 && e->sized[member] < e->sizes));
        double place[4], worse = 0;
        if (!doubtful && single && (!count || (count == 1 && !larger))) one = 1;
        else if (doubtful && is_pair(f, reach, e, t, crop, place, &worse)) pair = 1;
        else if (count && single) {
            int oldest = -1, proven = 0;
            for (int k = 0; k < e->count; ++k) if (blob_of[k] == b) {
                proven += e->blob_px[k] > 0 ? 2 : e->apart[k];
                if (oldest < 0 || e->hits[k] > e->hits[oldest]) oldest = k;
            }
            /* Whom two explain by far better stay two, however like one they look. Two of which one was never seen alone
               nor apart, and that one explains better, are one that was cut in two: as it came into view it was seen
               in part first. */
            int two = count == 2 && is_pair(f, reach, e, t, crop, place, &worse);
            if (proven > 1) worse = 0;
            own = e->blob_px[oldest];
            /* Two cells on one spot are darker than one: otherwise it is one cell that was taken for two. */
            one = !two && !(own > 0 && diameter > 1.18 * own + 0.5) && !(own <= 0 && count > 1 && unusual)
                && !(count > 1 && t[6] > 1.35 * (own > 0 ? e->contrast[oldest] : f->contrast));
            if (one || worse > e->two_are_worse) { s->member[b] = oldest; s->count[b] = one ? 1 : CUT_IN_TWO; one = 1; }
        } else if (single) one = 1;
        if (one) {
            if (diameter > e->largest) continue;
            s->lone[s->lone_count++] = b;
            if (!edge && !(s->count[b] == 1 && e->sized[s->member[b]] >= e->sizes)) s->wanted[s->wanted_count++] = b;
            continue;
        }
        if (!count && !pair && diameter > e->largest_overlap * e->largest) continue;
        int k = s->overlaps++, room = (int)((wide + 40) * (high + 40));
        for (int i = 0; i < 4; ++i) s->box[4 * k + i] = (int)t[2 + i];
        s->label[k] = b + 1; s->area[k] = t[0]; s->seeded[k] = pair || count;
        if (room > s->room) s->room = room;
        /* Whoever was expected in a pair will be linked to the nearer of the two. */
        if (pair) for (int i = 0; i < 2; ++i) { seed[s->seeds] = place[2 * i]; seed_y[s->seeds++] = place[2 * i + 1]; }
        else for (int m = 0; count && m < e->count; ++m) if (blob_of[m] == b) {
            int o = s->owners++;
            s->owner[o] = m; s->blob[o] = k; s->hits[o] = e->hits[m]; s->apart[o] = e->apart[m];
            s->spread[o] = e->spread[m]; s->diameter[o] = e->blob_px[m]; s->x[o] = e->x[m]; s->y[o] = e->y[m];
        }
    }
    memmove(s->x + s->owners, seed, sizeof *seed * s->seeds);
    memmove(s->y + s->owners, seed_y, sizeof *seed_y * s->seeds);
}

/* The table of what was found: lone blobs with their sizes (of those in `wanted`, in the same order), then the `parts`
   (x, y, amplitude) of overlaps that are above `least`, of which the first belong to `owner`. Returns its length. */
int list_detections(const double *table, const sorted_blobs *s, const double *sizes, int parts, const double *part,
                    double least, double contrast, int w, double top, detection *out)
{
    int rows = 0, measured = 0;
    memset(out, 0, sizeof *out * (s->lone_count + parts));
    for (int k = 0; k < s->lone_count; ++k) {
        const double *t = table + 12 * s->lone[k];
        detection *d = out + rows++;
        d->x = t[9]; d->y = t[10] + top; d->blob_px = t[1]; d->area_px2 = t[7]; d->deformation = t[8];
        d->aspect = t[4] / t[5]; d->contrast = t[6]; d->lone = 1; d->edge = t[2] == 0 || t[2] + t[4] >= w;
        d->owner = s->count[s->lone[k]] == CUT_IN_TWO ? s->member[s->lone[k]] : -1;
        if (measured < s->wanted_count && s->wanted[measured] == s->lone[k]) {
            d->diameter_px = sizes[2 * measured]; d->sharpness = sizes[2 * measured + 1]; ++measured;
        }
    }
    for (int k = 0; k < parts; ++k) {
        if (!(part[3 * k + 2] > least)) continue;
        detection *d = out + rows++;
        d->x = part[3 * k]; d->y = part[3 * k + 1] + top; d->contrast = contrast;
        d->edge = d->x < 3 || d->x > w - 4; d->owner = k < s->owners ? s->owner[k] : -1;
    }
    return rows;
}

/* Medians over the n lone detections that are whole and less than twice as long as wide: aspect, diameter, contrast;
   where some of these are known to be smaller than `least`, over those known not to be. Returns how many these are. */
int typical_of(int n, const detection *d, double least, double *work, double *out)
{
    int count = 0, specks = 0;
    for (int k = 0; k < n; ++k) specks += d[k].lone && d[k].diameter_px > 0 && d[k].diameter_px < least;
    for (int pass = 0; pass < 3; ++pass) {
        count = 0;
        for (int k = 0; k < n; ++k)
            if (d[k].lone && !d[k].edge && d[k].aspect < 2 && !(specks && d[k].diameter_px < least))
                work[count++] = pass == 0 ? d[k].aspect : pass == 1 ? d[k].blob_px : d[k].contrast;
        if (!count) return 0;
        qsort(work, count, sizeof *work, ascending);
        out[pass] = 0.5 * (work[(count - 1) / 2] + work[count / 2]);
    }
    return count;
}
