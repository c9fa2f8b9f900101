/* What a timing model is to the machine. Without one, time is instructions times a constant.
 *
 * The machine calls `decode` once for every block of code (straight-line instructions, entered only at its start),
 * `enter` each time one is executed and, if it is not null, `access` for each load and store that the block then makes,
 * in order. `cycles` is the time so far: that at the end of the entered block as far as it is known. */
#ifndef HILNAS_TIMING_H
#define HILNAS_TIMING_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    void *model;
    void *(*decode)(void *model, uint32_t address, const uint8_t *code, uint32_t size);
    void (*enter)(void *model, void *block);
    void (*access)(void *model, uint32_t address, uint32_t size, bool is_write);
    uint64_t (*cycles)(void *model);
} timing_model;

#endif
