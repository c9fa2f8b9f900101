/* Fetching instructions: through the cache of the core, or of the flash. */
#include "memory.h"

/* Whether a line need not be fetched. Of what is not cached there is only the line that was fetched last. */
static bool is_fetched(struct memory_system *system, uint32_t line) {
    return (system->instructions_cached && cache_find(&system->instructions, line)) || line == system->fetched_line;
}

/* A word that comes straight on is asked for as soon as the one before has been handed over, which takes a cycle a
 * fetch, or with prefetch as soon as that one was read; meanwhile the core runs what it has. */
static void fetch_from_flash(struct memory_system *system, struct clock *clock, const struct block_fetch *block) {
    struct flash_accelerator *flash = &system->flash;
    if (block->address - flash->base >= flash->size || !block->size)
        return;
    uint32_t bytes = flash->word_bytes, last = (block->address + block->size - 1) / bytes;
    int32_t handed_over = flash->prefetches ? 1 : (int32_t)bytes / system->parameters->fetch_bytes;
    int32_t runs = (int32_t)(block->cycles * bytes / block->size); /* cycles that a word lasts, on average */
    for (uint32_t word = block->address / bytes; word <= last; word++) {
        bool goes_on = word == flash->instructions.held + 1;
        if (flash_misses(flash, &flash->instructions, word * bytes, system->instructions_cached))
            stall(clock, CAUSE_INSTRUCTION_MISS, flash->wait_states + (goes_on ? handed_over - runs : 0));
    }
}

void memory_fetch(struct memory_system *system, struct clock *clock, const struct block_fetch *block) {
    if (!system->instructions.lines) {
        fetch_from_flash(system, clock, block);
        return;
    }
    uint32_t bytes = (uint32_t)system->parameters->cache_line_bytes, address = block->address;
    uint32_t last = (address + (block->size ? block->size - 1 : 0)) & ~(bytes - 1);
    for (uint32_t line = address & ~(bytes - 1); line <= last; line += bytes) {
        if (is_fetched(system, line))
            continue;
        int index = memory_at(system, line);
        if (index < 0 || system->memories[index].path != PATH_BUS)
            continue;
        struct memory *memory = &system->memories[index];
        uint64_t start = now(clock) > memory->free ? now(clock) : memory->free;
        int64_t wait = (int64_t)(start - now(clock)) + memory->fill;
        if (line == system->next_instruction_line) /* straight on: fetched while the line before it runs */
            wait -= system->parameters->fetch_ahead;
        memory->free = start + (uint64_t)memory->occupancy;
        stall(clock, CAUSE_INSTRUCTION_MISS, wait);
        bool is_cached = system->instructions_cached && memory_attributes(system, memory, line).caches_instructions;
        system->fetched_line = is_cached ? NO_LINE : line;
        if (is_cached)
            cache_allocate(&system->instructions, line);
    }
    system->next_instruction_line = last + bytes;
}
