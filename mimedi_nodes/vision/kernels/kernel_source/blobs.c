/* SPDX-License-Identifier: Apache-2.0 */
/* The blob features: what `detector.py` and `sizing.py` do with OpenCV, without a call per step. */

/* On a grid w x h with a border of one, 1 where the shape is: set 2 where one gets from the border by 4-steps.
   `stack` holds w * h ints. */
static void flood(unsigned char *grid, int w, int h, int *stack)
{
    int top = 0;
    memset(grid, 2, w);
    memset(grid + (long)(h - 1) * w, 2, w);
    for (int y = 1; y < h - 1; ++y) grid[y * w] = grid[y * w + w - 1] = 2;
    #define GO(K) if (!grid[K]) { grid[K] = 2; stack[top++] = K; }
    for (int x = 1; x < w - 1; ++x) { GO(w + x) GO((h - 2) * w + x) }
    for (int y = 1; y < h - 1; ++y) { GO(y * w + 1) GO(y * w + w - 2) }
    while (top) {
        int at = stack[--top];
        GO(at - 1) GO(at + 1) GO(at - w) GO(at + w)
    }
    #undef GO
}

/* Convex hull of the leftmost and rightmost pixels of each row: area and 1 - 2 sqrt(pi A) / P. */
static void hull_shape(const int *first, const int *last, int high, double *px, double *py, double *out)
{
    int count = 0;
    for (int side = 0; side < 2; ++side) {           /* down along the left side, up along the right one */
        int base = count;
        for (int k = 0; k < high; ++k) {
            int row = side ? high - 1 - k : k;
            double x = side ? last[row] : first[row], y = row;
            while (count - base >= 2 && (px[count - 1] - px[count - 2]) * (y - py[count - 2])
                                        - (py[count - 1] - py[count - 2]) * (x - px[count - 2]) >= 0) --count;
            px[count] = x; py[count] = y; ++count;
        }
    }
    double area = 0, way = 0;
    for (int k = 0; k < count; ++k) {
        int m = k + 1 < count ? k + 1 : 0;
        area += px[k] * py[m] - px[m] * py[k];
        way += sqrt((px[m] - px[k]) * (px[m] - px[k]) + (py[m] - py[k]) * (py[m] - py[k]));
    }
    area = fabs(area) / 2;
    out[0] = area;
    out[1] = way > 0 && area > 0 ? 1 - 2 * sqrt(3.14159265358979324 * area) / way : 0;
}

/* Outer border of the 8-connected shape of `mask` (w x h) whose first pixel in reading order is (x, y): its points x, y
   in turn, as many as fit into `most`. Source: border following of Suzuki and Abe, CVGIP 30 (1985) 32. */
static int trace(const unsigned char *mask, int w, int h, int x, int y, int *points, int most)
{
    static const int DX[8] = {1, 1, 0, -1, -1, -1, 0, 1}, DY[8] = {0, 1, 1, 1, 0, -1, -1, -1};
    #define SET(X, Y) ((X) >= 0 && (Y) >= 0 && (X) < w && (Y) < h && mask[(long)(Y) * w + (X)])
    int count = 0, k, first = -1;
    for (k = 0; k < 8; ++k) {                         /* clockwise (rows go down) from the left neighbour */
        int d = (4 + k) & 7;
        if (SET(x + DX[d], y + DY[d])) { first = d; break; }
    }
    points[count++] = x; points[count++] = y;
    if (first < 0) return 1;
    int sx = x + DX[first], sy = y + DY[first], back = first;
    while (1) {
        int d = back;
        do d = (d + 7) & 7; while (!SET(x + DX[d], y + DY[d]));
        int nx = x + DX[d], ny = y + DY[d];
        if (nx == points[0] && ny == points[1] && x == sx && y == sy) return count / 2;
        x = nx; y = ny; back = (d + 4) & 7;
        if (count + 2 > most) return count / 2;
        points[count++] = x; points[count++] = y;
    }
    #undef SET
}

/* Features of the shapes in mask (w x h), which is replaced by those kept, filled (255). Labels get their row in out
   + 1, and -1 where a shape was dropped. A row: area of the contour's polygon, diameter, left, top, width, height,
   contrast, hull area, deformation, x, y, direction of the long axis. Returns the number of rows, at most `most`; -1
   when a shape is larger than `room`: grid and stack hold so many, points 2 of that, work 4 h + 4. */
