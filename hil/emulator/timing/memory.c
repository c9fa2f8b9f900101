#include "memory.h"

#include <stdlib.h>
#include <string.h>

int memory_system_create(struct memory_system *system, const struct parameters *p) {
    system->parameters = p;
    uint32_t line = (uint32_t)p->cache_line_bytes;
    if (cache_create(&system->instructions, (uint32_t)p->instruction_cache_bytes, (uint32_t)p->instruction_cache_ways,
                     line, p->random_replacement) ||
        cache_create(&system->data, (uint32_t)p->data_cache_bytes, (uint32_t)p->data_cache_ways, line,
                     p->random_replacement))
        return -1;
    system->fetched_line = NO_LINE;
    memory_protect(system, MPU_CTRL, 0);
    return 0;
}

void memory_protect(struct memory_system *system, uint32_t offset, uint32_t value) {
    protection_write(&system->protection, offset, value);
    for (unsigned n = 0; n < system->memory_count; n++) {
        struct memory *memory = &system->memories[n];
        memory->is_uniform = attributes_are_uniform(&system->protection, memory->base, memory->size);
        memory->attributes = attributes_at(&system->protection, memory->base);
    }
}

void memory_system_destroy(struct memory_system *system) {
    cache_destroy(&system->instructions);
    cache_destroy(&system->data);
    flash_accelerator_destroy(&system->flash);
    for (unsigned n = 0; n < system->memory_count; n++)
        free(system->memories[n].code_lines);
}

void memory_forget_instructions(struct memory_system *system) {
    cache_forget_all(&system->instructions);
    system->next_instruction_line = 0;
}

void memory_forget_data(struct memory_system *system, uint32_t set, uint32_t way) {
    cache_forget(&system->data, set, way);
    for (unsigned n = 0; n < system->memory_count; n++)
        memset(system->memories[n].streams, 0, sizeof system->memories[n].streams);
}

int memory_search(struct memory_system *system, uint32_t address) {
    for (unsigned n = 0; n < system->memory_count; n++)
        if (address - system->memories[n].base < system->memories[n].size) {
            system->last_memory = n;
            return (int)n;
        }
    return -1;
}

/* Loads that miss: the data may come late, as long as nobody needs them. */

static void wait_for(struct memory_system *system, struct clock *clock, unsigned index) {
    const struct waiting *load = &system->waiting[index];
    uint64_t needed = load->deadline + clock->stalled;
    if (load->ready > needed)
        stall(clock, load->cause, (int64_t)(load->ready - needed));
    system->waiting[index] = system->waiting[--system->waiting_count];
}

void memory_wait(struct memory_system *system, struct clock *clock, uint64_t scheduled) {
    while (system->waiting_count) {
        unsigned first = 0;
        for (unsigned n = 1; n < system->waiting_count; n++)
            if (system->waiting[n].deadline < system->waiting[first].deadline)
                first = n;
        if (system->waiting[first].deadline > scheduled)
            return;
        wait_for(system, clock, first);
    }
}

void memory_find_uses(struct memory_system *system, const struct clock *clock, const struct schedule *schedule) {
    for (unsigned n = 0; n < system->waiting_count;) {
        struct waiting *load = &system->waiting[n];
        if (load->ready <= now(clock)) {
            *load = system->waiting[--system->waiting_count];
            continue;
        }
        for (uint64_t mask = load->registers; mask && load->deadline == UINT64_MAX; mask &= mask - 1) {
            unsigned r = (unsigned)__builtin_ctzll(mask);
            if (schedule->first_use[r] == NO_USE)
                continue;
            int64_t cycle =
                schedule->first_use[r] - system->parameters->latency[load->kind][schedule->first_use_role[r]];
            load->deadline = clock->scheduled + (uint64_t)(cycle > 0 ? cycle : 0);
        }
        n++;
    }
}

