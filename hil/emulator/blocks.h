/* The blocks of code that have been executed, each decoded once. */
#ifndef HILNAS_BLOCKS_H
#define HILNAS_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t address;
    uint32_t size; /* 0: a free slot */
    uint32_t instructions;
    uint32_t checksum; /* of the code */
    bool is_endless;   /* a branch to itself */
    void *timing;
} block;

/* A hash table by address and size that never forgets. */
typedef struct {
    block *slots;
    size_t capacity, count;
} block_table;

bool blocks_create(block_table *self);
void blocks_destroy(block_table *self);
/* The slot of the block: filled, or free (size 0) for the caller to fill through `blocks_add`. */
block *blocks_find(block_table *self, uint32_t address, uint32_t size);
/* Null if memory is short. */
block *blocks_add(block_table *self, block added);

/* Whether it is a branch to itself alone. */
bool is_endless(const uint8_t *code, uint32_t size);

/* Tells one code from another. */
uint32_t code_checksum(const uint8_t *code, uint32_t size);

/* Instructions in `size` bytes of Thumb code. */
uint32_t thumb_instructions(const uint8_t *code, uint32_t size);

#endif
