/* LOG_SOFTMAX of int8 logits, scale 1 / 16 and zero point 127. Source: tensorflow/lite/kernels/internal/common.h. */
#include "kernels.h"
#include "softmax.h"

enum {
    LOG_INTEGER_BITS = 5,
    POWER_FRACTION_BITS = 25,   /* powers of two are kept as Q6.25 */
    SQRT_HALF = 1518500250,     /* sqrt(1/2); all in Q0.31 */
    FOURTH_ROOT = 1805811301,   /* sqrt(sqrt(1/2)) */
    LOG_OF_TWO = 1488522236,    /* log 2 */
    NUMERATOR = 117049297,      /* 11/240 sqrt(sqrt(2)) */
    DENOMINATOR_2 = 127690142,  /* 1/20 sqrt(sqrt(2)) */
    DENOMINATOR_1 = 1057819769, /* 2/sqrt(sqrt(2)) - sqrt(sqrt(2)) */
    DENOMINATOR_0 = 638450708   /* 1/4 sqrt(sqrt(2)) */
};

static int32_t multiply(int32_t a, int32_t b) {
    return hilnas_multiply_high(a, b);
}

/* The logarithm, in Q5.26, of a sum in Q12.19 that is at least 1: the sum as a power of two, which may end in a
 * quarter, times r in about sqrt(1/2) .. 1; then a rational function of r. */
static int32_t logarithm(int32_t sum) {
    const int32_t quarter = 1 << (POWER_FRACTION_BITS - 2);
    const int32_t zeros = __builtin_clz((uint32_t)sum);
    const int32_t r_a = hilnas_saturating_shift_left(multiply(hilnas_shift_left(sum, zeros - 1), SQRT_HALF), 1);
    const int32_t power_a = hilnas_shift_left(SUM_INTEGER_BITS - zeros, POWER_FRACTION_BITS) + quarter;
    const int32_t headroom = __builtin_clz((uint32_t)multiply(sum, SQRT_HALF)) - 1;
    const int32_t r_b = hilnas_saturating_shift_left(sum, headroom);
    const int32_t power_b = hilnas_shift_left(SUM_INTEGER_BITS - headroom, POWER_FRACTION_BITS) - quarter;
    const int32_t r = r_a < r_b ? r_a : r_b;
    const int32_t power = power_a > power_b ? power_a : power_b;
    const int32_t p = (int32_t)(((int64_t)r + FOURTH_ROOT + 1) / 2);
    const int32_t q = 2 * (r - FOURTH_ROOT);
    const int32_t square = multiply(q, q);
    const int32_t numerator = multiply(q, r) + multiply(multiply(q, square), NUMERATOR);
    const int32_t denominator =
        multiply(p, DENOMINATOR_1 + q + multiply(DENOMINATOR_2, square)) + multiply(DENOMINATOR_0, q);
    const int32_t scaled = hilnas_divide_by_power_of_two(numerator, LOG_INTEGER_BITS + 1);
    const int32_t result = multiply(power, LOG_OF_TWO) + multiply(scaled, hilnas_reciprocal_of_one_plus(denominator));
    return hilnas_saturating_shift_left(result, 1);
}

void hilnas_log_softmax(const hilnas_logarithmic_softmax *layer, const int8_t *input, int8_t *output) {
    const hilnas_softmax *softmax = &layer->softmax;
    for (int32_t row = 0; row < softmax->rows; row++, input += softmax->classes, output += softmax->classes) {
        const int32_t maximum = hilnas_row_maximum(softmax, input);
        const int32_t log_of_sum = logarithm(hilnas_sum_of_exponentials(softmax, input, maximum));
        const int32_t lowest = hilnas_scale(log_of_sum + INT32_MIN, layer->inverse_multiplier, layer->inverse_shift);
        for (int32_t c = 0; c < softmax->classes; c++) {
            const int32_t difference = input[c] - maximum;
            output[c] = INT8_MIN;
            if (difference > lowest && -difference < layer->differences) {
                const int32_t scaled = hilnas_scale(difference, layer->multiplier, layer->shift);
                const int32_t value = hilnas_divide_by_power_of_two(scaled - log_of_sum, 31 - LOG_INTEGER_BITS - 4);
                output[c] = (int8_t)hilnas_clamp(value + INT8_MAX, INT8_MIN, INT8_MAX);
            }
        }
    }
}