int find_blobs(unsigned char *mask, const float *smooth, int w, int h, double level, double min_area, double min_px,
               double small_px, short *labels, unsigned char *grid, int *stack, double *work, int *points, int room,
               double *out, int most)
{
    int rows = 0;
    memset(labels, 0, sizeof *labels * w * h);
    /* What has been looked at is wiped from the mask. */
    for (const unsigned char *next = mask; (next = memchr(next, 255, mask + w * h - next)); ) {
        int start = (int)(next - mask);
        const int *p = points;
        int count = trace(mask, w, h, start % w, start / w, points, 2 * room);
        int left = p[0], right = p[0], top = p[1], bottom = p[1];
        double area = 0, mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
        for (int i = 0; i < count; ++i) {
            int j = i + 1 < count ? i + 1 : 0;
            /* Relative to the first point: no digits are lost far from the corner. */
            double x0 = p[2 * i] - p[0], y0 = p[2 * i + 1] - p[1], x1 = p[2 * j] - p[0], y1 = p[2 * j + 1] - p[1];
            double cross = x0 * y1 - x1 * y0;
            area += cross; mx += cross * (x0 + x1); my += cross * (y0 + y1);
            xx += cross * (x0 * x0 + x0 * x1 + x1 * x1); yy += cross * (y0 * y0 + y0 * y1 + y1 * y1);
            xy += cross * (2 * x0 * y0 + x0 * y1 + x1 * y0 + 2 * x1 * y1);
            if (p[2 * i] < left) left = p[2 * i];
            if (p[2 * i] > right) right = p[2 * i];
            if (p[2 * i + 1] < top) top = p[2 * i + 1];
            if (p[2 * i + 1] > bottom) bottom = p[2 * i + 1];
        }
        double signed_area = area / 2;
        area = fabs(signed_area);
        double diameter = 2 * sqrt((area + 0.5 * count + 1) / 3.14159265358979324);
        int wide = right - left + 1, high = bottom - top + 1, gw = wide + 2, gh = high + 2;
        if (gw * gh > room) return -1;
        memset(grid, 0, gw * gh);
        for (int i = 0; i < count; ++i) grid[(p[2 * i + 1] - top + 1) * gw + p[2 * i] - left + 1] = 1;
        flood(grid, gw, gh, stack);
        int *first = stack, *last = stack + high;
        float sum = 0, peak = -1e30f; int pixels = 0;
        double cx = signed_area != 0 ? mx / (6 * signed_area) : 0, cy = signed_area != 0 ? my / (6 * signed_area) : 0;
        double turn = 0.5 * atan2(2 * (xy / 24 - signed_area * cx * cy) * (signed_area < 0 ? -1 : 1),
                                  (xx / 12 - yy / 12 - signed_area * (cx * cx - cy * cy)) * (signed_area < 0 ? -1 : 1));
        for (int y = 0; y < high; ++y) {
            const float *s = smooth + (long)(top + y) * w + left;
            const unsigned char *g = grid + (y + 1) * gw + 1;
            int a = 0, b = wide - 1;
            while (a < b && g[a] == 2) ++a;
            while (b > a && g[b] == 2) --b;
            first[y] = a; last[y] = b;
            if (!memchr(g + a, 2, b - a + 1)) {
                for (int x = a; x <= b; ++x) { sum += s[x]; peak = s[x] > peak ? s[x] : peak; }
                pixels += b - a + 1;
            } else for (int x = a; x <= b; ++x) if (g[x] != 2) {
                sum += s[x]; ++pixels; peak = s[x] > peak ? s[x] : peak;
            }
        }
        /* A streak along the flow is what is left of a wall, not a cell. */
        int kept = area >= min_area && diameter >= min_px && !(wide > 4 * high && high < 0.8 * min_px) && rows < most;
        if (kept && diameter < small_px) {
            double half = 0.5 * (peak + level); int above = 0;
            for (int y = 0; y < high; ++y) {
                const float *s = smooth + (long)(top + y) * w + left;
                const unsigned char *g = grid + (y + 1) * gw + 1;
                for (int x = 0; x < wide; ++x) above += g[x] != 2 && s[x] > half;
            }
            kept = 2 * sqrt(above / 3.14159265358979324) >= min_px;
        }
        short number = kept ? (short)(rows + 1) : -1;
        for (int y = 0; y < high; ++y) {
            short *l = labels + (long)(top + y) * w + left;
            const unsigned char *g = grid + (y + 1) * gw + 1;
            unsigned char *m = mask + (long)(top + y) * w + left;
            for (int x = first[y]; x <= last[y]; ++x) if (g[x] != 2) { l[x] = number; m[x] = 0; }
        }
        if (!kept) continue;
        double *o = out + 12 * rows++;
        o[0] = area; o[1] = diameter; o[2] = left; o[3] = top; o[4] = wide; o[5] = high;
        o[6] = sum / pixels - level;
        hull_shape(first, last, high, work, work + 2 * high + 2, o + 7);
        o[9] = p[0] + cx; o[10] = p[1] + cy; o[11] = turn;
    }
    for (int k = 0; k < w * h; ++k) mask[k] = labels[k] > 0 ? 255 : 0;
    return rows;
}

