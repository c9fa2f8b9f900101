/* CONV_2D, the portable form. */
#include "fixed_point.h"
#include "kernels.h"

/* Over `depth` channels of each pixel, from `first` on. */
static int32_t accumulate(const hilnas_convolution *layer, const hilnas_rows *input, const int8_t *weights, int32_t top,
                          int32_t left, int32_t first, int32_t depth) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t zero_point = layer->input_zero_point;
    int32_t sum = 0;
    for (int32_t ky = 0; ky < g->window_height; ky++) {
        const int32_t y = top + ky * g->dilation_y;
        for (int32_t kx = 0; kx < g->window_width; kx++, weights += depth) {
            const int32_t x = left + kx * g->dilation_x;
            if (y < 0 || y >= g->input_height || x < 0 || x >= g->input_width) {
                continue;
            }
            const int8_t *pixel = hilnas_row(input, y) + x * g->input_channels + first;
            for (int32_t c = 0; c < depth; c++) {
                sum += weights[c] * (pixel[c] - zero_point);
            }
        }
    }
    return sum;
}

void hilnas_convolve_rows(const hilnas_convolution *layer, const hilnas_rows *input, int32_t first, int32_t count,
                          int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t depth = g->input_channels / layer->groups, group = g->output_channels / layer->groups;
    const int32_t filter = g->window_height * g->window_width * depth;
    for (int32_t oy = first; oy < first + count; oy++) {
        for (int32_t ox = 0; ox < g->output_width; ox++) {
            const int8_t *weights = layer->weights;
            const int32_t top = oy * g->stride_y - g->pad_top, left = ox * g->stride_x - g->pad_left;
            for (int32_t o = 0; o < g->output_channels; o++, weights += filter) {
                const hilnas_channel *channel = &layer->channels[o];
                const int32_t sum =
                    channel->bias + accumulate(layer, input, weights, top, left, o / group * depth, depth);
                const int32_t value = hilnas_scale(sum, channel->multiplier, channel->shift) + layer->output.zero_point;
                *output++ = (int8_t)hilnas_clamp(value, layer->output.low, layer->output.high);
            }
        }
    }
}

void hilnas_convolve(const hilnas_convolution *layer, const int8_t *input, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    const hilnas_rows rows = {input, g->input_width * g->input_channels, g->input_height};
    hilnas_convolve_rows(layer, &rows, 0, g->output_height, output);
}
