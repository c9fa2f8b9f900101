/* The device's side of the report protocol. */
#ifndef HILNAS_REPORT_H
#define HILNAS_REPORT_H

#include <stdint.h>

/* Says hello and obeys the host. `missing` is the register bit that start-up waited for in vain, or a null pointer. */
__attribute__((noreturn)) void report_loop(const char *missing);

/* Called by the fault handlers with the frame that the processor stacked. */
__attribute__((noreturn)) void report_fault(const uint32_t *frame);

#endif
