/* The counts of a tile of a Mandelbrot or Julia set, with the bits of z that mandelbrot.py has without this.

   Groups of points are iterated side by side. The points of a group begin together, since neighbours often
   escape together too: then their counts are computed and written together. A point that has escaped waits
   for the others. When the waiting has cost as much as it costs to give lanes other points one by one, those that
   wait are taken out, and their lanes get the next points. */

#include "lanes.h"

#define GROUPS 2
#define PATIENCE 32 /* rounds that lanes of a group wait, in sum, before they get other points */
#define MESH 24 /* as in mandelbrot.py */
#define QUEUE 512
#define SEGMENT 256 /* points of a row that are looked at together */
#define UNKNOWN (-1.0f)
#define ALL_LANES ((1u << GROUP) - 1)

typedef float Singles __attribute__((ext_vector_type(GROUP)));

/* A tile, the points of it that come next, and those that were taken out of groups. */
struct Tile {
    const double *xs, *ys, *seed; /* seed: two numbers, null for the Mandelbrot set */
    float *counts;
    int64_t width, height, iters, row, column; /* row and column: where the search for points goes on */
    int on_lattice_only;
    double first_step, iterations;
    Doubles more_iterations;
    double queue_x[QUEUE], queue_y[QUEUE];
    int32_t queue_indices[QUEUE];
    int queued, taken, escaped;
    Doubles x[BUFFER / GROUP], y[BUFFER / GROUP], steps[BUFFER / GROUP];
    int32_t indices[BUFFER];
};

/* Points that are iterated side by side. An idle lane has its numbers at 0. */
struct Group {
    Doubles x, y, cx, cy;
    Doubles end_x, end_y; /* where points that have escaped were found */
    Doubles start, end; /* rounds in which lanes got their points, and in which these had escaped */
    Integers open; /* lanes with a point that has not escaped */
    double oldest; /* a lower bound of `start` */
    int32_t indices[GROUP];
    uint32_t active, escaped; /* sets of lanes: with a point, and with a point that has escaped */
    int waited, consecutive; /* consecutive: no lane got another point since all began */
};

/* Write the counts of points that have escaped, as EscapeRecord.counts does. */
static inline void write_points(struct Tile *tile, Doubles x, Doubles y, Doubles steps,
                                const int32_t *indices, int lanes, int consecutive) {
    const double iters = (double)tile->iters;
    Doubles values = steps - log2_log2_size(x, y) + LOG2_LOG2_BAILOUT;
    values = choose(values > 0.0, values, (Doubles)0.0);
    Doubles iterations = choose(values < iters, values, (Doubles)iters);
    values = choose(values < iters, values, (Doubles)__builtin_inf());
    Singles counts = __builtin_convertvector(values, Singles);
    if (consecutive && indices[GROUP - 1] - indices[0] == GROUP - 1)
        __builtin_memcpy(tile->counts + indices[0], &counts, sizeof counts);
    else
        for (int lane = 0; lane < lanes; lane++) tile->counts[indices[lane]] = counts[lane];
    if (lanes == GROUP) tile->more_iterations += iterations;
    else
        for (int lane = 0; lane < lanes; lane++) tile->iterations += iterations[lane];
}

/* Write the counts of the points that were taken out of groups. */
static void write_escaped(struct Tile *tile) {
    for (int start = 0; start < tile->escaped; start += GROUP) {
        int block = start / GROUP, left = tile->escaped - start, lanes = left < GROUP ? left : GROUP;
        Doubles x = tile->x[block], y = tile->y[block], steps = tile->steps[block];
        write_points(tile, x, y, steps, tile->indices + start, lanes, 0);
    }
    tile->escaped = 0;
}

/* Return the line of the lattice after a position; the last is the last point, so no mesh leaves the tile. */
static inline int64_t next_line(int64_t position, int64_t length) {
    int64_t line = position / MESH * MESH + MESH;
    return line < length - 1 || position >= length - 1 ? line : length - 1;
}

/* Fill the queue with the next points that are wanted and unknown. */
static void find_points(struct Tile *tile) {
    tile->queued = tile->taken = 0;
    while (tile->row < tile->height && tile->queued <= QUEUE - SEGMENT) {
        int64_t column = tile->column, end = column + SEGMENT < tile->width ? column + SEGMENT : tile->width;
        int whole = !tile->on_lattice_only || tile->row % MESH == 0 || tile->row == tile->height - 1;
        int queued = tile->queued;
        while (column < end) {
            int64_t index = tile->row * tile->width + column;
            tile->queue_x[queued] = tile->xs[column], tile->queue_y[queued] = tile->ys[tile->row];
            tile->queue_indices[queued] = (int32_t)index;
            queued += tile->counts[index] == UNKNOWN;
            column = whole ? column + 1 : next_line(column, tile->width);
        }
        tile->queued = queued, tile->column = column;
        if (column >= tile->width) tile->column = 0, tile->row++;
    }
}

