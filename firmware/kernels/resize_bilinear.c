/* RESIZE_BILINEAR: every output pixel lies between four of the input. */
#include "kernels.h"

enum { FRACTION_BITS = 10, ONE = 1 << FRACTION_BITS };

static int8_t rounded(int32_t value) {
    const int32_t half = 1 << (2 * FRACTION_BITS - 1);
    return (int8_t)((value + (value > 0 ? half : -half)) / (1 << 2 * FRACTION_BITS));
}

void hilnas_resize_bilinear(const hilnas_bilinear_resize *layer, const int8_t *input, int8_t *output) {
    const int32_t pitch = layer->input_width * layer->channels;
    for (int32_t y = 0; y < layer->output_height; y++) {
        const hilnas_neighbours *row = &layer->rows[y];
        const int8_t *above = input + row->lower * pitch, *below = input + row->upper * pitch;
        for (int32_t x = 0; x < layer->output_width; x++) {
            const hilnas_neighbours *column = &layer->columns[x];
            const int32_t left = column->lower * layer->channels, right = column->upper * layer->channels;
            for (int32_t c = 0; c < layer->channels; c++) {
                const int32_t top = above[left + c] * (ONE - column->fraction) + above[right + c] * column->fraction;
                const int32_t bottom = below[left + c] * (ONE - column->fraction) + below[right + c] * column->fraction;
                *output++ = rounded(top * (ONE - row->fraction) + bottom * row->fraction);
            }
        }
    }
}
