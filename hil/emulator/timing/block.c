#include "block.h"

#include <stdlib.h>
#include <string.h>

static void note_instruction(struct block *block, const struct instruction *instruction) {
    if (instruction->traits & TRAIT_UNKNOWN) {
        block->unknown_address = instruction->address;
        block->unknown_count++;
    }
    if (instruction->access_count)
        block->access_count++;
}

struct block *block_create(uint32_t address, const uint8_t *code, uint32_t size, uint8_t it_state,
                           const struct parameters *p) {
    const struct long_instructions lengths = {
        .divide = (uint8_t)p->divide,
        .table_branch = (uint8_t)p->table_branch,
        .system = (uint8_t)p->system,
        .fp_divide = (uint8_t)p->fp_divide,
        .fp_square_root = (uint8_t)p->fp_square_root,
        .double_add = (uint8_t)p->double_add,
        .double_multiply = (uint8_t)p->double_multiply,
        .double_fused = (uint8_t)p->double_fused,
        .double_divide = (uint8_t)p->double_divide,
        .fp_fused = (uint8_t)p->fp_fused,
        .fp_move_pair = (uint8_t)p->fp_move_pair,
        .multiple_start = (uint8_t)p->multiple_start,
        .multiple_words = (uint8_t)p->multiple_words,
    };
    struct block *block = calloc(1, sizeof *block);
    if (!block)
        return NULL;
    block->address = address;
    block->size = size;
    block->instructions = calloc(size / 2 + 1, sizeof *block->instructions);
    block->code = malloc(size + 1);
    if (!block->instructions || !block->code) {
        block_destroy(block);
        return NULL;
    }
    memcpy(block->code, code, size);
    for (uint32_t offset = 0; offset + 2 <= size;) {
        struct instruction *instruction = &block->instructions[block->instruction_count++];
        instruction_decode(instruction, address + offset, code + offset, size - offset, it_state, &lengths);
        it_state = instruction->it_state ? instruction->it_state : it_advance(it_state);
        offset += instruction->size;
        note_instruction(block, instruction);
    }
    block->it_state = it_state;
    return block;
}

void block_destroy(struct block *block) {
    for (struct variant *variant = block->variants, *next; variant; variant = next) {
        next = variant->next;
        free(variant->accesses);
        free(variant);
    }
    free(block->instructions);
    free(block->code);
    free(block);
}

static uint64_t written(const struct instruction *instruction) {
    uint64_t mask = 0;
    for (unsigned n = 0; n < instruction->write_count; n++)
        mask |= instruction->writes[n].mask;
    return mask;
}

/* When the data of the load at `index` must be there, as if every load hit: before the first reader or overwriter. */
static int16_t deadline_of(const struct block *block, const struct placement *places, uint32_t index, uint64_t loaded,
                           enum result_kind kind, const struct parameters *parameters) {
    const int8_t *latency = parameters->latency[kind];
    int32_t deadline = INT32_MAX;
    for (uint32_t n = index + 1; n < block->instruction_count && loaded; n++) {
        const struct instruction *later = &block->instructions[n];
        for (unsigned r = 0; r < later->read_count; r++)
            if (later->reads[r].mask & loaded) {
                int32_t cycle = places[n].cycle - latency[later->reads[r].how];
                deadline = cycle < deadline ? cycle : deadline;
                loaded &= ~later->reads[r].mask;
            }
        if (written(later) & loaded) {
            int32_t cycle = places[n].cycle - latency[ROLE_LATE];
            deadline = cycle < deadline ? cycle : deadline;
            loaded &= ~written(later);
        }
    }
    if (deadline == INT32_MAX)
        return NO_USE;
    deadline = deadline > places[index].cycle ? deadline : places[index].cycle;
    return (int16_t)(deadline < INT16_MAX ? deadline : INT16_MAX);
}

static void fill_accesses(const struct block *block, struct variant *variant, const struct placement *places,
                          const struct parameters *parameters) {
    struct access *access = variant->accesses;
    for (uint32_t n = 0; n < block->instruction_count; n++) {
        const struct instruction *instruction = &block->instructions[n];
        if (!instruction->access_count)
            continue;
        *access = (struct access){
            .instruction = instruction,
            .cycle = places[n].cycle,
            .deadline = NO_USE,
            .is_store = (instruction->traits & TRAIT_STORE) != 0,
            .is_younger = places[n].younger,
            .is_paired_load = places[n].paired_load,
            .is_overlapped = places[n].overlapped,
        };
        if (instruction->traits & TRAIT_LOAD && instruction->write_count) {
            access->registers = instruction->writes[0].mask;
            access->kind = instruction->writes[0].how;
            access->deadline = deadline_of(block, places, n, access->registers, access->kind, parameters);
        }
        bool pairs_here = places[n].paired_load && n && !(instruction->traits & TRAIT_CONDITIONAL);
        if (pairs_here) /* with the access before */
            access[-1].is_paired_older = true;
        access++;
    }
}

struct variant *block_schedule(struct block *block, uint32_t entry, const struct pipeline *state, bool by_branch,
                               const struct parameters *parameters) {
    struct variant *variant = calloc(1, sizeof *variant);
    struct placement *places = calloc(block->instruction_count + 1, sizeof *places);
    if (variant)
        variant->accesses = calloc(block->access_count + 1, sizeof *variant->accesses);
    if (!variant || !places || !variant->accesses) {
        if (variant)
            free(variant->accesses);
        free(variant);
        free(places);
        return NULL;
    }
    variant->block = block;
    variant->entry = entry;
    variant->by_branch = by_branch;
    schedule_block(&variant->schedule, places, block->instructions, block->instruction_count, state, by_branch,
                   parameters);
    fill_accesses(block, variant, places, parameters);
    free(places);
    variant->next = block->variants;
    block->variants = variant;
    return variant;
}
