/* The exceptions that firmware takes without faulting: SVC, PendSV and SysTick, as the Armv7-M Architecture Reference
 * Manual (DDI 0403, B1.5) says. No other interrupt comes, for the peripherals raise none. */
#ifndef HILNAS_EXCEPTIONS_H
#define HILNAS_EXCEPTIONS_H

#include "peripherals.h"
#include <unicorn/unicorn.h>

typedef enum { NO_EXCEPTION = 0, EXCEPTION_SVC = 11, EXCEPTION_PENDSV = 14, EXCEPTION_SYSTICK = 15 } exception;

/* The exception to take before the next instruction, if any. */
exception exceptions_next(uc_engine *uc, const peripherals *all);

/* Stacks the context, with `pc` to return to, and goes to the handler. False if there is no handler or no stack. */
bool exceptions_enter(uc_engine *uc, peripherals *all, exception number, uint32_t pc);

/* Whether the code that was jumped to means the return from an exception. */
bool exceptions_is_return(uc_engine *uc, uint32_t address);

/* Unstacks the context; `pc` is where it goes on. False if there is none. */
bool exceptions_leave(uc_engine *uc, uint32_t exc_return, uint32_t *pc);

#endif
