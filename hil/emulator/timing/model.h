/* The timing model: give it the blocks that run and the accesses that they make, and it tells the time.
 *
 * Each block is decoded once and scheduled once for each state of the pipeline in which it is entered; what depends on
 * addresses and on history (caches, branch prediction, store buffer, banks, alignment) is added while it runs. */
#ifndef HILNAS_TIMING_MODEL_H
#define HILNAS_TIMING_MODEL_H

#include "parameters.h"

struct model;
struct block;

struct model_memory {
    uint32_t base, size;
    int32_t on_bus; /* 0: tightly coupled */
    int32_t fill, sequential_fill, beat, occupancy;
};

struct model_block {
    uint32_t address, size;
    uint64_t executions, instructions;
    uint64_t cycles[CAUSE_COUNT];
};

/* Flash behind an accelerator; counts of lines may be 0. */
struct model_flash {
    uint32_t base, size;
    int32_t wait_states;
    uint32_t word_bytes, line_bytes, instruction_lines, data_lines;
};

enum model_warning_kind { WARNING_UNKNOWN_INSTRUCTION, WARNING_MODIFIED_CODE };

struct model_warning {
    uint32_t kind, address;
    uint64_t count; /* executions of the instruction, stores into code */
};

struct model *model_create(void);
void model_destroy(struct model *model);

/* Set a parameter by its name, a latency by its place in the table; -1: there is none of that name or place. */
int model_set(struct model *model, const char *name, int32_t value);
int model_set_latency(struct model *model, uint32_t kind, uint32_t role, int32_t value);
int model_add_memory(struct model *model, const struct model_memory *memory);

/* -1: there are too many memories, one is accelerated already, or the geometry is impossible. */
int model_add_flash(struct model *model, const struct model_flash *flash);

/* When the caches are on. */
enum cache_rule {
    CACHES_ON,     /* from the start; once the firmware has turned one on or off, as it sets them */
    CACHES_AS_SET, /* as the firmware sets them; off at the start */
    CACHES_OFF     /* never */
};
void model_set_caches(struct model *model, enum cache_rule rule);

/* Whether the firmware has turned one on or off. */
bool model_caches_were_set(const struct model *model);

/* After all parameters and memories are set, before the first block; -1: a cache or a table has an impossible size. */
int model_start(struct model *model);

/* The block of `size` bytes of code at an address; NULL: out of memory. Valid as long as the model. */
struct block *model_decode(struct model *model, uint32_t address, const uint8_t *code, uint32_t size);
void model_enter(struct model *model, struct block *block);

/* The address of the next instruction of the running block that accesses memory, kept up to date; odd: there is none.
 */
const uint32_t *model_next_access(const struct model *model);

/* That instruction is about to run: its accesses. `read_register` reads r0 to r15 and, number 16, the flags as in APSR.
 */
typedef uint32_t register_reader(void *context, unsigned number);
void model_access(struct model *model, register_reader *read_register, void *context);

/* The core waits for an interrupt; an exception is entered or left. */
void model_sleep(struct model *model, uint64_t cycles);
void model_exception(struct model *model);

/* A write to the register of the caches' bits, of the MPU's control or selected region, or to one that maintains caches
 * and branch prediction, by its offset in the system control space (ARMv7-M Architecture Reference Manual, B3.2, B3.5,
 * B2.2.7). */
void model_maintain(struct model *model, uint32_t offset, uint32_t value);

/* Cycles until the last access of the running block, or until its start. */
uint64_t model_cycles(const struct model *model);

/* Ends the running block. Then the causes of all blocks sum to model_cycles exactly. */
void model_finish(struct model *model);

/* Names by index: what `model_set` takes, the rows and columns of the latencies; NULL behind the last. */
const char *model_parameter(uint32_t index);
const char *model_result_kind(uint32_t index);
const char *model_operand_role(uint32_t index);
const char *model_cause(uint32_t index); /* the last is "data_miss": as many causes follow as memories may be added */
uint32_t model_cause_count(void);

/* Copies up to `capacity` rows, one a block that has run, and returns how many there are. */
size_t model_profile(const struct model *model, struct model_block *rows, size_t capacity);
size_t model_warnings(const struct model *model, struct model_warning *rows, size_t capacity);

#endif
