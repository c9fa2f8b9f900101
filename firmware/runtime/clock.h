/* What each part brings in its own clock_<part>.c. */
#ifndef HILNAS_CLOCK_H
#define HILNAS_CLOCK_H

/* These run before .data and .bss are set up. Who returns something names the register bit that never became ready, or
 * returns a null pointer. */

/* Says what feeds the core. Runs first of all and writes no RAM, not even a stack: none may be written before. */
const char *clock_choose_supply(void);

/* Switches on the RAMs that are off after a reset. */
void clock_start_memories(void);

/* Brings the core to HILNAS_CLOCK_HZ, once the supply has been chosen. */
const char *clock_start(void);

/* Gives the report's UART its clock, which no other step changes, and its pins. */
void clock_start_uart(void);

#endif
