/* Fixed-point arithmetic as TensorFlow Lite's reference kernels do it: multiply by a 32-bit multiplier, round, shift,
 * round. */
#ifndef HILNAS_FIXED_POINT_H
#define HILNAS_FIXED_POINT_H

#include <stdint.h>

/* Shifts left without the undefined behaviour of signed overflow. */
static inline int32_t hilnas_shift_left(int32_t value, int32_t bits) {
    return (int32_t)((uint32_t)value << bits);
}

/* round(a * b / 2^31). */
static inline int32_t hilnas_multiply_high(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* value / 2^bits, halves away from zero; `bits` may be 0. */
static inline int32_t hilnas_divide_by_power_of_two(int32_t value, int32_t bits) {
    const int32_t mask = (int32_t)((1u << bits) - 1u);
    const int32_t threshold = (mask >> 1) + (value < 0);
    return (value >> bits) + ((value & mask) > threshold);
}

/* value * multiplier / 2^31 * 2^shift, rounded after the multiplication and again after a shift to the right. */
static inline int32_t hilnas_scale(int32_t value, int32_t multiplier, int32_t shift) {
    if (shift > 0) {
        return hilnas_multiply_high(hilnas_shift_left(value, shift), multiplier);
    }
    return hilnas_divide_by_power_of_two(hilnas_multiply_high(value, multiplier), -shift);
}

static inline int32_t hilnas_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

#endif
