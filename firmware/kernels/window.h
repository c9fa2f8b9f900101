/* The part of a pooling window that lies on the image. */
#ifndef HILNAS_WINDOW_H
#define HILNAS_WINDOW_H

#include "kernels.h"

typedef struct {
    int32_t top, bottom, left, right; /* rows top .. bottom - 1, columns left .. right - 1 */
} hilnas_window;

static inline hilnas_window hilnas_window_at(const hilnas_geometry *g, int32_t output_y, int32_t output_x) {
    const int32_t top = output_y * g->stride_y - g->pad_top, left = output_x * g->stride_x - g->pad_left;
    const int32_t bottom = top + g->window_height, right = left + g->window_width;
    return (hilnas_window){top > 0 ? top : 0, bottom < g->input_height ? bottom : g->input_height, left > 0 ? left : 0,
                           right < g->input_width ? right : g->input_width};
}

#endif
