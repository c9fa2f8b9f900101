/* RESIZE_NEAREST_NEIGHBOR: every output pixel is a copy of one of the input. */
#include <string.h>

#include "kernels.h"

void hilnas_resize_nearest(const hilnas_nearest_resize *layer, const int8_t *input, int8_t *output) {
    for (int32_t y = 0; y < layer->output_height; y++) {
        const int8_t *row = input + layer->rows[y] * layer->input_width * layer->channels;
        for (int32_t x = 0; x < layer->output_width; x++, output += layer->channels) {
            memcpy(output, row + layer->columns[x] * layer->channels, (uint32_t)layer->channels);
        }
    }
}
