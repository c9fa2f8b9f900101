/* Logistic function and hyperbolic tangent of 16-bit fixed-point numbers. Source: gemmlowp's fixedpoint.h. */
#ifndef HILNAS_FIXED_POINT_16_H
#define HILNAS_FIXED_POINT_16_H

#include "fixed_point.h"

enum { HILNAS_ONE_16 = INT16_MAX }; /* nearly 1 in Q0.15 */

static inline int32_t hilnas_saturated_16(int32_t value) {
    return hilnas_clamp(value, INT16_MIN, INT16_MAX);
}

/* round(a * b / 2^15). */
static inline int32_t hilnas_multiply_16(int32_t a, int32_t b) {
    return hilnas_saturated_16((a * b + (1 << 14)) >> 15);
}

/* exp(a) in Q0.15 for a in [-1/4, 0) in Q0.15. */
static inline int32_t hilnas_exp_of_fraction_16(int32_t a) {
    const int32_t x = a + (1 << 12);
    const int32_t x2 = hilnas_multiply_16(x, x);
    const int32_t x3 = hilnas_multiply_16(x2, x), x4 = hilnas_multiply_16(x2, x2);
    const int32_t third = hilnas_multiply_16(hilnas_divide_by_power_of_two(x4, 2) + x3, 10923) + x2;
    return hilnas_saturated_16(28918 + hilnas_multiply_16(28918, x + hilnas_divide_by_power_of_two(third, 1)));
}

/* exp(a) in Q0.15 for a <= 0 with `fraction_bits` behind the point. */
static inline int32_t hilnas_exp_of_negative_16(int32_t a, int32_t fraction_bits) {
    static const int16_t powers[] = {25520, 19875, 12055, 4435, 600, 11, 0}; /* exp(-1/4), exp(-1/2) .. exp(-16) */
    const int32_t quarter = 1 << (fraction_bits - 2);
    const int32_t fraction = (a & (quarter - 1)) - quarter;
    int32_t result = hilnas_exp_of_fraction_16(hilnas_shift_left(fraction, 15 - fraction_bits));
    for (int32_t i = 0; i < 7 && fraction_bits - 2 + i < 15; i++) {
        if ((fraction - a) & (quarter << i)) {
            result = hilnas_multiply_16(result, powers[i]);
        }
    }
    if (a < -(32 << fraction_bits)) {
        result = 0;
    }
    return a == 0 ? HILNAS_ONE_16 : result;
}

/* 2 / (1 + x) in Q2.13 for x in [0, 1) in Q0.15: three steps of Newton and Raphson. */
static inline int32_t hilnas_two_over_one_plus_16(int32_t x) {
    const int32_t half_denominator = (x + HILNAS_ONE_16 + 1) / 2;
    int32_t estimate = 23130 + hilnas_multiply_16(half_denominator, -15420); /* 48/17 - 32/17 d */
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 13) - hilnas_multiply_16(half_denominator, estimate);
        estimate += hilnas_saturated_16(4 * hilnas_multiply_16(estimate, error));
    }
    return estimate;
}

/* 1 / (1 + exp(-a)) in Q0.15 for a in Q3.12. */
static inline int32_t hilnas_logistic_16(int32_t a) {
    if (a == 0) {
        return 1 << 14;
    }
    const int32_t exponential = hilnas_exp_of_negative_16(a > 0 ? -a : a, 12);
    const int32_t result = hilnas_saturated_16(2 * hilnas_two_over_one_plus_16(exponential));
    return a > 0 ? result : HILNAS_ONE_16 - result;
}

/* tanh(a) in Q0.15 for a with `fraction_bits` behind the point. */
static inline int32_t hilnas_tanh_16(int32_t a, int32_t fraction_bits) {
    if (a == 0) {
        return 0;
    }
    const int32_t exponential = hilnas_exp_of_negative_16(a < 0 ? a : -a, fraction_bits - 1);
    const int32_t result = hilnas_saturated_16(4 * (hilnas_two_over_one_plus_16(exponential) - (1 << 13)));
    return a < 0 ? -result : result;
}

#endif
