/* SPDX-License-Identifier: Apache-2.0 */
/* One large cell, or two that touch? */

/* Make slot 1 the mean cell (`wide` x `high` px) longer and wider by (sx, sy), with its rim as broad as before: the
   optics draw rims, and what is as far inside the outline looks alike in small and in large cells. */
static void enlarge(const frame *f, int *reach, double wide, double high, double sx, double sy)
{
    long layer = (long)(f->size + 2) * f->stride;
    int half = f->size / 2;
    for (int i = 0; i < 2; ++i) {
        reach[2 + i] = (int)ceil(reach[i] * (i ? sy : sx));
        if (reach[2 + i] > half) reach[2 + i] = half;
    }
    for (int c = 0; c < f->channels; ++c) memset(f->pool + (f->channels + c) * layer, 0, sizeof(float) * layer);
    float ix = (float)(1 / sx), iy = (float)(1 / sy), ax = (float)(4 / (wide * wide)), ay = (float)(4 / (high * high));
    for (int j = -reach[3]; j <= reach[3]; ++j) for (int i = -reach[2]; i <= reach[2]; ++i) {
        float dx = i * ix, dy = j * iy, own = dx * dx + dy * dy, to = 1;
        /* Distance from the middle, of the outline's; the outline is farther away than the mean cell's. */
        float share = sqrtf(ax * dx * dx + ay * dy * dy);
        if (own > 0) {
            float inside = 1 + (share - 1) * sqrtf((i * i + j * j) / own);
            to = inside > 0 ? inside / share : 0;
        }
        float u = half + dx * to, v = half + dy * to;
        int fu = (int)floorf(u), fv = (int)floorf(v);
        if (fu < 0 || fv < 0 || fu + 1 >= f->size || fv + 1 >= f->size) continue;
        u -= fu; v -= fv;
        for (int c = 0; c < f->channels; ++c) {
            const float *p = f->pool + c * layer + (long)(fv + 1) * f->stride + fu;
            f->pool[(f->channels + c) * layer + (long)(half + j + 1) * f->stride + half + i] =
                (1 - v) * ((1 - u) * p[0] + u * p[1]) + v * ((1 - u) * p[f->stride] + u * p[f->stride + 1]);
        }
    }
}

/* Is what one sees at (x, y), `wide` x `high` px, one cell or two at (x, y) -+ (ax, ay)? Fits an enlarged mean cell
   (usual_wide x usual_high px; slot 1 is scratch for it), and two mean cells, to the images, which are the place's
   surroundings only. out: x, y, amplitude of the two; squares left by the one and by the two; x, y, amplitude of the
   one. */
void one_or_two(const frame *f, int *reach, double x, double y, double ax, double ay, double usual_wide,
                double usual_high, double wide, double high, double *out)
{
    long plane = (long)f->h * f->w;
    enlarge(f, reach, usual_wide, usual_high, wide / usual_wide, high / usual_high);
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
        if (!two) { out[8] = c.x[0]; out[9] = c.y[0]; out[10] = c.a[0]; }
    }
    for (int k = 0; k < 2; ++k) { out[3 * k] = c.x[k]; out[3 * k + 1] = c.y[k]; out[3 * k + 2] = c.a[k]; }
}

/* What the images show at cells i and k without all others: crops w x h from (x0, y0), in f->crop. */
static void without_others(const frame *f, cells c, int i, int k, int x0, int y0, int w, int h)
{
    long plane = (long)w * h, layer = (long)(f->size + 2) * f->stride;
    for (int n = 0; n < f->channels; ++n) {
        float *to = f->crop + n * plane;
        const float *from = f->residual + n * (long)f->w * f->h + (long)y0 * f->w + x0;
        for (int y = 0; y < h; ++y) memcpy(to + (long)y * w, from + (long)y * f->w, sizeof *to * w);
    }
    for (int n = 0; n < f->channels; ++n) for (int m = 0; m < 2; ++m) {
        int j = m ? k : i;
        float at[4];
        spot s = locate(c.x[j] - x0, c.y[j] - y0, f->size, c.reach + 2 * j, h, w);
        weights_of(s, -c.a[j] * c.factor[j * f->channels + n], at);
        add(f->crop + n * plane, w, f->pool + ((long)c.slot[j] * f->channels + n) * layer, f->stride, s, at);
    }
}

