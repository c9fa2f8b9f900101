/* Semihosting: what firmware asks of its debugger with BKPT 0xAB (Arm, "Semihosting for AArch32 and AArch64").
 *
 * The firmware gets a console that it can write to, and no files of the host. Its time is the machine's. */
#ifndef HILNAS_SEMIHOSTING_H
#define HILNAS_SEMIHOSTING_H

#include "peripherals.h"
#include <unicorn/unicorn.h>

#define SEMIHOSTING_BREAKPOINT 0xBEABu /* the instruction */

typedef struct {
    byte_queue console;       /* what the firmware wrote */
    uint32_t heap[4];         /* base and limit of the heap, base and limit of the stack; 0: not known */
    uint32_t features_read;   /* bytes that were read of the file that names the host's extensions */
    double cycles_per_second; /* of the core; 0: not known */
} semihosting;

typedef enum { SEMIHOSTING_DONE, SEMIHOSTING_REFUSED, SEMIHOSTING_EXIT } semihosting_result;

/* Answers the call in r0 and r1 at a time in cycles. REFUSED: the firmware was told that it failed. */
semihosting_result semihosting_call(semihosting *self, uc_engine *uc, uint64_t cycles, uint32_t *exit_code);

#endif
