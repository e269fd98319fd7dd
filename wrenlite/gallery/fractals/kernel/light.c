/* Counts with what light needs: the loops of derivative.py, with the same bits for z and for its derivative.

   Eight points are iterated side by side until the last of them has escaped. Each step looks for escapes, so
   that z is where the orbit first leaves the circle of radius BAILOUT. */

#define GROUP 8
#include "lanes.h"

#define TRAP_RADIUS 2.0 /* as in derivative.py */

/* What the points of one call have in common. Complex numbers are pairs. */
struct Call {
    const double *z, *c; /* with an orbit, z is not used, and c are the distances from the orbit's c */
    const double *orbit; /* from 0 on; null without perturbation */
    int64_t last, size, step, iters; /* last: the index of the orbit's last position */
    double start, added; /* the derivative of z at first, and what each step adds to it */
    double *steps, *states, *traps;
};

/* Points side by side. */
struct Group {
    Doubles x, y, dx, dy, cx, cy; /* z, its derivative, and c or its distance from the orbit's */
    Doubles orbit_x, orbit_y, offset_x, offset_y; /* with an orbit: where it is, and the offset from it */
    Doubles nearest, cross; /* the smallest |z|^2 and the smallest distance from an axis so far */
    Integers positions; /* on the orbit */
    uint32_t active;
};

static inline Doubles smaller(Doubles a, Doubles b) { return choose(a < b, a, b); }

/* Read the orbit at the lanes' positions, and rebase the points that must be. */
static inline void follow(const struct Call *call, struct Group *group) {
    const double scale = 0x1p400; /* so that squares of small offsets are not 0 */
    Doubles orbit_x, orbit_y;
#pragma clang loop unroll(full)
    for (int lane = 0; lane < GROUP; lane++) {
        orbit_x[lane] = call->orbit[2 * group->positions[lane]];
        orbit_y[lane] = call->orbit[2 * group->positions[lane] + 1];
    }
    Doubles x = orbit_x + group->offset_x, y = orbit_y + group->offset_y;
    Doubles a = scale * x, b = scale * y, c = scale * group->offset_x, d = scale * group->offset_y;
    Integers rebased = (a * a + b * b < c * c + d * d) | (group->positions == call->last);
    group->offset_x = choose(rebased, x, group->offset_x);
    group->offset_y = choose(rebased, y, group->offset_y);
    group->orbit_x = (Doubles)(~rebased & (Integers)orbit_x);
    group->orbit_y = (Doubles)(~rebased & (Integers)orbit_y);
    group->positions &= ~rebased;
    group->x = x, group->y = y;
}

/* Write the results of the lanes that have escaped. */
static void write(const struct Call *call, struct Group *group, uint32_t escaped, int64_t first, int64_t step) {
    group->active &= ~escaped;
    for (; escaped; escaped &= escaped - 1) {
        int lane = __builtin_ctz(escaped);
        double *state = call->states + 4 * (first + lane), *trap = call->traps + 2 * (first + lane);
        call->steps[first + lane] = (double)step;
        state[0] = group->x[lane], state[1] = group->y[lane];
        state[2] = group->dx[lane], state[3] = group->dy[lane];
        trap[0] = group->nearest[lane], trap[1] = group->cross[lane];
    }
}

/* Compute the next z and its derivative: 2 z dz + added, and z^2 + c or (2 Z + offset) offset + c. */
static inline void advance(const struct Call *call, struct Group *group, int perturbed) {
    Doubles x = group->x, y = group->y;
    multiply(&group->dx, &group->dy, x + x, y + y, group->dx, group->dy);
    group->dx += call->added;
    if (perturbed) {
        Doubles sum_x = group->offset_x + 2.0 * group->orbit_x;
        Doubles sum_y = group->offset_y + 2.0 * group->orbit_y;
        multiply(&group->offset_x, &group->offset_y, sum_x, sum_y, group->offset_x, group->offset_y);
        group->offset_x += group->cx, group->offset_y += group->cy;
        group->positions += 1;
    } else {
        multiply(&group->x, &group->y, x, y, x, y);
        group->x += group->cx, group->y += group->cy;
    }
}

/* Iterate some points until all have escaped or the iterations end. */
static inline void iterate(const struct Call *call, struct Group *group, int64_t first, int perturbed) {
    for (int64_t step = call->step;; step++) {
        if (perturbed) follow(call, group);
        Doubles square = group->x * group->x + group->y * group->y;
        uint32_t beyond = __builtin_bit_cast(
            uint8_t, __builtin_convertvector((Integers)(square > BAILOUT * BAILOUT), Flags));
        if (beyond & group->active) write(call, group, beyond & group->active, first, step);
        if (!group->active || step >= call->iters) return;
        if (step > call->step) {
            Integers near = square <= TRAP_RADIUS * TRAP_RADIUS;
            Doubles x = __builtin_elementwise_abs(group->x), y = __builtin_elementwise_abs(group->y);
            group->nearest = smaller(square, group->nearest);
            group->cross = choose(near, smaller(smaller(x, y), group->cross), group->cross);
        }
        advance(call, group, perturbed);
    }
}

static void run(const struct Call *call) {
    for (int64_t first = 0; first < call->size; first += GROUP) {
        struct Group group = {.dx = call->start, .nearest = __builtin_inf(), .cross = __builtin_inf()};
        int lanes = call->size - first < GROUP ? (int)(call->size - first) : GROUP;
        group.active = (1u << lanes) - 1;
        for (int lane = 0; lane < lanes; lane++) {
            const double *z = call->orbit ? call->c : call->z;
            int64_t place = 2 * (first + lane);
            call->steps[first + lane] = __builtin_inf();
            group.x[lane] = group.offset_x[lane] = z[place];
            group.y[lane] = group.offset_y[lane] = z[place + 1];
            group.cx[lane] = call->c[place], group.cy[lane] = call->c[place + 1];
            group.positions[lane] = 1;
        }
        if (call->orbit) iterate(call, &group, first, 1);
        else iterate(call, &group, first, 0);
    }
}

/* Find the step after which each point is first beyond the bail-out; infinite where it never is.

   z and c are complex numbers, z as it is after `step` iterations, with `start` as its derivative. With an orbit,
   which has at least two positions, c are the points' distances from its c, and `step` is 1.

   states: for each point that escapes, z and its derivative then. traps: the square of the smallest distance of
   its orbit from 0, and the smallest from an axis within TRAP_RADIUS of 0. Its first position and
   its last do not count. */
void escape_with_derivative(const double *z, const double *c, const double *orbit, int64_t last, int64_t size,
                            int64_t step, int64_t iters, double start, double added, double *steps,
                            double *states, double *traps) {
    struct Call call = {z, c, orbit, last, size, step, iters, start, added, steps, states, traps};
    run(&call);
}
