/* MAX_POOL_2D. */
#include "fixed_point.h"
#include "kernels.h"
#include "window.h"

static int32_t maximum(const hilnas_geometry *g, const hilnas_window *window, const int8_t *input) {
    int32_t best = INT8_MIN;
    for (int32_t y = window->top; y < window->bottom; y++) {
        for (int32_t x = window->left; x < window->right; x++) {
            const int32_t value = input[(y * g->input_width + x) * g->input_channels];
            best = value > best ? value : best;
        }
    }
    return best;
}

void hilnas_pool_maximum(const hilnas_pooling *layer, const int8_t *input, int8_t *output) {
    const hilnas_geometry *g = &layer->geometry;
    for (int32_t oy = 0; oy < g->output_height; oy++) {
        for (int32_t ox = 0; ox < g->output_width; ox++) {
            const hilnas_window window = hilnas_window_at(g, oy, ox);
            for (int32_t c = 0; c < g->input_channels; c++) {
                *output++ = (int8_t)hilnas_clamp(maximum(g, &window, input + c), layer->output.low, layer->output.high);
            }
        }
    }
}