static double at_or_mirrored(const float *image, int w, int h, int x, int y)
{
    if (x < 0) x = -x;
    if (x >= w) x = 2 * w - 2 - x;
    if (y < 0) y = -y;
    if (y >= h) y = 2 * h - 2 - y;
    return image[(long)y * w + x];
}

/* Boundary of the lone cell `label` in the box (left, top, wide, high) of image w x h; see sizing.py.
   out: plateau, fringe, diameter at half height (0: none), depth of a dark ring's crest. Grids of (wide + 8) *
   (high + 8). */
static void size_blob(const float *image, int w, int h, const short *labels, int label, int left, int top, int wide,
               int high, double level, double contrast, double fringe_share, double fringe_rate, double ring,
               unsigned char *grid, int *stack, float *patch, double *out)
{
    const int M = 4;
    int gw = wide + 2 * M, gh = high + 2 * M, n = gw * gh;
    const double side = exp(-0.5 / 0.36), total_weight = 1 + 2 * side, a = 1 / total_weight, b = side / total_weight;
    /* Blur of 3 x 3, sigma 0.6; beyond the image nothing counts (4 in the grid). */
    for (int y = 0; y < gh; ++y)
        for (int x = 0; x < gw; ++x) {
            int ix = left + x - M, iy = top + y - M;
            int inside = ix >= 0 && iy >= 0 && ix < w && iy < h;
            grid[y * gw + x] = inside ? (x >= M && y >= M && x < wide + M && y < high + M
                                         && labels[(long)iy * w + ix] == label) : 4;
            if (!inside) { patch[y * gw + x] = 0; continue; }
            double rows[3];
            if (ix > 0 && iy > 0 && ix < w - 1 && iy < h - 1) {
                const float *p = image + (long)iy * w + ix;
                float middle = (float)a * p[0] + (float)b * (p[-1] + p[1]);
                float above = (float)a * p[-w] + (float)b * (p[-w - 1] + p[1 - w]);
                float below = (float)a * p[w] + (float)b * (p[w - 1] + p[w + 1]);
                patch[y * gw + x] = (float)a * middle + (float)b * (above + below);
                continue;
            }
            for (int k = -1; k <= 1; ++k)
                rows[k + 1] = a * at_or_mirrored(image, w, h, ix, iy + k)
                            + b * (at_or_mirrored(image, w, h, ix - 1, iy + k)
                                   + at_or_mirrored(image, w, h, ix + 1, iy + k));
            patch[y * gw + x] = (float)(a * rows[1] + b * (rows[0] + rows[2]));
        }
    double sum = 0; int count = 0;
    for (int k = 0; k < n; ++k) if (grid[k] == 1 && patch[k] > level + contrast) { sum += patch[k]; ++count; }
    double plateau = (count ? sum / count : 0) - level;
    /* Two rings of one pixel around the cell. */
    double fringe = 1e30;
    for (int step = 0; step < 2; ++step) {
        unsigned char here = step ? 2 : 1, next = step ? 3 : 2;
        sum = 0; count = 0;
        for (int y = 1; y < gh - 1; ++y) for (int x = 1; x < gw - 1; ++x) {
            int k = y * gw + x;
            if (grid[k]) continue;
            if (grid[k - 1] == here || grid[k + 1] == here || grid[k - gw] == here || grid[k + gw] == here
                || grid[k - gw - 1] == here || grid[k - gw + 1] == here || grid[k + gw - 1] == here
                || grid[k + gw + 1] == here) { grid[k] = next; sum += patch[k]; ++count; }
        }
        double mean = (count ? sum / count : 0) - level;
        if (mean < fringe) fringe = mean;
    }
    out[0] = plateau; out[1] = fringe; out[2] = 0; out[3] = 0;
    fringe_share += fringe_rate * (fringe / plateau - fringe_share);
    double middle = level + 0.5 * plateau * (1 + (fringe_share < 0 ? fringe_share : 0));
    /* The largest 8-connected part above half height. */
    for (int k = 0; k < n; ++k) grid[k] = grid[k] == 1 && patch[k] > middle ? 5 : 0;
    int best = 0, best_at = -1;
    for (int k = 0; k < n; ++k) if (grid[k] == 5) {
        int top_of = 0, size = 0;
        grid[k] = 6; stack[top_of++] = k;
        while (top_of) {
            int at = stack[--top_of]; ++size;
            for (int dy = -gw; dy <= gw; dy += gw) for (int dx = -1; dx <= 1; ++dx)
                if (grid[at + dy + dx] == 5) { grid[at + dy + dx] = 6; stack[top_of++] = at + dy + dx; }
        }
        if (size > best) { best = size; best_at = k; }
    }
    if (best_at < 0) return;
    /* Only that part, its holes filled. */
    for (int k = 0; k < n; ++k) grid[k] = grid[k] == 6 ? 7 : 0;
    int top_of = 0;
    grid[best_at] = 1; stack[top_of++] = best_at;
    while (top_of) {
        int at = stack[--top_of];
        for (int dy = -gw; dy <= gw; dy += gw) for (int dx = -1; dx <= 1; ++dx)
            if (grid[at + dy + dx] == 7) { grid[at + dy + dx] = 1; stack[top_of++] = at + dy + dx; }
    }
    for (int k = 0; k < n; ++k) if (grid[k] == 7) grid[k] = 0;
    flood(grid, gw, gh, stack);
    int pixels = 0;
    for (int k = 0; k < n; ++k) { stack[k] = grid[k] == 2 ? 0 : 1 << 28; pixels += grid[k] != 2; }
    out[2] = 2 * sqrt(pixels / 3.14159265358979324);
    /* The mean over each depth. */
    chamfer(stack, gw, gh);
    double total[9] = {0}, height[8]; int number[9] = {0};
    for (int k = 0; k < n; ++k) if (stack[k] > 0) {
        int step = (stack[k] + 500) / 1000;
        if (step > 8) step = 8;
        total[step] += patch[k]; ++number[step];
    }
    int crest = 0;
    for (int s = 0; s < 8; ++s) {
        height[s] = number[s + 1] >= 6 ? total[s + 1] / number[s + 1] - level : 0;
        if (height[s] > height[crest]) crest = s;
    }
    double lowest = 1e30;
    for (int s = crest + 1; s < 8; ++s) if (number[s + 1] >= 6 && height[s] < lowest) lowest = height[s];
    if (lowest > 1e29 || height[crest] - lowest < ring * plateau) return;
    double before = crest ? height[crest - 1] : 0.5 * plateau, after = height[crest + 1];
    double bend = before + after - 2 * height[crest], offset = bend < 0 ? 0.5 * (before - after) / bend : 0;
    offset = offset < -0.5 ? -0.5 : offset > 0.5 ? 0.5 : offset;
    out[3] = crest + 0.5 + offset > 0 ? crest + 0.5 + offset : 0;
}

