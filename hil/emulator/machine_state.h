/* What the machine's parts share. */
#ifndef HILNAS_MACHINE_STATE_H
#define HILNAS_MACHINE_STATE_H

#include "blocks.h"
#include "exceptions.h"
#include "machine.h"
#include "peripherals.h"
#include "semihosting.h"
#include <unicorn/unicorn.h>

#define MAX_WATCHES 8u

/* Unicorn's numbers of exceptions: QEMU, target/arm/cpu.h. */
enum { SVC_EXCEPTION = 2, PREFETCH_EXCEPTION = 3, BREAKPOINT_EXCEPTION = 7 };

struct machine {
    uc_engine *uc;
    peripherals peripherals;
    block_table blocks;
    timing_model timing;
    double cycles_per_instruction;
    uint64_t instructions;
    uint64_t limit;
    bool is_resuming; /* the block at which the machine was stopped has not run yet */
    bool is_stopping;
    uint32_t running_block; /* its address */
    machine_stop stop;
    uint32_t marks_at[MAX_WATCHES], stops_at[MAX_WATCHES];
    size_t marks_at_count, stops_at_count;
    mark_log marks;
    uint32_t return_address; /* of the marked call that is running, or NOWHERE */
    semihosting semihosting;
    bool is_any_firmware;
    access_log unknown_accesses, refused_calls, replaced_code;
    uint64_t slept; /* cycles, without a timing model */
};

/* The time so far, `machine` being a pointer to one. */
uint64_t cycles_now(void *machine);

/* Does what the firmware stopped for. Whether it goes on, and where. */
bool machine_goes_on(machine *self, uint32_t *pc);

#endif
