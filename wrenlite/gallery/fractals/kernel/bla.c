/* Deep points that jump over many steps of their reference orbit at a time: see bilinear.py.

   The jumps of a level have 2^level steps, and begin at the positions 1, 1 + 2^level, 1 + 2 2^level and so on.
   A jump replaces its steps by one linear step, offset <- a offset + b c, for offsets smaller than its radius.
   A jump's radius is never larger than that of its first half, so the longest one is found from below.

   Points are iterated one after the other, since each has a path of its own: 2, 4 or 8 at a time took longer. */

#include "lanes.h"

#define MOST_LEVELS 32
#define LOWEST_LEVEL 2 /* as in bilinear.py */

typedef struct { double re, im; } Complex;

struct Jump {
    Complex a, b;
    double radius;
};

/* An orbit from its first position to its last, and the jumps of all levels: first those of the lowest. */
struct Orbit {
    const Complex *positions;
    const struct Jump *jumps;
    int64_t last, levels;        /* levels: the number of levels, from the lowest on */
    int64_t starts[MOST_LEVELS]; /* where the jumps of each level begin */
};

/* A point on its way. */
struct Point {
    Complex offset, c, z, derivative;
    int64_t position, step;
};

static inline Complex multiply_add(Complex a, Complex b, Complex c) {
    return (Complex){__builtin_fma(a.re, b.re, __builtin_fma(-a.im, b.im, c.re)),
                     __builtin_fma(a.re, b.im, __builtin_fma(a.im, b.re, c.im))};
}

static inline double square(Complex z) {
    const double scale = 0x1p400; /* so that squares of small offsets are not 0 */
    double re = scale * z.re, im = scale * z.im;
    return re * re + im * im;
}

/* Return the longest jump from a point's position that holds for its offset; null if there is none.

   steps: the number of steps of the jump is written there. left: the most steps. */
static inline const struct Jump *find_jump(const struct Orbit *orbit, const struct Point *point, int64_t left,
                                           int64_t *steps) {
    /* The sum is at least the size of the offset, and unlike a square it does not underflow. */
    double size = __builtin_fabs(point->offset.re) + __builtin_fabs(point->offset.im);
    int64_t place = point->position - 1, length = 1 << LOWEST_LEVEL;
    const struct Jump *longest = 0;
    if (place & (length - 1)) return 0; /* also at position 0 */
    if (left > orbit->last - point->position) left = orbit->last - point->position;
    place >>= LOWEST_LEVEL;
    for (int64_t level = 0; level < orbit->levels && length <= left; level++) {
        const struct Jump *jump = &orbit->jumps[orbit->starts[level] + place];
        if (!(size < jump->radius)) break;
        longest = jump, *steps = length;
        if (place & 1) break;
        place >>= 1, length <<= 1;
    }
    return longest;
}

/* Follow an orbit until the point is to be rebased, has escaped, or has had its iterations.

   Return the number of jumps and steps. added: see below. wanted: whether the derivative is. */
static int64_t follow(const struct Orbit *orbit, struct Point *point, int64_t iters, double added, int wanted,
                      int *escaped) {
    int64_t count = 0;
    while (point->step < iters) {
        int64_t steps = 1;
        const struct Jump *jump = find_jump(orbit, point, iters - point->step, &steps);
        count++;
        if (jump) {
            if (wanted) {
                Complex by = {jump->b.re * added, jump->b.im * added};
                point->derivative = multiply_add(jump->a, point->derivative, by);
            }
            point->offset = multiply_add(jump->a, point->offset, multiply_add(jump->b, point->c, (Complex){0, 0}));
        } else {
            Complex z = orbit->positions[point->position];
            Complex sum = {2 * z.re + point->offset.re, 2 * z.im + point->offset.im};
            if (wanted) {
                Complex twice = {sum.re + point->offset.re, sum.im + point->offset.im};
                point->derivative = multiply_add(twice, point->derivative, (Complex){added, 0});
            }
            point->offset = multiply_add(sum, point->offset, point->c);
        }
        point->position += steps, point->step += steps;
        Complex z = orbit->positions[point->position];
        z.re += point->offset.re, z.im += point->offset.im;
        point->z = z;
        if ((*escaped = z.re * z.re + z.im * z.im > BAILOUT * BAILOUT)) break;
        if (point->position == orbit->last || square(z) < square(point->offset)) break;
    }
    return count;
}

/* Compute the smooth counts of points that follow an orbit, and another one, which begins at 0, after they are
   rebased. Return the number of jumps and steps.

   offsets: the distances of the points from the first position. c: those of their c from the orbit's c.
   added: what each step adds to the derivative, which is 0 at first, times the spacing of points.
   ends: null, or room for z and the derivative of each point, at the first step beyond the bail-out. */
int64_t escape_jumping(const struct Orbit *first, const struct Orbit *other, const Complex *offsets,
                       const Complex *c, int64_t size, int64_t iters, double added, double *counts, Complex *ends) {
    struct Escaped buffer;
    int64_t total = 0;
    buffer.size = 0;
    for (int64_t index = 0; index < size; index++) {
        struct Point point = {offsets[index], c[index], {0, 0}, {0, 0}, 0, 0};
        const struct Orbit *orbit = first;
        int escaped = 0;
        for (; point.step < iters && !escaped; point.offset = point.z, point.position = 0, orbit = other)
            total += follow(orbit, &point, iters, added, ends != 0, &escaped);
        if (ends) ends[2 * index] = point.z, ends[2 * index + 1] = point.derivative;
        if (!escaped) {
            counts[index] = __builtin_inf();
            continue;
        }
        ((double *)buffer.x)[buffer.size] = point.z.re, ((double *)buffer.y)[buffer.size] = point.z.im;
        ((double *)buffer.steps)[buffer.size] = (double)point.step;
        buffer.indices[buffer.size++] = index;
        if (buffer.size == BUFFER) write_counts(&buffer, (double)iters, counts);
    }
    write_counts(&buffer, (double)iters, counts);
    return total;
}