/* Whether cells i and k, of which nobody was seen alone, are one larger cell; it must be the better explanation by the
   more, the longer it were. Says yes: slot 1 looks like the one, and out holds its x, y, amplitude. */
static int are_one(const frame *f, int *reach, cells c, int i, int k, double *out)
{
    const double longest = 1.5, faintest = 0.5, darkest = 1.8;
    double root = sqrt(f->aspect), usual[2] = {f->diameter * root, f->diameter / root};
    double dx = c.x[k] - c.x[i], dy = c.y[k] - c.y[i], mx = 0.5 * (c.x[i] + c.x[k]), my = 0.5 * (c.y[i] + c.y[k]);
    double rx = 0.5 * (fabs(dx) + 1.1 * usual[0]), ry = 0.5 * (fabs(dy) + 1.1 * usual[1]);
    int x0 = (int)(mx - rx) - 3, y0 = (int)(my - ry) - 3, x1 = (int)(mx + rx) + 4, y1 = (int)(my + ry) + 4;
    x0 = x0 < 0 ? 0 : x0; y0 = y0 < 0 ? 0 : y0; x1 = x1 > f->w ? f->w : x1; y1 = y1 > f->h ? f->h : y1;
    int w = x1 - x0, h = y1 - y0;
    if (!(f->aspect > 0) || w < 4 || h < 4 || 2L * w * h > (long)f->w * f->h) return 0;
    without_others(f, c, i, k, x0, y0, w, h);
    double count = 0, sx = 0, sy = 0, xx = 0, xy = 0, yy = 0;
    for (int y = 0; y < h; ++y) for (int x = 0; x < w; ++x) {
        double u = (x + x0 - mx) / rx, v = (y + y0 - my) / ry;
        if (u * u + v * v > 1.2 || !(f->crop[(long)y * w + x] > f->limit)) continue;
        count += 1; sx += x; sy += y; xx += (double)x * x; xy += (double)x * y; yy += (double)y * y;
    }
    if (count < 16) return 0;
    sx /= count; sy /= count;
    xx = xx / count - sx * sx; xy = xy / count - sx * sy; yy = yy / count - sy * sy;
    /* Length over width of the ellipse of the same moments, were it not for what the flow makes of every cell. */
    double a = xx / f->aspect, b = yy * f->aspect, apart = sqrt((a - b) * (a - b) + 4 * xy * xy);
    double longer = sqrt((a + b + apart) / (a + b - apart));
    if (!(longer < longest)) return 0;
    frame part = *f;
    part.w = w; part.h = h; part.residual = f->crop + f->channels * (long)w * h; part.work = f->work + 22 * f->most;
    for (int n = 0; n < f->channels; ++n) part.image[n] = f->crop + n * (long)w * h;
    double o[11];
    one_or_two(&part, reach, sx, sy, 0.5 * dx, 0.5 * dy, usual[0], usual[1], 4 * sqrt(xx) + 1, 4 * sqrt(yy) + 1, o);
    out[0] = o[8] + x0; out[1] = o[9] + y0; out[2] = o[10];
    return o[6] < (f->one_is_better - 0.5 * (longer - 1)) * o[7] && o[10] > faintest && o[10] < darkest;
}

/* Let the patch of a cell be slot 1's, so many times as dark. */
static void become(const frame *f, int *reach, int slot, double amount)
{
    long all = (long)f->channels * (f->size + 2) * f->stride;
    const float *from = f->pool + all;
    float *to = f->pool + slot * all;
    for (long p = 0; p < all; ++p) to[p] = (float)amount * from[p];
    reach[2 * slot] = reach[2]; reach[2 * slot + 1] = reach[3];
}
