/* ADD for cores with the DSP extension, four elements at a time. The operands' shifts go to the right and the sum's
 * scale is bounded as kernels/dsp.h says. */
#include "dsp.h"
#include "fixed_point.h"
#include "kernels.h"

/* Both operands gain these bits before they are brought to a common scale. */
enum { HEADROOM_BITS = 20 };

typedef struct {
    int32_t origin; /* the zero point, with headroom */
    int32_t multiplier;
    int32_t shift; /* to the right */
    int32_t half;  /* 2^(shift - 1), 0 without a shift */
    int32_t mask;  /* -1, 0 without a shift: halves are rounded away from zero by what is taken from negative values */
} scaled_operand;

static scaled_operand operand_of(const hilnas_operand *operand) {
    const int32_t shift = -operand->shift;
    /* One bit more than the headroom, for the doubling in the rounded multiplication. */
    const int32_t origin = operand->zero_point * (1 << (HEADROOM_BITS + 1));
    return (scaled_operand){origin, operand->multiplier, shift, shift > 0 ? 1 << (shift - 1) : 0, shift > 0 ? -1 : 0};
}

static inline int32_t scaled(scaled_operand operand, int32_t value) {
    const int32_t product = hilnas_smmulr(value * (1 << (HEADROOM_BITS + 1)) - operand.origin, operand.multiplier);
    return (product + ((product >> 31) & operand.mask) + operand.half) >> operand.shift;
}

void hilnas_add_dsp(const hilnas_addition *layer, const int8_t *first, const int8_t *second, int8_t *output) {
    const scaled_operand a = operand_of(&layer->first), b = operand_of(&layer->second);
    const hilnas_output range = layer->output;
    const int32_t shift = -layer->shift;
    const hilnas_bounded_scale scale = {layer->multiplier, shift, (2 * range.zero_point + 1) * (1 << (shift - 1))};
    int32_t i = 0;
    for (; i + 4 <= layer->elements; i += 4) {
        const uint32_t x = hilnas_load(first + i), y = hilnas_load(second + i);
        int32_t values[4];
#pragma GCC unroll 4
        for (int32_t k = 0; k < 4; k++) {
            const int32_t sum = scaled(a, (int8_t)(uint8_t)(x >> (8 * k))) + scaled(b, (int8_t)(uint8_t)(y >> (8 * k)));
            values[k] = hilnas_clamp(hilnas_scale_bounded(sum, scale), range.low, range.high);
        }
        hilnas_store(output + i, hilnas_pack(values[0], values[1], values[2], values[3]));
    }
    for (; i < layer->elements; i++) {
        const int32_t sum = scaled(a, first[i]) + scaled(b, second[i]);
        output[i] = (int8_t)hilnas_clamp(hilnas_scale_bounded(sum, scale), range.low, range.high);
    }
}
