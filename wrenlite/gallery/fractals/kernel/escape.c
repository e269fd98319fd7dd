/* The loops of escape.py and perturbation.py, with the same bits for z: `make kernel` builds the library.

   32 lanes are iterated side by side, each with a point of its own. Whenever a point has escaped or has had
   all its iterations, its lane takes the next point, so that no lane is idle until the last points. Each lane
   has the operations of numpy's complex square in numpy's order, with fused multiply-add where numpy has it.
   So z has the same bits as in numpy at each step. The compiler may not fuse anything else (-ffp-contract=off). */

#include "lanes.h"

#define GROUPS 2

/* Of all sources, their compiler and its options: see .ci/build_kernel.py. */
const char build_digest[] = BUILD_DIGEST;

#if defined(__x86_64__)
#include <cpuid.h>

/* Return whether the processor and the system have the instructions of the kernels. */
__attribute__((target("no-avx"))) int supported(void) {
    unsigned a, b, c, d, low, high;
    const unsigned wanted = bit_FMA | bit_OSXSAVE | bit_AVX;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & wanted) != wanted) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) return 0; /* the system saves the registers of SSE and AVX */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

#else
int supported(void) { return 1; }
#endif

/* What the points of one call have in common. */
struct Call {
    const double *z, *c; /* complex numbers; with an orbit z has the offsets from it, and c those of c */
    const double *orbit; /* complex numbers, from 0 on; null without perturbation */
    double *counts;
    int64_t last, size, next, step, iters; /* last: the index of the orbit's last position */
    struct Escaped escaped;
};

/* Points that are iterated side by side. An idle lane has its numbers at 0. */
struct Group {
    Doubles x, y, cx, cy;
    Doubles orbit_x, orbit_y, z_x, z_y; /* with an orbit: where it is, and the sum of that and the offset */
    Integers positions;
    int64_t indices[GROUP], first_rounds[GROUP];
    int64_t oldest; /* a lower bound of the first rounds */
    uint32_t active; /* the set of lanes that have a point */
};

/* Return the set of points that are beyond the bail-out. */
static inline uint32_t find_beyond(Doubles x, Doubles y) {
    return __builtin_bit_cast(uint16_t, __builtin_convertvector(flag_beyond(x, y), Flags));
}

/* Iterate all lanes until the next check, and return the set of those that have escaped. */
static inline uint32_t advance(struct Group *group) {
    Doubles x = group->x, y = group->y;
    iterate_all(&x, &y, group->cx, group->cy);
    group->x = x, group->y = y;
    return find_beyond(x, y);
}

/* Compute (2 Z + offset) offset + c. */
static inline void update(Doubles *x, Doubles *y, Doubles orbit_x, Doubles orbit_y, Doubles cx, Doubles cy) {
    Doubles sum_x = *x + 2.0 * orbit_x, sum_y = *y + 2.0 * orbit_y;
    multiply(x, y, sum_x, sum_y, *x, *y);
    *x += cx, *y += cy;
}

/* Do as `advance` does for points that follow an orbit, and rebase them where necessary. */
static uint32_t advance_perturbed(const struct Call *call, struct Group *group) {
    const double scale = 0x1p400; /* so that squares of small offsets are not 0 */
    Doubles x = group->x, y = group->y, orbit_x = group->orbit_x, orbit_y = group->orbit_y, z_x, z_y;
    Integers positions = group->positions;
    for (int step = 0; step < STEPS_PER_CHECK; step++) {
        update(&x, &y, orbit_x, orbit_y, group->cx, group->cy);
        positions += 1;
#pragma clang loop unroll(full)
        for (int lane = 0; lane < GROUP; lane++) {
            orbit_x[lane] = call->orbit[2 * positions[lane]];
            orbit_y[lane] = call->orbit[2 * positions[lane] + 1];
        }
        z_x = orbit_x + x, z_y = orbit_y + y;
        Doubles a = scale * z_x, b = scale * z_y, c = scale * x, d = scale * y;
        Integers rebased = (a * a + b * b < c * c + d * d) | (positions == call->last);
        x = choose(rebased, z_x, x), y = choose(rebased, z_y, y);
        orbit_x = (Doubles)(~rebased & (Integers)orbit_x), orbit_y = (Doubles)(~rebased & (Integers)orbit_y);
        positions &= ~rebased;
    }
    group->x = x, group->y = y, group->orbit_x = orbit_x, group->orbit_y = orbit_y;
    group->z_x = z_x, group->z_y = z_y, group->positions = positions;
    return find_beyond(z_x, z_y) & group->active;
}

/* Return the set of lanes whose points have had all their iterations. */
static uint32_t find_ended(struct Group *group, int64_t first_round) {
    uint32_t ended = 0;
    group->oldest = INT64_MAX;
    for (int lane = 0; lane < GROUP; lane++) {
        if (!(group->active >> lane & 1)) continue;
        if (group->first_rounds[lane] <= first_round) ended |= 1u << lane;
        else if (group->first_rounds[lane] < group->oldest) group->oldest = group->first_rounds[lane];
    }
    return ended;
}

