/* What the kernels share: points side by side, one per lane, and the smooth counts of those that have escaped.

   The library uses no other library, not even that of C. */

#pragma once

#include <stdint.h>

#ifndef GROUP
#define GROUP 16 /* lanes that one loop iterates: their x and y fit into registers */
#endif
#define STEPS_PER_CHECK 6 /* the most that no float overflows in, from BAILOUT on: see escape.py */
#define BAILOUT 256.0
#define LOG2_LOG2_BAILOUT 3.0
#define BUFFER 128 /* escaped points whose counts are computed together */

typedef double Doubles __attribute__((ext_vector_type(GROUP)));
typedef int64_t Integers __attribute__((ext_vector_type(GROUP)));
typedef uint64_t Unsigned __attribute__((ext_vector_type(GROUP)));
typedef _Bool Flags __attribute__((ext_vector_type(GROUP)));

static inline Doubles choose(Integers which, Doubles yes, Doubles no) {
    return (Doubles)((which & (Integers)yes) | (~which & (Integers)no));
}

/* Multiply complex numbers a and b in numpy's order, with its fused multiply-add. */
static inline void multiply(Doubles *real, Doubles *imag, Doubles ax, Doubles ay, Doubles bx, Doubles by) {
    *real = __builtin_elementwise_fma(ax, bx, -(ay * by));
    *imag = __builtin_elementwise_fma(ax, by, ay * bx);
}

/* Iterate z <- z^2 + c until the next check. */
static inline void iterate_all(Doubles *x, Doubles *y, Doubles cx, Doubles cy) {
    for (int step = 0; step < STEPS_PER_CHECK; step++) {
        multiply(x, y, *x, *y, *x, *y);
        *x += cx, *y += cy;
    }
}

/* Flag the points that are beyond the bail-out. */
static inline Integers flag_beyond(Doubles x, Doubles y) {
    return (__builtin_elementwise_abs(x) > BAILOUT) | (__builtin_elementwise_abs(y) > BAILOUT);
}

/* Return the biased exponents of numbers that are not negative. (AVX2 shifts 64 bits without sign only.) */
static inline Integers biased_exponents(Doubles numbers) { return (Integers)((Unsigned)numbers >> 52); }

/* Convert integers from 0 to 2^52. (AVX2 has no instruction for it; 2^52 + n has n in its last bits.) */
static inline Doubles to_doubles(Integers numbers) {
    return (Doubles)(numbers | 0x4330000000000000) - 0x1p52;
}

/* Return log2 of positive normal numbers, with a relative error of 1e-15.

   A number is 2^e m with m from sqrt(1/2) to sqrt(2). With s = (m - 1) / (m + 1), the logarithm of m is
   2 artanh s = 2 (s + s^3 / 3 + s^5 / 5 + ...) / ln 2. As s^2 is at most 0.0295, the terms from s^19 on are
   below 1e-15 of the sum. */
static inline Doubles log2_of(Doubles numbers) {
    const int64_t half_root = 0x3fe6a09e667f3bcd, bias = 1023LL << 52; /* the bits of sqrt(1/2) */
    const double two_over_ln2 = 2.8853900817779268;
    Integers biased = biased_exponents((Doubles)((Integers)numbers + (bias - half_root)));
    Doubles m = (Doubles)((Integers)numbers + bias - (biased << 52));
    Doubles s = (m - 1.0) / (m + 1.0), square = s * s, sum = 1.0 / 17;
    for (int odd = 15; odd >= 1; odd -= 2) sum = sum * square + 1.0 / odd;
    return to_doubles(biased) - 1023.0 + two_over_ln2 * s * sum;
}

/* Return log2(log2 |z|) of points beyond BAILOUT; infinite where a part of z is. */
static inline Doubles log2_log2_size(Doubles x, Doubles y) {
    Doubles larger = __builtin_elementwise_max(__builtin_elementwise_abs(x), __builtin_elementwise_abs(y));
    Integers biased = biased_exponents(larger);
    Doubles scale = (Doubles)((2046 - biased) << 52); /* so that no square overflows */
    x *= scale, y *= scale;
    Doubles log2_size = to_doubles(biased) - 1023.0 + 0.5 * log2_of(x * x + y * y);
    return choose(biased > 2046, (Doubles)__builtin_inf(), log2_of(log2_size));
}

/* The points that were found to have escaped, and whose counts are not computed yet. */
struct Escaped {
    Doubles x[BUFFER / GROUP], y[BUFFER / GROUP], steps[BUFFER / GROUP];
    int64_t indices[BUFFER];
    int size;
};

/* Compute the smooth counts of the points in the buffer, as EscapeRecord.counts does. */
static inline void write_counts(struct Escaped *escaped, double iters, double *counts) {
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
