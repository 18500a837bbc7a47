/* SPDX-License-Identifier: Apache-2.0 */
/* What is found in one frame, and what is followed through many. */

/* The rows of the tables in detections.py and linker.py, field by field. */
typedef struct {
    double x, y, blob_px, diameter_px, area_px2, deformation, aspect, contrast, sharpness;
    uint8_t lone, edge; int32_t owner;
} detection;

typedef struct {
    int64_t id; double x, y, ratio, vx, vy; int32_t hits, missed, born; double last_x, last_s; int32_t detection;
    double blob_px, diameter_px; int32_t sized; double area_px2, deformation, aspect, contrast, sharpness;
    int32_t shapes; uint8_t edge; double dye; int32_t dye_frames; double fluorescence[2]; int32_t fluorescence_frames;
    uint8_t apart;
} track;

int size_of_detection(void) { return (int)sizeof(detection); }
int size_of_track(void) { return (int)sizeof(track); }

static int ascending(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}
