/* QUANTIZE from one integer type and scale to another. */
#include "fixed_point.h"
#include "kernels.h"

static int32_t rescaled(const hilnas_rescaling *layer, int32_t value) {
    return hilnas_scale(value - layer->input_zero_point, layer->multiplier, layer->shift) + layer->zero_point;
}

void hilnas_rescale_int8(const hilnas_rescaling *layer, const int8_t *input, int8_t *output) {
    for (int32_t i = 0; i < layer->elements; i++) {
        output[i] = (int8_t)hilnas_clamp(rescaled(layer, input[i]), INT8_MIN, INT8_MAX);
    }
}

void hilnas_rescale_int16_to_int8(const hilnas_rescaling *layer, const int16_t *input, int8_t *output) {
    for (int32_t i = 0; i < layer->elements; i++) {
        output[i] = (int8_t)hilnas_clamp(rescaled(layer, input[i]), INT8_MIN, INT8_MAX);
    }
}

void hilnas_rescale_int16_to_int32(const hilnas_rescaling *layer, const int16_t *input, int32_t *output) {
    for (int32_t i = 0; i < layer->elements; i++) {
        output[i] = rescaled(layer, input[i]);
    }
}
