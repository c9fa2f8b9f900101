/* Operators that only move bytes: CONCATENATION, SPLIT, slices, PACK, TILE, TRANSPOSE, PAD and their like. */
#include <string.h>

#include "kernels.h"

static void move_run(const hilnas_block *block, const int8_t *from, int8_t *to) {
    const int32_t run = block->sizes[3], source = block->source_strides[3], target = block->target_strides[3];
    if (source == 1 && target == 1) {
        memcpy(to, from, (uint32_t)run);
        return;
    }
    for (int32_t i = 0; i < run; i++) {
        to[i * target] = from[i * source];
    }
}

static void move_block(const hilnas_block *block, const int8_t *source, int8_t *target) {
    const int32_t *sizes = block->sizes, *s = block->source_strides, *t = block->target_strides;
    for (int32_t i = 0; i < sizes[0]; i++) {
        for (int32_t j = 0; j < sizes[1]; j++) {
            for (int32_t k = 0; k < sizes[2]; k++) {
                move_run(block, source + i * s[0] + j * s[1] + k * s[2], target + i * t[0] + j * t[1] + k * t[2]);
            }
        }
    }
}

void hilnas_move(const hilnas_movement *layer, const void *const *inputs, void *const *outputs) {
    if (layer->filled_bytes) {
        memset(outputs[0], layer->fill, (uint32_t)layer->filled_bytes);
    }
    for (int32_t i = 0; i < layer->block_count; i++) {
        const hilnas_block *block = &layer->blocks[i];
        const int8_t *source = inputs[block->place.source];
        int8_t *target = outputs[block->place.target];
        move_block(block, source + block->place.source_offset, target + block->place.target_offset);
    }
}
