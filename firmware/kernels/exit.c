/* The decision of an early exit: entropy = ln(Z) + sum(e_i d_i) / Z nats, with e_i = exp(-d_i), Z = sum(e_i), and d_i
 * the logit's distance to the largest one. Integers only, to about 2^-24 nats. */
#include "kernels.h"

enum { FRACTION_BITS = 28 };

/* ln(value) in Q4.28 for value >= 1 in Q33.31: the bits of log2 by repeated squaring, times ln 2. */
static uint32_t natural_logarithm(uint64_t value) {
    const int32_t exponent = 63 - __builtin_clzll(value);
    uint64_t mantissa = exponent > 31 ? value >> (exponent - 31) : value << (31 - exponent); /* [1, 2) in Q1.31 */
    uint32_t log2 = (uint32_t)(exponent - 31) << FRACTION_BITS;
    for (uint32_t bit = 1u << (FRACTION_BITS - 1); bit != 0; bit >>= 1) {
        mantissa = (mantissa * mantissa) >> 31;
        if (mantissa >= (1ull << 32)) {
            mantissa >>= 1;
            log2 |= bit;
        }
    }
    return (uint32_t)(((uint64_t)log2 * 2977044472u) >> 32); /* ln 2 in Q0.32 */
}

uint32_t hilnas_decide_exit(const hilnas_exit *layer, const int8_t *logits) {
    int32_t maximum = INT8_MIN;
    for (int32_t c = 0; c < layer->classes; c++) {
        maximum = logits[c] > maximum ? logits[c] : maximum;
    }
    uint64_t sum = 0, weighted = 0;
    for (int32_t c = 0; c < layer->classes; c++) {
        const int32_t difference = maximum - logits[c];
        sum += layer->exponentials[difference];
        weighted += (uint64_t)layer->exponentials[difference] * (uint32_t)difference;
    }
    /* Both by one shift, so that the sum has 32 bits; then the mean distance, in steps of the logits' scale, in Q8.24.
     */
    const int32_t surplus = 32 - __builtin_clzll(sum);
    const uint64_t mean = ((weighted >> surplus) << 24) / (sum >> surplus);
    const uint64_t mean_in_nats = (mean * layer->step) >> (24 + layer->step_bits - FRACTION_BITS);
    return natural_logarithm(sum) + mean_in_nats < layer->threshold;
}