/* Give a lane the next point, or nothing if there is none left. */
static void refill(struct Call *call, struct Group *group, int lane, int64_t round) {
    const double *z = call->z + 2 * call->next, *c = call->c + 2 * call->next;
    int left = call->next < call->size;
    ((double *)&group->x)[lane] = left ? z[0] : 0.0, ((double *)&group->y)[lane] = left ? z[1] : 0.0;
    ((double *)&group->cx)[lane] = left ? c[0] : 0.0, ((double *)&group->cy)[lane] = left ? c[1] : 0.0;
    if (call->orbit) {
        int64_t position = left ? call->step : 0;
        ((int64_t *)&group->positions)[lane] = position;
        ((double *)&group->orbit_x)[lane] = call->orbit[2 * position];
        ((double *)&group->orbit_y)[lane] = call->orbit[2 * position + 1];
    }
    if (!left) return;
    group->indices[lane] = call->next++, group->first_rounds[lane] = round;
    if (round < group->oldest) group->oldest = round;
    group->active |= 1u << lane;
}

/* Take the points out of some lanes, which take the next points. */
static void retire(struct Call *call, struct Group *group, uint32_t lanes, uint32_t inside, int64_t round) {
    struct Escaped *escaped = &call->escaped;
    const double *x = (double *)(call->orbit ? &group->z_x : &group->x);
    const double *y = (double *)(call->orbit ? &group->z_y : &group->y);
    for (; lanes; lanes &= lanes - 1) {
        int lane = __builtin_ctz(lanes);
        int64_t index = group->indices[lane];
        if (inside >> lane & 1) {
            call->counts[index] = __builtin_inf();
        } else {
            int place = escaped->size++;
            int64_t steps = call->step + (round - group->first_rounds[lane]) * STEPS_PER_CHECK;
            ((double *)escaped->x)[place] = x[lane], ((double *)escaped->y)[place] = y[lane];
            ((double *)escaped->steps)[place] = (double)steps;
            escaped->indices[place] = index;
            if (escaped->size == BUFFER) write_counts(escaped, (double)call->iters, call->counts);
        }
        group->active &= ~(1u << lane);
        refill(call, group, lane, round);
    }
}

/* Iterate all points of a call. */
static void run(struct Call *call) {
    struct Group groups[GROUPS];
    int64_t rounds = (call->iters - call->step + STEPS_PER_CHECK - 1) / STEPS_PER_CHECK;
    call->next = call->escaped.size = 0;
    for (; call->step >= call->iters && call->next < call->size; call->next++)
        call->counts[call->next] = __builtin_inf();
    for (int g = 0; g < GROUPS; g++) {
        groups[g].active = 0, groups[g].oldest = INT64_MAX;
        for (int lane = 0; lane < GROUP; lane++) refill(call, &groups[g], lane, 0);
    }
    for (int64_t round = 1; groups[0].active | groups[1].active; round++) {
        for (int g = 0; g < GROUPS; g++) {
            struct Group *group = &groups[g];
            if (!group->active) continue;
            uint32_t ended = 0, escaped = call->orbit ? advance_perturbed(call, group) : advance(group);
            if (group->oldest <= round - rounds) ended = find_ended(group, round - rounds);
            retire(call, group, escaped | ended, ended & ~escaped, round);
        }
    }
    write_counts(&call->escaped, (double)call->iters, call->counts);
}

/* Compute the smooth count of each point; infinite where it does not escape.

   z and c are complex numbers, z as it is after `step` iterations. */
void escape(const double *z, const double *c, int64_t size, int64_t step, int64_t iters, double *counts) {
    struct Call call;
    call.z = z, call.c = c, call.orbit = 0, call.counts = counts;
    call.size = size, call.step = step, call.iters = iters;
    run(&call);
}

/* Compute the smooth counts of points that follow a reference orbit; c are their distances from its c.

   No point is rebased or escapes in the first `together` steps. z has room for a complex number per point. */
void escape_perturbed(const double *orbit, int64_t last, double *z, const double *c, int64_t size,
                      int64_t together, int64_t iters, double *counts) {
    struct Call call;
    for (int64_t start = 0; start < size; start += GROUP) {
        Doubles x = 0.0, y = 0.0, cx = 0.0, cy = 0.0;
        int lanes = size - start < GROUP ? (int)(size - start) : GROUP;
        for (int lane = 0; lane < lanes; lane++)
            cx[lane] = c[2 * (start + lane)], cy[lane] = c[2 * (start + lane) + 1];
        for (int64_t step = 0; step < together; step++)
            update(&x, &y, (Doubles)orbit[2 * step], (Doubles)orbit[2 * step + 1], cx, cy);
        for (int lane = 0; lane < lanes; lane++)
            z[2 * (start + lane)] = x[lane], z[2 * (start + lane) + 1] = y[lane];
    }
    call.z = z, call.c = c, call.orbit = orbit, call.last = last, call.counts = counts;
    call.size = size, call.step = together, call.iters = iters;
    run(&call);
}
