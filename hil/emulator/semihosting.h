/* Semihosting: what firmware asks of its debugger with BKPT 0xAB (Arm, "Semihosting for AArch32 and AArch64"). */
#ifndef HILNAS_SEMIHOSTING_H
#define HILNAS_SEMIHOSTING_H

#include "peripherals.h"
#include <unicorn/unicorn.h>

#define SEMIHOSTING_BREAKPOINT 0xBEABu /* the instruction */

/* Answers the call in r0 and r1. What the firmware writes is added to `console`. True if it wants to end, with its
 * code. */
bool semihosting_call(uc_engine *uc, byte_queue *console, uint32_t *exit_code);

#endif
