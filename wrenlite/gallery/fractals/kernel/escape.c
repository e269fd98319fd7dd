/* The escape-time loop of escape.py for many points at once, with the same bits: `make kernel` builds it.

   32 lanes are iterated side by side, each with a point of its own. Whenever a point has escaped or has had
   all its iterations, its lane takes the next point, so that no lane is idle until the last points. Each lane
   has the operations of numpy's complex square in numpy's order, with fused multiply-add where numpy has it. So
   z has the same bits as in numpy at each step. The compiler may not fuse anything else (-ffp-contract=off).

   The library uses no other library, not even that of C. */

#include <stdint.h>

#define GROUP 16 /* lanes that one loop iterates: their x and y fit into registers */
#define GROUPS 2
#define LANES (GROUP * GROUPS)
#define STEPS_PER_CHECK 6
#define BAILOUT 256.0
#define LOG2_LOG2_BAILOUT 3.0
#define BUFFER 128 /* escaped points whose counts are computed together */

typedef double Doubles __attribute__((ext_vector_type(GROUP)));
typedef int64_t Integers __attribute__((ext_vector_type(GROUP)));
typedef _Bool Flags __attribute__((ext_vector_type(GROUP)));

/* Of this file, its compiler and the options: see .ci/build_kernel.py. */
const char build_digest[] = BUILD_DIGEST;

#if defined(__x86_64__)
#include <cpuid.h>

/* Return whether the processor and the system have the instructions of the functions below. */
int supported(void) {
    unsigned a, b, c, d, low, high;
    const unsigned wanted = bit_FMA | bit_OSXSAVE | bit_AVX;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & wanted) != wanted) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6) return 0; /* the system saves the registers of SSE and AVX */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
int supported(void) { return 1; }
#endif

static inline Doubles choose(Integers which, Doubles yes, Doubles no) {
    return (Doubles)((which & (Integers)yes) | (~which & (Integers)no));
}

/* Return log2 of positive normal numbers, with a relative error of 1e-15.

   A number is 2^e m with m from sqrt(1/2) to sqrt(2). With s = (m - 1) / (m + 1), the logarithm of m is
   2 artanh s = 2 (s + s^3 / 3 + s^5 / 5 + ...) / ln 2. As s^2 is at most 0.0295, the terms from s^19 on are
   below 1e-15 of the sum. */
static inline Doubles log2_of(Doubles numbers) {
    const int64_t half_root = 0x3fe6a09e667f3bcd; /* the bits of sqrt(1/2) */
    const double two_over_ln2 = 2.8853900817779268;
    Integers exponent = ((Integers)numbers - half_root) >> 52;
    Doubles m = (Doubles)((Integers)numbers - (exponent << 52));
    Doubles s = (m - 1.0) / (m + 1.0), square = s * s, sum = 1.0 / 17;
    for (int odd = 15; odd >= 1; odd -= 2) sum = sum * square + 1.0 / odd;
    return __builtin_convertvector(exponent, Doubles) + two_over_ln2 * s * sum;
}

/* Return log2(log2 |z|) of points beyond BAILOUT; infinite where a part of z is. */
static inline Doubles log2_log2_size(Doubles x, Doubles y) {
    Doubles larger = __builtin_elementwise_max(__builtin_elementwise_abs(x), __builtin_elementwise_abs(y));
    Integers exponent = ((Integers)larger >> 52) - 1023;
    Doubles scale = (Doubles)((1023 - exponent) << 52); /* so that no square overflows */
    x *= scale, y *= scale;
    Doubles log2_size = __builtin_convertvector(exponent, Doubles) + 0.5 * log2_of(x * x + y * y);
    return choose(exponent > 1023, (Doubles)__builtin_inf(), log2_of(log2_size));
}

/* The points that were found to have escaped, and whose counts are not computed yet. */
struct Escaped {
    Doubles x[BUFFER / GROUP], y[BUFFER / GROUP], steps[BUFFER / GROUP];
    int64_t indices[BUFFER];
    int size;
};

/* Compute the smooth counts of the points in the buffer, as EscapeRecord.counts does. */
static void write_counts(struct Escaped *escaped, double iters, double *counts) {
    for (int block = 0; block * GROUP < escaped->size; block++) {
        Doubles logarithms = log2_log2_size(escaped->x[block], escaped->y[block]);
        Doubles values = escaped->steps[block] - logarithms + LOG2_LOG2_BAILOUT;
        values = choose(values > 0.0, values, (Doubles)0.0);
        values = choose(values < iters, values, (Doubles)__builtin_inf());
        for (int lane = 0; lane < GROUP && block * GROUP + lane < escaped->size; lane++)
            counts[escaped->indices[block * GROUP + lane]] = values[lane];
    }
    escaped->size = 0;
}

/* Points that are iterated side by side. An idle lane has its z and c at 0, and no index. */
struct Group {
    Doubles x, y, cx, cy;
    int64_t indices[GROUP], first_rounds[GROUP];
    int64_t oldest; /* a lower bound of the first rounds */
    int active;
};

