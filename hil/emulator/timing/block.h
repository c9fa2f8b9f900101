/* Blocks of code as decoded, and their variants: one schedule for each state of the pipeline in which a block is
 * entered. */
#ifndef HILNAS_TIMING_BLOCK_H
#define HILNAS_TIMING_BLOCK_H

#include "memory.h"
#include "schedule.h"

struct variant {
    struct block *block;
    struct variant *next;         /* of the same block */
    struct variant *after_fall;   /* what ran after it, when the last instruction was no taken branch */
    struct variant *after_branch; /* what ran after it, when it was */
    struct access *accesses;      /* one for each instruction that accesses memory */
    uint64_t executions;
    uint64_t added[CAUSE_COUNT]; /* cycles added while it ran */
    uint32_t entry, exit;        /* numbers of pipeline states */
    bool by_branch;
    struct schedule schedule;
};

struct block {
    struct block *next;      /* of all blocks, newest first */
    struct block *same_hash; /* among those that are valid */
    struct variant *variants;
    struct instruction *instructions;
    uint8_t *code;
    uint32_t address, size, instruction_count, access_count;
    uint32_t unknown_count, unknown_address;
    uint8_t it_state; /* of an IT block that goes on behind it */
};

/* Decodes a block, which begins inside an IT block if `it_state` is not 0; NULL: out of memory. */
struct block *block_create(uint32_t address, const uint8_t *code, uint32_t size, uint8_t it_state,
                           const struct parameters *parameters);
void block_destroy(struct block *block);

/* Schedules the block for a state of the pipeline and adds the variant to it; NULL: out of memory. The number of the
 * state in which it leaves is the caller's to set. */
struct variant *block_schedule(struct block *block, uint32_t entry, const struct pipeline *state, bool by_branch,
                               const struct parameters *parameters);

static inline const struct instruction *block_last(const struct block *block) {
    return &block->instructions[block->instruction_count - 1];
}

#endif
