/* PAD of up to four axes, where no convolution could take it over. */
#include <string.h>

#include "kernels.h"

static int32_t inside(const hilnas_padding *layer, int32_t axis, int32_t place) {
    const int32_t from = place - layer->before[axis];
    return from >= 0 && from < layer->sizes[axis];
}

void hilnas_pad(const hilnas_padding *layer, const int8_t *input, int8_t *output) {
    const int32_t *sizes = layer->output_sizes;
    const int32_t run = layer->sizes[3];
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++, output += sizes[3]) {
                memset(output, layer->value, (uint32_t)sizes[3]);
                if (inside(layer, 0, i) && inside(layer, 1, j) && inside(layer, 2, k)) {
                    memcpy(output + layer->before[3], input, (uint32_t)run);
                    input += run;
                }
            }
        }
    }
}