static void load_comes(struct memory_system *system, struct clock *clock, const struct access *access, uint64_t ready,
                       unsigned cause, uint64_t block_start) {
    if (ready <= now(clock))
        return;
    if (system->waiting_count == WAITING_MAX) {
        struct waiting *oldest = &system->waiting[0];
        if (oldest->deadline == UINT64_MAX)
            oldest->deadline = clock->scheduled;
        wait_for(system, clock, 0);
    }
    uint64_t deadline = access->deadline == NO_USE ? UINT64_MAX : block_start + (uint64_t)access->deadline;
    system->waiting[system->waiting_count++] =
        (struct waiting){ready, deadline, access->registers, access->kind, (uint8_t)cause};
}

/* Fills */

static struct line_in_flight *in_flight(struct memory_system *system, uint32_t line, uint64_t cycle) {
    if (system->in_flight_done <= cycle)
        return NULL;
    for (int n = 0; n < system->parameters->linefill_buffers; n++)
        if (system->in_flight[n].line == line && system->in_flight[n].done > cycle)
            return &system->in_flight[n];
    return NULL;
}

static uint64_t beat_comes(const struct memory_system *system, const struct line_in_flight *fill, uint32_t address) {
    uint32_t beats = (uint32_t)system->parameters->cache_line_bytes / 8;
    uint32_t beat = (address / 8 + beats - fill->first_beat) % beats;
    return fill->first + (uint64_t)beat * (uint64_t)fill->beat;
}

/* Whether the line goes on with one of the streams; from now on the next one would. */
static bool goes_on(struct memory *memory, uint32_t line) {
    for (unsigned n = 0; n < STREAMS; n++)
        if (memory->streams[n] == line) {
            memory->streams[n] = line + 1;
            return true;
        }
    memory->streams[memory->next_stream] = line + 1;
    memory->next_stream = (memory->next_stream + 1) % STREAMS;
    return false;
}

/* Starts a line fill as soon as a buffer is free, for which the core waits when it `blocks`. */
static struct line_in_flight *start_fill(struct memory_system *system, struct clock *clock, int index, uint32_t address,
                                         bool blocks) {
    struct memory *memory = &system->memories[index];
    struct line_in_flight *fill = &system->in_flight[0];
    for (int n = 1; n < system->parameters->linefill_buffers; n++)
        if (system->in_flight[n].done < fill->done)
            fill = &system->in_flight[n];
    if (blocks && fill->done > now(clock))
        stall(clock, CAUSE_DATA_MISS + (unsigned)index, (int64_t)(fill->done - now(clock)));
    uint64_t start = now(clock);
    start = start > fill->done ? start : fill->done;
    start = start > memory->free ? start : memory->free;
    uint32_t line = address >> system->data.line_shift, beats = (uint32_t)system->parameters->cache_line_bytes / 8;
    int32_t latency = goes_on(memory, line) ? memory->sequential_fill : memory->fill;
    fill->line = line;
    fill->first = start + (uint64_t)latency;
    fill->done = fill->first + (uint64_t)((int32_t)(beats - 1) * memory->beat);
    fill->first_beat = (uint8_t)(address / 8 % beats);
    fill->beat = memory->beat;
    fill->cause = (uint8_t)(CAUSE_DATA_MISS + index);
    memory->free = start + (uint64_t)memory->occupancy;
    if (fill->done > system->in_flight_done)
        system->in_flight_done = fill->done;
    struct cache_line former = cache_allocate(&system->data, address);
    if (former.valid && former.dirty) {
        int victim = memory_at(system, former.line << system->data.line_shift);
        if (victim >= 0)
            system->memories[victim].free += (uint64_t)system->memories[victim].occupancy;
    }
    return fill;
}

/* Loads */

static void load_line(struct memory_system *system, struct clock *clock, const struct access *access, int index,
                      uint32_t address, uint64_t block_start) {
    struct line_in_flight *fill;
    if (!system->data.lines)
        return;
    struct memory *memory = &system->memories[index];
    if (!system->data_cached || !memory_attributes(system, memory, address).caches_data) {
        uint64_t start = now(clock) > memory->free ? now(clock) : memory->free;
        memory->free = start + (uint64_t)memory->beat;
        load_comes(system, clock, access, start + (uint64_t)memory->fill, CAUSE_DATA_MISS + (unsigned)index,
                   block_start);
        return;
    }
    if (cache_find(&system->data, address))
        fill = in_flight(system, address >> system->data.line_shift, now(clock));
    else
        fill = start_fill(system, clock, index, address, true);
    if (fill)
        load_comes(system, clock, access, beat_comes(system, fill, address), fill->cause, block_start);
}

