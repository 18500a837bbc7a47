/* SPDX-License-Identifier: Apache-2.0 */
/* The links: what `linker.py` does with NumPy and SciPy, without a call per step. */

/* Assignment of rows to columns with the least sum of costs (n x m, all <= 0); 0: not allowed, a row may go without.
   Shortest augmenting paths with potentials (Kuhn, Naval Res. Logist. 2 (1955) 83; Jonker and Volgenant, Computing 38
   (1987) 325) over the rows that compete. work: n + 1 + 2 (n + m + 1) numbers, ints: 3 (n + m + 1). */
static void assign(int n, int m, const double *cost, int *match, double *work, int *ints)
{
    int all = n + m;                                   /* a column of cost 0 for each row to go without */
    double *u = work, *v = u + n + 1, *least = v + all + 1;
    int *row_of = ints, *way = row_of + all + 1, *used = way + all + 1;
    memset(u, 0, sizeof *u * (n + 1)); memset(v, 0, sizeof *v * (all + 1));
    memset(row_of, 0, sizeof *row_of * (all + 1));
    for (int i = 1; i <= n; ++i) {
        int at = 0;
        row_of[0] = i;
        for (int j = 0; j <= all; ++j) { least[j] = 1e300; used[j] = 0; }
        do {
            used[at] = 1;
            int row = row_of[at], next = 0;
            double delta = 1e300;
            const double *c = cost + (long)(row - 1) * m;
            for (int j = 1; j <= all; ++j) if (!used[j]) {
                double now = (j <= m ? c[j - 1] : 0) - u[row] - v[j];
                if (now < least[j]) { least[j] = now; way[j] = at; }
                if (least[j] < delta) { delta = least[j]; next = j; }
            }
            for (int j = 0; j <= all; ++j)
                if (used[j]) { u[row_of[j]] += delta; v[j] -= delta; } else least[j] -= delta;
            at = next;
        } while (row_of[at]);
        do { int before = way[at]; row_of[at] = row_of[before]; at = before; } while (at);
    }
    for (int j = 1; j <= m; ++j)
        if (row_of[j] && cost[(long)(row_of[j] - 1) * m + j - 1] < 0) match[row_of[j] - 1] = j - 1;
}

/* Detections of n tracks predicted at (x, y): match, -1 where there is none. gate: x and y of a sure track, growth
   per px moved of a new and of a sure track, growth of x and y per frame missed. work: n m + 3 (n + m + 1),
   ints: 5 (n + m + 1). */
void link_cells(int n, const track *t, int m, const detection *d, const double *x, const double *y,
                const double *gate, int *match, double *work, int *ints)
{
    double *cost = work, *rest = work + (long)n * m;
    int *rows = ints, *more = ints + n;
    for (int i = 0; i < n; ++i) {
        double moved = fabs(x[i] - t[i].x);
        double gx = gate[0] + moved * (t[i].hits < 2 ? gate[2] : gate[3]) + gate[4] * t[i].missed;
        double gy = gate[1] + gate[5] * t[i].missed;
        double handicap = (t[i].hits < 2 ? 0.3 : 0) + 0.02 * (t[i].missed < 10 ? t[i].missed : 10) - 3;
        match[i] = -1;
        for (int j = 0; j < m; ++j) {
            double dx = (d[j].x - x[i]) / gx, dy = (d[j].y - y[i]) / gy, far = dx * dx + dy * dy;
            double c = far < 1 ? far + handicap : 0;
            /* A fitted detection belongs to its track; it is nobody else's. */
            if (d[j].owner >= 0) c = d[j].owner == i ? -4 : c + 1.5 < 0 ? c + 1.5 : 0;
            cost[(long)i * m + j] = c;
        }
    }
    /* Most tracks and detections have only each other. */
    int left = 0;
    for (int j = 0; j < m; ++j) more[j] = 0;
    for (int i = 0; i < n; ++i) for (int j = 0; j < m; ++j) more[j] += cost[(long)i * m + j] < 0;
    for (int i = 0; i < n; ++i) {
        int only = -1, many = 0;
        for (int j = 0; j < m; ++j) if (cost[(long)i * m + j] < 0) { ++many; only = j; }
        if (many == 1 && more[only] == 1) match[i] = only;
        else if (many) rows[left++] = i;
    }
    if (!left) return;
    for (int k = 0; k < left; ++k)                     /* rows[k] >= k: nothing is overwritten before it is read */
        if (rows[k] != k) memcpy(cost + (long)k * m, cost + (long)rows[k] * m, sizeof *cost * m);
    int *found = more;
    for (int k = 0; k < left; ++k) found[k] = -1;
    assign(left, m, cost, found, rest, more + n + m);
    for (int k = 0; k < left; ++k) match[rows[k]] = found[k];
}

