/* SPDX-License-Identifier: Apache-2.0 */
/* The overlap solver: what `overlaps.py` does step by step. */

/* Cells in overlaps: of n blobs (box, label, area; seeded: somebody is expected in it), the first `owners` cells are
   expected ones (`blob` they are in, x, y, spread, slot, what that slot shows of it: as `put` says, 3: to be learnt
   from now on, hits, ever apart from the others, diameter or 0), the next `seeds` unknown ones at x, y. out: x, y,
   amplitude, a row each, owners first. Returns the number of rows. See overlaps.py. */
int solve_overlaps(const frame *f, int *patch_reach, int n, const int *box, const int *label, const double *area, const int *seeded,
                   int owners, int seeds, const int *blob, const double *x, const double *y, const double *spread,
                   const int *slot, const uint8_t *known, const int *hits, const uint8_t *been_apart,
                   const double *diameter, double *out)
{
    const double PI = 3.14159265358979324;
    int most = f->most, count;
    owners = owners < most ? owners : most;
    count = owners + seeds < most ? owners + seeds : most;
    unsigned char relearn[1024] = {0}, merged[1024] = {0};
    double reach_of_one = f->merge_reach * f->diameter;
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
    /* One large cell that mean ones were fitted to. Where there are many to be asked (as a recording begins, when
       nobody is known), only some are asked in one frame, and the others in the next ones. */
    int turns = 1;
    for (int pass = 0; pass < 2; ++pass) {
        int candidates = 0;
        for (int i = 0; i < count; ++i) for (int j = i + 1; j < count; ++j) {
            double dx = c.x[i] - c.x[j], dy = c.y[i] - c.y[j], one[3];
            if (dx * dx + dy * dy > reach_of_one * reach_of_one || !(c.a[i] > 0.4 && c.a[j] > 0.4)) continue;
            int younger = (i < owners ? hits[i] : 0) < (j < owners ? hits[j] : 0) ? i : j, older = i + j - younger;
            if (younger < owners && (been_apart[younger] || known[younger] == 1)) continue;
            if (older < owners && known[older] == 1) continue;
            /* Who has stayed two for a while is asked every fourth frame. */
            if (younger < owners && hits[younger] > 4 && hits[younger] % 4) continue;
            if (candidates++ % turns != f->turn % turns || !pass) continue;
            if (!are_one(f, patch_reach, c, i, j, one)) continue;
            c.a[younger] = 0; c.x[older] = one[0]; c.y[older] = one[1]; c.a[older] = one[2];
            if (older < owners && known[older] >= 2) { become(f, patch_reach, slot[older], one[2]); merged[older] = 1; }
        }
        if (!candidates) break;
        turns = (candidates + f->most_asked - 1) / f->most_asked;
    }
    for (int k = 0; k < owners; ++k) {
        if (known[k] < 2 || !(c.a[k] > 0.4) || merged[k]) continue;
        /* Who has been learnt for a while is looked at every other frame, and then counts twice. */
        int fresh = known[k] == 3 || relearn[k], young = hits[k] < 8;
        if (fresh || young || hits[k] % 2) learn(f, c, k, slot[k], fresh, young ? 1 : 2);
    }
    for (int k = 0; k < count; ++k) { out[3 * k] = c.x[k]; out[3 * k + 1] = c.y[k]; out[3 * k + 2] = c.a[k]; }
    return count;
}
