/* What SOFTMAX and LOG_SOFTMAX share: the reciprocal of the sum of exponentials. Source: gemmlowp's fixedpoint.h. */
#ifndef HILNAS_SOFTMAX_H
#define HILNAS_SOFTMAX_H

#include "fixed_point.h"
#include "kernels.h"

/* The sum is kept with this many integer bits. */
enum { SUM_INTEGER_BITS = 12 };

typedef struct {
    int32_t factor; /* Q0.31 */
    int32_t bits;   /* 1 / sum = factor / 2^bits */
} hilnas_reciprocal;

static inline int32_t hilnas_saturating_shift_left(int32_t value, int32_t bits) {
    const int32_t limit = INT32_MAX >> bits;
    return value > limit ? INT32_MAX : value < -limit - 1 ? INT32_MIN : hilnas_shift_left(value, bits);
}

/* 1 / (1 + x) for x in [0, 1), both in Q0.31: three steps of Newton and Raphson on (1 + x) / 2 in Q2.29. */
static inline int32_t hilnas_reciprocal_of_one_plus(int32_t x) {
    const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t estimate = 1515870810 + hilnas_multiply_high(half_denominator, -1010580540); /* 48/17 - 32/17 d */
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 29) - hilnas_multiply_high(half_denominator, estimate);
        estimate += hilnas_saturating_shift_left(hilnas_multiply_high(estimate, error), 2);
    }
    return hilnas_saturating_shift_left(estimate, 1);
}

static inline int32_t hilnas_row_maximum(const hilnas_softmax *layer, const int8_t *input) {
    int32_t maximum = INT8_MIN;
    for (int32_t c = 0; c < layer->classes; c++) {
        maximum = input[c] > maximum ? input[c] : maximum;
    }
    return maximum;
}

static inline int32_t hilnas_sum_of_exponentials(const hilnas_softmax *layer, const int8_t *input, int32_t maximum) {
    int32_t sum = 0;
    for (int32_t c = 0; c < layer->classes; c++) {
        const int32_t difference = maximum - input[c];
        if (difference < layer->exponential_count) {
            sum += hilnas_divide_by_power_of_two(layer->exponentials[difference], SUM_INTEGER_BITS);
        }
    }
    return sum;
}

static inline hilnas_reciprocal hilnas_reciprocal_of_sum(const hilnas_softmax *layer, const int8_t *input,
                                                         int32_t maximum) {
    const int32_t sum = hilnas_sum_of_exponentials(layer, input, maximum);
    const int32_t zeros = __builtin_clz((uint32_t)sum);
    const int32_t mantissa = (int32_t)(((uint32_t)sum << zeros) - (1u << 31));
    return (hilnas_reciprocal){hilnas_reciprocal_of_one_plus(mantissa), SUM_INTEGER_BITS - zeros};
}

#endif
