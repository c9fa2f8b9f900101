/* CONV_2D and FULLY_CONNECTED by pairs of output channels. Under a filter wider than one place, inputs are widened to
 * columns first: for each column of the image the filter's height of pixels, so that what is under the filter lies in a
 * piece. */
#pragma GCC optimize("Os") /* the time goes into the routines that these functions call */
#include "assembly.h"

enum { PAIR_WORDS = 7 };

static void run(const hilnas_packed_convolution *layer, hilnas_dot *dot, int32_t pixels) {
    if (pixels >= 4) {
        dot->tiles = (uint32_t)pixels / 4u;
        layer->four(dot);
    }
    if (pixels % 4 != 0) {
        const uint32_t done = (uint32_t)pixels & ~3u;
        dot->input += done * dot->input_pixel;
        dot->output += done * dot->output_pixel;
        if (layer->column_bytes != 0) {
            dot->tile += done * dot->input_pixel;
        }
        dot->tiles = 1u;
        layer->rest(dot);
    }
}

static hilnas_dot arguments(const hilnas_packed_convolution *layer, int8_t *output, int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t place = layer->column_bytes != 0 ? layer->column_bytes : g->input_channels;
    return (hilnas_dot){.input = 0,
                        .output = output,
                        .stream = layer->stream,
                        .stream_end = layer->stream + g->output_channels / 2 * (layer->steps + PAIR_WORDS),
                        .tile = scratch,
                        .tiles = 0u,
                        .input_pixel = (uint32_t)(place * g->stride_x),
                        .output_pixel = (uint32_t)g->output_channels,
                        .steps = (uint32_t)layer->steps};
}

/* `places` values of a filter's row from `target` on, `step` bytes apart from column to column, become the zero point.
 */
static void fill(const hilnas_packed_convolution *layer, int8_t *target, int32_t columns) {
    const int32_t channels = layer->geometry.input_channels;
    for (int32_t x = 0; x < columns; x++, target += layer->column_bytes) {
        int16_t *values = (int16_t *)(void *)target;
        for (int32_t c = 0; c < channels; c++) {
            values[c] = layer->input_zero_point;
        }
    }
}

/* Widens the rows under output row `y`. */
static void widen(const hilnas_packed_convolution *layer, const hilnas_rows *input, int32_t y, int8_t *columns) {
    const hilnas_geometry *g = &layer->geometry;
    const int32_t right = (g->output_width - 1) * g->stride_x + g->window_width - g->pad_left - g->input_width;
    for (int32_t ky = 0; ky < g->window_height; ky++) {
        const int32_t row = y * g->stride_y - g->pad_top + ky;
        int8_t *target = columns + ky * g->input_channels * 2;
        if (row < 0 || row >= g->input_height) {
            fill(layer, target, g->pad_left + g->input_width + (right > 0 ? right : 0));
            continue;
        }
        int8_t *inside = target + g->pad_left * layer->column_bytes;
        fill(layer, target, g->pad_left);
        layer->widen(hilnas_row(input, row), inside, (uint32_t)g->input_width);
        fill(layer, inside + g->input_width * layer->column_bytes, right);
    }
}

void hilnas_convolve_packed_rows(const hilnas_packed_convolution *layer, const hilnas_rows *input, int32_t first,
                                 int32_t count, int8_t *output, int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    for (int32_t y = first; y < first + count; y++, output += g->output_width * g->output_channels) {
        hilnas_dot dot = arguments(layer, output, scratch);
        if (layer->column_bytes != 0) {
            widen(layer, input, y, scratch);
        } else {
            dot.input = hilnas_row(input, y * g->stride_y);
        }
        run(layer, &dot, g->output_width);
    }
}

void hilnas_convolve_packed(const hilnas_packed_convolution *layer, const int8_t *input, int8_t *output,
                            int8_t *scratch) {
    const hilnas_geometry *g = &layer->geometry;
    if (layer->column_bytes == 0 && g->stride_x == 1 && g->stride_y == 1) {
        /* The rows of the image are one long row. */
        hilnas_dot dot = arguments(layer, output, scratch);
        dot.input = input;
        run(layer, &dot, g->output_height * g->output_width);
        return;
    }
    const hilnas_rows rows = {input, g->input_width * g->input_channels, g->input_height};
    hilnas_convolve_packed_rows(layer, &rows, 0, g->output_height, output, scratch);
}
