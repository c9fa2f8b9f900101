/* What each part brings in its own clock_<part>.c. */
#ifndef HILNAS_CLOCK_H
#define HILNAS_CLOCK_H

/* Brings the core to HILNAS_CLOCK_HZ and switches the RAMs on. Runs before .data and .bss are set up. Returns the
 * register bit that never became ready, or a null pointer. */
const char *clock_start(void);

/* Gives the report's UART its clock, which no later step changes, and its pins. Runs first. */
void clock_start_uart(void);

#endif
