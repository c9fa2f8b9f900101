/* AVERAGE_POOL_2D of four channels at a time, for windows of at most 255 places: sums of int8 stay within int16. */
#include "dsp.h"
#include "fixed_point.h"
#include "kernels.h"
#include "window.h"

typedef struct {
    uint32_t even, odd; /* sums of channels 0 and 2, of channels 1 and 3 */
} sums;

static void add_pixels(sums *sum, const int8_t *pixel, int32_t pixels, int32_t channels) {
#pragma GCC unroll 8
    for (int32_t i = 0; i < pixels; i++, pixel += channels) {
        const uint32_t four = hilnas_load(pixel);
        sum->even = hilnas_add_even_bytes(sum->even, four);
        sum->odd = hilnas_add_odd_bytes(sum->odd, four);
    }
}

/* A window as wide as the image is one long row. */
static sums sum_of(const hilnas_geometry *g, const hilnas_window *window, const int8_t *input) {
    sums sum = {0u, 0u};
    const int32_t width = window->right - window->left;
    const int32_t rows = width == g->input_width ? 1 : window->bottom - window->top;
    const int32_t pixels = rows == 1 ? (window->bottom - window->top) * width : width;
    const int8_t *row = input + (window->top * g->input_width + window->left) * g->input_channels;
    for (int32_t y = 0; y < rows; y++, row += g->input_width * g->input_channels) {
        add_pixels(&sum, row, pixels, g->input_channels);
    }
    return sum;
}

static int32_t average(const hilnas_output *output, int32_t sum, int32_t count) {
    const int32_t value = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return hilnas_clamp(value, output->low, output->high);
}

void hilnas_pool_average_dsp(const hilnas_pooling *layer, const int8_t *input, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    for (int32_t oy = 0; oy < g->output_height; oy++) {
        for (int32_t ox = 0; ox < g->output_width; ox++) {
            const hilnas_window window = hilnas_window_at(g, oy, ox);
            const int32_t count = (window.bottom - window.top) * (window.right - window.left);
            for (int32_t c = 0; c < g->input_channels; c += 4, output += 4) {
                const sums sum = sum_of(g, &window, input + c);
                const int32_t first = average(&layer->output, hilnas_low_lane(sum.even), count);
                const int32_t second = average(&layer->output, hilnas_low_lane(sum.odd), count);
                const int32_t third = average(&layer->output, hilnas_high_lane(sum.even), count);
                const int32_t fourth = average(&layer->output, hilnas_high_lane(sum.odd), count);
                hilnas_store(output, hilnas_pack(first, second, third, fourth));
            }
        }
    }
}