/* Return the set of lanes for which a flag is set. */
static inline uint32_t set_of(Integers flags) {
    const Integers bits = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    return (uint32_t)__builtin_reduce_or(flags & bits);
}

/* Iterate all lanes until the next check, and flag those that have escaped before or now. */
static inline Integers advance(struct Group *group) {
    Doubles x = group->x, y = group->y;
    iterate_all(&x, &y, group->cx, group->cy);
    group->x = x, group->y = y;
    return flag_beyond(x, y);
}

/* Give a lane the next point, or nothing if there is none left. */
static void refill(struct Tile *tile, struct Group *group, int lane, double round) {
    if (tile->taken == tile->queued) find_points(tile);
    int left = tile->taken < tile->queued, place = left ? tile->taken++ : 0;
    double x = left ? tile->queue_x[place] : 0.0, y = left ? tile->queue_y[place] : 0.0;
    ((double *)&group->x)[lane] = x, ((double *)&group->y)[lane] = y;
    if (!tile->seed) ((double *)&group->cx)[lane] = x, ((double *)&group->cy)[lane] = y;
    ((double *)&group->start)[lane] = round, ((int64_t *)&group->open)[lane] = -left;
    if (round < group->oldest) group->oldest = round;
    group->indices[lane] = tile->queue_indices[place], group->consecutive = 0;
    group->active = (group->active & ~(1u << lane)) | (uint32_t)left << lane;
    group->escaped &= ~(1u << lane);
}

/* Give all lanes the next points. */
static void refill_all(struct Tile *tile, struct Group *group, double round) {
    const int place = tile->taken;
    if (tile->queued - place < GROUP) {
        group->oldest = __builtin_inf();
        for (int lane = 0; lane < GROUP; lane++) refill(tile, group, lane, round);
        return;
    }
    tile->taken += GROUP;
    __builtin_memcpy(&group->x, tile->queue_x + place, sizeof group->x);
    __builtin_memcpy(&group->y, tile->queue_y + place, sizeof group->y);
    __builtin_memcpy(group->indices, tile->queue_indices + place, sizeof group->indices);
    if (!tile->seed) group->cx = group->x, group->cy = group->y;
    group->start = group->oldest = round, group->open = -1;
    group->active = ALL_LANES, group->escaped = 0, group->consecutive = 1;
}

/* Take the points that wait out of a group, whose lanes get the next points. */
static void take_out(struct Tile *tile, struct Group *group, double round) {
    for (uint32_t lanes = group->escaped; lanes; lanes &= lanes - 1) {
        int lane = __builtin_ctz(lanes), place = tile->escaped++;
        double rounds = ((double *)&group->end)[lane] - ((double *)&group->start)[lane];
        ((double *)tile->x)[place] = ((double *)&group->end_x)[lane];
        ((double *)tile->y)[place] = ((double *)&group->end_y)[lane];
        ((double *)tile->steps)[place] = tile->first_step + rounds * STEPS_PER_CHECK;
        tile->indices[place] = group->indices[lane];
        if (tile->escaped == BUFFER) write_escaped(tile);
        refill(tile, group, lane, round);
    }
}

/* Take out the points that have had all their iterations: those that began in a round or before it. */
static void end_inside(struct Tile *tile, struct Group *group, double last_start, double round) {
    double oldest = __builtin_inf();
    group->oldest = __builtin_inf();
    for (int lane = 0; lane < GROUP; lane++) {
        if (!group->open[lane]) continue;
        if (group->start[lane] > last_start) {
            if (group->start[lane] < oldest) oldest = group->start[lane];
        } else {
            tile->counts[group->indices[lane]] = __builtin_inff(), tile->iterations += (double)tile->iters;
            refill(tile, group, lane, round);
        }
    }
    if (oldest < group->oldest) group->oldest = oldest;
}

/* Iterate a group until the next check, and give its lanes other points if it is time. */
static inline void play_round(struct Tile *tile, struct Group *group, double round, double rounds) {
    Integers fresh = advance(group) & group->open;
    uint32_t found = set_of(fresh);
    if (found) {
        group->end_x = choose(fresh, group->x, group->end_x);
        group->end_y = choose(fresh, group->y, group->end_y);
        group->end = choose(fresh, (Doubles)round, group->end);
        group->open &= ~fresh, group->escaped |= found;
    }
    group->waited += __builtin_popcount(group->escaped);
    if (group->oldest <= round - rounds) end_inside(tile, group, round - rounds, round);
    if (group->escaped == ALL_LANES) {
        Doubles steps = tile->first_step + (group->end - group->start) * STEPS_PER_CHECK;
        write_points(tile, group->end_x, group->end_y, steps, group->indices, GROUP, group->consecutive);
        refill_all(tile, group, round), group->waited = 0;
    } else if (group->waited >= PATIENCE || (group->escaped && group->escaped == group->active)) {
        take_out(tile, group, round), group->waited = 0;
    }
}