/* Move n tracks to their predictions (x, y) and those matched to where they are seen. Gives where they were (old) and
   are (now); the rows and speeds of the steady ones for the flow to learn from. Returns the number of these. */
int move_tracks(int n, track *t, const detection *d, const int *match, const double *x, const double *y, double dt,
                double *old_x, double *old_y, double *now_x, double *now_y, double *row, double *speed)
{
    int steady = 0;
    for (int i = 0; i < n; ++i) {
        old_x[i] = t[i].x; old_y[i] = t[i].y;
        now_x[i] = t[i].x = x[i]; now_y[i] = t[i].y = y[i];
        ++t[i].missed;
        t[i].detection = match[i];
        if (match[i] < 0) continue;
        const detection *s = d + match[i];
        int lone = s->lone && !s->edge;
        double gain = lone ? 0.9 : 0.6;
        now_x[i] = x[i] + gain * (s->x - x[i]); now_y[i] = y[i] + gain * (s->y - y[i]);
        if (dt > 0 && t[i].missed == 1 && lone && t[i].hits >= 2) {
            row[steady] = old_y[i]; speed[steady++] = (now_x[i] - old_x[i]) / dt;
        }
    }
    return steady;
}

static void mean(double *value, double now, double gain) { *value += gain * (now - *value); }

/* Take the matched detections into n tracks that `move_tracks` has moved; `expected` is the flow's speed where they
   are now. */
void update_tracks(int n, track *t, const detection *d, const double *old_x, const double *old_y, const double *now_x,
                   const double *now_y, const double *expected, double stamp, double dt)
{
    for (int i = 0; i < n; ++i) {
        track *k = t + i;
        if (k->detection < 0) continue;
        const detection *s = d + k->detection;
        int lone = s->lone && !s->edge;
        if (dt > 0) {
            double share = 1.0 / (k->hits + 1), since = stamp - k->last_s, ratio = 1;
            if (share < 0.12) share = 0.12;
            if (since < 1e-9) since = 1e-9;
            if (fabs(expected[i]) * dt > 1) {
                ratio = (now_x[i] - k->last_x) / since / expected[i];
                ratio = ratio < 0.6 ? 0.6 : ratio > 1.4 ? 1.4 : ratio;
            }
            mean(&k->ratio, ratio, share * (lone ? 1 : 0.4));
            k->vx = k->hits >= 2 ? expected[i] * k->ratio : (now_x[i] - old_x[i]) / dt;
            mean(&k->vy, (now_y[i] - old_y[i]) / dt, 0.2);
        }
        k->x = k->last_x = now_x[i]; k->y = now_y[i];
        k->last_s = stamp;
        ++k->hits; k->missed = 0; k->edge = s->edge;
        if (!lone) continue;
        ++k->shapes;
        double gain = 1.0 / (k->shapes < 20 ? k->shapes : 20);
        mean(&k->blob_px, s->blob_px, gain); mean(&k->area_px2, s->area_px2, gain);
        mean(&k->deformation, s->deformation, gain); mean(&k->aspect, s->aspect, gain);
        mean(&k->contrast, s->contrast, gain);
        if (!(s->diameter_px > 0)) continue;
        ++k->sized;
        mean(&k->diameter_px, s->diameter_px, 1.0 / k->sized);
        mean(&k->sharpness, s->sharpness, 1.0 / k->sized);
    }
}

/* A profile that is linear between `knots` values from row top to row bottom, and level beyond. */
typedef struct { double top, bottom, factor; const double *values; int knots; } profile;

static double speed_at(profile f, double y)
{
    double eta = (2 * y - f.top - f.bottom) / (f.bottom - f.top);
    double at = ((eta < -1 ? -1 : eta > 1 ? 1 : eta) + 1) / 2 * (f.knots - 1);
    int low = (int)at < f.knots - 2 ? (int)at : f.knots - 2;
    return f.factor * (f.values[low] + (at - low) * (f.values[low + 1] - f.values[low]));
}

/* Where n tracks are dt later in a flow (top, bottom, values, knots, factor). */
void predict_tracks(int n, const track *t, double top, double bottom, const double *values, int knots, double factor,
                    double dt, double *x, double *y)
{
    profile flow = {top, bottom, factor, values, knots};
    for (int i = 0; i < n; ++i) { x[i] = t[i].x + speed_at(flow, t[i].y) * t[i].ratio * dt; y[i] = t[i].y; }
}

