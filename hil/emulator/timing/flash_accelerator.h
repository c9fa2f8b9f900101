/* The caches that some parts have in front of their flash instead of in the core, as ST's ART accelerator: one for
 * instructions and one for data, each behind a register that keeps what was read last. The flash is read by words of
 * some 8 or 16 bytes; a line of a cache fills one such word at a time, as it is asked for. */
#ifndef HILNAS_TIMING_FLASH_ACCELERATOR_H
#define HILNAS_TIMING_FLASH_ACCELERATOR_H

#include "cache.h"

struct flash_port {
    struct cache cache;
    uint32_t held; /* the number of the word that was read last */
};

struct flash_accelerator {
    struct flash_port instructions, data;
    uint32_t base, size; /* of the flash; 0: there is no accelerator */
    int32_t wait_states; /* in cycles of the core */
    uint32_t word_bytes;
    bool prefetches; /* reads on while instructions of the word before are asked for */
};

/* Sets the caches up, of so many lines, which may be none. -1 when there is no memory or the geometry is not one of
 * powers of two with at most 8 words a line. */
int flash_accelerator_create(struct flash_accelerator *flash, uint32_t line_bytes, uint32_t instruction_lines,
                             uint32_t data_lines);
void flash_accelerator_destroy(struct flash_accelerator *flash);

/* Whether the word at an address must be read from the flash: neither the register nor, while it is on, the cache has
 * it. They have it from now on. */
bool flash_misses(const struct flash_accelerator *flash, struct flash_port *port, uint32_t address, bool is_cached);

/* Forgets what a port holds. */
void flash_forget(struct flash_port *port);

#endif