/* Compute the counts of all unknown points, or of those on the lattice. */
static void compute(struct Tile *tile, int on_lattice_only) {
    struct Group groups[GROUPS];
    const int64_t steps = tile->iters - (int64_t)tile->first_step;
    const double rounds = (double)((steps + STEPS_PER_CHECK - 1) / STEPS_PER_CHECK);
    uint32_t active = 0;
    tile->row = tile->column = tile->queued = tile->taken = tile->escaped = 0;
    tile->on_lattice_only = on_lattice_only;
    for (int g = 0; g < GROUPS; g++) {
        if (tile->seed) groups[g].cx = tile->seed[0], groups[g].cy = tile->seed[1];
        groups[g].active = groups[g].escaped = 0, groups[g].waited = 0;
        refill_all(tile, &groups[g], 0.0);
        active |= groups[g].active;
    }
    for (double round = 1.0; active; round++) {
        active = 0;
        for (int g = 0; g < GROUPS; g++) {
            if (groups[g].active) play_round(tile, &groups[g], round, rounds);
            active |= groups[g].active;
        }
    }
    write_escaped(tile);
}

/* Mark the points of the main cardioid and of the disc to its left as inside: see mandelbrot.in_bulbs. */
static void mark_bulbs(struct Tile *tile) {
    for (int64_t row = 0; row < tile->height; row++) {
        const double y = tile->ys[row], yy = y * y;
        if (yy > 0.65 * 0.65) continue; /* beside both */
        float *counts = tile->counts + row * tile->width;
        for (int64_t column = 0; column < tile->width; column++) {
            double x = tile->xs[column] - 0.25, from_centre = tile->xs[column] + 1.0, q = x * x + yy;
            int inside = (q * (q + x) <= 0.25 * yy) | (from_centre * from_centre + yy <= 0.0625);
            counts[column] = inside ? __builtin_inff() : counts[column];
        }
    }
}

/* Mark the points of a mesh as inside where its whole edge is inside. */
static void fill_meshes(struct Tile *tile) {
    const float inside = __builtin_inff();
    for (int64_t top = 0, bottom; top < tile->height - 1; top = bottom) {
        bottom = next_line(top, tile->height);
        const float *upper = tile->counts + top * tile->width, *lower = tile->counts + bottom * tile->width;
        for (int64_t left = 0, right; left < tile->width - 1; left = right) {
            right = next_line(left, tile->width);
            int enclosed = 1;
            for (int64_t column = left; column <= right; column++)
                enclosed &= (upper[column] == inside) & (lower[column] == inside);
            for (const float *counts = upper; enclosed && counts <= lower; counts += tile->width)
                enclosed = (counts[left] == inside) & (counts[right] == inside);
            for (int64_t row = top + 1; enclosed && row < bottom; row++)
                for (int64_t column = left + 1; column < right; column++)
                    tile->counts[row * tile->width + column] = inside;
        }
    }
}

/* Compute the smooth count of each point of a tile, infinite inside, and return the iterations that it took.

   The points are x + iy for all of xs and ys. With `bulbs`, points of the main bulbs are not iterated; with
   `fill`, nor are those of the lattice's meshes whose whole edge is inside. */
double escape_tile(const double *xs, int64_t width, const double *ys, int64_t height, const double *seed,
                   int bulbs, int fill, int64_t iters, float *counts) {
    struct Tile tile;
    tile.xs = xs, tile.ys = ys, tile.width = width, tile.height = height;
    tile.seed = seed, tile.iters = iters, tile.counts = counts;
    tile.first_step = seed ? 0.0 : 1.0; /* from 0 the first iteration leads to c */
    tile.iterations = 0.0, tile.more_iterations = 0.0;
    const int none = iters <= (int64_t)tile.first_step; /* then no point is known to escape */
    for (int64_t index = 0; index < width * height; index++) counts[index] = none ? __builtin_inff() : UNKNOWN;
    if (none) return 0.0;
    if (bulbs) mark_bulbs(&tile);
    if (fill) compute(&tile, 1), fill_meshes(&tile);
    compute(&tile, 0);
    for (int lane = 0; lane < GROUP; lane++) tile.iterations += tile.more_iterations[lane];
    return tile.iterations;
}