/* The address of a transfer goes out while the data of the load before it come only if both are of one memory. */
static void wait_for_other_memory(struct memory_system *system, struct clock *clock, int index) {
    const struct memory *memory = index < 0 ? NULL : &system->memories[index];
    if (!memory || system->last_load_address - memory->base >= memory->size)
        stall(clock, CAUSE_LOAD_USE, system->parameters->load_data_phase);
}

/* A load of one register waits for a word that was stored a moment ago. */
static void wait_for_stored_word(const struct memory_system *system, struct clock *clock, uint32_t address) {
    uint64_t ready = 0;
    if (system->stored_load <= now(clock))
        return;
    for (unsigned n = 0; n < STORED_WORDS; n++)
        if (system->stored[n].word == address / 4 && system->stored[n].loads > ready)
            ready = system->stored[n].loads;
    stall(clock, CAUSE_STORE_BUFFER, (int64_t)(ready - now(clock)));
}

/* Charges what alignment and banks cost a load, or a pair of them as soon as both addresses are known. */
static void align(struct memory_system *system, struct clock *clock, const struct access *access, uint32_t address,
                  unsigned bytes) {
    const struct parameters *p = system->parameters;
    unsigned alignment = bytes > 4 ? 4 : bytes;
    bool unaligned = address & (alignment - 1), older_unaligned = false, same_bank = false;
    int32_t charged = 0;
    if (access->is_paired_load) {
        older_unaligned = system->last_load_unaligned;
        same_bank = !((address ^ system->last_load_address) & 4);
        charged = system->last_load_charged;
    }
    int32_t cost = 0;
    if (unaligned && older_unaligned)
        cost = p->unaligned_load_pair;
    else if (unaligned)
        cost = access->is_younger ? p->unaligned_load_younger : p->unaligned_load_older;
    else if (older_unaligned)
        cost = p->unaligned_load_older;
    if (same_bank && unaligned != older_unaligned)
        cost -= p->unaligned_load_same_bank;
    if (same_bank && !cost)
        stall(clock, CAUSE_BANK_CONFLICT, p->bank_conflict);
    if (access->is_paired_older)
        cost = 0;
    stall(clock, CAUSE_UNALIGNED, cost - charged);
    if (alignment == 4 && (address & 1))
        stall(clock, CAUSE_UNALIGNED, p->unaligned_load_odd_word);
    system->last_load_unaligned = unaligned;
    system->last_load_charged = cost;
}

void memory_load(struct memory_system *system, struct clock *clock, const struct access *access, uint32_t address,
                 unsigned bytes) {
    uint64_t block_start = clock->scheduled;
    if (system->waiting_count)
        memory_wait(system, clock, block_start + access->cycle);
    clock->scheduled += access->cycle;
    if (access->instruction->access_count == 1)
        wait_for_stored_word(system, clock, address);
    int index = memory_at(system, address);
    if (access->is_overlapped)
        wait_for_other_memory(system, clock, index);
    align(system, clock, access, address, bytes);
    system->last_load_address = address;
    if (index < 0) {
        stall(clock, CAUSE_DEVICE, system->parameters->device_access);
    } else if (system->memories[index].path == PATH_BUS) {
        load_line(system, clock, access, index, address, block_start);
        uint32_t last = address + bytes - 1;
        if ((address ^ last) >> system->data.line_shift && memory_at(system, last) == index)
            load_line(system, clock, access, index, last, block_start);
    } else if (system->memories[index].path == PATH_ACCELERATED) {
        if (flash_misses(&system->flash, &system->flash.data, address, system->data_cached))
            stall(clock, CAUSE_DATA_MISS + (unsigned)index, system->flash.wait_states);
    }
    clock->scheduled = block_start;
}

/* Stores: they wait in the store buffer, which leaves them in order; the core waits only for a free place. */

