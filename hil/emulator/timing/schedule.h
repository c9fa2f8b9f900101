/* The static part of the model: a block of instructions on a two-slot in-order scoreboard. */
#ifndef HILNAS_TIMING_SCHEDULE_H
#define HILNAS_TIMING_SCHEDULE_H

#include "parameters.h"

/* Whom a transfer to or from memory may keep from issuing: on a bus with an address and a data phase a load or a store
 * puts its address on it while the data of the load before come; everybody else waits for them. */
enum bus_user { BUS_OTHERS, BUS_LOAD, BUS_STORE, BUS_USERS };

/* What the pipeline remembers from one block to the next, relative to the cycle in which the last instruction issued.
 */
struct pipeline {
    uint8_t kind[REGISTER_COUNT];      /* 1 + result_kind of what is still under way, 0 when it is settled */
    int8_t age[REGISTER_COUNT];        /* cycles since that producer issued; negative: it is as good as one that will */
    uint8_t condition[REGISTER_COUNT]; /* its condition_group */
    uint8_t fused_age;                 /* cycles since the last FPU multiply-accumulate, counted up to its hold */
    int8_t fetch;                      /* when the last fetched word came: 0 the current cycle, negative before */
    uint8_t has_older;                 /* an instruction of the current cycle still waits for a partner */
    uint8_t fpu_busy;                  /* cycles until the FPU has divided while the core goes on; 0: it has */
    uint8_t bus_busy[BUS_USERS];       /* cycles until the transfers before let them issue; 0: in the next one */
    uint8_t padding[3];
    uint32_t older; /* its traits */
};

enum { NO_USE = INT16_MIN };

struct schedule {
    uint32_t cycles;
    uint32_t causes[CAUSE_DATA_MISS];
    uint16_t mispredicted;             /* cost when the branch at its end was predicted wrongly */
    int16_t first_use[REGISTER_COUNT]; /* cycle of the first reader or overwriter from the block's start, or NO_USE */
    uint8_t first_use_role[REGISTER_COUNT]; /* enum operand_role */
    struct pipeline exit;
};

/* The place of one instruction in a schedule. */
struct placement {
    uint16_t cycle; /* of its issue, from the block's start */
    bool younger;
    bool paired_load; /* both instructions of the pair load */
    bool overlapped;  /* a load or store whose address goes out while the data of the load before it come */
};

/* A pipeline with nothing under way, before the first fetch. */
void pipeline_reset(struct pipeline *pipeline, const struct parameters *parameters);

/* Schedules a block entered in the state `entry`, by falling into it (its first word may be fetched already) or by a
 * taken branch. `placements` has a place for each instruction. */
void schedule_block(struct schedule *schedule, struct placement *placements, const struct instruction *instructions,
                    size_t count, const struct pipeline *entry, bool by_branch, const struct parameters *parameters);

#endif