/* Note which of n tracks were ever farther than `apart` px from all others, and what is expected of each: columns
   (n numbers each) blob diameter (0: unknown), contrast, spread; hits, sized; apart. See tracker.py. */
void expect_cells(int n, track *t, double apart, double *columns, int *counts, uint8_t *been_apart)
{
    for (int i = 0; i < n; ++i) {
        for (int j = 0; !t[i].apart; ++j) {
            if (j == n) { t[i].apart = 1; break; }
            double dx = t[i].x - t[j].x, dy = t[i].y - t[j].y;
            if (j != i && dx * dx + dy * dy <= apart * apart) break;
        }
        columns[i] = t[i].shapes > 1 ? t[i].blob_px : 0;
        columns[n + i] = t[i].contrast;
        columns[2 * n + i] = (t[i].hits > 3 ? 1 : 2) + 0.3 * t[i].missed;
        counts[i] = t[i].hits; counts[n + i] = t[i].sized; been_apart[i] = t[i].apart;
    }
}

/* Link m detections to n tracks predicted at (x, y), and move these. `place`: lines of `room` numbers for where they
   were (x, y), are (x, y), rows and speeds of the steady ones. seen: how many well inside the view (`width`) were to be
   found, and how many were. Returns the number of the steady ones. */
int advance_tracks(int n, track *t, int m, const detection *d, const double *x, const double *y, const double *gate,
                   int width, double dt, double *place, int room, int *match, double *work, int *ints, int *seen)
{
    seen[0] = seen[1] = 0;
    for (int i = 0; i < n; ++i) match[i] = -1;
    if (n && m) link_cells(n, t, m, d, x, y, gate, match, work, ints);
    for (int i = 0; i < n; ++i)
        if (x[i] > 15 && x[i] < width - 16 && !t[i].missed) { ++seen[0]; seen[1] += match[i] >= 0; }
    return move_tracks(n, t, d, match, x, y, dt, place, place + room, place + 2 * room, place + 3 * room,
                       place + 4 * room, place + 5 * room);
}

/* Take in what `advance_tracks` has linked, leave out the tracks that left or were lost, and add a track for each
   detection nobody took. patience: frames that a track is missed before it is lost: sure, new, seen once. out: room for
   n + m. Returns their number; the first new number is `next`. */
int settle_tracks(int n, track *t, int m, const detection *d, const double *place, int room, const int *match,
                  double top, double bottom, const double *values, int knots, double factor, double stamp, double dt,
                  int width, int64_t next, int frame, const int *patience, double twin, double *expected,
                  uint8_t *taken, track *out)
{
    profile flow = {top, bottom, factor, values, knots};
    int count = 0;
    for (int i = 0; i < n; ++i) expected[i] = speed_at(flow, place[3 * room + i]);
    update_tracks(n, t, d, place, place + room, place + 2 * room, place + 3 * room, expected, stamp, dt);
    memset(taken, 0, m);
    for (int i = 0; i < n; ++i) {
        if (match[i] >= 0) taken[match[i]] = 1;
        if (!(t[i].x > -6 && t[i].x < width + 5)) continue;
        if (t[i].missed) {
            int wait = patience[t[i].hits >= 4 ? 0 : t[i].hits < 2 ? 2 : 1];
            for (int j = 0; wait && j < n; ++j)        /* what a newer track has taken over is gone */
                if (!t[j].missed && t[i].hits <= t[j].hits && fabs(t[i].x - t[j].x) < twin
                    && fabs(t[i].y - t[j].y) < twin) wait = 0;
            if (t[i].missed > wait) continue;
        }
        out[count++] = t[i];
    }
    for (int j = 0; j < m; ++j) if (!taken[j]) {
        track *k = out + count++;
        memset(k, 0, sizeof *k);
        k->id = next++;
        k->x = k->last_x = d[j].x; k->y = d[j].y; k->blob_px = d[j].blob_px; k->diameter_px = d[j].diameter_px;
        k->area_px2 = d[j].area_px2; k->deformation = d[j].deformation; k->aspect = d[j].aspect;
        k->contrast = d[j].contrast; k->sharpness = d[j].sharpness; k->edge = d[j].edge;
        k->last_s = stamp; k->ratio = 1; k->hits = 1; k->born = frame; k->detection = j;
        k->shapes = d[j].lone && !d[j].edge; k->sized = d[j].diameter_px > 0;
        k->vx = speed_at(flow, d[j].y);
    }
    return count;
}

/* Sharpness (80 %) and diameter (50 %) percentiles of the n tracks whose size is known, and diameter / width of the
   outline (50 %) of those of at least `least` px among them, of all where there are none. Returns how many there are. */