/* Iterate all lanes until the next check, and return the set of those that have escaped. */
static inline uint32_t advance(struct Group *group) {
    Doubles x = group->x, y = group->y, cx = group->cx, cy = group->cy;
    for (int step = 0; step < STEPS_PER_CHECK; step++) {
        Doubles real = __builtin_elementwise_fma(x, x, -(y * y));
        y = __builtin_elementwise_fma(x, y, y * x) + cy;
        x = real + cx;
    }
    group->x = x, group->y = y;
    Integers beyond = (__builtin_elementwise_abs(x) > BAILOUT) | (__builtin_elementwise_abs(y) > BAILOUT);
    return __builtin_bit_cast(uint16_t, __builtin_convertvector(beyond, Flags));
}

/* Return the set of lanes whose points have had all their iterations. */
static uint32_t find_ended(struct Group *group, int64_t first_round) {
    uint32_t ended = 0;
    group->oldest = INT64_MAX;
    for (int lane = 0; lane < GROUP; lane++) {
        if (group->indices[lane] < 0) continue;
        if (group->first_rounds[lane] <= first_round) ended |= 1u << lane;
        else if (group->first_rounds[lane] < group->oldest) group->oldest = group->first_rounds[lane];
    }
    return ended;
}

/* What the points of one call have in common. */
struct Call {
    const double *z, *c; /* complex numbers */
    double *counts;
    int64_t size, next, step, iters, rounds;
    struct Escaped escaped;
};

/* Give a lane the next point, or nothing if there is none left. */
static void refill(struct Call *call, struct Group *group, int lane, int64_t round) {
    int64_t next = call->next;
    if (next == call->size) {
        ((double *)&group->x)[lane] = ((double *)&group->y)[lane] = 0.0;
        ((double *)&group->cx)[lane] = ((double *)&group->cy)[lane] = 0.0;
        group->indices[lane] = -1;
        return;
    }
    ((double *)&group->x)[lane] = call->z[2 * next], ((double *)&group->y)[lane] = call->z[2 * next + 1];
    ((double *)&group->cx)[lane] = call->c[2 * next], ((double *)&group->cy)[lane] = call->c[2 * next + 1];
    group->indices[lane] = next, group->first_rounds[lane] = round;
    if (round < group->oldest) group->oldest = round;
    group->active++, call->next++;
}

/* Take the points out of some lanes, which take the next points. */
static void retire(struct Call *call, struct Group *group, uint32_t lanes, uint32_t inside, int64_t round) {
    for (; lanes; lanes &= lanes - 1) {
        int lane = __builtin_ctz(lanes);
        int64_t index = group->indices[lane];
        int64_t steps = (round - group->first_rounds[lane]) * STEPS_PER_CHECK;
        if (inside >> lane & 1) {
            call->counts[index] = __builtin_inf();
        } else {
            struct Escaped *escaped = &call->escaped;
            int place = escaped->size++;
            ((double *)escaped->x)[place] = ((double *)&group->x)[lane];
            ((double *)escaped->y)[place] = ((double *)&group->y)[lane];
            ((double *)escaped->steps)[place] = (double)(call->step + steps);
            escaped->indices[place] = index;
            if (escaped->size == BUFFER) write_counts(escaped, (double)call->iters, call->counts);
        }
        group->active--;
        refill(call, group, lane, round);
    }
}

/* Compute the smooth count of each point; infinite where it does not escape.

   z and c are complex numbers, z as it is after `step` iterations. */
void escape(const double *z, const double *c, int64_t size, int64_t step, int64_t iters, double *counts) {
    struct Call call;
    struct Group groups[GROUPS];
    call.z = z, call.c = c, call.counts = counts, call.size = size, call.next = 0, call.escaped.size = 0;
    call.step = step, call.iters = iters;
    call.rounds = step < iters ? (iters - step + STEPS_PER_CHECK - 1) / STEPS_PER_CHECK : 0;
    for (; call.rounds == 0 && call.next < size; call.next++) counts[call.next] = __builtin_inf();
    for (int g = 0; g < GROUPS; g++) {
        groups[g].active = 0, groups[g].oldest = INT64_MAX;
        for (int lane = 0; lane < GROUP; lane++) refill(&call, &groups[g], lane, 0);
    }
    int active = 1;
    for (int64_t round = 1; active; round++) {
        active = 0;
        for (int g = 0; g < GROUPS; g++) {
            struct Group *group = &groups[g];
            if (!group->active) continue;
            uint32_t escaped = advance(group), ended = 0;
            if (group->oldest <= round - call.rounds) ended = find_ended(group, round - call.rounds);
            retire(&call, group, escaped | ended, ended & ~escaped, round);
            active += group->active;
        }
    }
    write_counts(&call.escaped, (double)iters, counts);
}

#if defined(__x86_64__)
#pragma clang attribute pop
#endif