/* Sizes of n lone cells, row `row[k]` of the table of `find_blobs`: diameter of the boundary and sharpness, px and
   1 / px, 0 where it cannot be told; see sizing.py. share: of the ring and of the fringe, learnt at `rate`. */
void size_blobs(int n, const int *row, const double *table, const float *image, int w, int h, const short *labels,
                double level, double threshold, double rate, double ring, double boundary, double *share,
                unsigned char *grid, int *stack, float *patch, double *out)
{
    for (int k = 0; k < n; ++k) {
        const double *t = table + 12 * row[k];
        double o[4], *size = out + 2 * k;
        size[0] = size[1] = 0;
        size_blob(image, w, h, labels, row[k] + 1, (int)t[2], (int)t[3], (int)t[4], (int)t[5], level, t[6], share[1],
                  rate, ring, grid, stack, patch, o);
        if (!(o[0] > 0)) continue;
        share[1] += rate * (o[1] / o[0] - share[1]);
        if (!(o[2] > 0)) continue;
        /* From the threshold's contour to that at half height the absorbance climbs this much over this way. */
        double way = 0.5 * (t[1] - o[2]), rise = 0.5 * o[0] - threshold;
        if (way < 0.25) way = 0.25;
        if (rise < 0.05 * o[0]) rise = 0.05 * o[0];
        share[0] += rate * (o[3] / o[2] - share[0]);
        size[0] = o[2] * (1 - 2 * boundary * share[0]); size[1] = rise / o[0] / way;
    }
}
