/* A function of one value, as a table of all its outputs. */
#include "kernels.h"

static void look_up(const hilnas_lookup *layer, int32_t elements, const int8_t *input, int8_t *output) {
    const int8_t *outputs = layer->outputs + 128;
    for (int32_t i = 0; i < elements; i++) {
        output[i] = outputs[input[i]];
    }
}

void hilnas_look_up_rows(const hilnas_lookup *layer, const hilnas_rows *input, int32_t first, int32_t count,
                         int8_t *output) {
    for (int32_t y = first; y < first + count; y++, output += input->pitch) {
        look_up(layer, input->pitch, hilnas_row(input, y), output);
    }
}

void hilnas_look_up(const hilnas_lookup *layer, const int8_t *input, int8_t *output) {
    look_up(layer, layer->elements, input, output);
}
