/* The dynamic part of the model: what depends on addresses. Caches, fills, write-backs, store buffer, alignment, banks.
 */
#ifndef HILNAS_TIMING_MEMORY_H
#define HILNAS_TIMING_MEMORY_H

#include "attributes.h"
#include "cache.h"
#include "flash_accelerator.h"
#include "parameters.h"
#include "schedule.h"

#define NO_LINE UINT32_MAX

enum { STREAMS = 4 }; /* sequences of lines that are told apart, as an inner loop reads them in turn */

enum memory_path { PATH_TIGHTLY_COUPLED, PATH_BUS, PATH_ACCELERATED };

struct memory {
    uint32_t base, size;
    uint8_t path;                           /* enum memory_path */
    bool is_uniform;                        /* in its attributes */
    struct attributes attributes;           /* of its first byte */
    int32_t fill;                           /* core cycles from a miss to the word that missed */
    int32_t sequential_fill;                /* the same for the line behind one of the last few that were filled */
    int32_t beat;                           /* core cycles between two words of 8 bytes of a line */
    int32_t occupancy;                      /* core cycles for which a line keeps the memory busy */
    uint64_t free;                          /* cycle from which it takes the next request */
    uint32_t streams[STREAMS], next_stream; /* lines that would go on with what was filled last */
    uint8_t *code_lines;                    /* one bit a 32 bytes of code that was decoded here; NULL: none */
};

/* Time: cycles of the static schedules, plus the stalls that were added to them. */
struct clock {
    uint64_t scheduled, stalled;
    uint64_t *causes; /* CAUSE_COUNT sums of the block that is running */
};

static inline uint64_t now(const struct clock *clock) {
    return clock->scheduled + clock->stalled;
}

static inline void stall(struct clock *clock, unsigned cause, int64_t cycles) {
    if (cycles > 0) {
        clock->stalled += (uint64_t)cycles;
        clock->causes[cause] += (uint64_t)cycles;
    }
}

/* One instruction's accesses, as scheduled. */
struct access {
    const struct instruction *instruction;
    uint64_t registers; /* that a load writes */
    uint16_t cycle;     /* of its issue, from the block's start */
    int16_t deadline;   /* of the data, at the cost of a hit, before something waits; NO_USE: nothing in this block */
    uint8_t kind;       /* enum result_kind of a load */
    bool is_store, is_younger, is_overlapped;
    bool is_paired_load;  /* the younger of two loads in a cycle */
    bool is_paired_older; /* the older one, if what the pair costs can wait until the younger one is known */
};

enum { WAITING_MAX = 8, LINES_IN_FLIGHT_MAX = 8, STORE_BUFFER_MAX = 16, STORED_WORDS = 8 };

/* A load whose data come later than those of a hit. */
struct waiting {
    uint64_t ready;    /* cycle in which the data are there */
    uint64_t deadline; /* in scheduled cycles; UINT64_MAX: not known yet */
    uint64_t registers;
    uint8_t kind, cause;
};

/* A word that was stored lately: two a cycle at most. */
struct stored_word {
    uint64_t loads; /* cycle from which it can be loaded */
    uint32_t word;  /* address / 4 */
};

struct line_in_flight {
    uint64_t first, done; /* cycles in which the missing word and the whole line are there */
    uint32_t line;
    uint8_t first_beat;
    int32_t beat;
    uint8_t cause;
};

struct memory_system {
    const struct parameters *parameters;
    struct memory memories[MEMORIES_MAX];
    unsigned memory_count, last_memory;
    struct cache instructions, data;
    struct protection protection;
    struct flash_accelerator flash;        /* of the memory that is accelerated */
    bool instructions_cached, data_cached; /* whether the caches are on */
    uint32_t fetched_line;                 /* the last one if it is not cached, else NO_LINE */
    struct waiting waiting[WAITING_MAX];
    unsigned waiting_count;
    struct line_in_flight in_flight[LINES_IN_FLIGHT_MAX];
    uint64_t in_flight_done; /* when the last of them is done */
    uint64_t released[STORE_BUFFER_MAX], bank_free[2], last_release;
    uint32_t released_next;
    struct stored_word stored[STORED_WORDS];
    uint64_t stored_load; /* cycle from which all of them can be loaded */
    uint32_t stored_next;
    int32_t last_load_charged; /* what not being aligned cost it */
    bool last_load_unaligned;
    uint32_t last_load_address, last_stored_line, lines_stored, next_instruction_line;
};

int memory_system_create(struct memory_system *system, const struct parameters *parameters);
void memory_system_destroy(struct memory_system *system);

/* A write to a register of the MPU. */
void memory_protect(struct memory_system *system, uint32_t offset, uint32_t value);

/* The instructions that are cached; a line of data, and which lines would go on with the last ones. */
void memory_forget_instructions(struct memory_system *system);
void memory_forget_data(struct memory_system *system, uint32_t set, uint32_t way);

/* The index of the memory at an address, or -1; `memory_at` looks first where it found the last one. */
int memory_search(struct memory_system *system, uint32_t address);

static inline int memory_at(struct memory_system *system, uint32_t address) {
    const struct memory *last = &system->memories[system->last_memory];
    return address - last->base < last->size ? (int)system->last_memory : memory_search(system, address);
}

static inline struct attributes memory_attributes(const struct memory_system *system, const struct memory *memory,
                                                  uint32_t address) {
    return memory->is_uniform ? memory->attributes : attributes_at(&system->protection, address);
}

/* One access of `bytes` at `address`: charges to the clock what it costs beyond the schedule of its block. `word`
 * counts the words that the same instruction stored before. */
void memory_load(struct memory_system *system, struct clock *clock, const struct access *access, uint32_t address,
                 unsigned bytes);
void memory_store(struct memory_system *system, struct clock *clock, const struct access *access, uint32_t address,
                  unsigned bytes, unsigned word);

/* A block of code about to run, and the cycles of its schedule. */
struct block_fetch {
    uint32_t address, size, cycles;
};

/* Fetches the lines of a block. */
void memory_fetch(struct memory_system *system, struct clock *clock, const struct block_fetch *block);

/* Waits for the loads that somebody needs before `scheduled`. */
void memory_wait(struct memory_system *system, struct clock *clock, uint64_t scheduled);

/* Finds in the schedule of the block that starts now when the loads are needed that no earlier block needed. */
void memory_find_uses(struct memory_system *system, const struct clock *clock, const struct schedule *schedule);

#endif