int sizes_of_tracks(int n, const track *t, double least, double *work, double *out)
{
    int sized = 0, large = 0;
    for (int i = 0; i < n; ++i) large += t[i].sized > 0 && t[i].diameter_px >= least;
    for (int pass = 0; pass < 3; ++pass) {
        int count = 0;
        for (int i = 0; i < n; ++i)
            if (t[i].sized > 0 && (pass < 2 || !large || t[i].diameter_px >= least))
                work[count++] = (pass == 0 ? 1 : t[i].diameter_px) * (pass == 1 ? 1 : t[i].sharpness);
        if (!count) return 0;
        if (!pass) sized = count;
        qsort(work, count, sizeof *work, ascending);
        double at = (pass == 0 ? 0.8 : 0.5) * (count - 1);
        int low = (int)at;
        out[pass] = low + 1 < count ? work[low] + (at - low) * (work[low + 1] - work[low]) : work[low];
    }
    return sized;
}

/* What is told of n tracks: columns of n numbers: x, y, vx, vy, diameter um, deformation, area um2, aspect, focus,
   brightness, dye; flags of n bytes: edge, sure, measured. NaN where it is not known. See tracker.py. */
void report_tracks(int n, const track *t, double px, double sharpest, int with_dye, int sure_hits, double brief_speed,
                   double top, double bottom, const double *values, int knots, double factor, double *columns,
                   uint8_t *flags)
{
    profile flow = {top, bottom, factor, values, knots};
    const double unknown = NAN;
    for (int i = 0; i < n; ++i) {
        const track *k = t + i;
        double *c = columns + i, focus = k->sharpness / sharpest;
        int alone = k->shapes > 0, sized = k->sized > 0;
        c[0] = k->x; c[n] = k->y; c[2 * n] = k->vx; c[3 * n] = k->vy;
        c[4 * n] = sized ? k->diameter_px * px : unknown;
        c[5 * n] = alone ? k->deformation : unknown;
        c[6 * n] = alone ? k->area_px2 * px * px : unknown;
        c[7 * n] = alone ? k->aspect : unknown;
        c[8 * n] = sized ? (focus < 1 ? focus : 1) : unknown;
        c[9 * n] = alone ? exp(-k->contrast) : unknown;
        c[10 * n] = with_dye && k->dye_frames > 0 ? k->dye : unknown;
        flags[i] = k->edge != 0;
        flags[n + i] = k->hits >= sure_hits || fabs(speed_at(flow, k->y)) > brief_speed;
        flags[2 * n + i] = k->detection >= 0;
    }
}

/* Take the speeds of n cells at rows y into the normal equations (knots x knots, and right side) of a profile that is
   linear between its knots. Returns the new common factor, 0 when fewer than three cells move; see flow.py. */
double flow_learn(int n, const double *y, const double *speed, double top, double bottom, int knots,
                  const double *values, double factor, double memory, double *normal, double *right, double *work)
{
    double highest = 0, result = 0;
    int moving = 0;
    for (int k = 0; k < knots; ++k) if (fabs(values[k]) > highest) highest = fabs(values[k]);
    for (int pass = 0; pass < 2; ++pass) {
        if (pass) {
            if (moving >= 3) {
                qsort(work, moving, sizeof *work, ascending);
                double middle = 0.5 * (work[(moving - 1) / 2] + work[moving / 2]);
                middle = middle < 0.8 ? 0.8 : middle > 1.25 ? 1.25 : middle;
                result = factor *= 1 + 0.5 * (middle - 1);
            }
            double keep = 1 - n / memory;
            for (int k = 0; k < knots * knots; ++k) normal[k] *= keep;
            for (int k = 0; k < knots; ++k) right[k] *= keep;
        }
        for (int i = 0; i < n; ++i) {
            double eta = (2 * y[i] - top - bottom) / (bottom - top);
            double at = ((eta < -1 ? -1 : eta > 1 ? 1 : eta) + 1) / 2 * (knots - 1);
            int low = (int)at < knots - 2 ? (int)at : knots - 2;
            double part = at - low;
            if (!pass) {
                double now = factor * (values[low] + part * (values[low + 1] - values[low]));
                if (fabs(now) > 0.2 * highest + 1e-9) work[moving++] = speed[i] / now;
                continue;
            }
            double *m = normal + (long)low * knots + low;
            m[0] += (1 - part) * (1 - part); m[knots + 1] += part * part;
            m[1] += part * (1 - part); m[knots] += part * (1 - part);
            right[low] += (1 - part) * speed[i] / factor; right[low + 1] += part * speed[i] / factor;
        }
    }
    return result;
}