/* When the store can leave, as far as the cache and the bus are concerned. */
static uint64_t store_line(struct memory_system *system, struct clock *clock, int index, uint32_t address) {
    struct memory *memory = &system->memories[index];
    uint32_t line = address >> system->data.line_shift;
    if (line != system->last_stored_line) {
        system->lines_stored = line == system->last_stored_line + 1 ? system->lines_stored + 1 : 0;
        system->last_stored_line = line;
    }
    struct attributes attributes = memory_attributes(system, memory, address);
    bool is_cached = system->data.lines && system->data_cached && attributes.caches_data;
    struct cache_line *held = is_cached ? cache_find(&system->data, address) : NULL;
    if (held && attributes.writes_back) {
        held->dirty = true;
        struct line_in_flight *fill = in_flight(system, line, now(clock));
        return fill ? fill->done : 0;
    }
    bool streams = system->lines_stored >= (uint32_t)system->parameters->streaming_after_lines;
    if (held || !is_cached || !attributes.allocates_on_write || streams) { /* goes to the memory itself */
        uint64_t start = now(clock) > memory->free ? now(clock) : memory->free;
        memory->free = start + (uint64_t)(address % 8 < 4 ? memory->beat : 0);
        return start;
    }
    struct line_in_flight *fill = start_fill(system, clock, index, address, false);
    system->data.last->dirty = true;
    return fill->done;
}

static void note_stored_word(struct memory_system *system, const struct clock *clock, uint32_t address) {
    uint64_t loads = now(clock) + (uint64_t)system->parameters->load_of_stored_word;
    system->stored[system->stored_next] = (struct stored_word){loads, address / 4};
    system->stored_next = (system->stored_next + 1) % STORED_WORDS;
    if (loads > system->stored_load)
        system->stored_load = loads;
}

void memory_store(struct memory_system *system, struct clock *clock, const struct access *access, uint32_t address,
                  unsigned bytes, unsigned word) {
    const struct parameters *p = system->parameters;
    uint64_t block_start = clock->scheduled;
    if (system->waiting_count)
        memory_wait(system, clock, block_start + access->cycle);
    clock->scheduled += access->cycle;
    int index = memory_at(system, address);
    if (access->is_overlapped)
        wait_for_other_memory(system, clock, index);
    if (word == 0 && access->instruction->access_count > 1 && access->instruction->access_count % 2 == 0 &&
        (address & 4)) /* even words, not in even pairs */
        stall(clock, CAUSE_UNALIGNED, p->odd_store_multiple);
    if (word > 0) { /* two words a cycle, those of 8 aligned bytes together */
        uint32_t first = address - 4 * word;
        clock->scheduled += (word + (first / 4 & 1)) / (unsigned)p->multiple_words;
    }
    note_stored_word(system, clock, address);
    if (word > 0 && ((address & 4) || p->multiple_words == 1)) { /* leaves with the word before, or in its own cycle */
        clock->scheduled = block_start;
        return;
    }
    uint64_t *place = &system->released[system->released_next];
    system->released_next = (system->released_next + 1) % (uint32_t)p->store_buffer_entries;
    if (*place > now(clock))
        stall(clock, CAUSE_STORE_BUFFER, (int64_t)(*place - now(clock)));
    bool unaligned = bytes <= 4 && (address & (bytes - 1));
    int32_t drain = unaligned ? p->unaligned_store_drain : bytes < 4 ? p->narrow_store_drain : 1;
    unsigned bank = (address >> 2) & 1;
    uint64_t start = now(clock) + (uint64_t)p->store_transit, other = system->bank_free[!bank];
    start = start > system->bank_free[bank] ? start : system->bank_free[bank];
    if (unaligned && other > start)
        start = other;
    if (index < 0) {
        drain = p->device_access;
    } else if (system->memories[index].path == PATH_BUS) {
        uint64_t leaves = store_line(system, clock, index, address);
        start = start > leaves ? start : leaves;
    }
    system->bank_free[bank] = start + (uint64_t)drain;
    if (unaligned)
        system->bank_free[!bank] = system->bank_free[bank];
    if (system->bank_free[bank] > system->last_release)
        system->last_release = system->bank_free[bank];
    *place = system->last_release;
    clock->scheduled = block_start;
}
