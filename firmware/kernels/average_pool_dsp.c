/* AVERAGE_POOL_2D of four channels at a time, for windows of at most 255 places: sums of int8 stay within int16. */
#include "dsp.h"
#include "fixed_point.h"
#include "kernels.h"
#include "window.h"

typedef struct {
    uint32_t even, odd; /* sums of channels 0 and 2, of channels 1 and 3 */
} sums;

static sums sum_of(const hilnas_geometry *g, const hilnas_window *window, const int8_t *input) {
    sums sum = {0u, 0u};
    for (int32_t y = window->top; y < window->bottom; y++) {
        const int8_t *pixel = input + (y * g->input_width + window->left) * g->input_channels;
#pragma GCC unroll 4
        for (int32_t x = window->left; x < window->right; x++, pixel += g->input_channels) {
            const uint32_t four = hilnas_load(pixel);
            sum.even = hilnas_add_even_bytes(sum.even, four);
            sum.odd = hilnas_add_odd_bytes(sum.odd, four);
        }
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
